import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from beyond_spectrograms.params import load_params
from beyond_spectrograms.representations import create_representation, feature_cache, stored_rows
from beyond_spectrograms.representations.feature_cache import FEATURE_VERSIONS, FeatureRequest, extract, fingerprint
from beyond_spectrograms.util import files
from support.common import contents
from support.envelope import add_clips, run, status_of_child, windows_of
from support.repository import StartStage
from support.stopping import kill_stage_in


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


def killed_at(line: int, folder: Path, table: pd.DataFrame) -> bool:
    """Extract in a child process that kills itself at the `line`-th line that handles files; say if it came so far."""
    watched, executed = {module.__file__ for module in (feature_cache, stored_rows, files, shutil)}, 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal executed
        if frame.f_code.co_filename not in watched and frame.f_code.co_name not in ("write_text", "open_memmap"):
            return None
        executed += event == "line"
        if executed == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def extract_until_then() -> None:
        sys.settrace(trace)
        run(folder, table, diary=folder / "diary")

    status = status_of_child(extract_until_then)
    assert status in (0, signal.SIGKILL)
    return bool(status)


@pytest.mark.long
@pytest.mark.parametrize("step", [11, 1])
@pytest.mark.parametrize("interrupted", [False, True], ids=["begun anew", "killed before"])
def test_killed_at_any_line_it_goes_on_and_computes_at_most_one_clip_again(
    folder: Path, interrupted: bool, step: int
) -> None:
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
        killed = killed_at(line, folder, table)
        if killed:
            run(folder, table, diary=folder / "diary")
        assert contents(folder / "place") == undisturbed, f"killed at line {line}"
        assert (folder / "diary").read_text().split().count("3") <= todo + killed, f"killed at line {line}"
    assert line > 80


def test_a_killed_featurize_goes_on_and_ends_with_the_same_bytes(project: Path, start_stage: StartStage) -> None:
    clips, seconds = 40, 10
    add_clips(project / "data/clips/pets", *range(clips), seconds=seconds)
    (project / "data/splits/pets").mkdir(parents=True)
    table = windows_of(*range(clips), windows=seconds).assign(label="cat", group="g", fold=1, silent=0)
    table.to_csv(project / "data/splits/pets/windows.csv", index=False)
    journal = project / "data/partial/features/paper-pets-mel/journal.jsonl"

    # Killed while the eighth clip's rows are written, and its line of the journal is not.
    written = f"os.path.exists({str(journal)!r}) and Path({str(journal)!r}).read_text().count(chr(10)) == 7"
    kill_stage_in(
        "beyond_spectrograms.representations.feature_cache:astuple", written, "featurize", "pets", "mel", folder=project
    )
    done = journal.read_text().count("\n")
    assert done == 7
    output, error = start_stage("featurize", "pets", "mel").communicate()
    assert error == ""
    assert (
        f"pets as mel: {(clips - done) * seconds} windows, {(clips - done) * seconds} s of sound; will take about "
        in output
    )
    assert f"computed {(clips - done) * seconds} of {clips * seconds} windows by " in output
    undisturbed = project / "undisturbed"
    params = load_params()
    record = params.representations["mel"]
    mel = create_representation("mel", record, [])
    mark = fingerprint(mel, record.model_dump(), [], 1.0, {noun: params.versions[noun] for noun in FEATURE_VERSIONS})
    extract(FeatureRequest(mel, table, project / "data/clips/pets", 1.0, mark), undisturbed, project / "work")
    made = contents(project / "data/features/paper/pets/mel")
    assert json.loads(made.pop("features.json"))["windows"] == clips * seconds
    assert made == contents(undisturbed)
    assert sorted(contents(undisturbed)) == ["features.npy", "index.json"]
