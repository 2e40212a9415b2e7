"""K-means on whole windows: the baseline whose prototypes have no transformation at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.clusters import best_by_class, name_clusters, refuse_codes
from beyond_spectrograms.training.trainers.base import Outcome, Trainer

if TYPE_CHECKING:
    from beyond_spectrograms.params import Protocol
    from beyond_spectrograms.representations.base import Features
    from beyond_spectrograms.training.epoch import Subset
    from beyond_spectrograms.training.run import RunConfig

STARTS = 10  # of K-means, from other centres each; the best is kept


class Centres(nn.Module):
    """As many centres [clusters, bands, frames] as classes, each with a class. Logits are the negative errors."""

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


def build(protocol: Protocol, bands: int, frames: int, classes: int) -> nn.Sequential:  # noqa: ARG001  a family's contract
    """Build the network, its centres yet to be found."""
    return nn.Sequential(Centres(bands, frames, classes))


def centres_of(network: nn.Sequential) -> Centres:
    """Find the network's last layer."""
    layer = network[-1]
    assert isinstance(layer, Centres)
    return layer


def measure(network: nn.Sequential, windows: Tensor) -> dict[str, Tensor]:
    """Tell the nearest centre's error and number, each [windows]."""
    error, cluster = centres_of(network).errors(network[:-1](windows)).min(1)
    return {"reconstruction_error": error, "cluster": cluster}


class KMeansTrainer(Trainer):
    """Finds the centres anew in each epoch, from the run's own random state; the loss is the nearest centre's error."""

    def __init__(self, config: RunConfig, features: Features) -> None:
        refuse_codes(config)
        super().__init__(config, features)

    def _make_optimizer(self) -> None:
        return None

    def epoch(self) -> tuple[Outcome, Outcome, tuple[float, ...]]:
        """Find and name the centres."""
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

        windows, targets = self._train.batch(torch.arange(len(self._train)))
        layer = centres_of(self.network)
        seed = int(torch.randint(2**31, ()))
        with threadpool_limits(1):  # the last bits of a sum depend on how many threads share it
            found = KMeans(len(layer.centres), n_init=STARTS, random_state=seed).fit(windows.flatten(1).numpy())
        layer.centres = torch.from_numpy(found.cluster_centers_).float().reshape(layer.centres.shape)
        layer.class_of = name_clusters(torch.from_numpy(found.labels_).long(), targets, *[len(layer.centres)] * 2)
        return self._judge(self._train), self._judge(self._validation), ()

    def _judge(self, subset: Subset) -> Outcome:
        layer = centres_of(self.network)
        right = error = 0.0
        for places in torch.split(torch.arange(len(subset)), self.config.protocol.batch_size):
            windows, targets = subset.batch(places)
            errors = layer.errors(windows)
            right += float((layer.class_of[errors.argmin(1)] == targets).sum())
            error += float(errors.amin(1).double().sum())
        return right / len(subset), error / len(subset)
