"""How autoencoders that classify are trained: by the loss of their layer, with or without clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from beyond_spectrograms.classifiers.base import last_layer
from beyond_spectrograms.classifiers.reconstruction import ReconstructingLayer
from beyond_spectrograms.training.trainers.base import Outcome, Trainer
from beyond_spectrograms.training.trainers.kmeans import find_clusters

if TYPE_CHECKING:
    from beyond_spectrograms.representations.base import Features
    from beyond_spectrograms.training.epoch import Subset
    from beyond_spectrograms.training.run import RunConfig


class ReconstructionTrainer(Trainer):
    """Minimises the layer's loss; then, where it has clusters, finds them anew and names them."""

    columns = ("training_reconstruction_error", "validation_reconstruction_error")
    takes_codes = False

    def __init__(self, config: RunConfig, features: Features) -> None:
        super().__init__(config, features)
        self.layer = last_layer(self.network, ReconstructingLayer)
        batches = [self._train.batch(places)[0].double() for places in self._batches(torch.arange(len(self._train)))]
        values = sum(batch.numel() for batch in batches)
        mean = sum(float(batch.sum()) for batch in batches) / values
        squares = sum(float((batch - mean).square().sum()) for batch in batches)
        self.layer.mean, self.layer.deviation = torch.tensor(mean), torch.tensor((squares / (values - 1)) ** 0.5)
        self.layer.to(config.device)

    def epoch(self) -> tuple[Outcome, Outcome, tuple[float, ...]]:
        """Train, cluster and validate; accuracies are those of the weights after the epoch."""
        assert self.optimizer is not None
        self.network.train()
        for places in self._batches(self._order()):
            windows, targets = (value.to(self.config.device) for value in self._train.batch(places))
            loss = self.layer.go(windows, targets)[0].mean()
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()
        if self.layer.clusters:
            found = [self._run(self._train, places) for places in self._batches(torch.arange(len(self._train)))]
            points, targets = (torch.cat(each).cpu() for each in list(zip(*found, strict=True))[3:])
            centres, class_of = find_clusters(points, targets, self.layer.classes)
            self.layer.centres.copy_(centres)
            self.layer.class_of.copy_(class_of)
        training, training_error = self._score(self._train)
        validation, validation_error = self._score(self._validation)
        return training, validation, (training_error, validation_error)

    def _run(self, subset: Subset, places: Tensor) -> tuple[Tensor, ...]:
        windows, targets = (value.to(self.config.device) for value in subset.batch(places))
        with torch.no_grad():
            return *self.layer.go(windows, targets), targets

    def _score(self, subset: Subset) -> tuple[Outcome, float]:
        """Accuracy and loss, and the reconstruction error, means over the subset's windows."""
        self.network.eval()
        right = loss_sum = error_sum = 0.0
        for places in self._batches(torch.arange(len(subset))):
            loss, error, logits, _, targets = self._run(subset, places)
            right += float((logits.argmax(1) == targets).sum())
            loss_sum += float(loss.double().sum())
            error_sum += float(error.double().sum())
        return (right / len(subset), loss_sum / len(subset)), error_sum / len(subset)
