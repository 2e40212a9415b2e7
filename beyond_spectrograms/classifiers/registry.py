"""Every classifier by its name in params.yaml, and the network of a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers import (
    apnet,
    autoencoder,
    convolutional,
    kmeans,
    reconstruction,
    temporal_cnn,
)
from beyond_spectrograms.classifiers.base import TOKEN_SIZE, EmbedCodes, Standardize
from beyond_spectrograms.classifiers.prototypes import model as prototype_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from beyond_spectrograms.params import Protocol

    Measure = Callable[[nn.Sequential, Tensor], dict[str, Tensor]]


def measure_nothing(network: nn.Sequential, windows: Tensor) -> dict[str, Tensor]:  # noqa: ARG001  as the others
    """Measure nothing: the network gives logits alone."""
    return {}


@dataclass(frozen=True)
class Classifier:
    """A classifier.

    Attributes:
        build: from bands, frames, number of classes and, by keyword, settings of its own, a network that takes windows
            [windows, bands, frames] and gives logits [windows, classes].
        measure: what the network says of each window [windows] besides its class: `reconstruction_error` in the
            features' own squared unit, and `cluster`, the number of the window's cluster.
    """

    build: Callable[..., nn.Sequential]
    measure: Measure = measure_nothing


CLASSIFIERS = {
    "conv1d": Classifier(convolutional.conv1d),
    "conv2d": Classifier(convolutional.conv2d),
    "mean_linear": Classifier(convolutional.mean_linear),
    "temporal_cnn": Classifier(temporal_cnn.build),
    "kmeans": Classifier(kmeans.build, kmeans.measure),
    "prototypes": Classifier(prototype_model.build, prototype_model.measure),
    "apnet": Classifier(partial(apnet.build, clusters=False), reconstruction.measure),
    "apnet_kmeans": Classifier(partial(apnet.build, clusters=True), reconstruction.measure),
    "autoencoder_kmeans": Classifier(autoencoder.build, reconstruction.measure),
}


def build_network(
    protocol: Protocol, bands: int, frames: int, classes: int, codebook_size: int | None
) -> nn.Sequential:
    """Build the protocol's classifier, and in front of it the layer its windows need.

    That is a table of embeddings where windows hold codes (`codebook_size` is not None). Codes are never standardised:
    they are indices. Else it is a standardising layer if the protocol asks for one; its statistics are still to be set.

    Raises:
        ClassifierError: windows are too small for the classifier.
    """
    build = CLASSIFIERS[protocol.classifier].build
    if protocol.prototypes is not None:
        build = partial(build, settings=protocol.prototypes)
    if codebook_size is not None:
        return nn.Sequential(EmbedCodes(bands, codebook_size), *build(TOKEN_SIZE, frames, classes))
    network = build(bands, frames, classes)
    if protocol.standardize:
        network = nn.Sequential(Standardize(torch.zeros(bands), torch.ones(bands)), *network)
    return network
