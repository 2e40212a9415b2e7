"""Features are extracted once, window by window; stopped at any line it goes on and ends with the same bytes."""

import json
import resource
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from beyond_spectrograms.data.audio import Waveform, cut_windows, read_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.data.windows import FeaturesError, open_features
from beyond_spectrograms.representations import feature_cache, stored_rows, window_encoder
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.representations.feature_cache import Extraction, fingerprint
from beyond_spectrograms.representations.stored_rows import Rounding
from beyond_spectrograms.util import files
from support.common import contents, noise, refusal, store_clip
from support.envelope import FORM, Envelope, killed_at, run, status_of_child, windows_of
from support.repository import stage_here
from support.stopping import kill_stage_in

RATE = FORM.sample_rate
WATCHED = (feature_cache, stored_rows, files, shutil)  # modules that handle files


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
        store_clip(folder / "clips", FORM, name, np.concatenate(seconds))
    rows = [(name, float(start)) for name, seconds in clips.items() for start in range(len(seconds))]
    return pd.DataFrame(rows, columns=["clip", "start_s"])


def assert_rows_are_window_by_window(folder: Path, table: pd.DataFrame) -> None:
    rows = open_features(folder / "place", len(table))
    for row, (clip, start_s) in zip(rows, table.itertuples(index=False), strict=True):
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
    store_clip(folder / "clips", FORM, "cat/01.wav", noise(3, 22_050, 99))
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
    told = f"{folder / 'place'}: 6 rows for 7 windows. Run its featurize stage again (dvc repro -f)."
    assert refusal(FeaturesError, open_features, folder / "place", 7) == told


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
    found = run(tmp_path, table, made=kind())
    assert found == Extraction(windows=12, computed=12, encoded=2 + 1 + 2, rounding=Rounding())
    assert_rows_are_window_by_window(tmp_path, table)
    assert run(tmp_path, table, made=kind()) == Extraction(windows=12, computed=0, encoded=0, rounding=Rounding())


def test_windows_that_differ_in_one_sample_are_two(tmp_path: Path) -> None:
    sound = noise(1, RATE)
    table = store(tmp_path, {"x/1.wav": [sound, sound + 0.5 * (np.arange(RATE) == 17)]})
    assert run(tmp_path, table, made=Envelope()).encoded == 2
    assert_rows_are_window_by_window(tmp_path, table)


def test_rows_are_in_order_whatever_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_encoder, "BLOCK", 3)
    sounds = {
        f"x/{n}.wav": [noise(1, RATE, 10 * n + k) for k in range(count)] for n, count in enumerate((7, 1, 3, 2, 1), 1)
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
    assert refusal(RuntimeError, run, tmp_path, table, made=Broken()) == "the engine failed"
    assert not (tmp_path / "place").exists()


def interrupted_after(computed: int, folder: Path, table: pd.DataFrame, copied: int = 0) -> list[dict[str, Any]]:
    """Extract and break off while a clip is encoded; return the journal, a line for each clip done until then."""
    with pytest.raises(KeyboardInterrupt):
        run(folder, table, diary=folder / "diary", encodes=computed + 1)  # the first window is encoded twice
    journal = (folder / "work/journal.jsonl").read_text().splitlines()
    assert len(journal) == computed + copied
    return [json.loads(line) for line in journal]


def tear_journal(work: Path) -> None:
    (work / "journal.jsonl").write_text((work / "journal.jsonl").read_text()[:-30])


def change_a_row(work: Path) -> None:
    array = np.lib.format.open_memmap(work / "features.npy", mode="r+")
    array[4, 2, 9] += 1  # in the second clip
    array.flush()


@pytest.mark.parametrize("damage", [tear_journal, change_a_row])
def test_damage_to_what_a_killed_run_left_costs_its_clip_only(folder: Path, damage: Callable[[Path], None]) -> None:
    table = windows_of(0, 1, 2, 3)
    run(folder, table, place="undisturbed")
    interrupted_after(3, folder, table)
    damage(folder / "work")
    assert run(folder, table).computed == 6
    assert contents(folder / "place") == contents(folder / "undisturbed")


@pytest.mark.parametrize("left", [b"", b"\x93NUMPY\x01\x00", None], ids=["empty", "half a header", "other shape"])
def test_an_unusable_array_is_begun_again(folder: Path, left: bytes | None) -> None:
    (folder / "work").mkdir()
    if left is None:
        np.save(folder / "work/features.npy", np.ones((2, 2), np.float32))
    else:
        (folder / "work/features.npy").write_bytes(left)
    assert run(folder, windows_of(0, 1)).computed == 6
    run(folder, windows_of(0, 1), place="undisturbed")
    assert contents(folder / "place") == contents(folder / "undisturbed")


@pytest.mark.long
@pytest.mark.parametrize("step", [11, 1])
@pytest.mark.parametrize("interrupted", [False, True], ids=["begun anew", "killed before"])
def test_killed_at_any_line_it_computes_one_clip_again_at_most(folder: Path, interrupted: bool, step: int) -> None:
    table = windows_of(0, 1, 2, 3, 4) if interrupted else windows_of(0, 1)
    run(folder, table, place="undisturbed")
    undisturbed = contents(folder / "undisturbed")
    if interrupted:
        run(folder, windows_of(0, 4))
        journal = interrupted_after(2, folder, table, copied=1)
        assert [entry["first"] for entry in journal] == [0, 3, 6]
    todo = 1 if interrupted else 2  # clip 3, or both
    for leftover in ("place", "work"):
        (folder / leftover).mkdir(exist_ok=True)
        (folder / leftover).rename(folder / f"{leftover}.before")
    line, killed = 0, True
    while killed:
        line += step
        for leftover in ("place", "work"):
            shutil.rmtree(folder / leftover, ignore_errors=True)
            shutil.copytree(folder / f"{leftover}.before", folder / leftover)
        (folder / "diary").write_text("")
        killed = killed_at(line, WATCHED, folder, table)
        if killed:
            run(folder, table, diary=folder / "diary")
        assert contents(folder / "place") == undisturbed, f"killed at line {line}"
        assert (folder / "diary").read_text().split().count("3") <= todo + killed, f"killed at line {line}"
    assert line > 80


def test_a_killed_featurize_goes_on_and_ends_with_the_same_bytes(project: Path, pets: Path) -> None:
    journal = project / "data/partial/features/paper-pets-mel/journal.jsonl"
    # Killed while the eighth clip's rows are written, and its line of the journal is not.
    written = f"os.path.exists({str(journal)!r}) and Path({str(journal)!r}).read_text().count(chr(10)) == 7"
    place = "beyond_spectrograms.representations.feature_cache:astuple"
    kill_stage_in(place, written, "featurize", "pets", "mel", folder=project)
    assert journal.read_text().count("\n") == 7
    output = stage_here(project, "featurize", "pets", "mel")
    assert "pets as mel: 330 windows, 330 s of sound; will take about " in output
    assert "computed 330 of 400 windows by " in output
    resumed = contents(pets)
    assert sorted(resumed) == ["features.json", "features.npy", "index.json"]
    shutil.rmtree(pets)
    stage_here(project, "featurize", "pets", "mel")  # undisturbed
    assert contents(pets) == resumed
