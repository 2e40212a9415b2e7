"""A linear codec for training to begin with: it gives back what has few directions, at any size that is asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from beyond_spectrograms.codec.linear_start import _regress, fit_linear
from beyond_spectrograms.codec.losses import si_snr_loss
from beyond_spectrograms.codec.measures import si_snr
from beyond_spectrograms.codec.network import Codec
from beyond_spectrograms.codec.sounds import Corpus, Windows
from beyond_spectrograms.codec.trainer import CodecTrainer
from beyond_spectrograms.codec.training import train_codec
from beyond_spectrograms.data.audio import Format
from support.codec_training import run_in, trained
from support.codecs import SMALL, recipe
from support.common import noise

pytestmark = pytest.mark.usefixtures("torch_as_it_was")

RATE = SMALL.sample_rate


def chords(count: int) -> torch.Tensor:
    """Make sounds of half a second [count, 1, samples], each of five tones below 400 Hz at levels of their own."""
    random = np.random.default_rng(0)
    turns = 2 * np.pi * np.arange(RATE // 2) / RATE
    tones = random.uniform(0.02, 0.1, (count, 5, 1)) * np.sin(
        random.uniform(40, 400, (count, 5, 1)) * turns + random.uniform(0, 2 * np.pi, (count, 5, 1))
    )
    return torch.from_numpy(tones.sum(1, keepdims=True).astype(np.float32))


def codec_of(**changed: Any) -> Codec:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = Codec(SMALL.model_copy(update={"dimension": 16} | changed)).eval()
    codec.scale_layers(chords(4).repeat(1, codec.network.channels, 1))
    return codec


def decibels(codec: Codec, sound: torch.Tensor) -> float:
    """SI-SNR of what the decoder makes of latents that are not quantised."""
    with torch.inference_mode():
        return -float(si_snr_loss(codec.decoder(codec.latents(sound))[..., : sound.shape[2]], sound))


@pytest.mark.parametrize(
    "changed",
    [{}, {"filters": 8}, {"strides": [4, 4, 4], "filters": 4}, {"lstm": 1, "filters": 4}, {"by_level": True}],
    ids=lambda changed: ", ".join(changed) or "small",
)
def test_a_fitted_codec_gives_back_sounds_it_was_not_fitted_to(changed: dict[str, Any]) -> None:
    sounds, codec = chords(24), codec_of(**changed)
    fitted, others = sounds[:16], sounds[16:]
    assert decibels(codec, others) < 0  # layers that were drawn
    fit_linear(codec, fitted)
    assert decibels(codec, others) > 15
    assert all(weights.isfinite().all() for weights in codec.parameters())
    with torch.inference_mode():
        latents = codec.latents(fitted)
    about_means = latents - latents.mean((0, 2), keepdim=True)
    assert float(about_means.std()) == pytest.approx(1, abs=0.01)


def test_a_sound_of_no_whole_number_of_hops_is_fitted() -> None:
    sounds, codec = chords(24)[..., :7_900], codec_of()
    fit_linear(codec, sounds[:16])
    assert decibels(codec, sounds[16:]) > 5


@pytest.mark.usefixtures("one_thread")
def test_a_fit_is_the_same_each_time() -> None:
    one, two = codec_of(), codec_of()
    fit_linear(one, chords(8))
    fit_linear(two, chords(8))
    for key, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[key]), key


def test_silence_leaves_layers_as_they_were() -> None:
    codec, as_it_was = codec_of(), codec_of().state_dict()
    fit_linear(codec, torch.zeros(2, 1, RATE // 2))
    changed = {key for key, value in codec.state_dict().items() if not torch.equal(value, as_it_was[key])}
    assert changed  # blocks pass on what they are given, and what they add begins small
    assert all(".block." in key or ".shortcut." in key for key in changed)


def test_layers_are_directions_of_length_one() -> None:
    codec = codec_of()
    fit_linear(codec, chords(8))
    lengths = {key: value.flatten(1).norm(dim=1) for key, value in codec.state_dict().items() if "weight_v" in key}
    fitted = {key: found for key, found in lengths.items() if ".block." not in key}
    assert len(fitted) > 8
    for key, found in fitted.items():
        torch.testing.assert_close(found, torch.ones_like(found), msg=key)


def test_a_regression_shares_a_constant_among_phases() -> None:
    random = np.random.default_rng(0)
    rows = random.standard_normal((400, 3)) + 2.0
    wanted = np.einsum("ri,icp->rcp", rows, random.standard_normal((3, 2, 4))) + random.standard_normal((2, 4))
    wanted += 0.1 * random.standard_normal(wanted.shape)
    slopes, constants = (each.numpy() for each in _regress(torch.from_numpy(rows), torch.from_numpy(wanted)))
    for channel in range(2):  # by one regression on slopes of each phase and a column of ones
        design = np.hstack([np.kron(np.eye(4), rows), np.ones((1600, 1))])
        found, *_ = np.linalg.lstsq(design, wanted[:, channel].T.ravel(), rcond=None)
        np.testing.assert_allclose(slopes[:, channel].T.ravel(), found[:-1], atol=2e-2)
        np.testing.assert_allclose(constants[channel], found[-1], atol=2e-2)
    _, apart = _regress(torch.from_numpy(rows), torch.from_numpy(wanted[..., :1]))
    assert abs(apart.numpy() - constants).min() > 0.1  # what a phase would have alone


def test_channels_that_cancel_are_fitted_as_loud_as_they_are() -> None:
    pairs = torch.cat([chords(16), chords(17)[1:]], dim=1)
    codec = codec_of(by_level=True, channels=2)
    fit_linear(codec, torch.cat([pairs, torch.cat([pairs[:1, :1], -pairs[:1, :1]], dim=1)]))
    assert decibels(codec, pairs) > 5


def test_codebooks_begin_with_what_a_batch_would_have(tmp_path: Path) -> None:
    counted = {}
    for start in ("scaled", "linear"):
        run = run_in(tmp_path, discriminator=None, start=start)
        sound = Corpus([noise(1, RATE)[None]], np.ones(1), np.array([False]), Format(RATE, 1))
        trainer = CodecTrainer(run.recipe, 0, Windows(sound, run.recipe, 0), "cpu")
        trainer.start()
        trainer.fit()
        counts, sums = trainer.codec.quantizer.counts, trainer.codec.quantizer.sums
        counted[start] = counts.sum(1)
        torch.testing.assert_close(sums, counts[..., None] * trainer.codec.quantizer.codebooks)
    torch.testing.assert_close(counted["scaled"], counted["linear"])


def test_the_loss_is_the_measure_with_its_sign_changed() -> None:
    sounds = np.stack([noise(0.5, RATE, seed)[None] for seed in range(3)])
    made = 0.3 * sounds + np.stack([noise(0.5, RATE, 9 + seed)[None] for seed in range(3)]) / 7
    measured = np.mean([si_snr(one[0], other[0]) for one, other in zip(made, sounds, strict=True)])
    loss = si_snr_loss(torch.from_numpy(made), torch.from_numpy(sounds))
    assert float(loss) == pytest.approx(-measured, abs=0.01)
    with_silence = si_snr_loss(torch.from_numpy(made), torch.from_numpy(sounds * [[[1]], [[1]], [[0]]]))
    shown = np.mean([*(si_snr(made[place, 0], sounds[place, 0]) for place in (0, 1)), 0])
    assert float(with_silence) == pytest.approx(-shown, abs=0.01)


@pytest.mark.parametrize("level", [1.0, 0.1, 0.01])
def test_the_loss_is_the_same_of_loud_and_of_quiet_sounds(level: float) -> None:
    sound = torch.from_numpy(np.stack([noise(0.5, RATE, seed)[None] for seed in range(2)]))
    made = sound + 0.1 * sound.flip(2)
    assert float(si_snr_loss(level * made, level * sound)) == pytest.approx(float(si_snr_loss(made, sound)), abs=1e-3)


def test_a_training_begins_with_it_after_keeping_what_was_drawn(tmp_path: Path) -> None:
    changed: dict[str, Any] = {"discriminator": None, "steps": [0, 50], "weights": {"si_snr": 5.0}}
    drawn = trained(tmp_path / "scaled", **changed, start="scaled")
    fitted = trained(tmp_path / "linear", **changed, start="linear")
    assert fitted["step_0.safetensors"] == drawn["step_0.safetensors"]
    curves = {name: pd.read_csv(tmp_path / name / "seed_0/curve.csv") for name in ("scaled", "linear")}
    assert list(curves["linear"]) == ["step", "time", "spectral", "si_snr", "commitment"]
    assert curves["linear"]["si_snr"][0] < curves["scaled"]["si_snr"][0] - 3


def test_a_codec_that_is_trained_further_is_not_fitted_anew(tmp_path: Path) -> None:
    changed: dict[str, Any] = {"discriminator": None, "steps": [0, 1], "learning_rate": 1e-9, "average_decay": 0.0}
    trained(tmp_path / "first", **changed, start="scaled")
    sound = Corpus([noise(1, RATE)[None]], np.ones(1), np.array([False]), Format(RATE, 1))
    begin = tmp_path / "first/seed_0/step_1.safetensors"
    for start in ("scaled", "linear"):
        run = run_in(tmp_path / start, **changed, start=start, begin=begin)
        train_codec(run, sound)
    ends = [(tmp_path / start / "seed_0/step_1.safetensors").read_bytes() for start in ("scaled", "linear")]
    assert ends[0] == ends[1]


def test_a_fit_is_of_codecs_that_hear_nothing_ahead() -> None:
    with pytest.raises(
        ValueError, match="start: linear is for causal: true, where a frame hangs on itself and the one"
    ):
        recipe(network=SMALL.model_dump() | {"causal": False}, start="linear")
