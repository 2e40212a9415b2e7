"""Stacked layers of a model are summed by weights that are learned; what is fitted at once refuses them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from beyond_spectrograms.classifiers.base import ClassifierError, Standardize, WeighLayers
from beyond_spectrograms.classifiers.registry import build_network, read_network
from beyond_spectrograms.evaluation.predict import predict
from beyond_spectrograms.training.loop import train
from beyond_spectrograms.training.run import RunConfig, read_history
from beyond_spectrograms.training.trainers import TRAINERS
from support.common import refusal
from support.protocol import PROTOCOL, write_run

LAYERS, BANDS, FRAMES = 3, 4, 50


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Sixty windows whose class is heard in the second of three layers alone."""
    targets = np.arange(60) % 3
    values = np.random.default_rng(0).normal(0, 1, (60, LAYERS, BANDS, FRAMES))
    values[np.arange(60), 1, targets] += 3
    parts = ["train"] * 36 + ["validation"] * 12 + ["test"] * 12
    return replace(write_run(tmp_path, values.reshape(60, -1, FRAMES), targets, parts), stacked=LAYERS)


@pytest.mark.numeric
def test_layers_are_summed_by_a_softmax_that_starts_even() -> None:
    windows = torch.randn(5, LAYERS * BANDS, FRAMES, generator=torch.Generator().manual_seed(0))
    layer = WeighLayers(LAYERS)
    parts = windows.reshape(5, LAYERS, BANDS, FRAMES).double()
    np.testing.assert_allclose(layer(windows).detach(), parts.mean(1), atol=1e-6)
    layer.scores.data = torch.tensor([1.0, 2.0, 0.0]).log()
    expected = parts[:, 0] / 3 + 2 * parts[:, 1] / 3
    np.testing.assert_allclose(layer(windows).detach(), expected, atol=1e-6)


@pytest.mark.parametrize("classifier", ["conv1d", "mean_linear", "temporal_cnn"])
def test_a_network_has_the_weights_behind_what_standardises_and_is_for_one_layers_bands(classifier: str) -> None:
    protocol = PROTOCOL.model_copy(update={"classifier": classifier})
    network = build_network(protocol, LAYERS * BANDS, FRAMES, 3, None, stacked=LAYERS)
    assert [type(layer) for layer in network[:2]] == [Standardize, WeighLayers]
    alone = build_network(protocol, BANDS, FRAMES, 3, None)
    shapes = [tuple(parameter.shape) for parameter in network.parameters()]
    assert shapes == [(LAYERS,), *(tuple(parameter.shape) for parameter in alone.parameters())]


def test_training_learns_which_layer_tells_and_answers_with_its_weights(config: RunConfig) -> None:
    protocol = config.protocol.model_copy(update={"classifier": "mean_linear", "learning_rate": 0.05, "epochs": 30})
    mine = replace(config, protocol=protocol, epochs=30)
    train(mine)
    assert read_history(mine)[-1]["validation_accuracy"] == 1.0
    network, _ = read_network(
        mine.result_files[0], protocol, (LAYERS * BANDS, FRAMES), mine.classes, None, stacked=LAYERS
    )
    weights = network[1].scores.detach().softmax(0)
    assert int(weights.argmax()) == 1
    assert float(weights[1]) > 0.5
    features = np.load(mine.features / "features.npy")
    rows = np.arange(48, 60)
    found = predict(
        mine.result_files[0], protocol, features, rows=rows, classes=list(mine.classes), codebook_size=None,
        fold=1, seed=0, device="cpu", stacked=LAYERS,
    )  # fmt: skip
    assert (found.probabilities.argmax(1) == rows % 3).all()


@pytest.mark.parametrize("classifier", ["probe_mean", "nearest_neighbour", "kmeans", "zero_shot"])
def test_what_is_not_learned_by_gradient_refuses_layers(config: RunConfig, classifier: str) -> None:
    given = replace(config, protocol=config.protocol.model_copy(update={"classifier": classifier}))
    features = np.load(config.features / "features.npy")
    assert refusal(ClassifierError, TRAINERS[classifier], given, features) == (
        f"{classifier} learns no weights of layers: choose join: mean, or a network"
    )
