"""A study whose features are stored as codes in shards, from sounds to scores, beside the same in one array."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.data.feature_shards import Shards
from beyond_spectrograms.data.windows import map_features
from beyond_spectrograms.util.files import read_told
from support.cells import edit_params, grid, write_params
from support.clones import TINY
from support.common import contents, flip
from support.repository import Patch, stage_here

STUDY, NAMES, PROTOCOLS = "--study=bitrates", ("soundstream_3200bps", "soundstream_codes_3200bps"), ("fair",)
SHARED = (("download", "demo"), ("resample", "demo"), ("split", "demo"))
STAGES = [*(("featurize", "demo", name) for name in NAMES), *(("train", "demo", name) for name in NAMES)]
STORED = {"array": {"dtype": "float32"}, "shards": {"dtype": "codes", "shards_mb": 0.002}}


def lay_out(folder: Path, stored: dict[str, Any]) -> Path:
    """Write the study of two representations of SoundStream, and go as far as its scores."""
    asked = grid("demo", NAMES, PROTOCOLS)
    contrasts = {"under": ["fair"], "pairs": []}
    write_params(folder, "bitrates", grid=asked, contrasts=contrasts, features=stored)
    edit_params(folder, lambda record: record["source"].update(synthetic=TINY, clips=24), "datasets/demo.yaml")
    edit_params(folder, lambda record: record.update(max_epochs=2), "datasets/demo.yaml")
    for stage, *names in [*SHARED, *STAGES, ("evaluate", "demo")]:
        stage_here(folder, stage, STUDY, *names)
    return folder


def scores_in(folder: Path) -> Any:
    scores = read_told(folder / "studies/bitrates/metrics/demo/scores.json")
    for cell in scores["cells"].values():
        del cell["provenance"], cell["training"]["seconds_by_run"]
    for described in scores["features"].values():
        del described["bytes"], described["dtype"]
    return scores


@pytest.mark.long
@pytest.mark.usefixtures("torch_as_it_was")
def test_scores_are_the_same_and_damage_is_found_and_mended(mirror: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, str(mirror))
    array, shards = (lay_out(tmp_path / kind, stored) for kind, stored in STORED.items())
    assert scores_in(array) == scores_in(shards)
    for name in NAMES:
        place = Path("data/features/bitrates/demo", name)
        exact, found = map_features(array / place), map_features(shards / place)
        assert isinstance(found, Shards)
        np.testing.assert_array_equal(found[:], exact)
        described = json.loads((shards / place / "features.json").read_text())
        assert described["dtype"] == "codes"
        assert described["bytes"] * (64 / 16 if "codes" not in name else 1) * 4 == exact.nbytes
    whole = contents(shards / place)
    shard = max((shards / place / "shards").glob("[0-9a-f]*"), key=lambda path: path.stat().st_size)
    flip(shard, shard.stat().st_size - 1)
    said = stage_here(shards, "check", expect=1)
    assert f"{place}: rows of 1 clips of demo as {NAMES[1]} are not what was written, " in said
    assert "Run again: dvc repro -f -s studies/bitrates/dvc.yaml:featurize@demo-soundstream_codes_3200bps" in said
    stage_here(shards, "featurize", STUDY, "demo", NAMES[1])
    assert contents(shards / place) == whole
    assert f"{place}: rows" not in stage_here(shards, "check", expect=0)
