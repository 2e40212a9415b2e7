"""Stages do the windows and write the bytes that were foretold before any data was there."""

import json
import re
from pathlib import Path

import pytest
import yaml

from benchmarks.estimate.counts import count_dataset
from benchmarks.estimate.grid import feature_bytes
from beyond_spectrograms.params import load_params
from support.cells import grid, write_params
from support.repository import StartStage

DEMO = {"synthetic": {"seed": 0, "clips_per_class": 3, "seconds": 2.5}, "clips": 18, "classes": 6}


@pytest.mark.long
def test_the_stages_do_what_was_foretold_from_params(start_stage: StartStage) -> None:  # in `project`
    source = {**DEMO, "seconds": [1, 600], "folds": 3, "fold_seed": 0}
    record = {"source": source, "max_epochs": 1, "notice": None, "known_pairs": []}
    write_params(Path(), grid=grid("demo", ["log_mel"], ["paper"]))
    Path("datasets/demo.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    params = load_params()
    foretold = count_dataset(params, "demo")
    assert foretold is not None
    assert (foretold.clips, foretold.windows, foretold.audio_s) == (18, 36, 45)

    said = ""
    for stage in (["download", "demo"], ["resample", "demo"], ["split", "demo"], ["featurize", "demo", "log_mel"],
                  ["train", "demo", "log_mel"]):  # fmt: skip
        process = start_stage(*stage)
        out, error = process.communicate()
        assert process.returncode == 0, error
        said += out
    counted = count_dataset(params, "demo")
    assert counted is not None
    assert counted.splits["window"] == foretold.splits["window"]
    assert (counted.windows, counted.audio_s) == (foretold.windows, foretold.audio_s)

    features = json.loads(Path("data/features/paper/demo/log_mel/features.json").read_text())
    assert features["windows"] == foretold.windows
    assert features["bytes"] == feature_bytes(foretold.windows, (128, 173), 4)
    array = Path("data/features/paper/demo/log_mel/features.npy")
    assert 0 <= array.stat().st_size - features["bytes"] < 1000  # the header
    train, _, _ = foretold.splits["window"][0]
    assert "demo as log_mel: 36 windows, 36 s of sound; foretold: " in said
    assert f"all epochs: {2 * train} windows, {2 * train} s of sound; foretold: " in said
    assert "demo as log_mel: computed 36 of 36 windows by " in said
    [disk] = re.findall(r"sound files; foretold: .*?, ([\d.]+) MB of disk", said)
    stored = sum(path.stat().st_size for path in Path("data/clips/demo").rglob("*.flac"))
    assert float(disk) * 1e6 == pytest.approx(stored, rel=0.5)
    assert said.count("took ") == 3
