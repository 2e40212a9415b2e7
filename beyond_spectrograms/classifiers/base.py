"""The two networks of the paper, the one its code runs and the one its text cites, and a linear one to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from beyond_spectrograms.util.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Callable

    from beyond_spectrograms.params import Protocol
    from beyond_spectrograms.training.trainers.base import Trainer


class ClassifierError(ProjectError):
    """A classifier cannot take windows of this size, or the device asked for is not there."""


class TimeConvolution(nn.Conv1d):
    """Convolution over time of windows [windows, channels, frames] kept in memory as [windows, frames, channels].

    Same weights and values as torch's Conv1d. Its CPU kernels are the faster for channels that lie side by side, but
    only the two-dimensional ones take that layout: a window goes in as an image one row high.
    """

    def forward(self, windows: Tensor) -> Tensor:
        """Convolve; the result lies in memory as the input does."""
        image = windows.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return nn.functional.conv2d(image, self.weight.unsqueeze(2), self.bias).squeeze(2)


class TimePooling(nn.Module):
    """Maximum over `frames` frames in TimeConvolution's layout, for which torch's MaxPool1d has no kernel."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, windows: Tensor) -> Tensor:
        """Pool windows [windows, channels, frames] to [windows, channels, frames // self.frames]."""
        return nn.functional.max_pool2d(windows.unsqueeze(2), (1, self.frames)).squeeze(2)


def conv1d(bands: int, frames: int, classes: int) -> nn.Sequential:
    """Build the released code's network: bands are channels, convolution is over time alone.

    Takes windows [windows, bands, frames], gives logits [windows, classes]. ReLU stands behind the pooling instead of
    before it: both orders give the same values and gradients, this one touches a fifth of them.
    """
    pooled = ((frames - 4) // 5 - 4) // 5
    if pooled < 1:
        raise ClassifierError(f"conv1d needs windows of at least 49 frames, got {frames}: take a shorter hop_length")
    return nn.Sequential(
        TimeConvolution(bands, 128, kernel_size=5),
        TimePooling(5),
        nn.ReLU(),
        TimeConvolution(128, 256, kernel_size=5),
        TimePooling(5),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(256 * pooled, classes),
    )


def conv2d(bands: int, frames: int, classes: int) -> nn.Sequential:
    """Build Keras' mnist_convnet, which the paper's text cites: a window is an image of bands x frames.

    Takes windows [windows, bands, frames], gives logits [windows, classes].
    Source: https://keras.io/examples/vision/mnist_convnet/
    """
    height, width = ((bands - 2) // 2 - 2) // 2, ((frames - 2) // 2 - 2) // 2
    if min(height, width) < 1:
        raise ClassifierError(f"conv2d needs windows of at least 10 x 10, got {bands} bands x {frames} frames")
    network = nn.Sequential(
        nn.Unflatten(1, (1, bands)),
        nn.Conv2d(1, 32, kernel_size=3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(64 * height * width, classes),
    )
    # As in TimeConvolution, channels side by side in memory; torch's types do not know this argument of `to`.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def mean_linear(bands: int, frames: int, classes: int) -> nn.Sequential:  # noqa: ARG001  the contract of the others
    """Build a multinomial logistic regression on the mean over time, MTEB's way of comparing representations.

    Takes windows [windows, bands, frames], gives logits [windows, classes].
    """
    return nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(bands, classes))


CLASSIFIERS: dict[str, Callable[[int, int, int], nn.Sequential]] = {
    "conv1d": conv1d,
    "conv2d": conv2d,
    "mean_linear": mean_linear,
}
FAMILIES = "beyond_spectrograms.training.trainers.registry"  # imported by name, until the registry needs no trainers
TOKEN_SIZE = 128  # channels a codec's code is embedded in: the height of the paper's inputs


class Standardize(nn.Module):
    """Bring each band to mean 0 and deviation 1 by statistics [bands] of the training part."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, windows: Tensor) -> Tensor:
        """Standardise windows [windows, bands, frames]."""
        return (windows - self.mean[:, None]) / self.deviation[:, None]


class EmbedCodes(nn.Module):
    """Look up a vector for each codebook's code and add them: codes [windows, codebooks, frames] as tokens.

    One table holds all codebooks, each at an offset of its own. Starts at variance 1 for the sum, whatever the number
    of codebooks.
    """

    offsets: Tensor

    def __init__(self, codebooks: int, codebook_size: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(codebooks * codebook_size, TOKEN_SIZE, mode="sum")
        nn.init.normal_(self.table.weight, std=codebooks**-0.5)
        self.register_buffer("offsets", codebook_size * torch.arange(codebooks), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Embed as [windows, TOKEN_SIZE, frames]."""
        windows, codebooks, frames = codes.shape
        tokens = codes.transpose(1, 2).reshape(-1, codebooks).long() + self.offsets
        embedded: Tensor = self.table(tokens)
        return embedded.reshape(windows, frames, TOKEN_SIZE).transpose(1, 2)


@dataclass(frozen=True)
class Family:
    """A classifier with a way of its own to learn.

    Attributes:
        build: network for a protocol, bands, frames and classes: windows [windows, bands, frames] -> logits.
        trainer: how a run of it learns.
        measure: what the network tells of each window [windows] beside its class; a number of a cluster is `cluster`.
    """

    build: Callable[[Protocol, int, int, int], nn.Sequential]
    trainer: type[Trainer]
    measure: Callable[[nn.Sequential, Tensor], dict[str, Tensor]]


def family_of(classifier: str) -> Family | None:
    """Find the family of a classifier; those of CLASSIFIERS have none."""
    if classifier in CLASSIFIERS:
        return None
    family: Family = import_module(FAMILIES).FAMILIES[classifier]
    return family


def _layers(protocol: Protocol, bands: int, frames: int, classes: int) -> nn.Sequential:
    family = family_of(protocol.classifier)
    if family is None:
        return CLASSIFIERS[protocol.classifier](bands, frames, classes)
    return family.build(protocol, bands, frames, classes)


def build_network(
    protocol: Protocol, bands: int, frames: int, classes: int, codebook_size: int | None
) -> nn.Sequential:
    """Build the protocol's classifier behind what its windows need.

    That is a table of embeddings where they hold codes (`codebook_size` is not None; the scale of an entry's number
    means nothing, so nothing is standardised), or a standardising layer, yet without statistics, if the protocol asks
    for one.
    """
    if codebook_size is not None:
        return nn.Sequential(EmbedCodes(bands, codebook_size), *_layers(protocol, TOKEN_SIZE, frames, classes))
    network = _layers(protocol, bands, frames, classes)
    if protocol.standardize:
        network = nn.Sequential(Standardize(torch.zeros(bands), torch.ones(bands)), *network)
    return network


def choose_device(device: str) -> str:
    """Resolve `auto` to cuda where there is one, else cpu.

    Raises:
        ClassifierError: cuda was asked for and is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ClassifierError("device is cuda in params.yaml, and torch finds no CUDA device. Choose auto or cpu.")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
