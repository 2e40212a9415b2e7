"""What is fitted at once to a summary of each window: logistic regression, and the nearest training windows.

The summary is each band's mean over time and, where asked for, its standard deviation over time, standardised by the
training part. Fitted by training/trainers/summaries.py.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.base import best_by_class

FARTHEST = 1e12  # minus the logit of a class that no training window has: never answered, and no loss is infinite
OF_TRAINING = ("neighbours", "neighbour_classes")  # of Neighbours: tensors with a row a training window


class Summary(nn.Module):
    """[windows, bands, frames] -> each band's mean over time [windows, bands], or that and its deviation [.., 2 bands].

    The deviation divides by the number of frames.
    """

    def __init__(self, *, deviation: bool) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, windows: Tensor) -> Tensor:
        """Summarise."""
        mean = windows.mean(2)
        return torch.cat([mean, windows.std(2, correction=0)], 1) if self.deviation else mean


class SummaryLayer(nn.Module):
    """Takes summaries [windows, values], standardises them and gives logits [windows, classes]; still to be fitted."""

    mean: Tensor  # of each value over the training part [values]
    deviation: Tensor  # likewise

    def __init__(self, values: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("deviation", torch.ones(values))

    def standardize(self, summaries: Tensor) -> Tensor:
        """Bring each value to mean 0 and deviation 1 over the training part."""
        return (summaries - self.mean) / self.deviation


class Probe(SummaryLayer):
    """Multinomial logistic regression; keeps the inverse of the L2 penalty (scikit-learn's C) it was fitted with."""

    inverse_penalty: Tensor

    def __init__(self, values: int, classes: int) -> None:
        super().__init__(values)
        self.linear = nn.Linear(values, classes)
        self.register_buffer("inverse_penalty", torch.zeros(()))

    def forward(self, summaries: Tensor) -> Tensor:
        """Give logits."""
        logits: Tensor = self.linear(self.standardize(summaries))
        return logits


class Neighbours(SummaryLayer):
    """One nearest neighbour: a class's logit is minus the squared distance of its nearest training window."""

    neighbours: Tensor  # the standardised summaries of the training part [training windows, values]
    neighbour_classes: Tensor  # [training windows]

    def __init__(self, values: int, classes: int) -> None:
        super().__init__(values)
        self.classes = classes
        self.register_buffer("neighbours", torch.zeros(1, values))
        self.register_buffer("neighbour_classes", torch.zeros(1, dtype=torch.long))

    def forward(self, summaries: Tensor) -> Tensor:
        """Give logits."""
        distances = self.distances(self.standardize(summaries))
        return -best_by_class(distances, self.neighbour_classes, self.classes).clamp(max=FARTHEST)

    def distances(self, points: Tensor) -> Tensor:
        """Give the squared distance of every point from every training window [windows, training windows]."""
        # |a - b|^2 = |a|^2 - 2 ab + |b|^2: as torch.cdist, but in operations that ONNX has.
        squares = points.square().sum(1)[:, None] + self.neighbours.square().sum(1)
        return (squares - 2 * points @ self.neighbours.T).clamp(min=0)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *more: Any) -> None:
        """Take as many training windows as are stored; `build` does not know how many there will be."""
        for name in OF_TRAINING:
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *more)


class Votes(Neighbours):
    """The k nearest training windows vote (k-NN), as scikit-learn's KNeighborsClassifier with uniform weights.

    A class's logit is the logarithm of 1 + its votes, so that the softmax is Laplace's estimate (votes + 1) / (k +
    classes) and no loss is infinite. Of equal votes the first class's count.
    """

    k: Tensor  # how many vote

    def __init__(self, values: int, classes: int) -> None:
        super().__init__(values, classes)
        self.register_buffer("k", torch.ones((), dtype=torch.long))
        self._k = 1  # the same as a number, which an exported graph needs

    def choose(self, k: int) -> None:
        """Let k vote."""
        self.k.fill_(k)
        self._k = k

    def forward(self, summaries: Tensor) -> Tensor:
        """Give logits."""
        nearest = self.distances(self.standardize(summaries)).topk(self._k, dim=1, largest=False).indices
        votes = nn.functional.one_hot(self.neighbour_classes[nearest], self.classes).sum(1)
        return torch.log1p(votes.float())

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *more: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *more)
        if prefix + "k" in state_dict:
            self._k = int(state_dict[prefix + "k"])


class CosineVotes(Votes):
    """The same by cosine distance: of points at length 1 the squared distance is twice that."""

    def standardize(self, summaries: Tensor) -> Tensor:
        """Standardise, and bring each window's summary to length 1."""
        return nn.functional.normalize(super().standardize(summaries), dim=1)


def build(
    bands: int,
    frames: int,  # noqa: ARG001  the contract of the others
    classes: int,
    *,
    layer: type[Probe | Neighbours],
    deviation: bool,
) -> nn.Sequential:
    """Build the network: windows [windows, bands, frames] -> logits [windows, classes]."""
    return nn.Sequential(Summary(deviation=deviation), layer(bands * (1 + deviation), classes))
