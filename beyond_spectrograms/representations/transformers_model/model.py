"""Any encoder or codec of the transformers package behind the contract of a representation."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import ClassVar

import numpy as np

from beyond_spectrograms.data.audio import Waveform, mono_at, stored_format
from beyond_spectrograms.params import Transformers
from beyond_spectrograms.representations.base import (
    CheckpointError,
    Coded,
    Features,
    Representation,
    RepresentationError,
    enter_torch_thread,
)
from beyond_spectrograms.representations.transformers_model.codecs import CODECS, Codec
from beyond_spectrograms.representations.transformers_model.encoders import ENCODERS
from beyond_spectrograms.representations.transformers_model.hearing import Hearing, HearingError
from beyond_spectrograms.representations.transformers_model.loading import CONFIG, HubFolder
from beyond_spectrograms.util.errors import require

ARCHITECTURES = ENCODERS | CODECS


class TransformersModel(Representation):
    """Frames [bands, frames] of a model of transformers, in float32 on one thread a window.

    Windows are heard one by one. A sound longer than the model takes at once is heard in pieces of that length, one
    after the other; of a shorter one, which the model's extractor pads, only the sound's own frames are kept.
    """

    chunk: ClassVar[int | None] = 4  # windows a thread: enough that handing over costs nothing

    def __init__(self, name: str, record: Transformers, weights: Sequence[Path]) -> None:
        self.name, self.hears_clips = name, record.hears_clips
        self._hearing = self._make(record, weights)
        try:
            self.form = stored_format(self._hearing.rate)
        except ValueError as error:
            raise RepresentationError(f"{name}: its model takes {error}") from None
        if self._hearing.channels not in (1, self.form.channels):
            raise RepresentationError(
                f"{name}: its model takes {self._hearing.channels} channels, {self.form.name} has 1"
            )
        self.bands = self._hearing.bands
        self.hop_length = max(1, round(self._hearing.hop * self.form.sample_rate / self._hearing.rate))
        self.engine = "transformers"
        self.packages = ("numpy", "torch", "transformers", *self._hearing.requires)

    @property
    def frame_rate(self) -> float:
        """Frames per second, exactly: a hop need not be whole in samples of the stored format."""
        return self._hearing.rate / self._hearing.hop

    def _make(self, record: Transformers, weights: Sequence[Path]) -> Hearing:
        require("transformers")
        folder, config = None, {"model_type": record.architecture}
        if record.weights is not None:
            self._require(weights)
            folder = HubFolder(self.name, weights)
            config = folder.config()
        model_type = config["model_type"]
        if folder is not None and record.architecture not in (None, model_type):
            raise CheckpointError(
                f"{self.name}: architecture is {record.architecture}, and {folder.path / CONFIG} says {model_type}"
            )
        if model_type not in ARCHITECTURES:
            raise CheckpointError(
                f"{self.name}: its model is of model_type {model_type!r}. Known are {', '.join(sorted(ARCHITECTURES))}."
            )
        make = ARCHITECTURES[model_type]
        require(*getattr(make, "requires", ()))
        try:
            return make(record, folder, config)
        except HearingError as error:
            raise RepresentationError(f"{self.name}, of architecture {model_type}: {error}") from None

    def frames(self, samples: int) -> int:
        """Count the frames of a window of `samples` samples of the stored format."""
        return self._hearing.frames(round(samples * self._hearing.rate / self.form.sample_rate))

    _enter_thread = staticmethod(enter_torch_thread)

    def _encode(self, windows: Waveform) -> Features:
        import torch

        if self._hearing.channels == 1:
            windows = mono_at(self._hearing.rate, windows, self.form)[:, None]
        with torch.inference_mode():
            return np.stack([self._hear(window) for window in windows])

    def _hear(self, sound: Waveform) -> Features:
        """Hear a sound [channels, samples] in pieces."""
        hearing, samples = self._hearing, sound.shape[1]
        length = hearing.piece or samples
        pieces = [sound[:, first : first + length] for first in range(0, samples, length)]
        heard = [
            hearing.hear(piece)[:, :frames].float().numpy()
            for piece in pieces
            if (frames := hearing.frames(piece.shape[1]))
        ]
        return np.ascontiguousarray(np.concatenate(heard, axis=1))

    def coded(self) -> Coded:
        """Give the codes and codebooks of a codec whose quantiser adds up entries."""
        found = self._hearing.coded() if isinstance(self._hearing, Codec) else None
        if found is None:
            return super().coded()
        hearing, entries, tables = found
        codebooks = None if tables is None else np.stack([table.float().numpy() for table in tables])
        encoder = copy(self)
        encoder._hearing, encoder.bands = hearing, hearing.bands
        return Coded(encoder, entries, codebooks)

    def embed_text(self, texts: Sequence[str]) -> tuple[Features, float]:
        """Embed texts as [texts, bands], each by itself, and give the model's logit scale."""
        import torch

        try:
            with torch.inference_mode():
                vectors = [vector for text in texts if (vector := self._hearing.embed_text(text)) is not None]
        except HearingError as error:
            raise RepresentationError(f"{self.name}: {error}") from None
        if not vectors:
            return super().embed_text(texts)
        return np.stack([vector.float().numpy() for vector in vectors]), self._hearing.logit_scale
