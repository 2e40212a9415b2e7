"""What may be done to a prototype's spectrum, frame by frame, to meet a sound: pitch, gain, two filters.

Loiseau et al., "A Model You Can Hear", ISMIR 2022, section 3.1; constants from the authors' released code
(github romainloiseau/a-model-you-can-hear, bd509c5c). The text applies gain, then pitch, then the filters; the code
pitch, then gain. Both give the same: a gain is one number for all bands, and moving bands does not change it.
Spectra are log-mel on the paper's scale, about 0 (silence) to 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BOUNDS = {"pitch": 1.0, "gain": 0.5, "filters": 0.25}  # of what tanh gives: e-fold, scaled level, slopes and cut-offs
MEL = 2595 / math.log(10)  # of O'Shaughnessy's mel scale, 2595 log10(1 + f / 700)


def shift_positions(shift: Tensor, bands: int, top_mel: float) -> Tensor:
    """Say where in a spectrum of `bands` bands each band of the shifted one is read.

    A shift p scales all frequencies by e^p: the value at mel f comes from 2595 log10(1 + e^-p (10^(f / 2595) - 1)).

    Args:
        shift: [...], positive is up.
        bands: evenly spaced in mel from 0 to `top_mel`.
        top_mel: with 1, as the released code has it, the formula is within 0.1 % of f e^-p: bands are scaled, not
            frequencies.

    Returns:
        positions [..., bands] from 0 to bands - 1; beyond the ends the last band is held.
    """
    grid = torch.expm1(torch.linspace(0, top_mel / MEL, bands, dtype=shift.dtype, device=shift.device))
    scaled = torch.log1p(torch.exp(-shift)[..., None] * grid)
    return (scaled * (MEL * (bands - 1) / top_mel)).clamp(max=bands - 1)


class _Read(torch.autograd.Function):
    """Linear interpolation of spectra at positions, with its gradient in one pass over either."""

    @staticmethod
    def forward(context, spectra: Tensor, positions: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        bands = spectra.shape[-1]
        below = positions.detach().floor().clamp_(max=bands - 2)
        share = positions - below
        # Flat places in the table of spectra: rows of prototypes (and frames), columns of bands.
        rows = torch.arange(spectra.numel() // bands, device=spectra.device).reshape(spectra.shape[:-1])
        places = below.long().add_((rows * bands)[..., None])
        table = spectra.reshape(-1)
        steps = torch.zeros_like(table)
        torch.sub(table[1:], table[:-1], out=steps[:-1])
        slopes = steps.take(places)
        context.save_for_backward(places, share, slopes)
        context.shape = spectra.shape
        return torch.addcmul(table.take(places), share, slopes)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        places, share, slopes = context.saved_tensors
        upper = gradient * share
        table = gradient.new_zeros(context.shape).reshape(-1)
        flat = places.reshape(-1)
        table.index_add_(0, flat, (gradient - upper).reshape(-1))
        table.index_add_(0, flat + 1, upper.reshape(-1))
        return table.reshape(context.shape), gradient * slopes


def shift_pitch(spectra: Tensor, shift: Tensor, top_mel: float) -> Tensor:
    """Shift each frame's spectrum.

    Args:
        spectra: [prototypes, frames or 1, bands]; one frame stands for all.
        shift: [windows, prototypes, frames].
        top_mel: see shift_positions.

    Returns:
        [windows, prototypes, frames, bands].
    """
    shifted: Tensor = _Read.apply(spectra, shift_positions(shift, spectra.shape[-1], top_mel))  # type: ignore[no-untyped-call]
    return shifted


def filter_bands(settings: Tensor, bands: int) -> Tensor:
    """Compute what two affine filters, of high and of low frequencies, add to each band.

    slope_h softplus(2 (f - 0.5 + c_h)) + slope_l softplus(-2 (f - 0.5 + c_l)) with f from 0 to 1 and a softplus of
    sharpness 10: near 0 up to a cut-off about the middle, moved by c, and a line from there on.

    Args:
        settings: [..., 4]: slope_h, c_h, slope_l, c_l.
        bands: how many.

    Returns:
        [..., bands].
    """
    centred = torch.linspace(-0.5, 0.5, bands, dtype=settings.dtype, device=settings.device)
    slope_high, cut_high, slope_low, cut_low = settings[..., None].unbind(-2)
    softplus = torch.nn.functional.softplus
    high = slope_high * softplus(2 * (centred + cut_high), beta=10)
    return high + slope_low * softplus(-2 * (centred + cut_low), beta=10)
