"""Each guide of docs/ is followed in a clone of this project, on the demo made small; then what it adds is there."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from support.guides import follow

pytestmark = pytest.mark.long
METRICS = "studies/demo/metrics"


@pytest.fixture
def project(finished_demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of this project in which a tiny demo is finished and committed; a home of its own beside it."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return Path(shutil.copytree(finished_demo, tmp_path / "project"))


def cells(project: Path, dataset: str = "demo") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / METRICS / dataset / "scores.json").read_text(encoding="utf-8"))[
        "cells"
    ]
    return found


def test_a_data_set_is_one_file_and_a_name_in_a_grid(project: Path) -> None:
    said = follow("adding-a-data-set.md", project)
    assert cells(project, "my_sounds").keys() == cells(project).keys()
    assert "my_sounds: window accuracy on the test part" in said
    assert cells(project, "my_sounds")["mel-fair"]["recordings"] == 24


def test_a_kind_of_representation_is_a_file_a_record_and_a_line_of_a_registry(project: Path) -> None:
    before = cells(project)
    said = follow("adding-a-representation.md", project)
    assert cells(project).keys() - before.keys() == {"mfcc-fair", "mfcc-mean_linear"}
    features = json.loads((project / METRICS / "demo/scores.json").read_text(encoding="utf-8"))["features"]["mfcc"]
    assert (features["bands"], features["frames"]) == (40, 1 + 22_050 // 128)
    assert "\n| mfcc " in said


def test_a_classifier_is_a_file_a_line_of_the_registry_and_its_name(project: Path) -> None:
    before = cells(project)
    said = follow("adding-a-classifier.md", project)
    assert cells(project).keys() - before.keys() == {"mel-mlp", "log_mel_2048-mlp"}
    assert {name: cells(project)[name] for name in before} == before
    assert "| mlp % " in said


def test_a_metric_is_two_files_and_a_report(project: Path) -> None:
    scores = (project / METRICS / "demo/scores.json").read_bytes()
    said = follow("adding-a-metric.md", project)
    assert (project / METRICS / "demo/scores.json").read_bytes() == scores
    assert "| macro-F1 % |" in said
    rows = pd.read_csv(project / METRICS / "demo/tables/table_1.csv").set_index(["representation", "protocol"])
    counts = np.array(cells(project)["mel-fair"]["confusion"]["counts"])
    label, predicted = (np.repeat(places.ravel(), counts.ravel()) for places in np.indices(counts.shape))
    assert rows.loc[("mel", "fair"), "macro_f1_percent"] == pytest.approx(
        100 * f1_score(label, predicted, average="macro")
    )


def test_a_figure_is_two_files_and_a_report(project: Path) -> None:
    said = follow("adding-a-figure.md", project)
    assert {f"classes-{name}.{kind}" for name in ("fair", "mean_linear") for kind in ("png", "svg")} <= set(
        said.split()
    )
