"""The samples as they are, for classifiers that learn from them."""

from collections.abc import Sequence
from pathlib import Path

from beyond_spectrograms.data.audio import Format, Waveform
from beyond_spectrograms.params import RawWaveform
from beyond_spectrograms.representations.base import Features, Representation


class Samples(Representation):
    """A window's samples as one band, a frame each."""

    bands = 1
    hop_length = 1

    def __init__(self, name: str, record: RawWaveform, weights: Sequence[Path]) -> None:  # noqa: ARG002  as the others
        self.name = name
        self.form = Format(record.sample_rate, 1)

    def frames(self, samples: int) -> int:
        """Count the samples: each is a frame."""
        return samples

    def _encode(self, windows: Waveform) -> Features:
        return windows
