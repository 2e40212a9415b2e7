"""K-means: on whole windows, and on the points that other trainers find for windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from beyond_spectrograms.classifiers.clusters import name_clusters
from beyond_spectrograms.classifiers.kmeans import centres_of
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


class KMeansTrainer(Trainer):
    """Finds the centres anew in each epoch; the loss is the error of the nearest centre."""

    takes_codes = False

    def _make_optimizer(self) -> None:
        return None

    def epoch(self) -> tuple[Outcome, Outcome, tuple[float, ...]]:
        """Find and name the centres."""
        windows, targets = self._train.batch(torch.arange(len(self._train)))
        layer = centres_of(self.network)
        centres, layer.class_of = find_clusters(windows.flatten(1), targets, len(layer.centres))
        layer.centres = centres.reshape(layer.centres.shape)
        return self._score(self._train), self._score(self._validation), ()

    def _score(self, subset: Subset) -> Outcome:
        layer = centres_of(self.network)
        right = error = 0.0
        for places in self._batches(torch.arange(len(subset))):
            windows, targets = subset.batch(places)
            errors = layer.errors(windows)
            right += float((layer.class_of[errors.argmin(1)] == targets).sum())
            error += float(errors.amin(1).double().sum())
        return right / len(subset), error / len(subset)
