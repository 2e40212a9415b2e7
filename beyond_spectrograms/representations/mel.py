"""Mel spectrograms, by librosa."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from beyond_spectrograms.audio import Format, Waveform
from beyond_spectrograms.representations.base import Features, Representation

if TYPE_CHECKING:
    from beyond_spectrograms.params import Mel

POWER_FLOOR = 1e-10  # librosa's own floor of power_to_db: -100 dB


class MelSpectrogram(Representation):
    """Mel power, or its decibels re 1.0, floored at -100 dB.

    Decibels are not referred to each window's peak and not cut 80 dB below it (librosa's default top_db), so that a
    quiet window stays quiet and no value depends on another.
    """

    packages: ClassVar[tuple[str, ...]] = ("librosa", "numpy", "scipy")

    def __init__(self, name: str, record: Mel) -> None:
        self.name = name
        self.form = Format(record.sample_rate, 1)
        self.bands = record.n_mels
        self.hop_length = record.hop_length
        self._record = record

    def frames(self, samples: int) -> int:
        """Frames are centred on every hop from sample 0 on: 1 + samples // hop_length."""
        return 1 + samples // self.hop_length

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
        return np.asarray(power, dtype=np.float32)
