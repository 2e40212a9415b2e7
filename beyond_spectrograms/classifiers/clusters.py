"""Clusters as classifiers: each is named by the class most of its training windows have.

K-means on whole windows is the baseline whose prototypes have no transformation at all.
"""

import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.base import MeasuringLayer


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
    best = errors.new_full((len(errors), classes), torch.inf)
    return best.scatter_reduce(1, class_of.expand_as(errors), errors, "amin")


class Centres(MeasuringLayer):
    """As many centres [clusters, bands, frames] as classes, each named by a class. Logits are minus the errors."""

    centres: Tensor
    class_of: Tensor

    def __init__(self, bands: int, frames: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(classes, bands, frames))
        self.register_buffer("class_of", torch.arange(classes))

    def errors(self, windows: Tensor) -> Tensor:
        """Mean squared differences [windows, clusters] of windows [windows, bands, frames]."""
        values, centres = windows.flatten(1), self.centres.flatten(1)
        return torch.stack([(values - centre).square().mean(1) for centre in centres], 1)

    def forward(self, windows: Tensor) -> Tensor:
        """Give logits [windows, classes]."""
        return -best_by_class(self.errors(windows), self.class_of, len(self.centres))

    def measure(self, windows: Tensor) -> dict[str, Tensor]:
        """Measure the nearest centre's error and number, each [windows]."""
        error, cluster = self.errors(windows).min(1)
        return {"reconstruction_error": error, "cluster": cluster}


def kmeans(bands: int, frames: int, classes: int) -> nn.Sequential:
    """Build the network; its centres are still to be found."""
    return nn.Sequential(Centres(bands, frames, classes))
