"""What a window of sound can be turned into: spectrograms and codec latents, behind one contract (base.py)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from beyond_spectrograms import params
from beyond_spectrograms.representations.base import Representation
from beyond_spectrograms.representations.efficientat import EfficientATEncoder
from beyond_spectrograms.representations.encodec import EncodecLatents
from beyond_spectrograms.representations.hear import HearEmbeddings
from beyond_spectrograms.representations.mel import MelSpectrogram
from beyond_spectrograms.representations.model_files import ModelFileEncoder
from beyond_spectrograms.representations.snac import SnacLatents
from beyond_spectrograms.representations.soundstream import SoundStreamLatents
from beyond_spectrograms.representations.trained_codec import TrainedCodecLatents
from beyond_spectrograms.representations.transformers_model.model import TransformersModel
from beyond_spectrograms.representations.waveform import Samples

# By the kind of its record: from its name, the record and its weights files.
KINDS: dict[str, Callable[[str, Any, Sequence[Path]], Representation]] = {
    "mel": MelSpectrogram,
    "waveform": Samples,
    "encodec": EncodecLatents,
    "soundstream": SoundStreamLatents,
    "hear": HearEmbeddings,
    "tflite": ModelFileEncoder,
    "onnx": ModelFileEncoder,
    "efficientat": EfficientATEncoder,
    "snac": SnacLatents,
    "codec": TrainedCodecLatents,
    "codec_file": TrainedCodecLatents,
    "transformers": TransformersModel,
}


def create_representation(name: str, record: params.Representation, weights: Sequence[Path]) -> Representation:
    """Make the representation a record of params.yaml describes. `weights` are its weights files, as it names them."""
    return KINDS[record.kind](name, record, weights)
