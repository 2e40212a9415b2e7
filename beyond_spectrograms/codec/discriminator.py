"""The discriminator that looks at spectra of several resolutions, in plain torch.

Source: Défossez et al., "High Fidelity Neural Audio Compression", 2022, section 3.4 and figure 2. With the same weights
it gives what encodec.msstftd gives (tests/codec/test_discriminator.py), whose names of weights it has; that module
needs torchaudio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

KERNEL, NARROW = (3, 9), (3, 3)  # frames, bins
DILATIONS = (1, 2, 4)  # of frames
STRIDE = (1, 2)
OVERLAP = 4  # windows that hold a sample


class Judged(NamedTuple):
    """What the discriminator says of sounds, for every resolution: `logits`, high where it takes them for recorded.

    [batch, 1, frames, bins]; and `features`, what each of its layers gives, [batch, filters, frames, bins].
    """

    logits: list[torch.Tensor]
    features: list[list[torch.Tensor]]


class ScaleDiscriminator(nn.Module):
    """Judges a spectrogram of windows of `n_fft` samples, real and imaginary parts as channels.

    Without the logarithm, absolute value or mel bands that would hide the phase.
    """

    window: torch.Tensor

    def __init__(self, n_fft: int, channels: int, filters: int, slope: float) -> None:
        super().__init__()
        self.n_fft, self._slope = n_fft, slope
        # Normalised by the window's power, so that resolutions are of one level.
        window = torch.hann_window(n_fft)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        # The first layer has no weight norm, as the package's.
        self.convs = nn.ModuleList([nn.Conv2d(2 * channels, filters, KERNEL, padding=(KERNEL[0] // 2, KERNEL[1] // 2))])
        self.convs.extend(_conv(filters, filters, KERNEL, STRIDE, dilation) for dilation in DILATIONS)
        self.convs.append(_conv(filters, filters, NARROW))
        self.conv_post = _conv(filters, 1, NARROW)

    def forward(self, sound: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Judge `sound` [batch, channels, samples]: logits and features, as in Judged."""
        batch, channels, samples = sound.shape
        spectrum = torch.stft(
            sound.reshape(batch * channels, samples),
            self.n_fft,
            self.n_fft // OVERLAP,
            window=self.window,
            center=False,
            return_complex=True,
        ).view(batch, channels, self.n_fft // 2 + 1, -1)
        values, features = torch.cat([spectrum.real, spectrum.imag], dim=1).transpose(2, 3), []
        for layer in self.convs:
            values = functional.leaky_relu(layer(values), self._slope)
            features.append(values)
        return self.conv_post(values), features


class Discriminator(nn.Module):
    """One ScaleDiscriminator for each of `n_ffts` (samples); `slope` is that of the leaky rectifiers below zero."""

    def __init__(self, n_ffts: Sequence[int], channels: int, filters: int, slope: float) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(ScaleDiscriminator(n_fft, channels, filters, slope) for n_fft in n_ffts)

    def forward(self, sound: torch.Tensor) -> Judged:
        """Judge `sound` [batch, channels, samples] at every resolution."""
        judged = [scale(sound) for scale in self.discriminators]
        return Judged([logits for logits, _ in judged], [features for _, features in judged])


def _conv(
    inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1), dilation: int = 1
) -> nn.Module:
    """Convolve over frames and bins, weights normalised, as many frames as before."""
    padding = ((kernel[0] - 1) * dilation // 2, (kernel[1] - 1) // 2)
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, (dilation, 1))
    return cast("nn.Module", parametrizations.weight_norm(convolution))
