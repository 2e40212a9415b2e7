"""A trained cell of the pipeline becomes a model, by the command line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import models
import pandas as pd
import pytest

from beyond_spectrograms import load_model
from beyond_spectrograms.classifiers import build_network
from beyond_spectrograms.cli import main

CLIPS = ("bird/1.wav", "bird/2.wav", "rain/1.wav", "rain/2.wav")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def cell(project: Path) -> Path:
    """Write what the pipeline leaves of demo, mel, paper: two classes, one split."""
    from safetensors.torch import save_file

    for folder in ("data/splits/demo", "data/clips/demo", "data/weights/mel", "data/models/demo/mel-paper"):
        (project / folder).mkdir(parents=True)
    (project / "metrics/scores/demo").mkdir(parents=True)
    table = pd.DataFrame({"clip": CLIPS, "label": ["bird", "bird", "rain", "rain"], "start_s": 0.0, "group": CLIPS})
    table.assign(fold=1, silent=0).to_csv(project / "data/splits/demo/windows.csv", index=False)
    parts = pd.DataFrame({"window": ["train", "test", "train", "validation"]})
    parts.to_csv(project / "data/splits/demo/parts.csv", index=False)
    pd.DataFrame({"clip": CLIPS, "sha256": ["a", "b", "c", "d"]}).to_csv(project / "data/clips/demo/clips.csv")
    (project / "data/weights/mel/record.json").write_text('{"weights": null, "files": []}')
    network = build_network(models.PARAMS.protocols["paper"], 128, 173, 2, None)
    notes = {"epoch": 3, "diverged_at_epoch": 4, "classes": ["bird", "rain"]}
    stored = project / "data/models/demo/mel-paper/fold_1-seed_0.safetensors"
    save_file(network.state_dict(), stored, metadata={"notes": json.dumps(notes)})
    accuracies = {"window_accuracy": 0.5, "recording_accuracy": 0.75, "class_accuracy": 0.25}
    scores = {"by_fold": [{"fold": 1, "seed": 0, "epoch": 3, "diverged_at_epoch": 4, **accuracies}]}
    (project / "metrics/scores/demo/mel-paper.json").write_text(json.dumps(scores))
    return project


def test_a_cell_becomes_a_model_with_all_it_has_to_say(cell: Path, capsys: Capture) -> None:
    assert main(["export", "demo", "mel", "paper", "--out", "model"]) == 0
    assert capsys.readouterr().out == (
        "model: 2 classes, 75.0% of test recordings right (fold 1, seed 0; metrics/scores/demo/mel-paper.json)\n"
    )
    card = load_model(cell / "model", device="cpu").card
    assert card.classes == ["bird", "rain"]
    assert card.training.clips == 2
    assert card.training.manifest_sha256 == hashlib.sha256(b"a  bird/1.wav\nc  rain/1.wav\n").hexdigest()
    assert (card.training.epoch, card.training.diverged_at_epoch) == (3, 4)
    assert (card.scores.file, card.scores.commit) == ("metrics/scores/demo/mel-paper.json", None)
    assert card.scores.recording_accuracy == 0.75
    assert card.remarks == [
        "the scores were measured with dropout active, as the paper's code does; in use it is not",
        "training diverged at epoch 4; this is epoch 3",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demos", "mel", "paper"], "'demos' is no data set of params.yaml. Choose from "),
        (
            ["demo", "mel", "paper", "--seed", "7"],
            "data/models/demo/mel-paper/fold_1-seed_7.safetensors: no such file. There are fold 1 seed 0. Run "
            "`dvc repro evaluate@demo-mel-paper`.\n",
        ),
        (
            ["demo", "mel", "fair"],
            "data/models/demo/mel-fair/fold_1-seed_0.safetensors: no such file. "
            "Run `dvc repro evaluate@demo-mel-fair`.\n",
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


def test_a_cell_without_scores_is_refused(cell: Path, capsys: Capture) -> None:
    scores = cell / "metrics/scores/demo/mel-paper.json"
    scores.unlink()
    assert main(["export", "demo", "mel", "paper", "--out", "model"]) == 1
    told = "metrics/scores/demo/mel-paper.json: no such file. Run `dvc repro evaluate@demo-mel-paper`.\n"
    assert capsys.readouterr().err == told
