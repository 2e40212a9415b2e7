"""Mel spectrograms, by librosa."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from beyond_spectrograms.audio import Format, Waveform
from beyond_spectrograms.representations.base import Features, Representation

if TYPE_CHECKING:
    from beyond_spectrograms.params import Mel

POWER_FLOOR = 1e-10  # librosa's own floor of power_to_db: -100 dB


class MelSpectrogram(Representation):
    """Mel power, or its decibels re 1.0, floored at -100 dB.

    Decibels are not referred to each window's peak and not cut 80 dB below it (librosa's default top_db), so that a
    quiet window stays quiet and no value depends on another. With a pooled frame rate, what the classifier would get is
    averaged over time, frame n of N being the mean of the frames from floor(n T / N) to ceil((n + 1) T / N) of T, as
    torch's adaptive average pooling has it: a spectrogram of as many frames as a codec gives.
    """

    packages = ("librosa", "numpy", "scipy")

    def __init__(self, name: str, record: Mel) -> None:
        self.name = name
        self.form = Format(record.sample_rate, 1)
        self.bands = record.n_mels
        pooled = record.pooled_frame_rate
        self.hop_length = record.sample_rate // pooled if pooled else record.hop_length
        self._record = record

    def frames(self, samples: int) -> int:
        """Frames are centred on every hop from sample 0 on, 1 + samples // hop_length; pooled ones fill a hop each."""
        return samples // self.hop_length + (self._record.pooled_frame_rate is None)

    def _encode(self, windows: Waveform) -> Features:
        import librosa

        power = librosa.feature.melspectrogram(
            y=windows[:, 0],
            sr=self._record.sample_rate,
            n_fft=self._record.n_fft,
            hop_length=self._record.hop_length,
            n_mels=self._record.n_mels,
            window=self._record.window,
            power=2.0,
        )
        if self._record.scale == "db":
            power = librosa.power_to_db(power, ref=1.0, amin=POWER_FLOOR, top_db=None)
        features = np.asarray(power, dtype=np.float32)
        return features if self._record.pooled_frame_rate is None else pool(features, self.frames(windows.shape[2]))


def pool(features: Features, frames: int) -> Features:
    """Average [windows, bands, frames before] to [windows, bands, `frames`]."""
    before = features.shape[2]
    edges = [(n * before // frames, -(-(n + 1) * before // frames)) for n in range(frames)]
    return np.stack([features[:, :, first:end].mean(axis=2) for first, end in edges], axis=2)
