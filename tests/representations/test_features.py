from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beyond_spectrograms.data.audio import Waveform, cut_windows, read_clip, write_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.data.windows import FeaturesError, open_features, release
from beyond_spectrograms.representations.feature_cache import fingerprint
from beyond_spectrograms.util.machine import forget_peak, memory_can_be_measured, peak_bytes
from support.envelope import FORM, Envelope, run, status_of_child, windows_of

Sound = Callable[..., Waveform]
Contents = Callable[[Path], dict[str, bytes]]


def test_row_i_is_the_encoding_of_window_i(folder: Path, contents: Contents) -> None:
    table = windows_of(3, 0, 5)
    assert run(folder, table).computed == 9
    assert sorted(contents(folder / "place")) == ["features.npy", "index.json"]
    assert not (folder / "work").exists()
    rows = open_features(folder / "place", 9)
    assert rows.shape == (9, 3, 10)
    assert rows.dtype == np.float32
    for row, (clip, start_s) in zip(rows, table.itertuples(index=False), strict=True):
        sound = read_clip(clip_path(folder / "clips", FORM, clip), FORM)
        np.testing.assert_array_equal(row, Envelope().encode(cut_windows(sound, [start_s], 1.0, 22_050), 22_050)[0])


def test_clips_that_are_new_or_differ_are_computed_and_no_others(
    folder: Path, noise: Sound, contents: Contents
) -> None:
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
