"""Answers with several labels a sound, through train, evaluate and report."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from beyond_spectrograms.evaluation.label_contrasts import compare_labels
from beyond_spectrograms.evaluation.records import ResultError
from support import separable
from support.cells import edit_params, grid, put_features, read_back, study_in, write, write_split_record
from support.common import refusal
from support.repository import Capture, run_here

NAMES, PROTOCOLS = ["mel", "log_mel"], ["multi_label_probe", "mean_linear"]
TABLES, METRICS = Path("metrics/demo/tables"), Path("metrics/demo")
OF_SEVERAL = [f"label_{name}.{kind}" for name in ("classes", "contrasts", "scores") for kind in ("csv", "md")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty recordings are tested, each of two neighbouring classes; log_mel is noise, mel is not."""
    folder = tmp_path_factory.mktemp("trained")
    separable.write(folder, epochs=2)
    contrasts = {"under": PROTOCOLS[:1], "pairs": [NAMES]}
    statistics = {"confidence": 0.95, "minimum_sources": 10, "minimum_runs": 5, "margin": 0.03}
    edit_params(
        folder,
        lambda params: params.update(
            grid=grid("demo", NAMES, PROTOCOLS[:1]), contrasts=contrasts, statistics=statistics
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        windows = Path("data/splits/demo/windows.csv")
        table = pd.read_csv(windows, dtype=str, keep_default_na=False)
        first = table["label"].astype(int)
        second = (first + 1) % separable.CLASSES
        table["label"] = [f"{min(pair):02d}|{max(pair):02d}" for pair in zip(first, second, strict=True)]
        table.assign(group=table["clip"]).to_csv(windows, index=False)
        write_split_record(folder, "demo")
        record = json.loads((METRICS / "splits.json").read_text(encoding="utf-8"))
        columns = {"window": "window", "source": "source_1"}
        apart = {name: {column: {"recordings_in_two_parts": 0}} for name, column in columns.items()}
        write(METRICS / "splits.json", json.dumps(record | {"recordings": len(table) // 3, "splits": apart}))
        study = study_in(folder)
        place = study.features("demo", "mel")
        values, described = np.load(place / "features.npy"), json.loads((place / "features.json").read_text())
        values[np.arange(len(values)), second] += 4
        noise = np.random.default_rng(1).standard_normal(values.shape).astype(np.float32)
        for name, of_name in (("mel", values), ("log_mel", noise)):
            told = described | {"provenance": study.feature_provenance("demo", name)}
            sizes = ("windows", "bands", "frames", "bytes")
            put_features(study.features("demo", name), of_name, **{key: told[key] for key in told if key not in sizes})
            run_here("train", "demo", name)
        run_here("evaluate", "demo")
        run_here("report", "demo")
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """A copy of it, to change."""
    shutil.copytree(trained, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    capsys.readouterr()
    return tmp_path / "project"


def scores_of(name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((METRICS / "scores.json").read_text(encoding="utf-8"))["cells"][name]
    return told


@pytest.mark.usefixtures("project")
def test_scores_are_scikit_learns_of_the_probabilities_that_are_kept(capsys: Capture) -> None:
    run_here("evaluate", "demo")
    assert capsys.readouterr().out.splitlines()[0].startswith("demo, mel-multi_label_probe: mAP ")
    rows = pd.read_csv(METRICS / "predictions.csv.gz", dtype={"label": str, "predicted": str}, keep_default_na=False)
    for name in NAMES:
        mine = rows[rows["representation"] == name]
        truth = mine["label"].str.get_dummies("|").to_numpy()
        given = mine[[f"p_{label:02d}" for label in range(separable.CLASSES)]].to_numpy(float)
        told = scores_of(f"{name}-multi_label_probe")
        expected = average_precision_score(truth, given, average="macro")
        found = told["labels"]["recordings"]["mean_average_precision"]
        assert found["value"] == pytest.approx(expected)
        assert (found["value"] == 1) == (found["low"] is None) == (name == "mel"), "mel tells all apart"
        precision = average_precision_score(truth[:, 3], given[:, 3])
        assert told["labels"]["by_class"]["03"]["average_precision"] == pytest.approx(precision)
        assert told["labels"]["by_class"]["03"]["recordings"] == truth[:, 3].sum()
        assert told["recording_accuracy"] == (mine["predicted"] == mine["label"]).mean()
        assert (told["class_accuracy"], told["confusion"]["counts"], told.get("calibration")) == (None, [], None)
        shown = json.loads((METRICS / "accuracy.json").read_text())[f"{name}-multi_label_probe"]
        assert shown["mean_average_precision"] == found["value"]


@pytest.mark.usefixtures("project")
def test_cells_whose_weights_are_not_here_are_kept_to_the_byte() -> None:
    before = {path.name: path.read_bytes() for path in METRICS.glob("*.*")}
    shutil.rmtree("data/models")
    run_here("evaluate", "demo")
    assert {path.name: path.read_bytes() for path in METRICS.glob("*.*")} == before


def test_the_report_has_tables_of_labels_in_place_of_accuracies(project: Path) -> None:
    assert sorted(path.name for path in TABLES.iterdir()) == OF_SEVERAL
    figures = sorted(path.name for path in Path("plots/demo/figures").iterdir())
    assert figures == ["label_scores.png", "label_scores.svg"]
    assert not (METRICS / "claims.json").exists()
    table = pd.read_csv(TABLES / "label_scores.csv")
    assert list(table["representation"]) == ["mel", "log_mel"]
    told = scores_of("mel-multi_label_probe")["labels"]
    for kind in ("recordings", "windows"):
        for measure in ("mean_average_precision", "auroc", "lwlrap"):
            assert table[f"{kind}_{measure}_percent"][0] == pytest.approx(100 * told[kind][measure]["value"])
    contrast = pd.read_csv(TABLES / "label_contrasts.csv").iloc[0]
    assert (contrast["representation"], contrast["against"], contrast["verdict"]) == ("mel", "log_mel", "undecided")
    assert contrast["note"] == "Only 1 runs; 5 are needed for an interval."
    (pair,) = compare_labels(read_back(project, "demo"))
    assert pair.difference is not None
    assert contrast["difference_percent"] == pytest.approx(100 * pair.difference.value)
    values = table["recordings_mean_average_precision_percent"]
    assert contrast["difference_percent"] == pytest.approx(values[0] - values[1])


@pytest.mark.usefixtures("project")
def test_protocols_for_one_label_keep_tables_of_their_own() -> None:
    edit_params(Path(), lambda params: params.update(grid=grid("demo", NAMES, PROTOCOLS)))
    for stage in ("train", "evaluate", "report"):
        run_here(stage, "demo", *["mel"] * (stage == "train"))
    assert set(OF_SEVERAL) < {path.name for path in TABLES.iterdir()}
    header = (TABLES / "results.md").read_text(encoding="utf-8").splitlines()[2]
    assert "mean_linear" in header
    assert "multi_label_probe" not in header
    assert {*json.loads((METRICS / "claims.json").read_text())} == {"rules", "verdicts"}


@pytest.mark.usefixtures("project")
def test_answers_without_a_labels_probabilities_are_an_error() -> None:
    path = METRICS / "predictions.csv.gz"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows.drop(columns="p_07").to_csv(path, index=False)
    told = f"{path}: no column p_07. Run its evaluate stage again."
    assert refusal(ResultError, run_here, "report", "demo") == told
