"""What autoencoders that classify have in common: their scale and their clusters."""

import torch
from torch import Tensor

from beyond_spectrograms.classifiers.base import MeasuringLayer
from beyond_spectrograms.classifiers.clusters import best_by_class


class ReconstructingLayer(MeasuringLayer):
    """Takes windows [windows, bands, frames] and gives logits [windows, classes].

    Attributes:
        mean: of the training part's features, one number; `deviation` likewise.
        centres: [clusters, dimensions] of K-means on the points of `go`; empty where the layer classifies by itself.
        class_of: of each cluster [clusters], by majority of its training windows.
    """

    mean: Tensor
    deviation: Tensor
    centres: Tensor
    class_of: Tensor

    def __init__(self, classes: int, dimensions: int) -> None:
        super().__init__()
        self.classes, self.clusters = classes, bool(dimensions)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))
        self.register_buffer("centres", torch.zeros(classes, dimensions))
        self.register_buffer("class_of", torch.arange(classes))

    def scale(self, windows: Tensor) -> Tensor:
        """Bring features to images [windows, 1, bands, frames] of mean 0 and deviation 1 over the training part."""
        return ((windows - self.mean) / self.deviation)[:, None]

    def distances(self, points: Tensor) -> Tensor:
        """Squared distances [windows, clusters] of points [windows, dimensions] to the centres."""
        return torch.cdist(points, self.centres).square()

    def by_cluster(self, points: Tensor) -> Tensor:
        """Logits [windows, classes]: minus the squared distance of the class's nearest centre."""
        return -best_by_class(self.distances(points), self.class_of, self.classes)

    def go(self, windows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute loss, error, logits and points of windows.

        The loss [windows] is minimised; the error [windows] is the mean squared difference of the reconstruction in
        the features' own squared unit; points [windows, dimensions] are what K-means clusters.
        """
        raise NotImplementedError

    def _go_without_targets(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute what `go` does; the loss then means nothing."""
        return self.go(windows, torch.zeros(len(windows), dtype=torch.long, device=windows.device))

    def forward(self, windows: Tensor) -> Tensor:
        """Classify windows [windows, bands, frames]."""
        return self._go_without_targets(windows)[2]

    def measure(self, windows: Tensor) -> dict[str, Tensor]:
        """Measure each window's reconstruction error, and its cluster where there are clusters."""
        _, error, _, points = self._go_without_targets(windows)
        clusters = {"cluster": self.distances(points).argmin(1)} if self.clusters else {}
        return {"reconstruction_error": error, **clusters}
