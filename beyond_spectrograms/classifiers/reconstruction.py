"""What autoencoders that classify have in common: their scale, their clusters, and how they are learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.clusters import best_by_class, name_clusters, refuse_codes
from beyond_spectrograms.training.trainers.base import Outcome, Trainer

if TYPE_CHECKING:
    from beyond_spectrograms.representations.base import Features
    from beyond_spectrograms.training.epoch import Subset
    from beyond_spectrograms.training.run import RunConfig

STARTS = 10  # of K-means, from other centres each; the best is kept


class ReconstructingLayer(nn.Module):
    """Takes windows [windows, bands, frames] and gives logits [windows, classes].

    Attributes:
        mean: of the training part's features, one number; `deviation` likewise.
        centres: [clusters, dimensions] of K-means on what `points` gives; none where the layer classifies by itself.
        class_of: [clusters], by majority of the training windows.
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
        """Logits [windows, classes]: the less the farther the class's nearest centre."""
        return -best_by_class(self.distances(points), self.class_of, self.classes)

    def go(self, windows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give loss, error, logits and points of windows, where windows come first.

        Loss [windows] is what is descended, error [windows] the mean squared difference of the reconstruction in the
        features' own unit, points [windows, dimensions] what K-means clusters.
        """
        raise NotImplementedError


def layer_of(network: nn.Sequential) -> ReconstructingLayer:
    """Find the network's last layer."""
    layer = network[-1]
    assert isinstance(layer, ReconstructingLayer)
    return layer


def measure(network: nn.Sequential, windows: Tensor) -> dict[str, Tensor]:
    """Tell each window's reconstruction error, and its cluster where there are clusters, each [windows]."""
    layer = layer_of(network)
    _, error, _, points = layer.go(
        network[:-1](windows), torch.zeros(len(windows), dtype=torch.long, device=windows.device)
    )
    clusters = {"cluster": layer.distances(points).argmin(1)} if layer.clusters else {}
    return {"reconstruction_error": error, **clusters}


class ReconstructionTrainer(Trainer):
    """Descends the layer's loss; then, where it has clusters, finds them anew and names them."""

    columns = ("training_reconstruction_error", "validation_reconstruction_error")

    def __init__(self, config: RunConfig, features: Features) -> None:
        refuse_codes(config)
        super().__init__(config, features)
        self.layer = layer_of(self.network)
        batches = [self._train.batch(places)[0].double() for places in self._batches(len(self._train))]
        values = sum(batch.numel() for batch in batches)
        mean = sum(float(batch.sum()) for batch in batches) / values
        squares = sum(float((batch - mean).square().sum()) for batch in batches)
        self.layer.mean, self.layer.deviation = torch.tensor(mean), torch.tensor((squares / (values - 1)) ** 0.5)
        self.layer.to(config.device)

    def _batches(self, windows: int) -> tuple[Tensor, ...]:
        return torch.split(torch.arange(windows), self.config.protocol.batch_size)

    def epoch(self) -> tuple[Outcome, Outcome, tuple[float, ...]]:
        """Train, cluster and validate; accuracies are those of the weights after the epoch."""
        self._descend()
        if self.layer.clusters:
            self._find_clusters()
        training, training_error = self._judge(self._train)
        validation, validation_error = self._judge(self._validation)
        return training, validation, (training_error, validation_error)

    def _descend(self) -> None:
        assert self.optimizer is not None
        self.network.train()
        for places in torch.split(self._order(), self.config.protocol.batch_size):
            windows, targets = (value.to(self.config.device) for value in self._train.batch(places))
            loss = self.layer.go(windows, targets)[0].mean()
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()

    def _find_clusters(self) -> None:
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

        found = [self._run(self._train, places) for places in self._batches(len(self._train))]
        points, targets = torch.cat([each[3] for each in found]).cpu(), torch.cat([each[4] for each in found]).cpu()
        seed = int(torch.randint(2**31, ()))
        with threadpool_limits(1):  # the last bits of a sum depend on how many threads share it
            clusters = KMeans(self.layer.classes, n_init=STARTS, random_state=seed).fit(points.numpy())
        self.layer.centres.copy_(torch.from_numpy(clusters.cluster_centers_))
        numbers = torch.from_numpy(clusters.labels_).long()
        self.layer.class_of.copy_(name_clusters(numbers, targets, self.layer.classes, self.layer.classes))

    def _run(self, subset: Subset, places: Tensor) -> tuple[Tensor, ...]:
        windows, targets = (value.to(self.config.device) for value in subset.batch(places))
        with torch.no_grad():
            return *self.layer.go(windows, targets), targets

    def _judge(self, subset: Subset) -> tuple[Outcome, float]:
        """Accuracy and loss, and the reconstruction error, means over the subset's windows."""
        self.network.eval()
        right = loss_sum = error_sum = 0.0
        for places in self._batches(len(subset)):
            loss, error, logits, _, targets = self._run(subset, places)
            right += float((logits.argmax(1) == targets).sum())
            loss_sum += float(loss.double().sum())
            error_sum += float(error.double().sum())
        return (right / len(subset), loss_sum / len(subset)), error_sum / len(subset)
