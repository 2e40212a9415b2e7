"""A linear codec for training to begin with: it gives back what has few directions, at any size that is asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from beyond_spectrograms.codec.linear_start import fit_linear
from beyond_spectrograms.codec.losses import si_snr_loss
from beyond_spectrograms.codec.measures import si_snr
from beyond_spectrograms.codec.network import Codec
from beyond_spectrograms.codec.sounds import Corpus
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
    codec.scale_layers(chords(4))
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
    assert decibels(codec, others) > 5
    assert all(weights.isfinite().all() for weights in codec.parameters())
    with torch.inference_mode():
        assert float(codec.latents(fitted).std()) == pytest.approx(1, abs=0.01)


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


def test_silence_is_fitted_without_an_end() -> None:
    codec = codec_of()
    fit_linear(codec, torch.zeros(2, 1, RATE // 2))
    assert all(weights.isfinite().all() for weights in codec.parameters())


def test_the_loss_is_the_measure_with_its_sign_changed() -> None:
    sounds = np.stack([noise(0.5, RATE, seed)[None] for seed in range(3)])
    made = 0.3 * sounds + np.stack([noise(0.5, RATE, 9 + seed)[None] for seed in range(3)]) / 7
    measured = np.mean([si_snr(one[0], other[0]) for one, other in zip(made, sounds, strict=True)])
    loss = si_snr_loss(torch.from_numpy(made), torch.from_numpy(sounds))
    assert float(loss) == pytest.approx(-measured, abs=0.01)
    with_silence = si_snr_loss(torch.from_numpy(made), torch.from_numpy(sounds * [[[1]], [[1]], [[0]]]))
    shown = np.mean([*(si_snr(made[place, 0], sounds[place, 0]) for place in (0, 1)), 0])
    assert float(with_silence) == pytest.approx(-shown, abs=0.01)


def test_a_training_begins_with_it_after_keeping_what_was_drawn(tmp_path: Path) -> None:
    changed: dict[str, Any] = {"discriminator": None, "steps": [0, 50], "weights": {"si_snr": 5.0}}
    drawn = trained(tmp_path / "scaled", **changed, start="scaled")
    fitted = trained(tmp_path / "fitted", **changed, start="fitted")
    assert fitted["step_0.safetensors"] == drawn["step_0.safetensors"]
    curves = {name: pd.read_csv(tmp_path / name / "seed_0/curve.csv") for name in ("scaled", "fitted")}
    assert list(curves["fitted"]) == ["step", "time", "spectral", "si_snr", "commitment"]
    assert curves["fitted"]["si_snr"][0] < curves["scaled"]["si_snr"][0] - 3


def test_a_codec_that_is_trained_further_is_not_fitted_anew(tmp_path: Path) -> None:
    changed: dict[str, Any] = {"discriminator": None, "steps": [0, 1], "learning_rate": 1e-9, "average_decay": 0.0}
    trained(tmp_path / "first", **changed, start="scaled")
    sound = Corpus([noise(1, RATE)[None]], np.ones(1), np.array([False]), Format(RATE, 1))
    begin = tmp_path / "first/seed_0/step_1.safetensors"
    for start in ("scaled", "fitted"):
        run = run_in(tmp_path / start, **changed, start=start, begin=begin)
        train_codec(run, sound)
    ends = [(tmp_path / start / "seed_0/step_1.safetensors").read_bytes() for start in ("scaled", "fitted")]
    assert ends[0] == ends[1]


def test_a_fit_is_of_codecs_that_hear_nothing_ahead() -> None:
    with pytest.raises(
        ValueError, match="start: fitted is for causal: true, where a frame hangs on itself and the one"
    ):
        recipe(network=SMALL.model_dump() | {"causal": False}, start="fitted")
