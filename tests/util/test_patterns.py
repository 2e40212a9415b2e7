"""Regular expressions of users are matched within a limit of time, wherever they stand."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from beyond_spectrograms.data import splits
from beyond_spectrograms.data.archives import unpack
from beyond_spectrograms.util import patterns
from beyond_spectrograms.util.patterns import PatternError, groups_of, match_whole
from support.common import refusal
from support.models import PARAMS
from support.repository import Patch

ENDLESS, NAME = r"(?P<group>(a|a)*)[bc]", "a" * 60
TOLD = (
    f"{ENDLESS!r} was not done with {NAME!r} after 0.2 s. Write it so that each part can match in one way alone: "
    "(a|b)+, not (a+|b+)+."
)


@pytest.fixture(autouse=True)
def soon(monkeypatch: Patch) -> None:
    monkeypatch.setattr(patterns, "LONGEST_S", 0.2)


def test_a_text_is_matched_as_a_whole() -> None:
    found = match_whole("name", r"(?P<fold>\d)-(?P<group>[a-z]+)", "1-dog")
    assert found is not None
    assert found.groupdict() == {"fold": "1", "group": "dog"}
    assert match_whole("name", r"\d", "1-dog") is None
    assert groups_of(r"(?P<fold>\d)-(?P<group>[a-z]+)") == {"fold", "group"}


def test_an_expression_that_tries_more_ways_than_ever_end_is_told() -> None:
    assert refusal(PatternError, match_whole, "name", ENDLESS, NAME) == f"name: {TOLD}"


def test_members_of_an_archive_and_names_of_clips_are_not_matched_without_end(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "sounds.zip", "w") as archive:
        archive.writestr(NAME, b"")
    told = refusal(PatternError, unpack, tmp_path / "sounds.zip", ENDLESS, None, tmp_path / "audio")
    assert told == f"members: {TOLD}"
    source = PARAMS.datasets["esc10"].source.model_copy(update={"name": ENDLESS})
    clips = pd.DataFrame({"clip": [f"dog/{NAME}.wav"], "label": "dog"})
    assert refusal(PatternError, splits.assign_groups, "esc10", clips, source) == f"source.name: {TOLD}"
