"""Mel spectrograms as librosa computes them (0.11, feature.melspectrogram), without what it repeats for each window.

sound [samples] -> frames under a taper -> power of the spectrum -> mel bands -> decibels or PCEN -> cosine transform ->
mean over time -> derivatives over time; a record says which of the last five there are.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.audio import Format, Waveform
from beyond_spectrograms.params import Mel
from beyond_spectrograms.representations.base import Features, Representation, RepresentationError

POWER_FLOOR = 1e-10  # librosa's own floor of power_to_db: -100 dB
FULL_SCALE = 2.0**31  # of the sounds that librosa.pcen's defaults are for
DELTA_FRAMES = 9  # librosa.feature.delta's width


class MelSpectrogram(Representation):
    """Mel power, its decibels re 1.0, floored at -100 dB, or per-channel energy normalisation (PCEN) of mel magnitude.

    Decibels are not referred to each window's peak and not cut 80 dB below it (librosa's default top_db), so that a
    quiet window stays quiet and no value depends on another. With a pooled frame rate, what the classifier would get is
    averaged over time, frame n of N being the mean of the frames from floor(n T / N) to ceil((n + 1) T / N) of T, as
    torch's adaptive average pooling has it: a spectrogram of as many frames as a codec gives.
    """

    packages = ("librosa", "numpy", "scipy")  # librosa's formulas; its code takes longer to import than to be computed
    engine = "scipy"
    chunk: ClassVar[int | None] = 8

    def __init__(self, name: str, record: Mel, weights: Sequence[Path] = ()) -> None:  # noqa: ARG002  as the others
        self.name = name
        self.form = Format(record.sample_rate, 1)
        self.bands = record.bands
        pooled = record.pooled_frame_rate
        self.hop_length = record.sample_rate // pooled if pooled else record.hop_length
        self._record = record

    def frames(self, samples: int) -> int:
        """Frames are centred on every hop from sample 0 on, 1 + samples // hop_length; pooled ones fill a hop each."""
        return samples // self.hop_length + (self._record.pooled_frame_rate is None)

    def _encode(self, windows: Waveform) -> Features:
        n_fft = self._record.n_fft
        padded = np.pad(windows[:, 0], ((0, 0), (n_fft // 2, n_fft // 2)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=1)[:, :: self._record.hop_length]
        power = np.empty((len(windows), self._record.n_mels, frames.shape[1]), np.float32)
        for its_frames, its_power in zip(frames, power, strict=True):
            its_power[:] = self._power(its_frames)
        if self._record.scale == "db":
            power = 10 * np.log10(np.maximum(power, POWER_FLOOR))
        elif self._record.scale == "pcen":
            power = normalize_energy(power, self._record)
        if self._record.n_mfcc is not None:
            power = cepstrum(power, self._record.n_mfcc)
        if self._record.pooled_frame_rate is not None:
            power = pool(power, self.frames(windows.shape[2]))
        if self._record.deltas is None:
            return power
        if power.shape[2] < DELTA_FRAMES:
            raise RepresentationError(
                f"{self.name}: deltas need windows of at least {DELTA_FRAMES} frames, got {power.shape[2]}: take "
                "longer windows or a shorter hop_length"
            )
        return np.concatenate([power, *(delta(power, order + 1) for order in range(self._record.deltas))], axis=1)

    def _power(self, frames: npt.NDArray[np.float32]) -> Features:
        """Give the mel power, or for PCEN the magnitude, [bands, frames] of one window's frames [frames, n_fft]."""
        import scipy.fft

        # In float64: float32 is off by up to 0.2 dB in bands 80 dB below the loudest.
        spectra = scipy.fft.rfft(frames * self.taper, axis=1, overwrite_x=True).astype(np.complex64)
        squares = spectra.view(np.float32)
        np.square(squares, out=squares)
        power = np.add(squares[:, 0::2].T, squares[:, 1::2].T, order="C")
        if self._record.scale == "pcen":
            np.sqrt(power, out=power)
        return np.asarray(self._filters @ power, dtype=np.float32)

    @cached_property
    def taper(self) -> npt.NDArray[np.float64]:
        """The window [n_fft] as scipy.signal.get_window has it: periodic, to the bit."""
        level = {"hann": 0.5, "hamming": 0.54}[self._record.window]
        angle = np.linspace(-np.pi, np.pi, self._record.n_fft + 1)[:-1]
        return np.asarray(level + (1 - level) * np.cos(angle))

    @cached_property
    def triangles(self) -> Features:
        """The mel filters [bands, bins] as librosa.filters.mel has them, to the bit.

        Source: Slaney, Auditory Toolbox, 1998: each triangle has the same area; edges are evenly spaced on his mel
        scale, 200 / 3 Hz a mel up to 1000 Hz (15 mel), from there on 27 mel for a factor of 6.4.
        """
        rate, step = self._record.sample_rate, np.log(6.4) / 27
        mels = np.linspace(0, 15 + np.log(rate / 2 / 1000) / step, self._record.n_mels + 2)
        edges = 200 / 3 * mels
        edges[mels >= 15] = 1000 * np.exp(step * (mels[mels >= 15] - 15))
        ramps = np.subtract.outer(edges, np.fft.rfftfreq(self._record.n_fft, 1 / rate))
        rising, falling = -ramps[:-2] / np.diff(edges)[:-1, None], ramps[2:] / np.diff(edges)[1:, None]
        triangles = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
        triangles *= 2 / (edges[2:] - edges[:-2])[:, None]
        return np.asarray(triangles)

    @cached_property
    def _filters(self) -> Any:
        """The same as a csr_array; of 512 samples 504 of 33,000 entries are not zero."""
        from scipy.sparse import csr_array

        return csr_array(self.triangles)


def normalize_energy(magnitude: Features, record: Mel) -> Features:
    """Apply per-channel energy normalisation to mel magnitudes [windows, bands, frames] of sounds in [-1, 1].

    As librosa.pcen of the magnitude times 2^31, which its defaults are for; source: Wang et al., "Trainable frontend
    for robust and far-field keyword spotting", ICASSP 2017, equations 1 and 2. Each frame is divided by a power of the
    band's smoothed past, and its root is taken. The smoother starts anew in each window, from the level 1 of librosa,
    which at this scale is silence: the first frames of a window, whose past is short, are the largest.
    """
    settings, scaled = record.pcen, magnitude * np.float32(FULL_SCALE)
    smoothed, past = np.empty_like(scaled), np.ones(scaled.shape[:2], np.float32)
    share = np.float32(smoother_share(record))
    for frame in range(scaled.shape[2]):
        past = (1 - share) * past + share * scaled[:, :, frame]
        smoothed[:, :, frame] = past
    gained = scaled * (settings["eps"] + smoothed) ** -settings["gain"]
    bias, power = settings["bias"], settings["power"]
    return np.asarray(bias**power * np.expm1(power * np.log1p(gained / bias)), dtype=np.float32)


def smoother_share(record: Mel) -> float:
    """Say how much of a smoothed value of PCEN is its own frame's, as librosa.pcen has it of `time_constant`."""
    frames = record.pcen["time_constant"] * record.sample_rate / record.hop_length
    return float((np.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2))


def delta(features: Features, order: int) -> Features:
    """Estimate the derivative over time, of the first or second order, of [windows, bands, frames]; per frame.

    As librosa.feature.delta with its width of 9 frames and mode interp: the derivative of a line, or parabola, fitted
    to the nine frames around each (Savitzky and Golay 1964). The first and last four frames have that of the first and
    last nine, which all fit alike.
    """
    reach = DELTA_FRAMES // 2
    steps = np.arange(-reach, reach + 1.0) ** order
    steps -= steps.mean()  # so that no constant counts
    slopes = np.asarray(order * steps / np.square(steps).sum(), dtype=np.float32)  # order! is 1 or 2
    inside = features.shape[2] - 2 * reach
    # Added up in a fixed order: a matrix product's last bits depend on how many windows there are.
    fitted = sum(slope * features[:, :, first : first + inside] for first, slope in enumerate(slopes))
    return np.pad(np.asarray(fitted), ((0, 0), (0, 0), (reach, reach)), mode="edge")


def cepstrum(decibels: Features, coefficients: int) -> Features:
    """Turn mel bands [windows, bands, frames] in dB into MFCC [windows, coefficients, frames].

    As librosa.feature.mfcc: a cosine transform of type 2, orthonormal, over the bands.
    """
    import scipy.fft

    return np.asarray(scipy.fft.dct(decibels, type=2, norm="ortho", axis=1)[:, :coefficients], dtype=np.float32)


def pool(features: Features, frames: int) -> Features:
    """Average [windows, bands, frames before] to [windows, bands, `frames`]."""
    before = features.shape[2]
    edges = [(n * before // frames, -(-(n + 1) * before // frames)) for n in range(frames)]
    return np.stack([features[:, :, first:end].mean(axis=2) for first, end in edges], axis=2)
