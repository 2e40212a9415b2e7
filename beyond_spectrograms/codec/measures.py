"""How good a codec is: how near its sound is to what went in, and what its codes cost and hold."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import correlate

from beyond_spectrograms.codec.losses import FLOOR, MelSpectra
from beyond_spectrograms.codec.network import Codec, bandwidth_of
from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.util.machine import one_thread

LONGEST_DELAY_S = 0.05  # between a sound and what was made of it, either way
WINDOWS = tuple(range(5, 12))  # exponents of 2, samples: resolutions of the mel distance
TINY = 1e-12  # of a power
DIGITS = 4  # of what is written: less than one processor differs from the next


class Quality(NamedTuple):
    """How near a decoded sound is: SI-SNR (dB, more is nearer), delay (samples), mel distance (dB, less is nearer)."""

    si_snr: float
    delay: int
    mel_distance: float


class CodeUse(NamedTuple):
    """What a codebook's codes hold: the share of its entries that are used, perplexity, and bits of entropy a code."""

    used: float
    perplexity: float
    bits: float


def si_snr(made: Waveform, recorded: Waveform) -> float:
    """Scale-invariant signal-to-noise ratio, dB, of sounds [samples] without their means.

    Le Roux et al., "SDR - half-baked or well done?", 2019: the part of `made` along `recorded` over the rest.
    """
    one, other = (each.astype(np.float64) - each.mean(dtype=np.float64) for each in (made, recorded))
    along = (one @ other) / max(float(other @ other), TINY) * other
    rest = one - along
    return float(10 * np.log10((along @ along + TINY) / (rest @ rest + TINY)))


def find_delay(made: Waveform, recorded: Waveform, longest: int) -> int:
    """Find how many samples, at most `longest`, `made` [samples] comes after `recorded`: where they correlate most."""
    correlation = correlate(made.astype(np.float64), recorded.astype(np.float64), method="fft")
    middle = len(recorded) - 1
    near = correlation[max(0, middle - longest) : middle + longest + 1]
    return int(np.argmax(near)) - min(middle, longest)


def compare_sounds(made: Waveform, recorded: Waveform, sample_rate: int) -> Quality:
    """Compare sounds [channels, samples] at `sample_rate` Hz; the delay is found on their mean and then taken out."""
    longest = round(LONGEST_DELAY_S * sample_rate)
    delay = find_delay(made.mean(0), recorded.mean(0), longest)
    samples = recorded.shape[1] - abs(delay)
    one = made[:, max(0, delay) : max(0, delay) + samples]
    other = recorded[:, max(0, -delay) : max(0, -delay) + samples]
    ratio = float(np.mean([si_snr(a, b) for a, b in zip(one, other, strict=True)]))
    return Quality(ratio, delay, mel_distance(one, other, sample_rate))


def mel_distance(made: Waveform, recorded: Waveform, sample_rate: int) -> float:
    """Mean absolute difference of mel power in decibels, over bands, frames and resolutions of WINDOWS.

    Zeros follow sounds [channels, samples] that are too short to be reflected at the ends of the longest window.
    """
    distances, longest = [], 2 ** WINDOWS[-1]
    if made.shape[1] <= longest * 3 // 8:  # as far as MelSpectra reflects them
        made, recorded = (np.pad(each, ((0, 0), (0, longest - each.shape[1]))) for each in (made, recorded))
    for exponent in WINDOWS:
        spectra = MelSpectra(sample_rate, 2**exponent, 0.0)
        one, other = (10 * torch.log10(FLOOR + spectra(torch.from_numpy(each)[None])) for each in (made, recorded))
        distances.append(float((one - other).abs().mean()))
    return float(np.mean(distances))


def measure_codes(codes: npt.NDArray[np.int64], entries: int) -> list[CodeUse]:
    """Measure the use of each codebook by codes [codebooks, codes]."""
    used = []
    for chosen in codes:
        shares = np.bincount(chosen, minlength=entries) / len(chosen)
        bits = float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())
        used.append(CodeUse(float((shares > 0).mean()), 2**bits, bits))
    return used


class Coder:
    """Codes sounds of any length with the encodec package's model of a codec, on one thread, timed."""

    def __init__(self, codec: Codec) -> None:
        self._model = codec.as_package()
        self.seconds = {"encoder": 0.0, "decoder": 0.0}

    def code(self, sound: Waveform, bitrate: int) -> tuple[Waveform, npt.NDArray[np.int64]]:
        """Encode and decode a sound [channels, samples] at `bitrate` bits/s.

        Returns:
            what is decoded, of the same shape, and the codes [codebooks, frames].
        """
        self._model.bandwidth = bandwidth_of(bitrate)
        with one_thread(), torch.inference_mode():
            began = time.perf_counter()
            frames = self._model.encode(torch.from_numpy(sound)[None])
            middle = time.perf_counter()
            decoded = self._model.decode(frames)[0, :, : sound.shape[1]]
            self.seconds["encoder"] += middle - began
            self.seconds["decoder"] += time.perf_counter() - middle
        codes = torch.cat([codes[0] for codes, _ in frames], dim=1)
        return decoded.numpy(), codes.numpy()


def judge_codec(codec: Codec, sounds: Sequence[Waveform], bitrate: int) -> tuple[list[Quality], list[CodeUse]]:
    """Judge a codec at `bitrate` (bits/s) by sounds [channels, samples]: quality of each, and use of each codebook."""
    coder, rate = Coder(codec), codec.network.sample_rate
    coded = [coder.code(sound, bitrate) for sound in sounds]
    qualities = [compare_sounds(made, sound, rate) for (made, _), sound in zip(coded, sounds, strict=True)]
    return qualities, measure_codes(np.concatenate([codes for _, codes in coded], axis=1), codec.network.entries)


def mean_quality(qualities: Sequence[Quality]) -> dict[str, float]:
    """Give the means of SI-SNR and of the mel distance, dB, as they are written."""
    return {
        "si_snr": round(float(np.mean([each.si_snr for each in qualities])), DIGITS),
        "mel_distance": round(float(np.mean([each.mel_distance for each in qualities])), DIGITS),
    }


def real_time_factors(codec: Codec, sounds: Sequence[Waveform], bitrate: int) -> dict[str, float]:
    """Seconds of sound that encoder and decoder do in a second of one core, after a first sound that is not timed."""
    coder = Coder(codec)
    coder.code(sounds[0], bitrate)
    coder.seconds = dict.fromkeys(coder.seconds, 0.0)
    for sound in sounds:
        coder.code(sound, bitrate)
    length_s = sum(sound.shape[1] for sound in sounds) / codec.network.sample_rate
    return {name: length_s / seconds for name, seconds in coder.seconds.items()}
