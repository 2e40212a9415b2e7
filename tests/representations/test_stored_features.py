"""Two runs at once, and stored features that are damaged or not whole: nothing is lost and nothing wrong is kept."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from beyond_spectrograms.data.windows import FeaturesError, check_content
from beyond_spectrograms.representations import stored_rows
from support.common import contents, flip
from support.envelope import add_clips, run, windows_of
from support.repository import REPOSITORY

TABLE = windows_of(0, 1, 2, 3)
ROW = 3 * 10 * 4  # bytes of a window


@pytest.fixture
def again(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, str]]:
    """Store the features of four clips; return what extracts again, and gives how many windows and what was said."""
    run(folder, TABLE)

    def extract() -> tuple[int, str]:
        capsys.readouterr()
        return run(folder, TABLE).computed, capsys.readouterr().out

    return extract


Again = Callable[[], tuple[int, str]]


def offset_of(folder: Path, row: int) -> int:
    return (folder / "place/features.npy").stat().st_size + (row - 12) * ROW


@pytest.mark.parametrize(
    ("flipped", "clips"),
    [
        ([0], "1 clip were damaged and are computed again: cat/00.wav"),
        ([4 * ROW + 57], "1 clip were damaged and are computed again: cat/01.wav"),
        ([12 * ROW - 1], "1 clip were damaged and are computed again: cat/03.wav"),
        (
            random.Random(0).sample(range(12 * ROW), 80),
            "4 clips were damaged and are computed again: cat/00.wav, cat/01.wav, cat/02.wav and 1 more",
        ),
    ],
)
def test_a_flipped_byte_is_noticed_and_costs_its_clip_and_no_other(
    folder: Path, again: Again, flipped: list[int], clips: str
) -> None:
    whole = contents(folder / "place")
    flip(folder / "place/features.npy", *(offset_of(folder, 0) + byte for byte in flipped))
    with pytest.raises(FeaturesError) as caught:  # as training does
        check_content(folder / "place", "pets as mel")
    assert str(caught.value) == (
        f"{folder / 'place'}: rows of {clips[0]} clips of pets as mel are not what was written, "
        f"{re.findall('cat/[0-9]+.wav', clips)[0]} first. Run its featurize stage again (dvc repro -f)."
    )
    assert again() == (3 * int(clips[0]), f"{folder / 'place'}: rows of {clips}\n")
    assert contents(folder / "place") == whole
    check_content(folder / "place", "pets as mel")
    flip(folder / "place/features.npy", offset_of(folder, 10))
    assert run(folder, windows_of(0, 2)).computed == 0  # the damaged clip is no longer wanted


def test_rows_damaged_while_they_are_copied_are_found_by_the_next_run(
    folder: Path, again: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, check = contents(folder / "place"), stored_rows.StoredRows.drop_damaged

    def damage(stored: stored_rows.StoredRows, wanted: list[stored_rows.Rows], called: str) -> None:
        check(stored, wanted, called)
        with (folder / "place/features.npy").open("r+b") as file:
            file.seek(offset_of(folder, 4))
            file.write(b"damaged")

    monkeypatch.setattr(stored_rows.StoredRows, "drop_damaged", damage)
    assert again() == (0, "")
    monkeypatch.undo()
    told = f"{folder / 'place'}: rows of 1 clip were damaged and are computed again: cat/01.wav\n"
    assert again() == (3, told)
    assert contents(folder / "place") == whole


CUT, OLD = "{place}/features.npy is cut short or damaged", "{place}/index.json is damaged, or of an earlier version"


def other_shape(folder: Path) -> None:
    np.save(folder / "place/features.npy", np.load(folder / "place/features.npy")[:9])


def other_order(folder: Path) -> None:
    array = np.load(folder / "place/features.npy")
    np.save(folder / "place/features.npy", np.asfortranarray(array))


def old_index(folder: Path) -> None:
    index = json.loads((folder / "place/index.json").read_text())
    del index["sha256"]
    (folder / "place/index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "place/features.npy").unlink(), "{place}/features.npy is missing"),
        (lambda folder: os.truncate(folder / "place/features.npy", 0), CUT),
        (lambda folder: os.truncate(folder / "place/features.npy", 70), CUT),
        (
            lambda folder: os.truncate(folder / "place/features.npy", offset_of(folder, 12) - 1),
            CUT,
        ),
        (other_order, CUT),
        (other_shape, "{place}/features.npy is [9, 3, 10], and [12, 3, 10] by its index"),
        (
            lambda folder: os.truncate(folder / "place/index.json", 300),
            OLD,
        ),
        (old_index, OLD),
    ],
    ids=["no array", "empty", "half a header", "a byte short", "order", "shape", "half an index", "old index"],
)
def test_an_index_without_its_whole_array_is_nothing_stored(
    folder: Path, again: Again, damage: Callable[[Path], None], told: str
) -> None:
    whole, place = contents(folder / "place"), folder / "place"
    damage(folder)
    assert again() == (12, f"{place}: {told.format(place=place)}; all is computed again\n")
    assert contents(place) == whole
    assert again() == (0, "")


def test_where_a_byte_of_the_arrays_header_is_flipped_nothing_wrong_is_kept(folder: Path, again: Again) -> None:
    whole, size = contents(folder / "place"), (folder / "place/features.npy").stat().st_size
    text = whole["features.npy"][: offset_of(folder, 0)].rstrip()
    for offset in range(0, len(text), 5):
        flip(folder / "place/features.npy", offset)
        again()
        assert contents(folder / "place") == whole, offset
    assert size == len(whole["features.npy"])


CLIPS, SECONDS = 40, 10


@pytest.fixture
def pets(project: Path) -> Path:
    """Lay out `pets` as the stages before featurize leave it; give the place of its features."""
    add_clips(project / "data/clips/pets", *range(CLIPS), seconds=SECONDS)
    (project / "data/splits/pets").mkdir(parents=True)
    table = windows_of(*range(CLIPS), windows=SECONDS).assign(label="cat", group="g", fold=1, silent=0)
    table.to_csv(project / "data/splits/pets/windows.csv", index=False)
    return project / "data/features/paper/pets/mel"


JOURNAL, LOCK = (
    Path("data/partial/features/paper-pets-mel/journal.jsonl"),
    Path("data/partial/features/paper-pets-mel.lock"),
)


def stopped_midway(process: subprocess.Popen[str]) -> int:
    """Let featurize come to its third clip and hold it there; give its pid."""
    while process.poll() is None and not (JOURNAL.exists() and JOURNAL.read_text().count("\n") >= 3):
        time.sleep(0.001)
    pid = int(LOCK.read_text())
    os.kill(pid, signal.SIGSTOP)
    return pid


def told_by(pid: int) -> str:
    return f"data/partial/features/paper-pets-mel: another run (pid {pid}) works here. Wait for it, or end it.\n"


@pytest.mark.long
def test_when_dvc_alone_is_killed_the_next_meets_the_stage_that_lives_on_and_no_features_are_lost(pets: Path) -> None:
    stage = {
        "cmd": f"{sys.executable} -m stages.featurize pets mel",
        "deps": ["data/clips/pets"],
        "outs": [{"data/features/paper/pets/mel": {"persist": True}}],
    }
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"featurize": stage}}))
    dvc, environment = [sys.executable, "-m", "dvc"], {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def repro() -> subprocess.CompletedProcess[str]:
        return subprocess.run([*dvc, "repro"], env=environment, capture_output=True, text=True, check=False)

    subprocess.run([*dvc, "init", "-q", "--no-scm"], check=True)
    with subprocess.Popen([*dvc, "repro", "-q"], env=environment, start_new_session=True) as first:
        pid = stopped_midway(first)
        assert pid != first.pid
        first.kill()
    second = repro()
    assert told_by(pid) in second.stderr
    assert second.returncode != 0
    os.kill(pid, signal.SIGCONT)
    while LOCK.exists() or not (pets / "features.json").exists():
        time.sleep(0.01)
    whole = contents(pets)
    assert sorted(whole) == ["features.json", "features.npy", "index.json"]
    third = repro()
    assert third.returncode == 0
    assert f"computed 0 of {CLIPS * SECONDS} windows by " in third.stdout
    assert contents(pets) == whole
