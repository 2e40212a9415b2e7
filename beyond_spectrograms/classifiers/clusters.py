"""Clusters as classifiers: each is named by the class most of its training windows have."""

from __future__ import annotations

import torch
from torch import Tensor


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
