"""`dvc repro` on a disk that fills, and twice at once: told in lines, and in the end the same bytes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from support import clones
from support.clones import DEMO, decides, dvc, environment
from support.disks import LARGE, may_mount, mount, small_disk, used
from support.kills import left_in
from support.staged import POINTS

pytestmark = pytest.mark.long
EVALUATE = f"{DEMO}:evaluate@demo"
BUSY = r"(failed to reproduce '.+': )?'.+' is busy, it is being blocked by"  # what one of both works on
LOCKED = re.compile(rf"ERROR: (Unable to acquire lock\. Most likely another DVC process is running|{BUSY})")
FULL = re.compile(  # a stage's line, or DVC's own where it keeps what a stage left
    r"^\S+: no space left on device\. Make room there, and run the same command again\.$"
    r"|^ERROR: failed to reproduce '.+': \[Errno 28\] No space left on device",
    re.MULTILINE,
)
SHARES = (0.6, 0.2, 0.9)[:POINTS]  # of what a run writes, for which there is room


class Undisturbed(NamedTuple):
    """What a run decides, and how many bytes it writes."""

    decided: dict[str, bytes]
    written: int


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with one representation under one protocol, not run."""
    return clones.smallest(tmp_path_factory.mktemp("smallest") / "project")


@pytest.fixture(scope="module")
def undisturbed(smallest: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = Path(shutil.copytree(smallest, tmp_path_factory.mktemp("undisturbed") / "project"))
    held = size_of(folder)
    dvc(folder, "repro", "--quiet", EVALUATE)
    return Undisturbed(left_in(folder, decides), size_of(folder) - held)


def size_of(folder: Path) -> int:
    """Count the bytes of its files, once of those that are links to one another."""
    return sum({(told := path.stat()).st_ino: told.st_size for path in folder.rglob("*") if path.is_file()}.values())


def test_two_at_once_end_with_the_same_as_one(smallest: Path, undisturbed: Undisturbed, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(smallest, tmp_path / "project"))
    command = (sys.executable, "-m", "dvc", "repro", EVALUATE)
    both = [
        subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=-1, stderr=-2, text=True)
        for _ in range(2)
    ]
    said = [each.communicate()[0] for each in both]
    refused = [text for each, text in zip(both, said, strict=True) if each.returncode]
    assert len(refused) < 2, said
    assert [text for text in refused if "Traceback" in text or not LOCKED.search(text)] == []
    assert left_in(folder, decides) == undisturbed.decided
    assert dvc(folder, "status", EVALUATE) == "Data and pipelines are up to date.\n"


def test_a_disk_with_room_for_a_part_is_told_and_one_with_room_for_all_holds_the_same(
    smallest: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    if not may_mount(tmp_path / "tried"):
        pytest.skip("only root may mount a file system")
    with small_disk(tmp_path / "disk") as disk:
        folder = disk / "project"
        for share in SHARES:
            shutil.copytree(smallest, folder)
            assert mount(disk, used(disk) + int(share * undisturbed.written), "remount") == 0
            ended = subprocess.run(
                (sys.executable, "-m", "dvc", "repro", EVALUATE),
                cwd=folder, env=environment(folder), capture_output=True, text=True, check=False,
            )  # fmt: skip
            told = ended.stdout + ended.stderr
            assert FULL.search(told), told
            assert (ended.returncode, "Traceback" in told) == (255, False), told
            assert mount(disk, LARGE, "remount") == 0
            dvc(folder, "repro", "--quiet", EVALUATE)
            assert left_in(folder, decides) == undisturbed.decided, share
            shutil.rmtree(folder)
