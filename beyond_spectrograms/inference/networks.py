"""Trained networks in use: those that `train` offers are computed by NumPy, others and on CUDA by torch.

Importing torch takes longer than classifying a file. Both have the same tensors, and the same logits to the rounding of
float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from threadpoolctl import ThreadpoolController

from beyond_spectrograms.inference.card import Card, ModelError
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.util.machine import DeviceError, choose_device, one_thread
from beyond_spectrograms.util.tensor_file import OF_CLASSIFIERS, read_head
from beyond_spectrograms.util.text import some_of

if TYPE_CHECKING:
    from torch import nn

EXPORT = "Export the model again."
LAST = "last."  # as in classifiers.registry, which imports torch
Shape = tuple[int, ...]
Tensors = Mapping[str, Features]


@dataclass(frozen=True)
class Layer:
    """One of a network's layers: what it makes of values [windows, ...], of which shape, and its tensors' shapes."""

    forward: Callable[[Features, Tensors], Features]
    after: Callable[[Shape], Shape] = lambda shape: shape
    shapes: Callable[[Shape], dict[str, Shape]] = lambda _: {}


class NumpyNetwork:
    """A network as layers, each with those tensors whose names begin with its number."""

    def __init__(self, layers: Sequence[Layer], tensors: Tensors) -> None:
        self._layers = [(layer, _own(tensors, index)) for index, layer in enumerate(layers)]
        self._threads = ThreadpoolController()

    def logits(self, windows: Features) -> Features:
        """Give [windows, classes] of [windows, bands, frames], on one thread: how many share a sum decides its bits."""
        with self._threads.limit(limits=1):
            for layer, own in self._layers:
                windows = layer.forward(windows, own)
        return windows


@dataclass(frozen=True)
class TorchNetwork:
    """A network as torch's module on a device."""

    module: nn.Module
    device: str

    def logits(self, windows: Features) -> Features:
        """Give [windows, classes] of [windows, bands, frames], as NumpyNetwork does."""
        import torch

        with one_thread(), torch.inference_mode():
            logits = self.module(torch.from_numpy(windows).to(self.device))
            return np.asarray(logits.cpu().numpy())


def read_network(path: Path, card: Card, device: str) -> NumpyNetwork | TorchNetwork:
    """Read a model's network from its safetensors file; `device` is auto, cpu or cuda.

    Raises:
        ModelError: the file does not hold the network's tensors, all of them and no other, or there is no CUDA device.
    """
    encoder, recipe = card.representation, card.protocol.record
    numpy_computes = recipe.classifier in NETWORKS and encoder.record.codebook_size is encoder.record.stacked is None
    if device == "cuda" or not numpy_computes:
        try:
            device = choose_device(device)
        except DeviceError:
            raise ModelError("device is cuda, and torch finds no CUDA device. Choose auto or cpu.") from None
        return TorchNetwork(read_module(path, card).to(device), device)
    from safetensors.numpy import load_file

    layers = [STANDARDIZE] * recipe.standardize + NETWORKS[recipe.classifier](len(card.classes))
    stored = _read_tensors(path, load_file)
    try:
        wanted = shapes_of(layers, encoder.bands, encoder.frames)
    except ValueError:
        size = f"{encoder.bands} bands x {encoder.frames} frames"
        raise ModelError(f"{path.parent}: {recipe.classifier} needs larger windows than {size}. {EXPORT}") from None
    _check_tensors(path, wanted, stored)
    return NumpyNetwork(layers, stored)


def read_module(path: Path, card: Card) -> nn.Module:
    """Read a model's network as torch's module, on the processor; what a card says takes no memory of its own.

    Raises:
        ModelError: the file does not hold the network's tensors, all of them and no other.
    """
    import torch
    from safetensors.torch import load_file

    from beyond_spectrograms.classifiers.registry import build_network
    from beyond_spectrograms.classifiers.summaries import OF_TRAINING

    encoder = card.representation
    record = encoder.record
    shape = (encoder.bands, encoder.frames, len(card.classes), record.codebook_size)
    build = partial(build_network, card.protocol.record, *shape, stacked=record.stacked)
    stored = _read_tensors(path, load_file)
    with torch.device("meta"):
        wanted = {key: tuple(tensor.shape) for key, tensor in build().state_dict().items()}
    _check_tensors(path, wanted, stored, OF_TRAINING)
    network = build()
    network.load_state_dict(stored)
    return network.eval()


def _read_tensors(path: Path, load_file: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Read the tensors of the epoch that was selected."""
    from safetensors import SafetensorError

    try:
        read_head(path, OF_CLASSIFIERS)
        return {key: tensor for key, tensor in load_file(path).items() if not key.startswith(LAST)}
    except ValueError as error:
        raise ModelError(f"{path}: {error}. {EXPORT}") from None
    except SafetensorError as error:
        raise ModelError(f"{path}: not a safetensors file: {error}. {EXPORT}") from None


def _check_tensors(
    path: Path, wanted: Mapping[str, Shape], stored: Mapping[str, Any], of_training: Sequence[str] = ()
) -> None:
    """Compare names and shapes, but for the rows of `of_training`: how many windows these were is not in the card."""
    if problems := list(_compare(wanted, stored, of_training)):
        raise ModelError(f"{path}: {'; '.join(problems)}. The card and the file do not belong together: export again.")


def _compare(wanted: Mapping[str, Shape], found: Mapping[str, Any], of_training: Sequence[str]) -> Iterable[str]:
    for some, others, what in ((wanted, found, "missing"), (found, wanted, "unknown")):
        if lacking := sorted(some.keys() - others.keys()):
            yield f"tensors {some_of(lacking)} are {what}"
    for key in sorted(wanted.keys() & found.keys()):
        shape, first = tuple(found[key].shape), int(key.rpartition(".")[2] in of_training)
        if wanted[key][first:] != shape[first:]:
            yield f"tensor {key} is {list(shape)}, not {list(wanted[key])}"
        if not (abs(found[key]) < np.inf).all():  # of NumPy or torch; not a number is not less
            yield f"tensor {key} has values that are not finite"


def shapes_of(layers: Sequence[Layer], bands: int, frames: int) -> dict[str, Shape]:
    """Give the shape of every tensor of a network for windows [bands, frames]; what a card says takes no memory.

    Raises:
        ValueError: a convolution or a pooling has nothing to work on: windows are too small.
    """
    shapes: dict[str, Shape] = {}
    shape: Shape = (1, bands, frames)
    for index, layer in enumerate(layers):
        shapes |= {f"{index}.{name}": own for name, own in layer.shapes(shape).items()}
        shape = layer.after(shape)
        if min(shape) < 1:
            raise ValueError("nothing is left of a window")
    return shapes


def _own(tensors: Tensors, index: int) -> Tensors:
    first = f"{index}."
    return {name.removeprefix(first): tensor for name, tensor in tensors.items() if name.startswith(first)}


def standardize(values: Features, own: Tensors) -> Features:
    """Bring each band to mean 0 and deviation 1 over the training part."""
    standardised: Features = (values - own["mean"][:, None]) / own["deviation"][:, None]
    return standardised


def convolve(values: Features, own: Tensors) -> Features:
    """Convolve windows [windows, channels, frames] or [windows, channels, height, width], without padding."""
    weight = own["weight"]
    size = tuple(1 + size - kernel for size, kernel in zip(values.shape[2:], weight.shape[2:], strict=True))
    axes, flat = tuple(range(1, values.ndim - 1)), weight.reshape(len(weight), -1)
    # Window by window: patches take as many times its memory as the kernel has entries.
    patches = (sliding_window_view(window, size, axis=axes).reshape(flat.shape[1], -1) for window in values)
    convolved = np.stack([flat @ of_window for of_window in patches]) + own["bias"][:, None]
    return convolved.reshape(len(values), len(weight), *size)


def pool(values: Features, own: Tensors, *, over: int, axis: int = 2) -> Features:  # noqa: ARG001  as the others
    """Take the maximum over every `over` values along an axis; fewer at its end are left out."""
    last = np.moveaxis(values, axis, -1)
    kept = last.shape[-1] // over
    parts = last[..., : kept * over].reshape(*last.shape[:-1], kept, over)
    return np.moveaxis(parts.max(axis=-1), -1, axis)


def linear(values: Features, own: Tensors) -> Features:
    """Weigh and add [windows, values], window by window: its bits depend on no other one."""
    return (own["weight"] @ values[:, :, None])[:, :, 0] + own["bias"]


def probe(values: Features, own: Tensors) -> Features:
    """Standardise a summary [windows, values], then weigh and add."""
    standardised: Features = (values - own["mean"]) / own["deviation"]
    return linear(standardised, {"weight": own["linear.weight"], "bias": own["linear.bias"]})


def mean_and_deviation(values: Features) -> Features:
    """Summarise [windows, bands, frames] as [windows, 2 bands]; the deviation divides by the number of frames."""
    return np.asarray(np.concatenate([values.mean(axis=2), values.std(axis=2)], axis=1))


def _plain(compute: Callable[[Features], Features], after: Callable[[Shape], Shape] = lambda shape: shape) -> Layer:
    return Layer(lambda values, _: compute(values), after)


def _convolution(channels: int, *kernel: int) -> Layer:
    def after(shape: Shape) -> Shape:
        return (shape[0], channels, *(1 + size - over for size, over in zip(shape[2:], kernel, strict=True)))

    return Layer(convolve, after, lambda shape: {"weight": (channels, shape[1], *kernel), "bias": (channels,)})


def _linear(classes: int) -> Layer:
    def shapes(shape: Shape) -> dict[str, Shape]:
        return {"weight": (classes, shape[1]), "bias": (classes,)}

    return Layer(linear, lambda shape: (shape[0], classes), shapes)


def _probe(classes: int) -> Layer:
    def shapes(shape: Shape) -> dict[str, Shape]:
        own = {"mean": shape[1:], "deviation": shape[1:], "inverse_penalty": ()}
        return own | {"linear.weight": (classes, *shape[1:]), "linear.bias": (classes,)}

    return Layer(probe, lambda shape: (shape[0], classes), shapes)


STANDARDIZE = Layer(standardize, shapes=lambda shape: {"mean": shape[1:2], "deviation": shape[1:2]})
KEEP = _plain(lambda values: values)  # dropout, which is for training alone; flattening what is flat
FLATTEN = _plain(lambda values: values.reshape(len(values), -1), lambda shape: (shape[0], math.prod(shape[1:])))
RELU = _plain(lambda values: np.maximum(values, 0))
MEAN = _plain(lambda values: values.mean(axis=2), lambda shape: shape[:2])
SUMMARY = _plain(mean_and_deviation, lambda shape: (shape[0], 2 * shape[1]))
AS_IMAGE = _plain(lambda values: values[:, None], lambda shape: (shape[0], 1, *shape[1:]))
PAD = _plain(lambda values: np.pad(values, ((0, 0), (0, 0), (2, 2))), lambda shape: (*shape[:2], shape[2] + 4))
BY_FIVE = Layer(partial(pool, over=5), lambda shape: (*shape[:2], shape[2] // 5))
BY_TWO = _plain(
    lambda image: pool(pool(image, {}, over=2, axis=2), {}, over=2, axis=3),
    lambda shape: (*shape[:2], shape[2] // 2, shape[3] // 2),
)

# By the classifier's name and the number of classes.
NETWORKS: dict[str, Callable[[int], list[Layer]]] = {
    "conv1d": lambda classes: [
        *(_convolution(128, 5), BY_FIVE, RELU, _convolution(256, 5), BY_FIVE, RELU, KEEP, FLATTEN, _linear(classes))
    ],
    "conv2d": lambda classes: [
        *(AS_IMAGE, _convolution(32, 3, 3), BY_TWO, RELU, _convolution(64, 3, 3), BY_TWO, RELU),
        *(FLATTEN, KEEP, _linear(classes)),
    ],
    "mean_linear": lambda classes: [MEAN, KEEP, _linear(classes)],
    "temporal_cnn": lambda classes: [
        *(layer for width in (128, 128, 256) for layer in (PAD, _convolution(width, 5), RELU)),
        *(MEAN, KEEP, _linear(classes)),
    ],
    "probe_mean": lambda classes: [MEAN, _probe(classes)],
    "probe_mean_deviation": lambda classes: [SUMMARY, _probe(classes)],
}
