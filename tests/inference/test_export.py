"""A trained cell of the pipeline becomes a model, by the command line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from beyond_spectrograms import load_model
from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.cli import main
from beyond_spectrograms.params.study import load_study
from support import models
from support.cells import write_split_record

CLIPS = ("bird/1.wav", "bird/2.wav", "rain/1.wav", "rain/2.wav")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def cell(project: Path) -> Path:
    """Write what the pipeline leaves of demo, mel, paper: two classes, one split."""
    from safetensors.torch import save_file

    for folder in ("data/splits/demo", "data/clips/demo", "data/weights/mel", "data/models/paper/demo/mel/paper"):
        (project / folder).mkdir(parents=True)
    (project / "metrics/demo").mkdir(parents=True)
    table = pd.DataFrame({"clip": CLIPS, "label": ["bird", "bird", "rain", "rain"], "start_s": 0.0, "group": CLIPS})
    table.assign(fold=1, silent=0).to_csv(project / "data/splits/demo/windows.csv", index=False)
    parts = pd.DataFrame({"window": ["train", "test", "train", "validation"]})
    parts.to_csv(project / "data/splits/demo/parts.csv", index=False)
    pd.DataFrame({"clip": CLIPS, "sha256": ["a", "b", "c", "d"]}).to_csv(project / "data/clips/demo/clips.csv")
    (project / "data/weights/mel/record.json").write_text('{"weights": null, "files": []}')
    network = build_network(models.PARAMS.protocols["paper"], 128, 173, 2, None)
    notes = {"epoch": 3, "diverged_at_epoch": 4, "classes": ["bird", "rain"]}
    stored = project / "data/models/paper/demo/mel/paper/fold_1-seed_0.safetensors"
    save_file(network.state_dict(), stored, metadata={"notes": json.dumps(notes)})
    write_scores(project, hashlib.sha256(stored.read_bytes()).hexdigest())
    write_split_record(project, "demo")
    decided = load_study().provenance("demo", "mel", "paper")
    (stored.parent / "provenance.json").write_text(json.dumps(decided))
    return project


def write_scores(project: Path, weights: str | None) -> None:
    """Write the scores of a run, of weights with that digest."""
    accuracies = {"window_accuracy": 0.5, "recording_accuracy": 0.75, "class_accuracy": 0.25}
    run = {"fold": 1, "seed": 0, "epoch": 3, "diverged_at_epoch": 4, "weights_sha256": weights, **accuracies}
    scores = {"dataset": "demo", "cells": {"mel-paper": {"by_fold": [run]}}}
    (project / "metrics/demo/scores.json").write_text(json.dumps(scores))


def test_a_cell_becomes_a_model_with_all_it_has_to_say(cell: Path, capsys: Capture) -> None:
    assert main(["export", "demo", "mel", "paper", "--out", "model"]) == 0
    assert capsys.readouterr().out == (
        "model: 2 classes, 75.0% of test recordings right (fold 1, seed 0; metrics/demo/scores.json)\n"
    )
    card = load_model(cell / "model", device="cpu").card
    assert card.classes == ["bird", "rain"]
    assert card.training.clips == 2
    assert card.training.manifest_sha256 == hashlib.sha256(b"a  bird/1.wav\nc  rain/1.wav\n").hexdigest()
    assert (card.training.epoch, card.training.diverged_at_epoch) == (3, 4)
    assert (card.scores.file, card.scores.commit) == ("metrics/demo/scores.json", None)
    assert card.scores.recording_accuracy == 0.75
    assert card.remarks == [
        "the scores were measured with dropout active, as the paper's code does; in use it is not",
        "training diverged at epoch 4; this is epoch 3",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demos", "mel", "paper"], "'demos' is no data set in params.yaml. Choose from "),
        (
            ["demo", "mel", "paper", "--seed", "7"],
            "data/models/paper/demo/mel/paper/fold_1-seed_7.safetensors: no such file. There are fold 1 seed 0. Run "
            "`dvc repro evaluate@demo`.\n",
        ),
        (
            ["demo", "mel", "fair"],
            "data/models/paper/demo/mel/fair/fold_1-seed_0.safetensors: no such file. Run `dvc repro evaluate@demo`.\n",
        ),
        (["demo", "soundstream", "fair", "--onnx", "a.onnx"], "kind soundstream has no ONNX graph: "),
        (
            ["demo", "mel", "paper", "--onnx", "model/graph.onnx"],
            "model/graph.onnx: lies in the model's folder, which holds nothing else. Choose a place beside it.\n",
        ),
        (
            ["demo", "mel", "paper", "--onnx", "params.yaml/graph.onnx"],
            "params.yaml/graph.onnx: cannot be written: file exists: params.yaml\n",
        ),
    ],
)
@pytest.mark.usefixtures("cell")
def test_what_cannot_be_exported_is_refused(arguments: list[str], message: str, capsys: Capture) -> None:
    assert main(["export", *arguments, "--out", "model"]) == 1
    assert capsys.readouterr().err.startswith(message)
    assert not Path("model").exists()


@pytest.mark.parametrize("content", [None, {"cells": {}}, {"cells": {"mel-paper": {"by_fold": []}}}])
def test_a_cell_without_scores_is_refused(cell: Path, capsys: Capture, content: dict[str, Any] | None) -> None:
    scores = cell / "metrics/demo/scores.json"
    if content is None:
        scores.unlink()
    else:
        scores.write_text(json.dumps(content))
    assert main(["export", "demo", "mel", "paper", "--out", "model"]) == 1
    missing = "no such file" if content is None else "no scores of mel-paper, fold 1, seed 0"
    told = f"metrics/demo/scores.json: {missing}. Run `dvc repro evaluate@demo`.\n"
    assert capsys.readouterr().err == told


def test_scores_of_other_weights_are_refused(cell: Path, capsys: Capture) -> None:
    trained = "data/models/paper/demo/mel/paper/fold_1-seed_0.safetensors"
    digest = hashlib.sha256((cell / trained).read_bytes()).hexdigest()
    write_scores(cell, "f00d" * 16)
    assert main(["export", "demo", "mel", "paper", "--out", "model"]) == 1
    assert capsys.readouterr().err == (
        "metrics/demo/scores.json: the scores of mel-paper, fold 1, seed 0, are of other weights (f00df00df00d) than "
        f"{trained} ({digest[:12]}). Run `dvc repro evaluate@demo`.\n"
    )
    assert not Path("model").exists()


@pytest.mark.usefixtures("cell")
def test_weights_of_other_params_are_refused(capsys: Capture) -> None:
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("hop_length: 128", "hop_length: 100"))
    assert main(["export", "demo", "mel", "paper", "--out", "model"]) == 1
    assert capsys.readouterr().err == (
        "data/models/paper/demo/mel/paper/fold_1-seed_0.safetensors: trained under other params, versions or parts "
        "than those that stand now. Run `dvc repro train@demo-mel`.\n"
    )
    assert not Path("model").exists()


def test_scores_of_unknown_weights_are_refused(cell: Path, capsys: Capture) -> None:
    write_scores(cell, None)
    assert main(["export", "demo", "mel", "paper", "--out", "model"]) == 1
    assert capsys.readouterr().err == (
        "metrics/demo/scores.json: the scores of mel-paper do not say of which weights they are. "
        "Run `dvc repro evaluate@demo`.\n"
    )
    assert not Path("model").exists()


@pytest.mark.usefixtures("cell")
def test_a_study_that_is_not_there_is_refused(capsys: Capture) -> None:
    assert main(["export", "demo", "mel", "paper", "--study", "other", "--out", "model"]) == 1
    assert capsys.readouterr().err == "no study 'other' in studies. Choose from paper.\n"
