"""Latents of a codec of ours, before its quantiser: at any point of its training here, or as it was passed on."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from beyond_spectrograms.data.audio import Format, Waveform
from beyond_spectrograms.params import CodecFile, TrainedCodec
from beyond_spectrograms.representations.base import CheckpointError, Features, Representation, enter_torch_thread


class TrainedCodecLatents(Representation):
    """Latents [dimension, frames] of each window by itself; the last frame may be partial."""

    packages = ("encodec", "numpy", "torch")
    engine = "torch"
    chunk: ClassVar[int | None] = 8

    def __init__(self, name: str, record: TrainedCodec | CodecFile, weights: Sequence[Path]) -> None:
        self.name = name
        if isinstance(record, CodecFile):
            self._require(weights)
        elif not weights or not weights[0].is_file():
            raise CheckpointError(
                f"{name}: {record.codec} of seed {record.seed} after {record.step} steps is not here. Run the stage "
                f"train_codec@{record.codec}."
            )
        from beyond_spectrograms.codec.network import CodecFileError, load_codec  # imports torch, as few kinds do

        try:
            self._codec, _ = load_codec(weights[0])
        except CodecFileError as error:
            raise CheckpointError(f"{name}: {error}") from None
        network = self._codec.network
        self.form = Format(network.sample_rate, network.channels)
        self.bands, self.hop_length = network.dimension, network.hop_length

    _enter_thread = staticmethod(enter_torch_thread)

    def _encode(self, windows: Waveform) -> Features:
        import torch

        # One by one: in a batch of another size a window may have other last bits.
        with torch.inference_mode():
            latents = [self._codec.latents(torch.from_numpy(window[None])) for window in windows]
            return np.asarray(torch.cat(latents).numpy(), dtype=np.float32)
