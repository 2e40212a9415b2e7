"""Stages leave how long they took, for the report page."""

import json
from pathlib import Path

from support.repository import Start


def test_a_stage_that_ends_well_leaves_its_duration_and_one_that_fails_does_not(
    project: Path, start_stage: Start
) -> None:
    failed = start_stage("resample", "pets")
    failed.communicate()
    assert failed.returncode == 1
    assert not (project / "data/durations").exists()
    assert start_stage("resolve").wait() == 0
    kept = json.loads((project / "data/durations/paper/resolve.json").read_text(encoding="utf-8"))
    assert kept["seconds"] > 0
