"""Losses and balancer against the same formulas computed in another way: torchaudio, NumPy, finite differences."""

import numpy as np
import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from beyond_spectrograms.codec import losses
from beyond_spectrograms.codec.balancer import Balancer
from beyond_spectrograms.codec.discriminator import Judged
from support.codecs import SMALL
from support.numeric import assert_same, by_default_float64

RATE = 16_000


def sounds(channels: int = 1, samples: int = 4001) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made, recorded = torch.randn(2, 2, channels, samples, generator=generator, dtype=torch.float64) / 10
    return made, recorded


def judged(seed: int) -> Judged:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(2, 3, 5, 7), (2, 3, 4, 9)]
    logits = [2 * torch.randn(2, 1, 5, 7, generator=generator, dtype=torch.float64) for _ in range(3)]
    return Judged(
        logits, [[torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes] for _ in range(3)]
    )


@pytest.mark.numeric
@pytest.mark.filterwarnings("ignore:At least one mel filterbank has all zero values")
@pytest.mark.parametrize(("n_fft", "lowest_hz"), [(64, 64.0), (512, 0.0), (1024, 64.0)])
def test_mel_spectra_are_torchaudio_s(n_fft: int, lowest_hz: float) -> None:
    sound, hop = sounds(samples=4000)[0], n_fft // 4
    with by_default_float64():
        ours = losses.MelSpectra(RATE, n_fft, lowest_hz)(sound)
        theirs = MelSpectrogram(
            RATE, n_fft, hop_length=hop, f_min=lowest_hz, n_mels=losses.BANDS, normalized=True, center=False
        )
        beside = (n_fft - hop) // 2
        padded = torch.nn.functional.pad(sound, (beside, beside), mode="reflect")
        padded = torch.nn.functional.pad(padded, (0, -sound.shape[-1] % hop))
        expected = theirs(padded)
    assert ours.shape[-1] == -(-sound.shape[-1] // hop)
    assert_same(ours, expected.flatten(0, 1))


@pytest.mark.numeric
@pytest.mark.parametrize("name", list(losses.LOSSES))
@pytest.mark.parametrize("channels", [1, 2])
def test_the_spectral_loss_is_the_mean_of_its_terms_over_resolutions(name: str, channels: int) -> None:
    settings, (made, recorded) = losses.LOSSES[name], sounds(channels)
    with by_default_float64():
        loss = losses.SpectralLoss(RATE, settings)(made, recorded)
        terms = []
        for exponent in settings.windows:
            spectra = losses.MelSpectra(RATE, 2**exponent, settings.lowest_hz)
            one, other = (spectra(sound).numpy() for sound in (made, recorded))
            terms += [
                np.abs(one - other).mean(),
                ((np.log10(one + losses.FLOOR) - np.log10(other + losses.FLOOR)) ** 2).mean(),
            ]
    assert_same(loss, float(np.mean(terms)))


@pytest.mark.numeric
@pytest.mark.parametrize("channels", [1, 2])
def test_the_loss_of_log_mel_is_that_of_a_linear_layer_for_each_frame(channels: int) -> None:
    network = SMALL.model_copy(update={"channels": channels})
    sound = sounds(channels, samples=4000)[1]
    with by_default_float64():
        loss = losses.LogMelLoss(network)
        latents = torch.randn(2, network.dimension, 13, generator=torch.Generator().manual_seed(2))
        (weight, bias), spectra = loss._layer.parameters(), losses.MelSpectra(RATE, 1280, 0.0)
        wanted = np.log10(losses.FLOOR + spectra(sound.mean(1, keepdim=True)).numpy())
        told = np.einsum("bd,ndf->nbf", weight[..., 0].detach().numpy(), latents.numpy())
        told += bias.detach().numpy()[:, None]
    assert wanted.shape == (2, losses.BANDS, 13)  # 4000 samples are 12.5 hops
    assert_same(loss(latents, sound), float(np.mean((told - wanted) ** 2)))


@pytest.mark.numeric
def test_losses_of_the_discriminator_are_the_plain_formulas() -> None:
    made, recorded = judged(1), judged(2)
    of_made, of_recorded = ([one.numpy() for one in each.logits] for each in (made, recorded))
    hinge = [
        np.maximum(0, 1 + a).mean() + np.maximum(0, 1 - b).mean() for a, b in zip(of_made, of_recorded, strict=True)
    ]
    assert_same(losses.discriminator_loss(made, recorded), float(np.mean(hinge)))
    assert_same(
        losses.adversarial_loss(made, hinge=True), float(np.mean([np.maximum(0, 1 - a).mean() for a in of_made]))
    )
    assert_same(losses.adversarial_loss(made, hinge=False), float(np.mean([-a.mean() for a in of_made])))
    pairs = [
        (a.numpy(), b.numpy())
        for ours, theirs in zip(made.features, recorded.features, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    ]
    plain = [np.abs(a - b).mean() for a, b in pairs]
    assert_same(losses.feature_loss(made, recorded, relative=False), float(np.mean(plain)))
    shares = [np.abs(a - b).mean() / np.abs(b).mean() for a, b in pairs]
    assert_same(losses.feature_loss(made, recorded, relative=True), float(np.mean(shares)))


def test_the_settings_are_those_of_the_card_and_of_the_released_code() -> None:
    weights = {name: tuple(settings.weights.values()) for name, settings in losses.LOSSES.items()}
    assert weights == {"card": (0.1, 1, 3, 3), "card_48khz": (0.1, 1, 4, 4), "released": (0.1, 2, 4, 4)}


@pytest.mark.numeric
def test_the_balancer_gives_each_loss_its_share_of_the_gradient_whatever_its_scale() -> None:
    """By the paper's formula, with averages written out as sums over all steps."""
    weights, decay, norms = {"one": 1.0, "two": 3.0}, 0.9, {"one": list[float](), "two": list[float]()}
    balancer = Balancer(weights, decay=decay)
    for step in range(4):
        made = sounds()[step % 2].requires_grad_()
        scale = 10.0 ** (3 * step)
        balanced = balancer.gradient({"one": scale * made.square().sum(), "two": (made**3).sum()}, made)
        sound = made.detach().numpy()
        gradients = {"one": scale * 2 * sound, "two": 3 * sound**2}
        expected = np.zeros_like(sound)
        for name, gradient in gradients.items():
            norms[name].append(float(np.mean(np.sqrt((gradient**2).sum(axis=(1, 2))))))
            ages = decay ** np.arange(step, -1, -1)
            average = float((ages * norms[name]).sum() / ages.sum())
            expected += weights[name] / 4 * gradient / average
        assert_same(balanced, expected)


def test_a_balancer_goes_on_from_its_state() -> None:
    made = sounds()[0].requires_grad_()
    one = Balancer({"loss": 2.0})
    one.gradient({"loss": made.sum()}, made)
    other = Balancer({"loss": 2.0})
    other.load(one.state())
    loss = {"loss": made.square().sum()}
    assert torch.equal(one.gradient(loss, made), other.gradient(loss, made))
