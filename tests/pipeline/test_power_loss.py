"""What is on disk when: a file or folder is flushed before it is renamed into place, and its folder after that."""

from pathlib import PurePosixPath

import pytest

from support.staged import STEPS, Staged
from support.warmed import Ended

pytestmark = pytest.mark.long  # every step is run once
# Not flushed one by one: files of work in progress, which is flushed whole before its folder is renamed into place and
# until then has digests that are looked at; and rows of sounds that `search` keeps, whose digests it looks at.
EXEMPT = ("data/partial/", "mine.partial-training/", "data/search/mel/")
UNFLUSHED = " unflushed"


@pytest.mark.parametrize("step", list(STEPS))
def test_what_is_renamed_into_place_was_flushed_and_its_folder_is_flushed_next(
    project_by_stages: Staged, step: str
) -> None:
    published = 0
    order = project_by_stages.ended[step].order
    for number, line in enumerate(order):
        if not line.startswith("rename "):
            continue
        place = line.removeprefix("rename ").removesuffix(UNFLUSHED)
        if place.startswith(EXEMPT) or place.endswith((".replaced", ".partial")):  # those are moved out of the way
            continue
        published += 1
        assert not line.endswith(UNFLUSHED), line
        flushed = next(each for each in order[number:] if each.startswith("flush"))
        assert flushed in ("flush", f"flush {PurePosixPath(place).parent}"), line
    assert published or step == "search"


@pytest.mark.parametrize("step", list(STEPS))
def test_nothing_is_written_in_its_place(project_by_stages: Staged, step: str) -> None:
    opened = written(project_by_stages.ended[step])
    assert opened
    assert [path for path in opened if not is_in_the_making(path)] == []


def written(ended: Ended) -> list[str]:
    return [line.removeprefix("open ") for line in ended.points if line.startswith("open ")]


def is_in_the_making(path: str) -> bool:
    """Say whether a path is of work in progress, or a name that is renamed when it is whole."""
    parts = PurePosixPath(path).parts
    return path.startswith(EXEMPT) or any(part.endswith((".partial", ".lock")) for part in parts)
