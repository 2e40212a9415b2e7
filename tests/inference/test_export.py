"""A trained cell of the pipeline becomes a model by the command line, and a model a graph that says the same."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from beyond_spectrograms import load_model
from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.classifiers.summaries import Neighbours, SummaryLayer, Votes
from beyond_spectrograms.cli import main
from beyond_spectrograms.inference import ModelError
from beyond_spectrograms.inference.onnx import check_exportable, export_onnx
from beyond_spectrograms.inference.stream_windows import Batch
from beyond_spectrograms.params import Hear, Mel
from beyond_spectrograms.params.study import load_study
from beyond_spectrograms.representations import create_representation
from support import models
from support.cells import write, write_split_record
from support.common import refusal, tone
from support.numeric import assert_rounded
from support.repository import Capture

MODELS, AGAIN = "data/models/paper/demo/mel", "Run `dvc repro evaluate@demo`."
TRAINED = f"{MODELS}/paper/fold_1-seed_0.safetensors"
EXPORT = ["export", "demo", "mel", "paper", "--out", "model"]
CLIPS = ("bird/1.wav", "bird/2.wav", "rain/1.wav", "rain/2.wav")


@pytest.fixture
def cell(project: Path) -> Path:
    """Write what the pipeline leaves of demo, mel, paper: two classes, one split."""
    table = pd.DataFrame({"clip": CLIPS, "label": ["bird", "bird", "rain", "rain"], "start_s": 0.0, "group": CLIPS})
    write(project / "data/splits/demo/windows.csv", table.assign(fold=1, silent=0).to_csv(index=False))
    write(project / "data/splits/demo/parts.csv", "window\ntrain\ntest\ntrain\nvalidation\n")
    clips = pd.DataFrame({"clip": CLIPS, "sha256": ["a", "b", "c", "d"]})
    write(project / "data/clips/demo/clips.csv", clips.to_csv())
    write(project / "data/weights/mel/record.json", '{"files": []}')
    network = build_network(models.PARAMS.protocols["paper"], 128, 173, 2, None)
    notes = {"epoch": 3, "diverged_at_epoch": 4, "classes": ["bird", "rain"]}
    stored = project / TRAINED
    stored.parent.mkdir(parents=True)
    save_file(network.state_dict(), stored, metadata={"notes": json.dumps(notes)})
    write_scores(hashlib.sha256(stored.read_bytes()).hexdigest())
    write_split_record(project, "demo")
    write(stored.parent / "provenance.json", json.dumps(load_study().provenance("demo", "mel", "paper")))
    return project


def write_scores(weights: str | None) -> None:
    """Write the scores of a run, of weights with that digest."""
    accuracies = {"window_accuracy": 0.5, "recording_accuracy": 0.75, "class_accuracy": 0.25}
    run = {"fold": 1, "seed": 0, "epoch": 3, "diverged_at_epoch": 4, "weights_sha256": weights, **accuracies}
    write(Path("metrics/demo/scores.json"), json.dumps({"dataset": "demo", "cells": {"mel-paper": {"by_fold": [run]}}}))


def test_a_cell_becomes_a_model_with_all_it_has_to_say(cell: Path, capsys: Capture) -> None:
    assert main(EXPORT) == 0
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


def edit_params() -> None:
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("hop_length: 128", "hop_length: 100"))


SCORES = Path("metrics/demo/scores.json")
OF_MEL, PAPER = f"{SCORES}: the scores of mel-paper", "demo mel paper"
OTHER = f"{OF_MEL}, fold 1, seed 0, are of other weights (f00df00df00d) than {TRAINED} (<digest>)."
BESIDE = "lies in the model's folder, which holds nothing else. Choose a place beside it."


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (None, "demos mel paper", "'demos' is no data set in params.yaml. Did you mean demo? Choose from <...>"),
        (None, "demo mel fair", f"{MODELS}/fair/fold_1-seed_0.safetensors: no such file. {AGAIN}"),
        (
            *(None, f"{PAPER} --seed 7"),
            f"{MODELS}/paper/fold_1-seed_7.safetensors: no such file. There are fold 1 seed 0. {AGAIN}",
        ),
        (None, f"{PAPER} --study other", "no study 'other' in studies. Choose from paper<...>"),
        (None, "demo soundstream fair --onnx a.onnx", "kind soundstream has no ONNX graph: <...>"),
        (None, f"{PAPER} --onnx model/graph.onnx", f"model/graph.onnx: {BESIDE}"),
        (
            *(None, f"{PAPER} --onnx params.yaml/graph.onnx"),
            "params.yaml/graph.onnx: cannot be written: file exists: params.yaml",
        ),
        (SCORES.unlink, PAPER, f"{SCORES}: no such file. {AGAIN}"),
        (
            *(lambda: SCORES.write_text('{"cells": {}}'), PAPER),
            f"{SCORES}: no scores of mel-paper, fold 1, seed 0. {AGAIN}",
        ),
        (lambda: write_scores("f00d" * 16), PAPER, f"{OTHER} {AGAIN}"),
        (lambda: write_scores(None), PAPER, f"{OF_MEL} do not say of which weights they are. {AGAIN}"),
        (
            *(edit_params, PAPER),
            f"{TRAINED}: trained under other params, versions or parts than those that stand now. "
            "Run `dvc repro train@demo-mel`.",
        ),
    ],
)
@pytest.mark.usefixtures("cell")
def test_what_cannot_be_exported_is_refused(
    change: Callable[[], object] | None, arguments: str, message: str, capsys: Capture
) -> None:
    wanted = message.replace("<digest>", hashlib.sha256(Path(TRAINED).read_bytes()).hexdigest()[:12])
    if change:
        change()
    assert main(["export", *arguments.split(), "--out", "model"]) == 1
    told, whole = capsys.readouterr().err, wanted.removesuffix("<...>")
    assert told.startswith(whole) if whole != wanted else told == f"{wanted}\n"
    assert not Path("model").exists()


@pytest.mark.usefixtures("in_an_empty_folder")
def test_export_says_that_it_needs_a_checkout(capsys: Capture) -> None:
    assert main(EXPORT) == 1
    assert capsys.readouterr().err == (
        "export takes what the pipeline trained, and there is no checkout of the project here (params.yaml and "
        "versions.yaml). Run it in the project's folder.\n"
    )


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("protocol", "changes"),
    [
        ("fair", {}),
        ("mean_linear", {"scale": "power", "sample_rate": 16_000}),
        ("probe_mean_deviation", {}),
        ("nearest_source", {}),
        ("knn_euclidean", {}),
        ("knn_cosine", {}),
        ("mean_linear", {"n_mfcc": 8, "deltas": 2}),
        ("mean_linear", {"pooled_frame_rate": 50, "deltas": 1}),
        ("attention", {"scale": "pcen", "n_fft": 2048, "hop_length": 220, "gain": 0.9, "time_constant": 0.1}),
        ("paper", {"n_fft": 2048, "hop_length": 220, "pooled_frame_rate": 50}),
    ],
)
def test_the_graph_says_what_the_model_says(protocol: str, changes: dict[str, Any], tmp_path: Path) -> None:
    recipe, mel = models.PARAMS.protocols[protocol], Mel.model_validate(models.MEL | changes)
    made, rate = create_representation("any", mel, []), mel.sample_rate
    windows = np.random.default_rng(0).normal(0, 0.1, (5, rate)).astype(np.float32)
    windows *= 10.0 ** -np.arange(5, dtype=np.float32)[:, None]
    windows[4] = tone(1, 1000, rate)
    torch.manual_seed(0)  # weights drawn at random tell windows apart
    network = build_network(recipe, made.bands, made.frames(rate), 3, None)
    if recipe.standardize:
        network[0].mean, network[0].deviation = torch.full((made.bands,), -40.0), torch.full((made.bands,), 20.0)
    if isinstance(network[-1], Neighbours):  # of seven training windows
        network[-1].neighbours, network[-1].neighbour_classes = torch.randn(7, 2 * made.bands), torch.arange(7) % 3
    if isinstance(network[-1], SummaryLayer):
        network[-1].mean.fill_(-20.0)
        network[-1].deviation.fill_(200.0)
    if isinstance(network[-1], Votes):  # of the windows themselves
        summaries = network[0](torch.from_numpy(made.encode(windows[:, None], rate)))
        network[-1].neighbours = network[-1].standardize(summaries)
        network[-1].neighbour_classes = torch.tensor([0, 0, 1, 1, 2])
        network[-1].choose(2)
    told = {"classes": ["a", "b", "c"], "representation": models.encoder(made, mel)}
    model = load_model(models.keep(tmp_path / "model", network, recipe, **told), device="cpu")
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"windows": windows})
    expected = model.judge(Batch(np.arange(len(windows), dtype=float), windows[:, None], np.zeros(len(windows), bool)))
    assert found.shape == (5, 3)
    assert np.ptp(expected, axis=0).max() > 0.01  # windows differ, or the comparison would say nothing
    assert_rounded(found, expected, roundings=128 * 5)  # terms of conv1d's longest sum
    assert json.loads(session.get_modelmeta().custom_metadata_map["card"]) == model.card.model_dump(mode="json")


@pytest.mark.numeric
def test_the_graph_of_a_waveform_is_the_network_alone(tmp_path: Path) -> None:
    record = models.PARAMS.representations["waveform"]
    made, recipe = create_representation("waveform", record, []), models.PARAMS.protocols["raw"]
    torch.manual_seed(0)
    network = build_network(recipe, 1, 16_000, 3, None)
    network[-1].weight.data *= 100  # so that windows are told apart
    told = {"classes": ["a", "b", "c"], "representation": models.encoder(made, record)}
    model = load_model(models.keep(tmp_path / "model", network, recipe, **told), device="cpu")
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    windows = np.random.default_rng(0).normal(0, 0.1, (5, 16_000)).astype(np.float32)
    windows[4] = tone(1, 1000, 16_000)
    (found,) = session.run(None, {"windows": windows})
    expected = model.judge(Batch(np.arange(5.0), windows[:, None], np.zeros(5, bool)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("soundstream", "Lyra's encoder is a TFLite file, run by its own runtime"),
        ("encodec_24khz_untrained", "EnCodec's encoder is not exported by this program"),
        ("theirs", "what a module does is not known to this program"),
        ("yamnet", "its encoder is not exported by this program"),
    ],
)
def test_what_has_no_graph_is_refused(name: str, why: str) -> None:
    theirs = Hear(kind="hear", module="beyond_spectrograms.hear", weights=None)
    record = {**models.PARAMS.representations, "theirs": theirs}[name]
    assert refusal(ModelError, check_exportable, record) == (
        f"kind {record.kind} has no ONNX graph: {why}. Choose a representation of kind mel or waveform."
    )
