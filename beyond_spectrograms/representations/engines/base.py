"""The contract of an engine, and the one that is always there: the encodec package's own encoder in PyTorch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from beyond_spectrograms.util.errors import ProjectError

if TYPE_CHECKING:
    from encodec.modules.seanet import SEANetEncoder

    from beyond_spectrograms.data.audio import Waveform
    from beyond_spectrograms.representations.base import Features


class EngineError(ProjectError):
    """An engine is not installed, or cannot do here what it is asked for; the message says what to do."""


class Engine(ABC):
    """Runs EnCodec's encoder on one core, from as many threads at once as there are cores.

    A window's latents are the same to the bit whatever windows are beside it and however many cores there are.

    Attributes:
        name: as it is printed and recorded.
        packages: distributions whose version can change the result.
        spare_threads: callers beyond one a core that keep it busy, where it computes in threads of its own.
    """

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    spare_threads: ClassVar[int] = 0

    @abstractmethod
    def encode(self, windows: Waveform) -> Features:
        """Encode windows [windows, channels, samples], at least one, as latents [windows, 128, frames]."""


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
