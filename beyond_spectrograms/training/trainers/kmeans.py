"""K-means on whole windows and on points found for windows; K-means++, from which prototypes start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from beyond_spectrograms.classifiers.base import last_layer
from beyond_spectrograms.classifiers.clusters import Centres, name_clusters
from beyond_spectrograms.training.trainers.base import Outcome, Trainer

if TYPE_CHECKING:
    from beyond_spectrograms.training.epoch import Subset

STARTS = 10  # of K-means, from other centres each; the best is kept


def find_clusters(points: Tensor, targets: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Find as many clusters of points [windows, dimensions] as there are classes, and name them by their targets.

    The seed is drawn from torch's generator. Gives centres [clusters, dimensions] and the class of each [clusters].
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    seed = int(torch.randint(2**31, ()))
    with threadpool_limits(1):  # the last bits of a sum depend on how many threads share it
        found = KMeans(classes, n_init=STARTS, random_state=seed).fit(points.numpy())
    class_of = name_clusters(torch.from_numpy(found.labels_).long(), targets, classes, classes)
    return torch.from_numpy(found.cluster_centers_).float(), class_of


def kmeans_plus_plus(proposals: Tensor, targets: Tensor, count: int, class_of: Tensor | None) -> Tensor:
    """Choose `count` of the proposals [proposals, bands, frames], drawn with torch's generator.

    Each next one is drawn with a chance in proportion to its squared distance to the nearest chosen before (Arthur and
    Vassilvitskii 2007). With `class_of` [count] a prototype is chosen among the proposals of its class, `targets`
    [proposals], or among all where the class has none.
    """
    flat = proposals.flatten(1)
    chosen: list[int] = []
    distances = torch.full((len(flat),), torch.inf)
    for place in range(count):
        allowed = torch.ones(len(flat)) if class_of is None else (targets == class_of[place]).float()
        if not allowed.any():
            allowed = torch.ones(len(flat))
        alike = [other for other in range(place) if class_of is None or class_of[other] == class_of[place]]
        if alike:
            distances = torch.cdist(flat, flat[[chosen[other] for other in alike]]).square().amin(1)
        chances = allowed * (distances if alike else 1.0)
        chosen.append(int(torch.multinomial(chances if chances.sum() > 0 else allowed, 1)))
    return proposals[chosen]


class KMeansTrainer(Trainer):
    """Finds the centres anew in each epoch; the loss is the error of the nearest centre."""

    takes_codes = False

    def _make_optimizer(self) -> None:
        return None

    def epoch(self) -> tuple[Outcome, Outcome, tuple[float, ...]]:
        """Find and name the centres."""
        windows, targets = self._train.batch(torch.arange(len(self._train)))
        layer = last_layer(self.network, Centres)
        centres, layer.class_of = find_clusters(windows.flatten(1), targets, len(layer.centres))
        layer.centres = centres.reshape(layer.centres.shape)
        return self._score(self._train), self._score(self._validation), ()

    def _score(self, subset: Subset) -> Outcome:
        layer = last_layer(self.network, Centres)
        right = error = 0.0
        for places in self._batches(torch.arange(len(subset))):
            windows, targets = subset.batch(places)
            errors = layer.errors(windows)
            right += float((layer.class_of[errors.argmin(1)] == targets).sum())
            error += float(errors.amin(1).double().sum())
        return right / len(subset), error / len(subset)
