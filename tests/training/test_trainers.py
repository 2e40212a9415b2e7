"""Classifiers with trainers of their own are trained, continued and scored as the others are."""

import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch

from beyond_spectrograms.classifiers.base import ClassifierError, best_by_class, last_layer, name_clusters
from beyond_spectrograms.classifiers.baselines import ReconstructingLayer
from beyond_spectrograms.classifiers.registry import CLASSIFIERS, measure
from beyond_spectrograms.params.protocols import RECONSTRUCTING, SUMMARISING, ZERO_SHOT, Augmentation, Protocol
from beyond_spectrograms.training import loop
from beyond_spectrograms.training.epoch import Subset
from beyond_spectrograms.training.loop import runs_of_protocol, train
from beyond_spectrograms.training.run import HISTORY_COLUMNS, RunConfig, read_history
from beyond_spectrograms.training.trainers import TRAINERS
from beyond_spectrograms.training.trainers.clustering import ReconstructionTrainer
from support import separable
from support.cells import edit_params
from support.common import refusal
from support.models import PARAMS
from support.numeric import assert_rounded
from support.protocol import PROTOCOL, write_run
from support.repository import Patch
from support.separable import run_stages
from support.stopping import results_of, train_in_two

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.numeric]
AUTOENCODERS = ("apnet", "apnet_kmeans", "autoencoder_kmeans")


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Three classes, each with energy in bands of its own, 60 windows [16 bands, 8 frames] in decibels."""
    targets = np.arange(60) % 3
    values = np.random.default_rng(0).normal(-60, 2, (60, 16, 8))
    for window, target in zip(values, targets, strict=True):
        window[5 * target : 5 * target + 5] += 40
    return write_run(tmp_path, values, targets, ["train"] * 36 + ["validation"] * 12 + ["test"] * 12)


def of(config: RunConfig, classifier: str, epochs: int = 6) -> RunConfig:
    recipe = {"classifier": classifier, "optimizer": "adam", "learning_rate": 0.01, "standardize": False}
    recipe |= {"batch_size": 12, "epochs": epochs, "dropout_at_evaluation": False, "select": "last", "patience": None}
    protocol = PROTOCOL.model_copy(update=recipe)
    return replace(config, protocol=protocol, epochs=epochs, work=config.work.with_name(classifier))


def test_params_name_the_classifiers_that_are_there_and_those_that_reconstruct() -> None:
    assert set(get_args(Protocol.model_fields["classifier"].annotation)) == set(CLASSIFIERS) == set(TRAINERS)
    assert {*RECONSTRUCTING, *SUMMARISING, ZERO_SHOT} == {
        name for name, each in TRAINERS.items() if not each.takes_codes
    }


@pytest.mark.parametrize("classifier", [*AUTOENCODERS, "temporal_cnn", "attention_pooling"])
def test_classes_of_bands_of_their_own_are_told_apart(config: RunConfig, classifier: str) -> None:
    mine = of(config, classifier, epochs=12)
    train(mine)
    history = read_history(mine)
    assert history[-1]["validation_accuracy"] == 1.0
    if classifier in AUTOENCODERS:
        errors = [row["validation_reconstruction_error"] for row in history]
        assert errors[-1] < 0.7 * errors[0]
        assert errors[-1] < 300  # of the bands' variance of 36 windows, about 350 dB squared


@pytest.mark.parametrize("classifier", ["kmeans", *AUTOENCODERS, "temporal_cnn", "attention_pooling", *SUMMARISING])
def test_a_stopped_run_is_the_same(config: RunConfig, tmp_path: Path, monkeypatch: Patch, classifier: str) -> None:
    first = of(config, classifier, epochs=3)
    stopped = replace(first, work=tmp_path / "stopped")
    train(first)
    train_in_two(stopped, 2, monkeypatch)
    assert results_of(first) == results_of(stopped)
    assert read_history(first) == read_history(stopped)
    assert list(read_history(first)[0]) == ["fold", "seed", *HISTORY_COLUMNS, *TRAINERS[classifier].columns]


def test_m5_learns_from_samples_and_a_stopped_run_is_the_same(tmp_path: Path, monkeypatch: Patch) -> None:
    targets, generator = np.arange(60) % 3, np.random.default_rng(0)
    phases = generator.uniform(0, 2 * np.pi, (60, 1, 1))
    tones = 0.1 * np.sin(np.array([0.1, 0.3, 0.9])[targets][:, None, None] * np.arange(2500) + phases)
    parts = ["train"] * 36 + ["validation"] * 12 + ["test"] * 12
    mine = of(write_run(tmp_path, tones + generator.normal(0, 0.02, tones.shape), targets, parts), "m5", epochs=4)
    stopped = replace(mine, work=tmp_path / "stopped")
    train(mine)
    train_in_two(stopped, 2, monkeypatch)
    assert results_of(mine) == results_of(stopped)
    assert read_history(mine)[-1]["training_accuracy"] > 0.9
    assert read_history(mine)[-1]["validation_accuracy"] == 1.0  # by the running statistics of its normalisation


@pytest.mark.parametrize("classifier", AUTOENCODERS)
def test_errors_are_in_the_features_own_unit(config: RunConfig, classifier: str) -> None:
    trainer = TRAINERS[classifier](of(config, classifier), np.load(config.features / "features.npy"))
    assert isinstance(trainer, ReconstructionTrainer)
    layer, training = last_layer(trainer.network, ReconstructingLayer), np.load(config.features / "features.npy")[:36]
    windows, training = torch.from_numpy(training[:12]), training.astype(np.float64)
    assert_rounded(float(layer.mean), float(training.mean()), roundings=12 * 16 * 8)  # summed by batches of 12
    with torch.no_grad():
        before = measure(trainer.network, windows)["reconstruction_error"]
        for parameter in layer.parameters():
            parameter.zero_()  # then the reconstruction is the mean of the training part
        after = measure(trainer.network, windows)["reconstruction_error"]
    expected = (windows.double() - layer.mean).square().mean((1, 2))
    assert_rounded(after, expected, roundings=16 * 8)
    assert not torch.allclose(before, after)


def test_statistics_hold_a_batch_of_windows_at_a_time(config: RunConfig, monkeypatch: Patch) -> None:
    batch, held = Subset.batch, list[weakref.ref[torch.Tensor]]()
    alive = []

    def counted(subset: Subset, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        windows, targets = batch(subset, places)
        alive.append(sum(each() is not None for each in held))
        held.append(weakref.ref(windows := windows.double()))
        return windows, targets

    monkeypatch.setattr(Subset, "batch", counted)
    ReconstructionTrainer(of(config, "apnet"), np.load(config.features / "features.npy"))
    assert len(alive) == 2 * 3
    assert max(alive) <= 1


@pytest.mark.parametrize(
    ("changes", "device"),
    [
        ({}, "cuda"),
        ({"augment": Augmentation(gain=3.0)}, "cpu"),
        ({"loss": "binary_cross_entropy"}, "cpu"),
        ({"classifier": "m5", "standardize": False}, "cpu"),
        ({"classifier": "probe_mean"}, "cpu"),
        ({"classifier": "apnet", "standardize": False}, "cuda"),
    ],
)
def test_a_run_is_of_the_device_that_trains_it(
    changes: dict[str, Any], device: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(loop, "choose_device", lambda _: "cuda")
    params = PARAMS.model_copy(update={"protocols": {"mine": PROTOCOL.model_copy(update=changes)}})
    bands = 1 if changes.get("classifier") == "m5" else 8
    np.save(tmp_path / "features.npy", np.zeros((6, bands, 2500), np.float32))
    table = pd.DataFrame({"clip": list("abcdef"), "label": list("xyxyxy"), "start_s": 0.0})
    given = {"features": tmp_path, "table": table, "parts": pd.DataFrame({"source_1": ["train"] * 6})}
    runs = runs_of_protocol(params, ("demo", "mel", "mine"), **given, max_epochs=1, work=tmp_path / "work")
    assert [run.device for run in runs] == [device]


@pytest.mark.parametrize("classifier", ["apnet", "kmeans", "probe_mean", "nearest_neighbour"])
def test_codes_are_refused(config: RunConfig, classifier: str) -> None:
    coded = replace(of(config, classifier), codebook_size=16)
    told = f"{classifier} needs spectra or latents: between the numbers of codes there is no distance"
    assert refusal(ClassifierError, TRAINERS[classifier], coded, np.load(config.features / "features.npy")) == told


@pytest.mark.parametrize("classifier", ["apnet_kmeans", "autoencoder_kmeans"])
def test_the_cluster_told_is_the_one_that_names_the_class(config: RunConfig, classifier: str) -> None:
    trainer = TRAINERS[classifier](of(config, classifier), np.load(config.features / "features.npy"))
    trainer.epoch()
    windows = torch.from_numpy(np.load(config.features / "features.npy"))
    with torch.no_grad():
        told = measure(trainer.network, windows)["cluster"]
        named = trainer.network(windows).argmax(1)
    assert torch.equal(last_layer(trainer.network, ReconstructingLayer).class_of[told], named)
    assert told.unique().tolist() == [0, 1, 2]


def test_a_cluster_has_the_majoritys_name_and_a_class_the_error_of_its_nearest_cluster_or_infinity() -> None:
    clusters, targets = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([2, 2, 0, 0, 0, 2])
    # Cluster 2 has no window: it gets the majority of all, and of equal ones the first.
    assert name_clusters(clusters, targets, 3, 3).tolist() == [2, 0, 0]
    errors = torch.tensor([[3.0, 1.0, 2.0]])
    assert best_by_class(errors, torch.tensor([2, 0, 2]), 3).tolist() == [[1.0, torch.inf, 2.0]]


@pytest.mark.parametrize(("protocol", "computed"), [("fair", "bf16"), ("mean_linear", "fp32"), ("kmeans", "fp32")])
def test_what_is_told_of_a_training_is_the_precision_it_computed_in(
    protocol: str, computed: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    separable.write(tmp_path, epochs=1)
    edit_params(tmp_path, lambda params: params.update(training_precision="bf16"))
    monkeypatch.chdir(tmp_path)
    run_stages(protocol, "train")
    told = json.loads((tmp_path / f"data/models/paper/demo/mel/{protocol}/fold_1-seed_0.json").read_text())
    assert told["precision"] == computed


def test_stages_train_and_score_clusters(tmp_path: Path, monkeypatch: Patch) -> None:
    separable.write(tmp_path, epochs=1)
    monkeypatch.chdir(tmp_path)
    run_stages("kmeans", "train", "evaluate")
    scores, recordings = separable.cell_of("mel-kmeans")
    of_a_window = recordings["reconstruction_error"].sum() / recordings["windows"].sum()  # told as sums of recordings
    assert scores["reconstruction_error"] == pytest.approx(of_a_window, rel=1e-5)
    assert scores["adjusted_rand"] == scores["by_fold"][0]["adjusted_rand"] > 0.5
    assert 0.5 < scores["adjusted_mutual_information"] <= 1
    assert 1 < scores["clusters"] <= separable.CLASSES
    assert scores["window_accuracy"] > 0.7
