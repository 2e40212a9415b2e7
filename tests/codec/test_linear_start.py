"""A linear codec for training to begin with: it gives back what has few directions, at any size that is asked for."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from beyond_spectrograms.codec import trainer
from beyond_spectrograms.codec.linear_start import fit_linear
from beyond_spectrograms.codec.losses import si_snr_loss
from beyond_spectrograms.codec.measures import si_snr
from beyond_spectrograms.codec.network import Codec
from beyond_spectrograms.codec.sounds import Windows
from beyond_spectrograms.codec.trainer import CodecTrainer
from beyond_spectrograms.codec.training import train_codec
from support.codec_training import corpus_of, run_in, trained
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


@pytest.mark.parametrize("lstm", [0, 1])
def test_silence_changes_nothing(lstm: int) -> None:
    codec, silence = codec_of(lstm=lstm), torch.zeros(2, 1, RATE // 2)
    as_it_was = {key: value.clone() for key, value in codec.state_dict().items()}
    codec.scale_layers(silence)
    fit_linear(codec, silence)
    assert [key for key, value in codec.state_dict().items() if not torch.equal(value, as_it_was[key])] == []


def test_a_codec_that_heard_silence_first_learns(tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(20 * RATE), noise(0.2, RATE)]).astype(np.float32)
    run = run_in(tmp_path, discriminator=None, start="linear", steps=[0, 2])
    train_codec(run, corpus_of(sound))
    for weights in load_file(tmp_path / "seed_0/step_2.safetensors").values():
        assert weights.isfinite().all()


def test_layers_are_directions_of_length_one() -> None:
    codec = codec_of()
    fit_linear(codec, chords(8))
    lengths = {key: value.flatten(1).norm(dim=1) for key, value in codec.state_dict().items() if "weight_v" in key}
    fitted = {key: found for key, found in lengths.items() if ".block." not in key}
    assert len(fitted) > 8
    for key, found in fitted.items():
        torch.testing.assert_close(found, torch.ones_like(found), msg=key)


def test_codebooks_begin_with_what_a_batch_would_have(tmp_path: Path) -> None:
    counted = {}
    for start in ("scaled", "linear"):
        run = run_in(tmp_path, discriminator=None, start=start)
        trainer = CodecTrainer(run.recipe, 0, Windows(corpus_of(noise(1, RATE)), run.recipe, 0), "cpu")
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


def test_a_training_begins_with_it_after_keeping_what_was_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "LOGGED", 5)
    changed: dict[str, Any] = {"discriminator": None, "steps": [0, 5], "weights": {"si_snr": 5.0}}
    drawn = trained(tmp_path / "scaled", **changed, start="scaled")
    fitted = trained(tmp_path / "linear", **changed, start="linear")
    assert fitted["step_0.safetensors"] == drawn["step_0.safetensors"]
    curves = {name: pd.read_csv(tmp_path / name / "seed_0/curve.csv") for name in ("scaled", "linear")}
    assert list(curves["linear"]) == ["step", "time", "spectral", "si_snr", "commitment"]
    assert curves["linear"]["si_snr"][0] < curves["scaled"]["si_snr"][0] - 3


def test_a_codec_that_is_trained_further_is_not_fitted_anew(tmp_path: Path) -> None:
    changed: dict[str, Any] = {"discriminator": None, "steps": [0, 1], "learning_rate": 1e-9, "average_decay": 0.0}
    trained(tmp_path / "first", **changed, start="scaled")
    begin = tmp_path / "first/seed_0/step_1.safetensors"
    for start in ("scaled", "linear"):
        run = run_in(tmp_path / start, **changed, start=start, begin=begin)
        train_codec(run, corpus_of(noise(1, RATE)))
    ends = [(tmp_path / start / "seed_0/step_1.safetensors").read_bytes() for start in ("scaled", "linear")]
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"network": SMALL.model_dump() | {"causal": False}},
            "start: linear is for causal: true, where a frame hangs on itself and the one before",
        ),
        ({"window_s": 0.001}, "start: linear is for windows of a frame or more; window_s 0.001 is shorter"),
    ],
)
def test_what_a_linear_start_cannot_be_fitted_to_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"Value error, {told} [")):
        recipe(**changed, start="linear")
