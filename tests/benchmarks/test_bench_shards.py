"""The benchmark of shards takes each step on codes that are what featurize would have stored."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import shards
from beyond_spectrograms.data.shard_index import read_listing
from beyond_spectrograms.data.windows import FeaturesError, check_content, open_features
from beyond_spectrograms.report.table import to_markdown
from beyond_spectrograms.util.errors import ProjectError
from support.common import refusal
from support.repository import Patch


@pytest.fixture
def made(tmp_path: Path, monkeypatch: Patch) -> Path:
    """Write codes of 205 windows, the last clip of 5, in shards of about 20."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 20 * shards.ROW_BYTES)
    assert shards.write(tmp_path / "made", 205) == 205
    return tmp_path / "made"


def test_its_shards_are_whole_and_read_as_any_others(made: Path) -> None:
    assert len(read_listing(made).shards) > 4
    assert shards.check(made, 205) == shards.read(made, 205) == 205
    check_content(made, "made")
    features = open_features(made, 205)
    assert features[:].shape == (205, shards.BANDS, shards.FRAMES)
    assert len(np.unique(features[:3])) > 1000


def test_its_order_is_that_of_training_and_ends_where_it_is_told(made: Path, monkeypatch: Patch) -> None:
    assert shards.shuffle(made, 205) == 205
    monkeypatch.setattr(shards, "MOST_SHUFFLED", 50)
    assert shards.shuffle(made, 205) == 50


@pytest.mark.long
def test_a_step_is_measured_in_a_process_of_its_own_and_laid_out(made: Path) -> None:
    step = shards.take("check", made, 205)
    assert (step.step, step.windows, step.stored_bytes) == ("check", 205, 205 * 1200)
    assert 0 < step.seconds < step.watched.wall_seconds
    assert step.watched.own_bytes > 1e7
    told = shards.describe([step])
    assert told["window"] == {"codebooks": 8, "frames": 75, "bytes": 1200, "bytes_read": 38_400}
    [header, _, row] = [line for line in to_markdown(shards.table_of([step])).splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header.split("|")[1:3]] == ["step", "windows"]
    assert [cell.strip() for cell in row.split("|")[1:3]] == ["check", "205"]
    assert [axes.get_xlabel() for axes in shards.shards_figure([step]).axes] == ["windows", "windows"]


@pytest.mark.long
def test_a_step_that_fails_is_an_error_with_its_own_message(made: Path) -> None:
    [first, *_] = sorted((made / "shards").glob("[0-9a-f]*"))
    first.unlink()
    told = f"{first}: missing. Run its featurize stage again (dvc repro -f)."
    assert refusal(FeaturesError, shards.check, made, 205) == told
    assert refusal(ProjectError, shards.take, "check", made, 205).startswith("check failed on 205 windows:\n")
