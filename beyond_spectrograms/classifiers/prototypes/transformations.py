"""What may be done to a prototype, frame by frame, to meet a sound.

To spectra pitch, gain, two filters: Loiseau et al., "A Model You Can Hear", ISMIR 2022, section 3.1; constants from the
authors' released code (github romainloiseau/a-model-you-can-hear, bd509c5c). The text applies gain, then pitch, then
the filters; the code pitch, then gain. Both give the same: a gain is one number for all bands, and moving bands does
not change it. Spectra are log-mel on the paper's scale, about 0 (silence) to 1.

To latents of a codec, ours: time, and level. A sound 6, 12, 24 dB lower has SoundStream latents at 0.79, 0.63, 0.38 of
their distance to those of silence, and this one factor a frame is 79, 87, 92 % of the change (60 windows of ESC-10).
"""

import math
from functools import cache

import torch
from torch import Tensor

# Of what tanh gives: e-fold, scaled level, slopes and cut-offs; factor beside 1, share of the prototype's length.
BOUNDS = {"pitch": 1.0, "gain": 0.5, "filters": 0.25, "level": 1.0, "time": 0.5}
# Slaney's mel scale, librosa's: 200 / 3 Hz a mel up to 1000 Hz, from there on 27 mel for a factor of 6.4.
HZ_A_MEL, CORNER_HZ, CORNER_MEL, LOG_MEL = 200 / 3, 1000.0, 15.0, 27 / math.log(6.4)


@cache
def _bands_in_mel(bands: int, top_hz: float, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, float]:
    """Give each band's centre on the linear and on the logarithmic part of the scale, and mel from band to band."""
    top = CORNER_MEL + LOG_MEL * math.log(top_hz / CORNER_HZ) if top_hz > CORNER_HZ else top_hz / HZ_A_MEL
    step = top / (bands + 1)
    mel = step * torch.arange(1, bands + 1, dtype=torch.float64)
    hertz = torch.where(mel < CORNER_MEL, HZ_A_MEL * mel, CORNER_HZ * torch.exp((mel - CORNER_MEL) / LOG_MEL))
    logarithmic = CORNER_MEL + LOG_MEL * torch.log(hertz / CORNER_HZ)
    return (hertz / HZ_A_MEL).to(device, dtype), logarithmic.to(device, dtype), step


def shift_positions(shift: Tensor, bands: int, top_hz: float) -> tuple[Tensor, Tensor]:
    """Say where in a spectrum of `bands` bands each band of the shifted one is read.

    A shift p scales all frequencies by e^p: the value at f Hz comes from f e^-p. The released code does so for bands as
    if their numbers were frequencies (its formula on a mel from 0 to 1), which is not the same sound higher.

    `shift` [...] is positive upwards; `bands` are librosa's mel bands from 0 to `top_hz`. Gives positions [..., bands]
    from 0 to bands - 1, beyond the ends those held; and their derivatives by the shift.
    """
    linear, logarithmic, step = _bands_in_mel(bands, top_hz, shift.dtype, shift.device)
    shift = shift[..., None]
    below = torch.exp(-shift) * linear
    mel = torch.where(below < CORNER_MEL, below, logarithmic - LOG_MEL * shift)
    slopes = torch.where(below < CORNER_MEL, -below, -LOG_MEL)
    positions = (mel / step).sub_(1)
    held = (positions < 0) | (positions > bands - 1)
    return positions.clamp_(0, bands - 1), (slopes / step).masked_fill_(held, 0)


class _ShiftPitch(torch.autograd.Function):
    """Linear interpolation of spectra at shifted positions, with its gradient in one pass over either."""

    @staticmethod
    def forward(context, spectra: Tensor, shift: Tensor, top_hz: float) -> Tensor:  # type: ignore[no-untyped-def]
        bands = spectra.shape[-1]
        positions, rates = shift_positions(shift, bands, top_hz)
        below = positions.floor().clamp_(max=bands - 2)
        share = positions.sub_(below)
        # Flat places in the table of spectra: rows of prototypes (and frames), columns of bands.
        rows = torch.arange(spectra.numel() // bands, device=spectra.device).reshape(spectra.shape[:-1])
        # A shift that is not a number, of weights that diverged, reads anywhere: its share makes it NaN again.
        places = below.nan_to_num_(0).long().add_((rows * bands)[..., None])
        table = spectra.reshape(-1)
        steps = torch.zeros_like(table)
        torch.sub(table[1:], table[:-1], out=steps[:-1])
        slopes = steps.take(places)
        context.shape = spectra.shape
        shifted = torch.addcmul(table.take(places), share, slopes)
        context.save_for_backward(places, share, slopes.mul_(rates))
        return shifted

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[no-untyped-def]
        places, share, rates = context.saved_tensors
        upper = gradient * share
        table = gradient.new_zeros(context.shape).reshape(-1)
        flat = places.reshape(-1)
        table.index_add_(0, flat, (gradient - upper).reshape(-1))
        table.index_add_(0, flat + 1, upper.reshape(-1))
        return table.reshape(context.shape), (gradient * rates).sum(-1), None


def shift_pitch(spectra: Tensor, shift: Tensor, top_hz: float) -> Tensor:
    """Shift each frame's spectrum (shift_positions); gives [windows, prototypes, frames, bands].

    `spectra` are [prototypes, frames or 1, bands], one frame stands for all; `shift` is [windows, prototypes, frames].
    """
    shifted: Tensor = _ShiftPitch.apply(spectra, shift, top_hz)  # type: ignore[no-untyped-call]
    return shifted


def read_frames(prototypes: Tensor, shift: Tensor) -> Tensor:
    """Read prototypes as they go by, each frame of the window earlier or later by a shift.

    `prototypes` [prototypes, prototype frames, bands] are read from the first frame to the last over the window;
    `shift` [windows, prototypes, frames] is in shares of their length, whose ends are held. Gives [windows, prototypes,
    frames, bands], linear between frames.
    """
    count, length, bands = prototypes.shape
    frames = shift.shape[2]
    straight = torch.linspace(0, 1, frames, dtype=shift.dtype, device=shift.device)
    positions = ((straight + shift) * (length - 1)).clamp(0, length - 1)
    below = positions.detach().floor().clamp_(max=length - 2).nan_to_num_(0)
    rows = below.long() + length * torch.arange(count, device=shift.device)[:, None]
    table = prototypes.reshape(-1, bands)
    first = table.index_select(0, rows.flatten()).reshape(*shift.shape, bands)
    second = table.index_select(0, rows.flatten() + 1).reshape(*shift.shape, bands)
    return torch.lerp(first, second, (positions - below)[..., None])


def filter_bands(settings: Tensor, bands: int) -> Tensor:
    """Compute what two affine filters, of high and of low frequencies, add to each band.

    slope_h softplus(2 (f - 0.5 + c_h)) + slope_l softplus(-2 (f - 0.5 + c_l)) with f from 0 to 1 and a softplus of
    sharpness 10: near 0 up to a cut-off about the middle, moved by c, and a line from there on. `settings` [..., 4] are
    slope_h, c_h, slope_l, c_l; gives [..., bands].
    """
    doubled = torch.linspace(-1, 1, bands, dtype=settings.dtype, device=settings.device)
    slope_high, cut_high, slope_low, cut_low = settings[..., None].unbind(-2)
    softplus = torch.nn.functional.softplus
    high = slope_high * softplus(doubled + 2 * cut_high, beta=10)
    return torch.addcmul(high, slope_low, softplus(-doubled - 2 * cut_low, beta=10))
