"""Disks that fill while a stage or command writes: a line that says where, nothing half-written, and then all of it."""

import re
import shutil
from pathlib import Path

import pytest

from support.disks import LARGE, may_mount, mount, small_disk, used
from support.staged import POINTS, STEPS, Staged, decided, left_over
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
    before, after = decided(staged.before(step)), staged.after[step]
    for point in staged.points(step, kind):
        folder = staged.copy(step, place)
        ended = staged.process.run(folder, *STEPS[step], fault=Fault(kind, point))
        if ended.status == 0:  # what was written later lay in memory
            assert decided(folder) == after, point
            continue
        assert_told(ended, REASONS[kind])
        assert (left_over(folder), ended.left) == ([], 0), point
        half = {name for name, content in decided(folder).items() if content not in (before.get(name), after.get(name))}
        assert half == set(), point
        again = staged.process.run(folder, *STEPS[step])
        assert (again.status, "Traceback" in again.errors) == (0, False), (point, again.errors)
        assert decided(folder) == after, point


@pytest.mark.parametrize("step", list(STEPS))
def test_a_disk_that_has_room_for_a_part_is_told_in_a_line_and_one_with_room_holds_the_same(
    project_by_stages: Staged, tmp_path: Path, step: str
) -> None:
    if not may_mount(tmp_path / "tried"):
        pytest.skip("only root may mount a file system")
    staged, before, after = project_by_stages, decided(project_by_stages.before(step)), project_by_stages.after[step]
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
            if ended.status == 0:  # it needs less room than it leaves
                assert found == after, share
                continue
            assert_told(ended, REASONS["refused"])
            assert (left_over(folder), ended.left) == ([], 0), share
            half = {name for name, content in found.items() if content not in (before.get(name), after.get(name))}
            assert half == set(), share
            again = staged.process.run(folder, *STEPS[step])
            assert (again.status, decided(folder) == after) == (0, True), (share, again.errors)


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
