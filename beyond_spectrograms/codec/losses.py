"""The losses that train a codec: of samples, of mel spectra at several resolutions, and of the discriminator.

Two settings, where the paper with its model card and the code that the authors released later differ:

=============== =========================================== ================================================
                `card` (paper, card)                        `released` (audiocraft's configuration)
=============== =========================================== ================================================
weights         time 0.1, spectral 1, adversarial 3,        0.1, 2, 4, 4
                features 3; `card_48khz`: 4 and 4
mel windows     2^5 to 2^11 samples                         2^6 to 2^10, bands from 64 Hz on
adversarial     mean of max(0, 1 - logits)                  mean of -logits
features        distance / mean size of a recording's       distance
slope below 0   0.2                                         0.3
=============== =========================================== ================================================

Sources: Défossez et al., "High Fidelity Neural Audio Compression", 2022, section 3.4, and the model card of its
repository; the configuration `solver/compression/default` of audiocraft.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional

from beyond_spectrograms.codec.discriminator import Judged
from beyond_spectrograms.params.codecs import CodecNetwork

BANDS = 64  # of every mel spectrum
FLOOR = 1e-5  # of mel power, before the logarithm
SILENT = 1e-7  # mean square of a window without a signal
TIME, SPECTRAL, ADVERSARIAL, FEATURES = "time", "spectral", "adversarial", "features"
SI_SNR = "si_snr"  # no part of EnCodec's recipe: for who gives it a weight


@dataclass(frozen=True)
class LossSettings:
    """What tells one setting from another; `windows` are exponents of 2, samples, and `lowest_hz` where bands begin."""

    weights: dict[str, float]
    windows: tuple[int, ...]
    lowest_hz: float
    hinge: bool  # whether the codec gains nothing from a logit above 1
    relative: bool  # whether distances of features are divided by their mean size
    slope: float


_CARD = LossSettings(
    {TIME: 0.1, SPECTRAL: 1.0, ADVERSARIAL: 3.0, FEATURES: 3.0}, tuple(range(5, 12)), 0.0, True, True, 0.2
)
LOSSES = {
    "card": _CARD,
    "card_48khz": replace(_CARD, weights=_CARD.weights | {ADVERSARIAL: 4.0, FEATURES: 4.0}),
    "released": LossSettings(
        {TIME: 0.1, SPECTRAL: 2.0, ADVERSARIAL: 4.0, FEATURES: 4.0}, tuple(range(6, 11)), 64.0, False, False, 0.3
    ),
}


class MelSpectra(nn.Module):
    """Mel power [batch * channels, BANDS, frames] of sound, in windows of `n_fft` samples, a frame every quarter."""

    window: torch.Tensor
    filters: torch.Tensor  # [BANDS, bins]

    def __init__(self, sample_rate: int, n_fft: int, lowest_hz: float) -> None:
        super().__init__()
        self._n_fft, self._hop = n_fft, n_fft // 4
        window = torch.hann_window(n_fft)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        self.register_buffer("filters", mel_filters(sample_rate, n_fft, BANDS, lowest_hz), persistent=False)

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        """Take `sound` [batch, channels, samples], reflected at its ends so that every hop has a frame."""
        flat = sound.flatten(0, 1)
        beside = (self._n_fft - self._hop) // 2
        missing = -flat.shape[1] % self._hop  # to a whole number of hops, by zeros
        padded = functional.pad(functional.pad(flat, (beside, beside), mode="reflect"), (0, missing))
        spectra = torch.stft(padded, self._n_fft, self._hop, window=self.window, center=False, return_complex=True)
        return self.filters @ (spectra.real.square() + spectra.imag.square())


def mel_filters(sample_rate: int, n_fft: int, bands: int, lowest_hz: float) -> torch.Tensor:
    """Triangles [bands, bins] at equal distances on the mel scale, 2595 log10(1 + hertz / 700), each 1 at its top.

    From `lowest_hz` to half the sample rate (Hz). Those narrower than the distance of bins may be zero.
    """
    lowest, highest = (2595 * math.log10(1 + hertz / 700) for hertz in (lowest_hz, sample_rate / 2))
    mels = torch.linspace(lowest, highest, bands + 2, dtype=torch.float64)
    corners = 700 * (10 ** (mels / 2595) - 1)
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).to(torch.get_default_dtype())


class SpectralLoss(nn.Module):
    """Mean absolute difference of mel power and mean squared difference of its logarithm, over all resolutions."""

    def __init__(self, sample_rate: int, settings: LossSettings) -> None:
        super().__init__()
        self._spectra = nn.ModuleList(
            MelSpectra(sample_rate, 2**exponent, settings.lowest_hz) for exponent in settings.windows
        )

    def forward(self, made: torch.Tensor, recorded: torch.Tensor) -> torch.Tensor:
        """Compare sounds [batch, channels, samples]."""
        total = made.new_zeros(())
        for spectra in self._spectra:
            one, other = spectra(made), spectra(recorded)
            logarithms = functional.mse_loss(torch.log10(FLOOR + one), torch.log10(FLOOR + other))
            total = total + functional.l1_loss(one, other) + logarithms
        return total / (2 * len(self._spectra))


class LogMelLoss(nn.Module):
    """How far what a linear layer tells by a latent is from the log-mel of its frame, mean squared difference.

    The layer learns with the codec. Log-mel is log10 of mel power in BANDS bands, of four hops around each hop: one and
    a half of them lie ahead of what a causal encoder has heard. No part of EnCodec's recipe, and outside its balancer:
    it asks whether a codec that is to know the spectrum tells classes better.
    """

    def __init__(self, network: CodecNetwork) -> None:
        super().__init__()
        self._spectra = MelSpectra(network.sample_rate, 4 * network.hop_length, 0.0)
        self._layer = nn.Conv1d(network.dimension, BANDS, 1)

    def forward(self, latents: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        """Compare latents [batch, dimension, frames] with `sound` [batch, channels, samples], channels averaged."""
        with torch.no_grad():
            wanted = torch.log10(FLOOR + self._spectra(sound.mean(dim=1, keepdim=True)))
        return functional.mse_loss(self._layer(latents), wanted)


def si_snr_loss(made: torch.Tensor, recorded: torch.Tensor) -> torch.Tensor:
    """Mean of -SI-SNR (dB, `measures.si_snr`) of sounds [batch, channels, samples]; silent ones have none.

    A decibel counts as much where a sound is hard to code as where it is easy. At -60 dB below full scale and less the
    loss saturates: SILENT stands beside the powers.
    """
    one, other = (each - each.mean(dim=2, keepdim=True) for each in (made, recorded))
    power = other.square().mean(dim=2, keepdim=True)
    along = (one * other).mean(dim=2, keepdim=True) / (power + SILENT) * other
    ratio = (along.square().mean(dim=2) + SILENT) / ((one - along).square().mean(dim=2) + SILENT)
    return -(10 * torch.log10(ratio) * (power[..., 0] > SILENT)).mean()


def discriminator_loss(made: Judged, recorded: Judged) -> torch.Tensor:
    """Hinge loss of the discriminator: logits of recordings are to be over 1, those of what was made below -1."""
    pairs = zip(made.logits, recorded.logits, strict=True)
    return torch.stack(
        [functional.relu(1 + one).mean() + functional.relu(1 - other).mean() for one, other in pairs]
    ).mean()


def adversarial_loss(made: Judged, *, hinge: bool) -> torch.Tensor:
    """Measure what the codec loses where the discriminator is not deceived, mean over resolutions."""
    return torch.stack([functional.relu(1 - one).mean() if hinge else -one.mean() for one in made.logits]).mean()


def feature_loss(made: Judged, recorded: Judged, *, relative: bool) -> torch.Tensor:
    """Mean absolute difference of the discriminator's features, mean over layers and resolutions."""
    distances = []
    for ours, theirs in zip(made.features, recorded.features, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            distance = functional.l1_loss(one, other)
            distances.append(distance / other.abs().mean().clamp(min=FLOOR) if relative else distance)
    return torch.stack(distances).mean()
