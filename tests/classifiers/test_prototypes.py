"""Transformations by hand-worked cases, gradients, and prototypes recovered from sounds made of them."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch

from beyond_spectrograms.classifiers.base import last_layer
from beyond_spectrograms.classifiers.prototypes import transformations
from beyond_spectrograms.classifiers.prototypes.model import PrototypeLayer
from beyond_spectrograms.classifiers.prototypes.transformations import filter_bands, read_frames, shift_pitch
from beyond_spectrograms.classifiers.registry import build_network, measure
from beyond_spectrograms.params import Protocol, PrototypeSettings
from beyond_spectrograms.training.loop import train
from beyond_spectrograms.training.run import HISTORY_COLUMNS, RunConfig, read_history
from beyond_spectrograms.training.trainers.clustering import kmeans_plus_plus
from beyond_spectrograms.training.trainers.prototypes import PrototypeTrainer
from support.numeric import assert_rounded, assert_same, by_default_float64
from support.protocol import PROTOCOL, write_run
from support.stopping import results_of, train_in_two

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.numeric]
SETTINGS = PrototypeSettings(
    **{"supervised": True, "per_class": 1, "frames": 1, "offset": 0.0, "scale": 1.0, "top_hz": 8000.0},
    transformations=["gain", "pitch", "filters"],
    **{"cross_entropy": 0.01, "tau": 100.0, "tau_learning_rate": 0.1, "weight_decay": 1e-6, "restart_share": 0.02},
    **{"step_patience": 2, "step_epochs": None, "warm_up": 0},
)


def settings(**changes: object) -> PrototypeSettings:
    return PrototypeSettings.model_validate(SETTINGS.model_dump() | changes)


LATENT = settings(transformations=["level", "time"], frames=4)


@pytest.fixture
def float64() -> Iterator[None]:
    """Compute in float64: what a formula says is then met to ten digits, on every processor."""
    with by_default_float64():
        yield


def protocol(epochs: int = 8, learning_rate: float = 0.01, **changes: object) -> Protocol:
    recipe = {"classifier": "prototypes", "optimizer": "adamw", "standardize": False, "prototypes": settings(**changes)}
    return PROTOCOL.model_copy(update={**recipe, "epochs": epochs, "learning_rate": learning_rate})


def peak(band: int, bands: int = 128) -> torch.Tensor:
    """One spectrum [1 prototype, 1 frame, bands] with a triangle of three bands' width."""
    return (1 - (torch.arange(bands) - band).abs() / 3).clamp(min=0)[None, None]


@pytest.mark.usefixtures("float64")
def test_a_shift_of_nothing_is_the_identity_and_of_no_number_gives_none() -> None:
    spectra = torch.rand(3, 1, 128)
    shifted = shift_pitch(spectra, torch.zeros(2, 3, 5), 8000.0)
    assert_same(shifted, spectra.expand(2, 3, 5, 128))
    nothing = torch.full((1, 2, 3), torch.nan)  # no numbers give none
    assert shift_pitch(torch.rand(2, 1, 8), nothing, 8000.0).isnan().all()
    assert read_frames(torch.rand(2, 4, 8), nothing).isnan().all()


BANDS_HZ = librosa.mel_frequencies(130, fmin=0.0, fmax=8000.0)[1:-1]  # centres


def test_bands_are_read_at_the_scaled_frequency_on_librosas_mel_scale() -> None:
    shift = torch.tensor([-0.4, 0.0, 0.3], dtype=torch.float64)
    positions, _ = transformations.shift_positions(shift, 128, 8000.0)
    for read, amount in zip(positions.numpy(), shift.tolist(), strict=True):
        expected = np.interp(librosa.hz_to_mel(BANDS_HZ * np.exp(-amount)), librosa.hz_to_mel(BANDS_HZ), np.arange(128))
        np.testing.assert_allclose(read, expected, atol=1e-9)


def test_frames_are_shifted_each_by_its_own_amount() -> None:
    spectra = torch.cat([peak(60), peak(20)], 1)  # two frames of one prototype
    shifted = shift_pitch(spectra, torch.tensor([[[float(np.log(2)), 0.0]]]), 8000.0)
    assert shifted.argmax(3).tolist() == [[[89, 20]]]


@pytest.mark.usefixtures("float64")
def test_time_reads_a_prototype_earlier_or_later_and_holds_its_ends() -> None:
    prototypes = torch.arange(5.0)[None, :, None] * torch.tensor([1.0, 10.0])  # [1, 5 frames, 2 bands]
    straight = read_frames(prototypes, torch.zeros(1, 1, 9))
    assert_same(straight[0, 0, :, 0], torch.arange(9.0) / 2)
    later = read_frames(prototypes, torch.full((1, 1, 9), 0.25))
    assert_same(later[0, 0, :, 1], 10 * (torch.arange(9.0) / 2 + 1).clamp(max=4))


@pytest.mark.usefixtures("float64")
def test_a_level_moves_a_prototype_towards_rest_and_away() -> None:
    layer = layer_with(LATENT)
    torch.nn.init.uniform_(layer.rest)
    spectra = layer.transform({}, 8)
    for level in (-1.0, 0.0, 0.5):
        changed = layer.transform({"level": torch.full((1, 2, 8), level)}, 8)
        assert_same(changed, layer.rest + (1 + level) * (spectra - layer.rest))


@pytest.mark.usefixtures("float64")
def test_filters_add_nothing_without_a_slope_and_a_line_beyond_the_cut_off() -> None:
    assert (filter_bands(torch.tensor([0.0, 0.2, 0.0, -0.2]), 128) == 0).all()
    high = filter_bands(torch.tensor([0.1, 0.0, 0.0, 0.0]), 129)
    # softplus of sharpness 10 at 2 (1 - 0.5) = 1 is 1 to 5e-6, at 0 ln(2) / 10, at -1 5e-6
    np.testing.assert_allclose(high[[0, 64, 128]], [0.0, 0.1 * np.log(2) / 10, 0.1], atol=1e-5, rtol=0)
    low = filter_bands(torch.tensor([0.0, 0.0, 0.1, 0.0]), 129)
    assert_same(low, high.flip(0))
    moved = filter_bands(torch.tensor([0.1, 0.25, 0.0, 0.0]), 129)
    assert_same(moved[:97], high[32:])


def layer_with(settings: PrototypeSettings) -> Any:
    torch.manual_seed(0)
    layer = PrototypeLayer(settings, 16, 2)
    torch.nn.init.uniform_(layer.prototypes)
    return layer


@pytest.mark.usefixtures("float64")
def test_untrained_decoders_change_nothing() -> None:
    layer = layer_with(SETTINGS)
    spectra = layer.prototypes.transpose(1, 2)[None].expand(3, 2, 8, 16)
    assert_same(layer.reconstruct(torch.rand(3, 16, 8)), spectra)
    latent = layer_with(LATENT)
    changed = latent.reconstruct(torch.rand(3, 16, 8))
    assert_same(changed, latent.transform({}, 8).expand(3, 2, 8, 16))


@pytest.mark.usefixtures("float64")
def test_a_gain_adds_exactly_and_before_or_after_the_shift_is_the_same() -> None:
    layer = layer_with(settings(transformations=["gain", "pitch"]))
    with torch.no_grad():
        layer.decoders.last_bias[1, 1, 0] = 0.3  # a pitch for the second prototype
        plain = layer.reconstruct(torch.rand(3, 16, 8))
        layer.decoders.last_bias[:, 0, 0] = torch.tensor([0.2, -0.1])
        changed = layer.reconstruct(torch.rand(3, 16, 8))
        gains = 0.5 * torch.tanh(torch.tensor([0.2, -0.1]))
        assert_same(changed - plain, gains.view(1, 2, 1, 1).expand_as(changed))
        shift = torch.full((1, 2, 1), 0.3)
        spectra = layer.prototypes.transpose(1, 2)
        first = shift_pitch(spectra + gains.view(2, 1, 1), shift, 8000.0)
        assert_same(first, shift_pitch(spectra, shift, 8000.0) + gains.view(1, 2, 1, 1))


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    spectra = torch.rand(2, 3, 8, dtype=torch.float64, requires_grad=True)
    shift = (0.6 * torch.rand(2, 2, 3, dtype=torch.float64) + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda *given: shift_pitch(*given, 8000.0), (spectra, shift))
    assert torch.autograd.gradcheck(lambda *given: shift_pitch(*given, 8000.0), (spectra[:, :1], -shift.detach() / 2))
    moved = (0.1 * torch.rand(2, 2, 6, dtype=torch.float64) - 0.05).requires_grad_()
    assert torch.autograd.gradcheck(read_frames, (spectra, moved))
    filters = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: filter_bands(given, 8), (filters,))
    for given in (SETTINGS, LATENT):
        layer = layer_with(given).double()
        torch.nn.init.normal_(layer.decoders.last, std=0.3)
        windows = torch.rand(2, 16, 6, dtype=torch.float64)
        weights = (layer.prototypes, layer.decoders.last, layer.decoders.ups[0], layer.tau)
        assert torch.autograd.gradcheck(partial(_entropy, layer, windows), weights, fast_mode=True)


def _entropy(layer: PrototypeLayer, windows: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(layer(windows), torch.tensor([0, 1]))


@pytest.mark.usefixtures("float64")
def test_all_prototypes_at_once_give_what_each_gives_alone() -> None:
    layer = layer_with(settings(per_class=2, frames=3))
    torch.nn.init.normal_(layer.decoders.last, std=0.3)
    windows = torch.rand(5, 16, 8)
    together = layer.reconstruct(windows)
    assert together.shape == (5, 4, 8, 16)
    for index in range(4):
        alone = PrototypeLayer(layer.settings.model_copy(update={"per_class": 1}), 16, 1)
        own, state = ("prototypes", "decoders", "class_of"), layer.state_dict()
        alone.load_state_dict({name: state[name][[index]] if name.startswith(own) else state[name] for name in state})
        assert_same(alone.reconstruct(windows)[:, 0], together[:, index])


def test_k_means_plus_plus_starts_far_apart_and_within_the_class() -> None:
    torch.manual_seed(0)
    proposals = torch.tensor([0.0, 0.0, 0.0, 9.0, 9.0])[:, None, None]
    chosen = kmeans_plus_plus(proposals, torch.tensor([0, 0, 0, 0, 1]), 2, None)
    assert sorted(chosen.flatten().tolist()) == [0, 9]
    of_class = kmeans_plus_plus(proposals, torch.tensor([0, 0, 0, 1, 1]), 2, torch.tensor([1, 0]))
    assert of_class.flatten().tolist() == [9, 0]


def made_sounds(folder: Path, **changes: Any) -> tuple[RunConfig, torch.Tensor]:
    """Sounds made from three known prototypes by gains and pitches that move over time: [120, 24 bands, 16 frames]."""
    torch.manual_seed(1)
    bands, frames = 24, 16
    known = torch.stack([peak(band, bands)[0, 0] + 0.2 * peak(2 * band, bands)[0, 0] for band in (5, 8, 11)])
    targets = np.arange(120) % 3
    time = torch.linspace(0, 6.28, frames)
    phases, depths = 6.28 * torch.rand(120, 1), torch.rand(2, 120, 1)
    shift = 0.15 * depths[0] * torch.sin(time + phases)
    gain = 0.2 * depths[1] * torch.cos(time + phases)
    sounds = shift_pitch(known[targets][:, None], shift[None], 8000.0)[0] + gain[..., None]
    parts = ["train"] * 90 + ["validation"] * 15 + ["test"] * 15
    return write_run(folder, sounds.transpose(1, 2).numpy(), targets, parts, protocol(**changes)), known


def trainer_of(config: RunConfig) -> Any:
    return PrototypeTrainer(config, np.load(config.features / "features.npy"))


@pytest.mark.parametrize("supervised", [True, False])
def test_sounds_made_of_known_prototypes_and_transformations_give_these_back(tmp_path: Path, supervised: bool) -> None:
    entropy = 0.01 if supervised else 0.0
    made = {"epochs": 60, "supervised": supervised, "cross_entropy": entropy, "transformations": ["gain", "pitch"]}
    config, known = made_sounds(tmp_path, **made)
    trainer = trainer_of(config)
    raw = trainer.epoch()
    for _ in range(59):
        last = trainer.epoch()
    assert last[0][0] > 0.97
    assert last[2][1] < 0.15 * raw[2][1]  # the error on sounds never trained on
    # Gain and pitch are known up to a constant: prototypes are compared after the best of either.
    found = trainer.layer.prototypes.detach().transpose(1, 2)
    shifts = torch.linspace(-0.3, 0.3, 121)
    for place, name in enumerate(trainer.layer.class_of.tolist()):
        moved = shift_pitch(found[[place]], shifts[:, None, None], 8000.0)[:, 0, 0]
        deviation = (moved - moved.mean(1, keepdim=True)) - (known[name] - known[name].mean())
        assert deviation.square().mean(1).amin().sqrt() < 0.06


def test_history_tells_error_and_step_and_the_run_ends_with_the_curriculum(tmp_path: Path) -> None:
    config, _ = made_sounds(tmp_path, epochs=400, learning_rate=1e-12, tau_learning_rate=0.0, step_patience=1)
    train(config)
    history = read_history(config)
    assert list(history[0])[-3:] == ["training_reconstruction_error", "validation_reconstruction_error", "step"]
    assert list(history[0]) == ["fold", "seed", *HISTORY_COLUMNS, *PrototypeTrainer.columns]
    steps = [row["step"] for row in history]
    assert sorted(set(steps)) == [0, 1, 2, 3, 4, 5]  # raw, three transformations, temperature, fine
    assert steps == sorted(steps)
    assert len(history) < 400


def test_a_stopped_run_continues_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"supervised": False, "cross_entropy": 0.0, "step_patience": 1, "restart_share": 0.9}
    config, _ = made_sounds(tmp_path, epochs=10, **made)
    stopped = replace(config, work=tmp_path / "stopped")
    train(config)
    train_in_two(stopped, 6, monkeypatch)
    assert read_history(config) == read_history(stopped)
    assert results_of(config) == results_of(stopped)


def test_an_idle_prototype_restarts_as_a_copy_of_a_busy_one(tmp_path: Path) -> None:
    config, _ = made_sounds(tmp_path, supervised=False, cross_entropy=0.0)
    trainer = trainer_of(config)
    trainer.epoch()
    layer = trainer.layer
    with torch.no_grad():
        layer.decoders.last[1] = 1.0
        layer.prototypes[0] = 50.0
    trainer._restart_idle(torch.tensor([0, 90, 0]))
    assert (layer.prototypes[0] - layer.prototypes[1]).abs().max() < 0.1
    assert (layer.decoders.last[0] == 1.0).all()
    moments = [trainer.optimizer.state[layer.prototypes][name] for name in ("exp_avg", "exp_avg_sq")]
    assert all((moment[[0, 2]] == 0).all() for moment in moments)
    assert all((moment[1] != 0).any() for moment in moments)


def test_the_weights_kept_are_those_that_were_validated(tmp_path: Path) -> None:
    recipe = {"per_class": 2, "restart_share": 0.9, "supervised": False, "cross_entropy": 0.0}
    config, _ = made_sounds(tmp_path, epochs=4, **recipe)
    trainer = trainer_of(config)
    for _ in range(4):
        _, validated, (_, error, _) = trainer.epoch()
        windows, targets = trainer._validation.batch(torch.arange(15))
        with torch.no_grad():
            told = measure(trainer.network, windows)
        right = trainer.layer.class_of[told["cluster"]] == targets
        assert float(right.double().mean()) == pytest.approx(validated[0])
        # Both in fp32, of batches of other sizes; each error is a mean over bands and frames.
        found = float(told["reconstruction_error"].double().mean())
        assert_rounded(error, found, roundings=windows.shape[1] * windows.shape[2])


def test_what_is_measured_is_the_best_prototypes_error_and_unsupervised_its_number() -> None:
    for supervised in (True, False):
        network = build_network(protocol(supervised=supervised, cross_entropy=0.0), 16, 8, 2, None)
        layer = last_layer(network, PrototypeLayer)
        torch.nn.init.uniform_(layer.prototypes)
        windows = torch.rand(4, 16, 8)
        errors = layer.errors(windows)
        told = measure(network, windows)
        assert torch.equal(told["reconstruction_error"], errors.amin(1))
        assert ("cluster" in told) == (not supervised)
        assert network(windows).argmax(1).tolist() == errors.argmin(1).tolist()
