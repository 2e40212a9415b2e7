"""What prototypes are compared with: direct classification, APNet, and clusters of what autoencoders find."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from beyond_spectrograms.classifiers.apnet import APNetLayer, _distances, _pool, _unpool
from beyond_spectrograms.classifiers.base import ClassifierError
from beyond_spectrograms.classifiers.reconstruction import layer_of
from beyond_spectrograms.classifiers.registry import CLASSIFIERS, build_network
from beyond_spectrograms.training.loop import train
from beyond_spectrograms.training.run import RunConfig, read_history
from beyond_spectrograms.training.trainers.reconstruction import ReconstructionTrainer
from beyond_spectrograms.training.trainers.registry import create_trainer
from support.numeric import assert_rounded, assert_same, by_default_float64
from support.protocol import PROTOCOL
from support.stopping import results_of, train_in_two

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.numeric]
BASELINES = ("apnet", "apnet_kmeans", "autoencoder_kmeans", "temporal_cnn")
RECONSTRUCTING = BASELINES[:3]


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Three classes, each with energy in bands of its own, 60 windows [16 bands, 8 frames] in decibels."""
    targets = np.arange(60) % 3
    values = np.random.default_rng(0).normal(-60, 2, (60, 16, 8))
    for window, target in zip(values, targets, strict=True):
        window[5 * target : 5 * target + 5] += 40
    folder = tmp_path / "features"
    folder.mkdir()
    np.save(folder / "features.npy", values.astype(np.float32))
    (folder / "index.json").write_text("{}")
    parts = np.array(["train"] * 36 + ["validation"] * 12 + ["test"] * 12)
    return RunConfig(
        folder, targets, parts, ("a", "b", "c"), None, PROTOCOL, 6, 1, 0, "cpu", tmp_path / "work", versions={}
    )


def of(config: RunConfig, classifier: str, epochs: int = 6) -> RunConfig:
    recipe = {"classifier": classifier, "optimizer": "adam", "learning_rate": 0.01, "standardize": False}
    recipe |= {"batch_size": 12, "epochs": epochs, "dropout_at_evaluation": False, "select": "last", "patience": None}
    protocol = PROTOCOL.model_copy(update=recipe)
    return replace(config, protocol=protocol, epochs=epochs, work=config.work.with_name(classifier))


@pytest.mark.parametrize("classifier", BASELINES)
def test_classes_of_bands_of_their_own_are_told_apart(config: RunConfig, classifier: str) -> None:
    mine = of(config, classifier, epochs=20)
    train(mine)
    history = read_history(mine)
    assert history[-1]["validation_accuracy"] == 1.0
    if classifier in RECONSTRUCTING:
        errors = [row["validation_reconstruction_error"] for row in history]
        assert errors[-1] < 0.7 * errors[0]
        assert errors[-1] < 300  # of the bands' variance of 36 windows, about 350 dB squared


@pytest.mark.parametrize("classifier", BASELINES)
def test_a_run_is_the_same_again_and_after_a_stop(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classifier: str
) -> None:
    first = of(config, classifier, epochs=3)
    stopped = replace(first, work=tmp_path / "stopped")
    train(first)
    train_in_two(stopped, 2, monkeypatch)
    written = results_of(first, stopped)
    assert written[0] == written[1]
    assert read_history(first) == read_history(stopped)


@pytest.mark.parametrize("classifier", RECONSTRUCTING)
def test_errors_are_in_the_features_own_unit(config: RunConfig, classifier: str) -> None:
    trainer = create_trainer(of(config, classifier), np.load(config.features / "features.npy"))
    assert isinstance(trainer, ReconstructionTrainer)
    windows = torch.from_numpy(np.load(config.features / "features.npy")[:12])
    layer = layer_of(trainer.network)
    training = np.load(config.features / "features.npy")[:36].astype(np.float64)
    assert_rounded(float(layer.mean), float(training.mean()), roundings=12 * 16 * 8)  # summed by batches of 12
    with torch.no_grad():
        before = CLASSIFIERS[classifier].measure(trainer.network, windows)["reconstruction_error"]
        for parameter in layer.parameters():
            parameter.zero_()  # then the reconstruction is the mean of the training part
        after = CLASSIFIERS[classifier].measure(trainer.network, windows)["reconstruction_error"]
    expected = (windows.double() - layer.mean).square().mean((1, 2))
    assert_rounded(after, expected, roundings=16 * 8)
    assert not torch.allclose(before, after)


@pytest.mark.parametrize("classifier", ["apnet_kmeans", "autoencoder_kmeans"])
def test_the_cluster_told_is_the_one_that_names_the_class(config: RunConfig, classifier: str) -> None:
    trainer = create_trainer(of(config, classifier), np.load(config.features / "features.npy"))
    trainer.epoch()
    windows = torch.from_numpy(np.load(config.features / "features.npy"))
    with torch.no_grad():
        told = CLASSIFIERS[classifier].measure(trainer.network, windows)["cluster"]
        named = trainer.network(windows).argmax(1)
    assert torch.equal(layer_of(trainer.network).class_of[told], named)
    assert told.unique().tolist() == [0, 1, 2]


def test_a_window_whose_latents_are_a_prototype_is_as_similar_as_can_be() -> None:
    torch.manual_seed(0)
    with by_default_float64():
        layer = APNetLayer(16, 8, 2, clusters=False)
    windows = torch.randn(2, 16, 8, dtype=torch.float64)
    with torch.no_grad():
        # With all convolutions at 0 the latents are leaky_relu of the last bias.
        for convolution in (layer.first, layer.second, layer.third):
            convolution.weight.zero_()
            convolution.bias.fill_(0.5)
        layer.prototypes.fill_(0.5)
        layer.prototypes[1:] += 32**-0.5  # 16 channels x 2 columns: 1 apart in each row
        similarities = layer.go(windows, torch.zeros(2, dtype=torch.long))[3]
    expected = torch.tensor([1.0, *[float(np.exp(-1))] * 5], dtype=torch.float64).expand(2, 6)
    assert_same(similarities, expected)


@pytest.mark.parametrize("frames", [1, 7, 32])
def test_the_temporal_network_takes_windows_of_any_length(frames: int) -> None:
    protocol = PROTOCOL.model_copy(update={"classifier": "temporal_cnn", "standardize": False})
    assert build_network(protocol, 16, frames, 3, None)(torch.randn(2, 16, frames)).shape == (2, 3)


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        ("apnet", "apnet needs windows of at least 4 bands x 4 frames, got 16 x 3"),
        ("autoencoder_kmeans", "autoencoder_kmeans needs windows of at least 8 bands x 8 frames, got 16 x 3"),
    ],
)
def test_windows_too_small_to_be_pooled_are_refused(classifier: str, message: str) -> None:
    protocol = PROTOCOL.model_copy(update={"classifier": classifier, "standardize": False})
    with pytest.raises(ClassifierError) as caught:
        build_network(protocol, 16, 3, 2, None)
    assert str(caught.value) == message


def test_apnets_distances_are_sums_over_channels_and_columns_of_squared_differences() -> None:
    torch.manual_seed(0)
    latents, prototypes = torch.randn(3, 4, 5, 6), torch.randn(2, 4, 5, 6)
    exact = latents.double(), prototypes.double()
    plain = (exact[0][:, None] - exact[1]).square().sum((2, 4))
    assert_same(_distances(*exact), plain)
    assert_rounded(_distances(latents, prototypes), plain, roundings=4 * 6)


def test_what_apnet_unpools_stands_where_it_was_also_in_maps_of_odd_size() -> None:
    torch.manual_seed(0)
    maps = torch.rand(2, 3, 7, 9)
    pooled, peaks = _pool(maps)
    back = _unpool(pooled, peaks)
    assert torch.equal(back, torch.where(peaks > 0, maps, 0.0))
    assert (peaks.sum((2, 3)) == 3 * 4).all()
    assert (peaks[:, :, 6] == 0).all()
    assert (peaks[..., 8] == 0).all()
