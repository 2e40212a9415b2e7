"""Disks that fill while a stage or command writes: a line that says where, nothing half-written, and then all of it."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.disks import LARGE, may_mount, mount, small_disk, used
from support.staged import POINTS, STEPS, Staged, decided, half_written, left_over
from support.warmed import Ended, Fault

pytestmark = pytest.mark.long
WARNINGS = ("no --group option: ", "class 'high': ", "class 'low': ")
SHARES = (0.3, 0.8, 0)[:POINTS]  # of what a step leaves, for which there is room
REASONS = {"full": "file too large", "refused": "no space left on device"}


@pytest.mark.parametrize("kind", list(REASONS))
@pytest.mark.parametrize("step", list(STEPS))
def test_a_disk_that_fills_at_any_point_is_told_in_a_line_and_the_next_run_gives_the_same(
    project_by_stages: Staged, tmp_path: Path, step: str, kind: str
) -> None:
    staged, place = project_by_stages, tmp_path / "project"
    for point in staged.points(step, kind):
        folder = staged.copy(step, place)
        ended = staged.process.run(folder, *STEPS[step], fault=Fault(kind, point))
        # Where it ended well, what was written later lay in memory.
        assert_told_and_gone_on(staged, step, ended, decided(folder), reason=REASONS[kind], where=point)


@pytest.mark.parametrize("step", list(STEPS))
def test_a_disk_that_has_room_for_a_part_is_told_in_a_line_and_one_with_room_holds_the_same(
    project_by_stages: Staged, tmp_path: Path, step: str
) -> None:
    if not may_mount(tmp_path / "tried"):
        pytest.skip("only root may mount a file system")
    staged = project_by_stages
    with small_disk(tmp_path / "disk") as disk:
        folder = Path(shutil.copytree(staged.before(step), disk / "project"))
        held = used(disk)
        assert staged.process.run(folder, *STEPS[step]).status == 0
        written = used(disk) - held
        for share in SHARES:
            shutil.rmtree(folder)
            shutil.copytree(staged.before(step), folder)
            assert mount(disk, used(disk) + int(share * written), "remount") == 0
            ended = staged.process.run(folder, *STEPS[step])
            found = decided(folder)
            assert mount(disk, LARGE, "remount") == 0
            # Where it ended well, it needs less room than it leaves.
            assert_told_and_gone_on(staged, step, ended, found, reason=REASONS["refused"], where=share)


def assert_told_and_gone_on(
    staged: Staged, step: str, ended: Ended, found: Mapping[str, bytes], *, reason: str, where: float
) -> None:
    """Check that a step ended well, or told the reason, left nothing half-written of what was `found`, and goes on."""
    after = staged.after[step]
    if ended.status == 0:
        assert found == after, where
        return
    assert_told(ended, reason)
    assert (left_over(ended.folder), ended.left) == ([], 0), where
    assert half_written(found, decided(staged.before(step)), after) == set(), where
    again = staged.process.run(ended.folder, *STEPS[step])
    assert (again.status, "Traceback" in again.errors) == (0, False), (where, again.errors)
    assert decided(ended.folder) == after, where


def assert_told(ended: Ended, reason: str) -> None:
    """Check that the last line a process told says which place of its folder took no more.

    What `train` warns of before, of few sounds, is not of the disk. Where no file may grow, /tmp takes none either,
    which those that time small work first use.
    """
    *warned, line = ended.errors.splitlines()
    told = re.fullmatch(rf"(?P<place>.+): {reason}\. Make room there, and run the same command again\.", line)
    temporary = re.fullmatch(r"no usable temporary directory found in \[.+\]", line)
    assert temporary or (told and (ended.folder / told["place"]).is_relative_to(ended.folder)), ended.errors
    assert (ended.status, [each for each in warned if not each.startswith(WARNINGS)]) == (1, [])
