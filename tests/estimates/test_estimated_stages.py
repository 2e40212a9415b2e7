"""Stages do the windows and write the bytes that were counted before any data was there, and record their rates."""

import json
from pathlib import Path

import pytest
import yaml

from benchmarks import estimate
from beyond_spectrograms.params import load_params
from support.cells import grid, write_params
from support.repository import Start

DEMO = {"synthetic": {"seed": 0, "clips_per_class": 3, "seconds": 2.5}, "clips": 18, "classes": 6}


@pytest.mark.long
def test_the_stages_do_what_was_counted_and_the_next_estimate_knows_their_rates(
    start_stage: Start, capsys: pytest.CaptureFixture[str]
) -> None:  # in `project`
    source = {**DEMO, "seconds": [1, 600], "folds": 3, "fold_seed": 0}
    record = {"source": source, "max_epochs": 1, "notice": None, "known_pairs": []}
    write_params(Path(), grid=grid("demo", ["log_mel"], ["paper"]))
    Path("datasets/demo.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    params = load_params()
    before = estimate.count_dataset(params, "demo")
    assert before is not None
    assert (before.clips, before.windows, before.audio_s) == (18, 36, 45)

    said = ""
    for stage in (["download", "demo"], ["resample", "demo"], ["split", "demo"], ["featurize", "demo", "log_mel"],
                  ["train", "demo", "log_mel"]):  # fmt: skip
        process = start_stage(*stage)
        out, error = process.communicate()
        assert process.returncode == 0, error
        said += out
    after = estimate.count_dataset(params, "demo")
    assert after is not None
    assert (after.windows, after.audio_s, after.splits["window"]) == (36, 45, before.splits["window"])
    features, size = Path("data/features/paper/demo/log_mel"), 36 * 128 * 173 * 4
    described = json.loads((features / "features.json").read_text())
    assert (described["windows"], described["bytes"]) == (36, size)
    assert 0 <= (features / "features.npy").stat().st_size - size < 1000  # the header
    train, _, _ = before.splits["window"][0]
    assert "demo as log_mel: 36 windows, 36 s of sound; will take about " in said
    assert f", {2 * train} windows; will take at most about " in said
    assert said.count("took ") == 3

    rates = json.loads(Path("data/rates.json").read_text())
    assert {key: rate["units"] for key, rate in rates.items() if not key.startswith("train ")} == {
        "featurize log_mel": 36,
        "resample": 45,
    }
    estimate.main([])
    assert "| all       | to do | 3     | 3    |" in capsys.readouterr().out
    for output in ("clips/demo/clips.csv", "features/paper/demo/log_mel/features.npy"):
        Path("data", output).unlink()
    Path("data/models/paper/demo/log_mel/paper/provenance.json").unlink()
    estimate.main([])
    printed = capsys.readouterr().out
    assert "| all       | to do | 3     | 0    | -       |" in printed
    assert "No rate" not in printed
