"""The encodec package's own encoder in PyTorch: the reference, and what runs where nothing faster is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from beyond_spectrograms.representations.engines.base import Engine

if TYPE_CHECKING:
    from encodec.modules.seanet import SEANetEncoder

    from beyond_spectrograms.data.audio import Waveform
    from beyond_spectrograms.representations.base import Features


class TorchEngine(Engine):
    """Calls the encoder. The calling thread's share of cores is its own affair: set torch to one thread before."""

    name: ClassVar[str] = "torch"
    packages: ClassVar[tuple[str, ...]] = ("torch",)

    def __init__(self, encoder: SEANetEncoder) -> None:
        self._encoder = encoder

    def encode(self, windows: Waveform) -> Features:
        """Encode windows [windows, channels, samples], one after the other, as latents [windows, 128, frames]."""
        import torch

        with torch.inference_mode():
            latents = [self._encoder(torch.from_numpy(window[None])) for window in windows]
            return np.asarray(torch.cat(latents).numpy(), dtype=np.float32)
