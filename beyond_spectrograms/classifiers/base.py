"""What classifiers share: their error, the layers in front of them, what a last layer may add, names of clusters."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from beyond_spectrograms.util.errors import ProjectError

TOKEN_SIZE = 128  # channels a codec's code is embedded in: the height of the paper's inputs


Layer = TypeVar("Layer", bound=nn.Module)


class ClassifierError(ProjectError):
    """A classifier cannot take windows of this size or kind, or its stored weights do not fit."""


class MeasuringLayer(nn.Module):
    """A last layer that measures windows besides classifying them."""

    def measure(self, windows: Tensor) -> dict[str, Tensor]:
        """Measure windows [windows, bands, frames]; each value is [windows].

        `reconstruction_error` is in the features' own squared unit; `cluster` is the number of the window's cluster.
        """
        raise NotImplementedError


def last_layer(network: nn.Sequential, kind: type[Layer]) -> Layer:
    """Give the last layer of a network that ends in one of this kind."""
    layer = network[-1]
    assert isinstance(layer, kind)
    return layer


def name_clusters(clusters: Tensor, targets: Tensor, count: int, classes: int) -> Tensor:
    """Name `count` clusters by majority; gives the class of each [count], the first if equal.

    `clusters` and `targets` are the cluster and the class of every training window [windows]. A cluster without any is
    named by the majority of all windows.
    """
    votes = torch.zeros(count, classes, dtype=torch.long)
    votes.index_put_((clusters, targets), torch.ones_like(targets), accumulate=True)
    empty = votes.sum(1) == 0
    votes[empty] = torch.bincount(targets, minlength=classes)
    return votes.argmax(1)


def best_by_class(errors: Tensor, class_of: Tensor, classes: int) -> Tensor:
    """Smallest error of each class's clusters [windows, classes] from errors [windows, clusters].

    `class_of` [clusters] names the clusters; a class without one has the error infinity.
    """
    best = errors.new_full((errors.shape[0], classes), torch.inf)  # len() would fix the batch in an exported graph
    return best.scatter_reduce(1, class_of.expand_as(errors), errors, "amin")


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


class WeighLayers(nn.Module):
    """Sum a model's layers, stacked as bands, by weights that are learned with the classifier behind.

    The weights are a softmax of a number a layer, all equal at the start. Source: SUPERB (Yang et al. 2021), section 2.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))

    def forward(self, windows: Tensor) -> Tensor:
        """Bring windows [windows, layers * bands, frames] to [windows, bands, frames]."""
        many, bands, frames = windows.shape
        layers = len(self.scores)
        stacked = windows.reshape(many, layers, bands // layers, frames)
        return torch.einsum("l,wlbf->wbf", self.scores.softmax(0), stacked)


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
