"""What hears a sound as frames: the contract of encoders and codecs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from beyond_spectrograms.data.audio import Waveform

if TYPE_CHECKING:
    from torch import Tensor, nn


class HearingError(ValueError):
    """A record asks a model for what it does not have; the message says what it has."""


class Hearing(ABC):
    """Hears a sound [channels, samples] at `rate` Hz as frames [bands, frames]."""

    rate: int
    channels: int = 1
    bands: int
    hop: int  # samples from one frame to the next
    piece: int | None = None  # longest sound that is heard at once, in samples: a multiple of `hop`
    requires: ClassVar[tuple[str, ...]] = ()  # further modules

    @abstractmethod
    def frames(self, samples: int) -> int:
        """Count the frames of a sound, those of padding left out."""

    @abstractmethod
    def hear(self, sound: Waveform) -> Tensor:
        """Give [bands, frames] or more: those of padding come last."""

    def embed_text(self, text: str) -> Tensor | None:
        """Give the embedding [bands] of a text, of length 1; None without a text tower.

        Raises:
            HearingError: it is longer than that takes.
        """
        del text
        return None

    @property
    def logit_scale(self) -> float:
        """What cosines of sound and text are multiplied by."""
        return 1.0


def conv_length(module: nn.Module, samples: int) -> int:
    """Count what is left of `samples` by all one-dimensional convolutions of a module, one after the other."""
    from torch import nn

    for layer in module.modules():
        if isinstance(layer, nn.Conv1d):
            (size,), (stride,), (dilation,) = layer.kernel_size, layer.stride, layer.dilation
            assert not isinstance(layer.padding, str)
            samples = (samples + 2 * layer.padding[0] - dilation * (size - 1) - 1) // stride + 1
    return samples
