"""Log-mel spectra as sound: mel bands -> linear bins -> waveform, all equally loud."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.audio import Format
from beyond_spectrograms.util.errors import ProjectError

if TYPE_CHECKING:
    from beyond_spectrograms.data.audio import Waveform
    from beyond_spectrograms.params import Mel

FINDING = 50  # updates of the linear bins: their mel bands are then right to 0.001 dB in the median
ROUNDS = 32  # of Griffin and Lim, librosa's default
RAISED = 1e10  # brings the floor of -100 dB to 1: scikit-learn treats what is under 1e-7 as 0
LOUDNESS = 0.05  # A-weighted root mean square of every sound
PEAK = 0.98  # a sound that would go beyond is turned down, and is less loud than the others

Spectra = npt.NDArray[np.float32]


class PrototypesError(ProjectError):
    """Prototypes cannot be played; the message says which, and why."""


class Synthesizer:
    """Plays log-mel spectra of a representation.

    The linear power under each frame's bands is found by non-negative factorisation with the mel triangles as the fixed
    factor (scikit-learn; Lee and Seung 2001), by Kullback-Leibler divergence and not by least squares: it weighs a
    quiet band by its own level, and so is exact in all. Phases are Griffin and Lim's (librosa), started from `seed`.
    """

    seconds_each = 0.1

    def __init__(self, record: Mel, seed: int) -> None:
        """Take the record of a representation of scale db."""
        self.form = Format(record.sample_rate, 1)
        self._record = record
        self._seed = seed
        pooled = record.pooled_frame_rate
        self.hop_length = record.sample_rate // pooled if pooled else record.hop_length

    @cached_property
    def _triangles(self) -> npt.NDArray[np.float64]:
        from librosa.filters import mel

        record = self._record
        return np.asarray(mel(sr=record.sample_rate, n_fft=record.n_fft, n_mels=record.n_mels), dtype=np.float64)

    @property
    def frequencies(self) -> npt.NDArray[np.float64]:
        """Centre of each mel band [bands], in Hz."""
        from librosa import mel_frequencies

        edges = mel_frequencies(self._record.n_mels + 2, fmin=0.0, fmax=self.form.sample_rate / 2)
        return np.asarray(edges[1:-1], dtype=np.float64)

    def magnitudes(self, decibels: Spectra) -> npt.NDArray[np.float64]:
        """Find linear magnitudes [bins, frames] under decibels of mel power [bands, frames]."""
        from sklearn.decomposition import non_negative_factorization
        from threadpoolctl import threadpool_limits

        power = RAISED * 10 ** (decibels.astype(np.float64).T / 10)
        with threadpool_limits(1):  # the last bits of a sum depend on how many threads share it
            bins, _, _ = non_negative_factorization(
                power,
                H=self._triangles.T.copy(),
                n_components=self._triangles.shape[1],
                update_H=False,
                solver="mu",
                beta_loss="kullback-leibler",
                max_iter=FINDING,
                tol=0,
            )
        return np.sqrt(np.asarray(bins, dtype=np.float64).T / RAISED)

    def play(self, features: Spectra) -> Waveform:
        """Play decibels [bands, frames] as samples [samples] of LOUDNESS."""
        from librosa import griffinlim

        samples = griffinlim(
            self.magnitudes(features),
            n_iter=ROUNDS,
            hop_length=self.hop_length,
            n_fft=self._record.n_fft,
            window=self._record.window,
            random_state=self._seed,
        )
        return match_level(np.asarray(samples, dtype=np.float32), self.form.sample_rate)


def match_level(samples: Waveform, sample_rate: int) -> Waveform:
    """Bring samples [samples] to LOUDNESS, or as near to it as PEAK allows; silence stays silence.

    A-weighting (IEC 61672, librosa's) lets a rumble and a hiss of the same level sound about equally loud.
    """
    from librosa import A_weighting

    spectrum = np.fft.rfft(samples)
    with np.errstate(divide="ignore"):  # 0 Hz has no weight at all
        weights = 10 ** (A_weighting(np.fft.rfftfreq(len(samples), 1 / sample_rate), min_db=None) / 20)
    loudness = float(np.sqrt(np.mean(np.fft.irfft(spectrum * weights, len(samples)) ** 2)))
    peak = float(np.abs(samples).max(initial=0))
    if not loudness or not peak:
        return samples
    return np.asarray(samples * min(LOUDNESS / loudness, PEAK / peak), dtype=np.float32)
