"""Stages do the windows and write the bytes that were foretold before any data was there."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import StartStage

from beyond_spectrograms.foretelling.counts import count_dataset
from beyond_spectrograms.foretelling.grid import feature_bytes
from beyond_spectrograms.params import load_params

DEMO = {"synthetic": {"seed": 0, "clips_per_class": 3, "seconds": 2.5}, "clips": 18, "classes": 6}


@pytest.mark.long
def test_the_stages_do_what_was_foretold_from_params(start_stage: StartStage) -> None:  # in `project`
    written = yaml.safe_load(Path("params.yaml").read_text())
    written["datasets"]["demo"] = {"source": {**DEMO, "seconds": [1, 600], "folds": 3, "fold_seed": 0}, "max_epochs": 1}
    Path("params.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
    params = load_params()
    foretold = count_dataset(params, "demo")
    assert foretold is not None
    assert (foretold.clips, foretold.windows, foretold.audio_s) == (18, 36, 45)

    said = ""
    for stage in (["download", "demo"], ["resample", "demo"], ["split", "demo"], ["download_weights", "log_mel"],
                  ["featurize", "demo", "log_mel"], ["train", "demo", "log_mel", "paper"]):  # fmt: skip
        process = start_stage(*stage)
        out, error = process.communicate()
        assert process.returncode == 0, error
        said += out
    counted = count_dataset(params, "demo")
    assert counted is not None
    assert counted.splits["window"] == foretold.splits["window"]
    assert (counted.windows, counted.audio_s) == (foretold.windows, foretold.audio_s)

    features = json.loads(Path("metrics/features/demo/log_mel.json").read_text())
    assert (features["windows"], features["computed_windows"]) == (foretold.windows, foretold.windows)
    assert features["bytes"] == feature_bytes(foretold.windows, (128, 173), 4) == features["foretold"]["disk_bytes"]
    array = Path("data/features/demo/log_mel/features.npy")
    assert 0 <= array.stat().st_size - features["bytes"] < 1000  # the header
    training = json.loads(Path("metrics/training/demo/log_mel-paper.json").read_text())
    for metrics in (features, training):
        assert metrics["foretold"]["seconds"][0] < metrics["foretold"]["seconds"][1]
        assert metrics["spent"]["wall_seconds"] > 0
        assert metrics["spent"]["processor_seconds"] > 0
        assert metrics["spent"]["peak_memory_bytes"] > 10e6
    train, _, _ = foretold.splits["window"][0]
    assert "demo as log_mel: 36 windows, 36 s of sound; foretold: " in said
    assert f"all epochs: {2 * train} windows, {2 * train} s of sound; foretold: " in said
    clips = json.loads(Path("metrics/datasets/demo.json").read_text())
    stored = sum(path.stat().st_size for path in Path("data/clips/demo").rglob("*.flac"))
    assert clips["foretold"]["disk_bytes"] == pytest.approx(stored, rel=0.5)
    assert said.count("took ") == 3
