"""The table of prototypes: means over runs with their range, and blanks for what is not measured."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from beyond_spectrograms.ablation import tabulate_ablation
from beyond_spectrograms.tabular import to_markdown
from stages import ablate

PROTOTYPES = {
    "by_fold": [
        {"recording_accuracy": 0.9, "class_accuracy": 0.8, "reconstruction_error": 0.004},
        {"recording_accuracy": 1.0, "class_accuracy": 0.9, "reconstruction_error": 0.002},
    ]
}
CLUSTERS = {
    "by_fold": [
        {"recording_accuracy": 0.5, "class_accuracy": 0.25, "reconstruction_error": 4.0}
        | {"adjusted_rand": 0.1, "adjusted_mutual_information": 0.2}
    ]
}


def test_table_has_means_over_runs_their_range_and_blanks() -> None:
    scores = {"prototypes": PROTOTYPES, "clusters": CLUSTERS}
    table = tabulate_ablation("sounds", "log_mel", scores, {"prototypes": 100.0})
    assert [row["reconstruction_error"] for row in table.rows] == pytest.approx([30.0, 4.0])
    lines = to_markdown(table).splitlines()
    assert lines[0] == "# sounds, log_mel: prototypes"
    assert [cell.strip() for cell in lines[4].split("|")[1:-1]] == [
        "prototypes", "2", "95.0 (90.0 to 100.0)", "85.0 (80.0 to 90.0)", "30.0 (20.0 to 40.0)", "-", "-",
    ]  # fmt: skip
    assert [cell.strip() for cell in lines[5].split("|")[1:-1]] == [
        "clusters", "1", "50.0", "25.0", "4.0", "0.100", "0.200",
    ]  # fmt: skip


def test_stage_reads_the_cells_that_params_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["prototypes"] |= {"protocols": ["prototypes"], "baselines": ["apnet"], "heard": ["prototypes"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    scores = tmp_path / "metrics/scores/fsdd_speakers"
    scores.mkdir(parents=True)
    for protocol, values in (("prototypes", PROTOTYPES), ("apnet", CLUSTERS)):
        (scores / f"log_mel_16khz-{protocol}.json").write_text(json.dumps(values))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ablate.py", "fsdd_speakers"])
    ablate.main()
    text = (tmp_path / "metrics/prototypes/fsdd_speakers/log_mel_16khz.csv").read_text().splitlines()
    assert text[0].startswith("protocol,runs,recording_accuracy,recording_accuracy_low,recording_accuracy_high,")
    assert [line.split(",")[0] for line in text[1:]] == ["prototypes", "apnet"]
    errors = [float(line.split(",")[text[0].split(",").index("reconstruction_error")]) for line in text[1:]]
    assert errors == pytest.approx([0.003 * 170**2, 4.0])  # params bring 170 dB to 1
