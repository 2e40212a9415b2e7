"""Work that was killed at random points ends with the bytes of an undisturbed one; `make kills` tries more of them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beyond_spectrograms.util.files import write_text
from support.killed_works import COMMANDS, STAGES
from support.kills import Tally, Work, attempt, kill_and_compare
from support.repository import WITH_TESTS

KILLS = 2  # of each work, one from each state it may start in
NAMES = {"stages": [work.name for work in STAGES], "commands": [work.name for work in COMMANDS]}
CONTENT = "0123456789" * 5000


@pytest.mark.long
@pytest.mark.parametrize("part", NAMES)
def test_every_work_that_was_killed_leaves_the_same_bytes(part: str) -> None:
    names, count = NAMES[part], KILLS * len(NAMES[part])
    paths = {"PYTHONPATH": WITH_TESTS, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "support.killed_works", ",".join(names), str(count), "1"]
    done = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"\n{count} kills, 0 faults, " in done.stdout


def kill_often(do: Callable[[], object], folder: Path, count: int, **more: object) -> Tally:
    """Kill a work in a folder in which an older one left `place` and `folder/a` and `/b`."""
    for name in ("place", "folder/a", "folder/b"):
        (folder / "start" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "start" / name).write_text("old")
    shutil.copytree(folder / "start", folder / "whole")
    work = Work("work", do, **more)  # type: ignore[arg-type]
    done = attempt(do, folder / "whole")
    assert done.status == 0, done.said
    return kill_and_compare(work, [folder / "start"], (done, folder / "whole"), count, 0)


def replaced() -> None:
    write_text(Path("place"), CONTENT)


def test_a_file_written_beside_and_renamed_survives_every_kill(tmp_path: Path) -> None:
    tally = kill_often(replaced, tmp_path, 20, kinds=("change", "byte"))
    assert tally.wrong == []
    assert tally.count == 20
    assert set(tally.kills) == {"byte", "change"}


def in_place() -> None:
    Path("place").write_text(CONTENT)


def left_over() -> None:
    Path(f"temporary.{os.getpid()}").write_text("")
    write_text(Path("place"), CONTENT)
    Path(f"temporary.{os.getpid()}").unlink()


def one_by_one() -> None:
    for name in ("folder/a", "folder/b"):
        write_text(Path(name), "new")


def believed() -> None:
    if not Path("begun.partial").exists():
        Path("begun.partial").touch()
        write_text(Path("place"), CONTENT)
    Path("begun.partial").unlink()


def refused() -> None:
    if Path("begun.lock").exists():
        sys.exit("begun")
    Path("begun.lock").touch()
    write_text(Path("place"), CONTENT)
    Path("begun.lock").unlink()


@pytest.mark.parametrize(
    ("do", "kinds", "told"),
    [
        (in_place, ("byte",), "after the kill place was half-written"),
        (left_over, ("change",), "left over"),
        (one_by_one, ("change",), "after the kill folder: of two runs was half-written"),
        (believed, ("change",), "place: other bytes"),
        pytest.param(refused, ("change",), "begun\n", marks=pytest.mark.long),
    ],
)
def test_what_a_kill_may_not_leave_is_told(
    tmp_path: Path, do: Callable[[], object], kinds: tuple[str, ...], told: str
) -> None:
    tally = kill_often(do, tmp_path, 16, kinds=kinds, whole=("folder",))
    assert any(each.endswith(told) for each in tally.wrong), tally.wrong


def test_the_same_seed_kills_at_the_same_points(tmp_path: Path) -> None:
    first, second = (kill_often(in_place, tmp_path / name, 8, kinds=("change", "byte")) for name in ("first", "second"))
    assert first == second


def test_an_attempt_tells_how_it_ended(tmp_path: Path) -> None:
    def fail() -> None:
        print("before")
        raise ValueError("broken")

    found = attempt(fail, tmp_path)
    assert (found.killed, os.waitstatus_to_exitcode(found.status)) == (False, 1)
    assert found.said.startswith("before\nTraceback ")
    assert found.said.endswith("\nValueError: broken\n")
