"""What a window of sound can be turned into: spectrograms and codec latents, behind one contract (base.py)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beyond_spectrograms.representations.base import Representation

if TYPE_CHECKING:
    from beyond_spectrograms import params


def create_representation(name: str, record: params.Representation, weights: Sequence[Path]) -> Representation:
    """Make the representation a record of params.yaml describes. `weights` are its weights files, as it names them."""
    match record.kind:
        case "mel":
            from beyond_spectrograms.representations.mel import MelSpectrogram

            return MelSpectrogram(name, record)
        case "encodec":
            from beyond_spectrograms.representations.encodec import EncodecLatents

            return EncodecLatents(name, record, weights)
        case "soundstream":
            from beyond_spectrograms.representations.soundstream import SoundStreamLatents

            return SoundStreamLatents(name, record, weights)
        case "hear":
            from beyond_spectrograms.representations.hear import HearEmbeddings

            return HearEmbeddings(name, record, weights)
