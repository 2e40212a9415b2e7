import json
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from beyond_spectrograms.data.audio import Waveform, cut_windows, read_clip, write_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.data.windows import FeaturesError, open_features, release
from beyond_spectrograms.representations import window_encoder
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.representations.feature_cache import Extraction, fingerprint
from beyond_spectrograms.representations.storage import Rounding
from beyond_spectrograms.util.machine import forget_peak, memory_can_be_measured, peak_bytes
from support.common import contents, noise
from support.envelope import FORM, Envelope, run, status_of_child, windows_of

RATE = FORM.sample_rate


class SideBySide(Envelope):
    """An envelope whose windows threads encode, each two at a time."""

    chunk: ClassVar[int | None] = 2


class Broken(SideBySide):
    """Fails as an engine may."""

    def _encode(self, windows: Waveform) -> Features:  # noqa: ARG002
        raise RuntimeError("the engine failed")


def store(folder: Path, clips: dict[str, list[Waveform]]) -> pd.DataFrame:
    """Write each clip, a list of its seconds, and list its windows."""
    for name, seconds in clips.items():
        path = clip_path(folder / "clips", FORM, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, np.concatenate(seconds)[:, None], RATE)
    rows = [(name, float(start)) for name, seconds in clips.items() for start in range(len(seconds))]
    return pd.DataFrame(rows, columns=["clip", "start_s"])


def assert_rows_are_window_by_window(folder: Path, table: pd.DataFrame) -> None:
    for row, (clip, start_s) in zip(
        open_features(folder / "place", len(table)), table.itertuples(index=False), strict=True
    ):
        window = cut_windows(read_clip(clip_path(folder / "clips", FORM, clip), FORM), [start_s], 1.0, RATE)
        np.testing.assert_array_equal(row, Envelope().encode(window, RATE)[0])


def test_row_i_is_the_encoding_of_window_i(folder: Path) -> None:
    table = windows_of(3, 0, 5)
    assert run(folder, table).computed == 9
    assert sorted(contents(folder / "place")) == ["features.npy", "index.json"]
    assert not (folder / "work").exists()
    rows = open_features(folder / "place", 9)
    assert rows.shape == (9, 3, 10)
    assert rows.dtype == np.float32
    assert_rows_are_window_by_window(folder, table)


def test_clips_that_are_new_or_differ_are_computed_and_no_others(folder: Path) -> None:
    assert run(folder, windows_of(1, 3)).computed == 6
    assert run(folder, windows_of(0, 1, 2, 3)).computed == 6
    assert run(folder, windows_of(0, 1, 2, 3)).computed == 0
    assert run(folder, windows_of(3, 1)).computed == 0
    write_clip(clip_path(folder / "clips", FORM, "cat/01.wav"), noise(3, 22_050, 99)[:, None], 22_050)
    assert run(folder, windows_of(3, 1)).computed == 3
    run(folder, windows_of(3, 1), place="fresh")
    assert contents(folder / "place") == contents(folder / "fresh")
    assert run(folder, windows_of(0, 1), fingerprint="other").computed == 6
    assert run(folder, windows_of(0, 1), fingerprint="other", bands=4).computed == 6
    assert run(folder, windows_of(0, 1, windows=2), fingerprint="other", bands=4).computed == 4


def test_the_fingerprint_follows_all_that_decides_features(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for path in (a, b):
        path.write_text(path.name)

    def made(record: int = 1, weights: Sequence[Path] = (), length_s: float = 1.0, **changes: Any) -> str:
        representation = Envelope()
        representation.engine = changes.get("engine", "numpy")
        representation.files = changes.get("files", ())
        versions = {"representations": changes.get("version", 1)}
        return fingerprint(representation, {"n": record}, weights, length_s, versions)

    found = [
        made(), made(2), made(weights=[a]), made(weights=[b]), made(weights=[a, b]), made(weights=[b, a]),
        made(length_s=2.0), made(version=2), made(engine="another"),
    ]  # fmt: skip
    for text in ("a = 1", "a = 2"):  # code of others
        a.write_text(text)
        found.append(made(files=(a,)))
    assert len(set(found)) == len(found)
    assert made() == found[0]


def test_an_array_that_does_not_belong_to_the_table_is_refused(folder: Path) -> None:
    run(folder, windows_of(0, 1))
    with pytest.raises(FeaturesError) as caught:
        open_features(folder / "place", 7)
    place = folder / "place"
    assert str(caught.value) == f"{place}: 6 rows for 7 windows. Run its featurize stage again (dvc repro -f)."


def test_memory_does_not_grow_with_the_data_set(folder: Path) -> None:
    table = windows_of(*[0, 1] * 18)  # 36 clips: 216 MB of features

    def extract_twice() -> None:
        used = 1024 * int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0])
        # Bytes of private writable memory; the kernel refuses more. The array is a mapped file and not counted.
        resource.setrlimit(resource.RLIMIT_DATA, (used + 50_000_000, used + 50_000_000))
        assert run(folder, table, bands=50_000).computed == 108
        assert run(folder, table, bands=50_000).computed == 0

    assert status_of_child(extract_twice) == 0
    assert (folder / "place/features.npy").stat().st_size > 200_000_000
    shutil.rmtree(folder / "place")  # pytest keeps the folders of its last runs


@pytest.mark.skipif(not memory_can_be_measured(), reason="memory is measured on Linux with the GNU C library alone")
def test_a_mapped_array_read_in_blocks_is_never_held_as_a_whole(tmp_path: Path) -> None:
    array = np.lib.format.open_memmap(tmp_path / "features.npy", mode="w+", dtype=np.float32, shape=(4096, 128, 50))
    array[:] = 1  # 105 MB
    array.flush()
    del array

    def peak_of(releasing: bool) -> int:
        held = forget_peak()
        features = np.load(tmp_path / "features.npy", mmap_mode="r")
        for first in range(0, 4096, 256):
            assert features[first : first + 256].sum(dtype=np.float64) == 256 * 128 * 50
            if releasing:
                release(features)
        return peak_bytes() - held

    assert peak_of(releasing=False) > 90e6
    assert peak_of(releasing=True) < 30e6
    release(np.zeros(3))  # in memory: nothing to do


@pytest.mark.parametrize("kind", [Envelope, SideBySide])
def test_repeated_windows_silent_windows_and_equal_clips_are_encoded_once(tmp_path: Path, kind: type[Envelope]) -> None:
    a, b, silence = noise(1, RATE, 0), noise(1, RATE, 1), np.zeros(RATE, np.float32)
    clips = {
        "x/1.wav": [a, silence, a, b],  # two distinct windows besides silence
        "x/2.wav": [silence, silence],
        "x/3.wav": [b, a],  # encoded again: what repeats is looked for within a clip
        "x/4.wav": [a, silence, a, b],  # the first clip once more
    }
    table = store(tmp_path, clips)
    assert run(tmp_path, table, made=kind()) == Extraction(
        windows=12, computed=12, encoded=2 + 1 + 2, rounding=Rounding()
    )
    assert_rows_are_window_by_window(tmp_path, table)
    assert run(tmp_path, table, made=kind()) == Extraction(windows=12, computed=0, encoded=0, rounding=Rounding())


def test_windows_that_differ_in_one_sample_are_two(tmp_path: Path) -> None:
    sound = noise(1, RATE, 0)
    other = sound.copy()
    other[17] += 0.5
    table = store(tmp_path, {"x/1.wav": [sound, other]})
    assert run(tmp_path, table, made=Envelope()).encoded == 2
    assert_rows_are_window_by_window(tmp_path, table)


def test_rows_are_in_order_when_many_clips_are_under_way_and_a_clip_has_many_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_encoder, "BLOCK", 3)
    lengths = {"x/1.wav": 7, "x/2.wav": 1, "x/3.wav": 3, "x/4.wav": 2, "x/5.wav": 1}
    sounds = {
        name: [noise(1, RATE, 10 * n + k) for k in range(count)] for n, (name, count) in enumerate(lengths.items())
    }
    table = store(tmp_path, sounds)
    assert run(tmp_path, table, made=SideBySide()).encoded == 14
    assert_rows_are_window_by_window(tmp_path, table)
    index = json.loads((tmp_path / "place/index.json").read_text())["clips"]
    assert [clip[:3] for clip in index] == [
        ["x/1.wav", 0, 7], ["x/2.wav", 7, 1], ["x/3.wav", 8, 3], ["x/4.wav", 11, 2], ["x/5.wav", 13, 1],
    ]  # fmt: skip


def test_an_error_in_a_thread_ends_the_extraction(tmp_path: Path) -> None:
    table = store(tmp_path, {f"x/{n}.wav": [noise(1, RATE, n)] for n in range(3)})
    with pytest.raises(RuntimeError, match=r"^the engine failed$"):
        run(tmp_path, table, made=Broken())
    assert not (tmp_path / "place").exists()
