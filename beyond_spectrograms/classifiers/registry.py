"""Every classifier by its name in params.yaml; the network of a protocol, new or trained."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from beyond_spectrograms.classifiers import attention, baselines, convolutional, m5, summaries, zero_shot
from beyond_spectrograms.classifiers.base import (
    TOKEN_SIZE,
    ClassifierError,
    EmbedCodes,
    MeasuringLayer,
    Standardize,
    WeighLayers,
)
from beyond_spectrograms.classifiers.prototypes import model as prototypes
from beyond_spectrograms.params import Protocol


def _alone(layer: Callable[..., nn.Module], *size: int, **settings: Any) -> nn.Sequential:
    """Build a network of one layer."""
    return nn.Sequential(layer(*size, **settings))


# From bands, frames, number of classes and, by keyword, settings of its own: a network that takes windows [windows,
# bands, frames] and gives logits [windows, classes].
CLASSIFIERS: dict[str, Callable[..., nn.Sequential]] = {
    "conv1d": convolutional.conv1d,
    "conv2d": convolutional.conv2d,
    "mean_linear": convolutional.mean_linear,
    "temporal_cnn": convolutional.temporal_cnn,
    "attention_pooling": partial(_alone, attention.AttentionPooling),
    "m5": m5.build,
    "kmeans": partial(_alone, baselines.Centres),
    "prototypes": prototypes.build,
    "apnet": partial(_alone, baselines.APNetLayer, clusters=False),
    "apnet_kmeans": partial(_alone, baselines.APNetLayer, clusters=True),
    "autoencoder_kmeans": partial(_alone, baselines.AutoencoderLayer),
    "probe_mean": partial(summaries.build, layer=summaries.Probe, deviation=False),
    "probe_mean_deviation": partial(summaries.build, layer=summaries.Probe, deviation=True),
    "nearest_neighbour": partial(summaries.build, layer=summaries.Neighbours, deviation=True),
    "knn_euclidean": partial(summaries.build, layer=summaries.Votes, deviation=True),
    "knn_cosine": partial(summaries.build, layer=summaries.CosineVotes, deviation=True),
    "zero_shot": zero_shot.build,
}


LAST = "last."  # before the names of weights of the last epoch, where another was selected


def measure(network: nn.Sequential, windows: Tensor) -> dict[str, Tensor]:
    """Measure windows as MeasuringLayer does; nothing where the network does not end in one."""
    layer = network[-1]
    return layer.measure(network[:-1](windows)) if isinstance(layer, MeasuringLayer) else {}


def read_network(
    model: Path,
    protocol: Protocol,
    shape: Sequence[int],
    classes: Sequence[str],
    codebook_size: int | None,
    *,
    stacked: int | None = None,
    last: bool = False,
) -> tuple[nn.Sequential, dict[str, Any]]:
    """Read a trained network for windows of `shape` (bands, frames), and the notes stored with its weights.

    With `last` it is that of the last epoch, whichever the protocol selected.

    Raises:
        ClassifierError: the file is not there, or was trained for other classes or another network.
    """
    if not model.is_file():
        raise ClassifierError(f"{model}: no such file. Run the cell's train stage.")
    with safe_open(model, framework="pt") as stored:
        notes = json.loads(stored.metadata()["notes"])
        first = LAST if last and protocol.select != "last" else ""
        names = [key for key in stored.keys() if key.startswith(first or LAST) == bool(first)]  # noqa: SIM118
        state = {key.removeprefix(first): stored.get_tensor(key) for key in names}
    if notes.pop("classes") != list(classes):
        raise ClassifierError(f"{model}: trained for other classes than the data's. Run its train stage again.")
    bands, frames = shape
    network = build_network(protocol, bands, frames, len(classes), codebook_size, stacked=stacked)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        size = f"{bands} bands x {frames} frames"
        raise ClassifierError(f"{model}: not a {protocol.classifier} for windows of {size}. {error}") from error
    return network, notes


def build_network(
    protocol: Protocol, bands: int, frames: int, classes: int, codebook_size: int | None, *, stacked: int | None = None
) -> nn.Sequential:
    """Build the protocol's classifier, and in front of it the layer its windows need.

    That is a table of embeddings where windows hold codes (`codebook_size` is not None). Codes are never standardised:
    they are indices. Else it is a standardising layer if the protocol asks for one; its statistics are still to be set.
    Where bands are those of so many `stacked` layers of a model, weights of these come behind it.

    Raises:
        ClassifierError: windows are too small for the classifier.
    """
    build = CLASSIFIERS[protocol.classifier]
    if protocol.prototypes is not None:
        build = partial(build, settings=protocol.prototypes)
    if protocol.dropout is not None:
        build = partial(build, dropout=protocol.dropout)
    if codebook_size is not None:
        return nn.Sequential(EmbedCodes(bands, codebook_size), *build(TOKEN_SIZE, frames, classes))
    if stacked is None:
        network = build(bands, frames, classes)
    else:
        network = nn.Sequential(WeighLayers(stacked), *build(bands // stacked, frames, classes))
    if protocol.standardize:
        network = nn.Sequential(Standardize(torch.zeros(bands), torch.ones(bands)), *network)
    return network
