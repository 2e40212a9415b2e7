"""A trained cell of the pipeline becomes a model, by the command line."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from beyond_spectrograms import load_model
from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.cli import main
from beyond_spectrograms.params.study import load_study
from support import models
from support.cells import write_split_record

MODELS, AGAIN = "data/models/paper/demo/mel", "Run `dvc repro evaluate@demo`.\n"
TRAINED = f"{MODELS}/paper/fold_1-seed_0.safetensors"
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
    stored = project / TRAINED
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
            f"{MODELS}/paper/fold_1-seed_7.safetensors: no such file. There are fold 1 seed 0. {AGAIN}",
        ),
        (["demo", "mel", "fair"], f"{MODELS}/fair/fold_1-seed_0.safetensors: no such file. {AGAIN}"),
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


OF_MEL = "metrics/demo/scores.json: the scores of mel-paper"


def edit_scores(content: str | None) -> None:
    scores = Path("metrics/demo/scores.json")
    scores.unlink() if content is None else scores.write_text(content)


def edit_params() -> None:
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("hop_length: 128", "hop_length: 100"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: edit_scores(None), "metrics/demo/scores.json: no such file."),
        (lambda: edit_scores('{"cells": {}}'), "metrics/demo/scores.json: no scores of mel-paper, fold 1, seed 0."),
        (
            lambda: write_scores(Path(), "f00d" * 16),
            f"{OF_MEL}, fold 1, seed 0, are of other weights (f00df00df00d) than {TRAINED} (<digest>).",
        ),
        (lambda: write_scores(Path(), None), f"{OF_MEL} do not say of which weights they are."),
        (edit_params, f"{TRAINED}: trained under other params, versions or parts than those that stand now."),
    ],
    ids=["no scores", "no cell", "other weights", "unknown weights", "other params"],
)
@pytest.mark.usefixtures("cell")
def test_a_cell_that_does_not_agree_with_its_scores_or_params_is_refused(
    change: Callable[[], object], message: str, capsys: Capture
) -> None:
    digest = hashlib.sha256(Path(TRAINED).read_bytes()).hexdigest()[:12]
    change()
    assert main(["export", "demo", "mel", "paper", "--out", "model"]) == 1
    stage = "train@demo-mel" if change is edit_params else "evaluate@demo"
    assert capsys.readouterr().err == f"{message.replace('<digest>', digest)} Run `dvc repro {stage}`.\n"
    assert not Path("model").exists()


@pytest.mark.usefixtures("cell")
def test_a_study_that_is_not_there_is_refused(capsys: Capture) -> None:
    assert main(["export", "demo", "mel", "paper", "--study", "other", "--out", "model"]) == 1
    assert capsys.readouterr().err.startswith("no study 'other' in studies. Choose from paper")


@pytest.mark.usefixtures("in_an_empty_folder")
def test_export_says_that_it_needs_a_checkout(capsys: Capture) -> None:
    assert main(["export", "demo", "mel", "paper", "--out", "model"]) == 1
    assert capsys.readouterr().err == (
        "export takes what the pipeline trained, and there is no checkout of the project here (params.yaml and "
        "versions.yaml). Run it in the project's folder.\n"
    )
