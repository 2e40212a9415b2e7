"""A family is trained, continued and scored by the same stages as the other classifiers: K-means stands for all."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from beyond_spectrograms.classifiers.clusters import best_by_class, name_clusters
from beyond_spectrograms.classifiers.registry import CLASSIFIERS, measure_nothing
from beyond_spectrograms.params.protocols import RECONSTRUCTING, Protocol
from beyond_spectrograms.training.loop import train
from beyond_spectrograms.training.run import RunConfig, read_history
from beyond_spectrograms.training.trainers.registry import TRAINERS, history_columns
from support import separable
from support.protocol import PROTOCOL
from support.separable import run_stage
from support.stopping import results_of, train_in_two


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Three classes on levels far apart, 60 windows [4 bands, 6 frames], to be found by three clusters."""
    targets = np.arange(60) % 3
    values = np.random.default_rng(0).standard_normal((60, 4, 6)) + 10 * targets[:, None, None]
    folder = tmp_path / "features"
    folder.mkdir()
    np.save(folder / "features.npy", values.astype(np.float32))
    (folder / "index.json").write_text("{}")
    parts = np.array(["train"] * 36 + ["validation"] * 12 + ["test"] * 12)
    recipe = PROTOCOL.model_copy(update={"classifier": "kmeans", "epochs": 3, "standardize": False})
    return RunConfig(
        folder, targets, parts, ("a", "b", "c"), None, recipe, 3, 1, 0, "cpu", tmp_path / "work", versions={}
    )


def test_params_name_the_classifiers_that_are_there_and_those_that_reconstruct() -> None:
    assert set(get_args(Protocol.model_fields["classifier"].annotation)) == set(CLASSIFIERS) == set(TRAINERS)
    measuring = {name for name, each in CLASSIFIERS.items() if each.measure is not measure_nothing}
    assert set(RECONSTRUCTING) == measuring == {name for name, each in TRAINERS.items() if not each.takes_codes}


def test_a_family_s_run_is_the_same_again_and_after_a_stop(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, stopped = replace(config, work=tmp_path / "again"), replace(config, work=tmp_path / "stopped")
    train(config)
    train(again)
    train_in_two(stopped, 2, monkeypatch)
    results = results_of(config, again, stopped)
    assert results[0] == results[1] == results[2]
    assert read_history(config) == read_history(again) == read_history(stopped)
    assert [row["validation_accuracy"] for row in read_history(config)] == [1, 1, 1]
    assert list(read_history(config)[0]) == ["fold", "seed", *history_columns(config.protocol)]


def test_clusters_are_named_by_the_majority_of_their_training_windows() -> None:
    clusters, targets = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([2, 2, 0, 0, 0, 2])
    # Cluster 2 has no window: it gets the majority of all, and of equal ones the first.
    assert name_clusters(clusters, targets, 3, 3).tolist() == [2, 0, 0]


def test_a_class_is_as_far_as_its_nearest_cluster_and_without_one_infinitely_far() -> None:
    errors = torch.tensor([[3.0, 1.0, 2.0]])
    assert best_by_class(errors, torch.tensor([2, 0, 2]), 3).tolist() == [[1.0, torch.inf, 2.0]]


@pytest.mark.parametrize(("protocol", "computed"), [("fair", "bf16"), ("mean_linear", "fp32"), ("temporal_cnn", "bf16"),
                                                    ("kmeans", "fp32"), ("autoencoder_kmeans", "fp32")])  # fmt: skip
def test_what_is_told_of_a_training_is_the_precision_it_computed_in(
    protocol: str, computed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    separable.write(tmp_path, epochs=1)
    separable.edit_params(tmp_path, lambda params: params.update(training_precision="bf16"))
    monkeypatch.chdir(tmp_path)
    run_stage("train", protocol, monkeypatch)
    told = json.loads((tmp_path / f"data/models/paper/demo/mel/{protocol}/fold_1-seed_0.json").read_text())
    assert told["precision"] == computed


def test_stages_train_and_score_a_family_and_tell_what_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    separable.write(tmp_path, epochs=1)
    monkeypatch.chdir(tmp_path)
    for stage in ("train", "evaluate"):
        run_stage(stage, "kmeans", monkeypatch)
    scores, recordings = separable.cell_of("mel-kmeans")
    of_a_window = recordings["reconstruction_error"].sum() / recordings["windows"].sum()  # told as sums of recordings
    assert scores["reconstruction_error"] == pytest.approx(of_a_window, rel=1e-5)
    assert scores["adjusted_rand"] == scores["by_fold"][0]["adjusted_rand"] > 0.5
    assert 0.5 < scores["adjusted_mutual_information"] <= 1
    assert 1 < scores["clusters"] <= separable.CLASSES
    assert scores["window_accuracy"] > 0.7
