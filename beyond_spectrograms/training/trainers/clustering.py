"""K-means on whole windows and on latents of autoencoders; K-means++, from which prototypes start."""

from collections.abc import Iterator

import torch
from torch import Tensor

from beyond_spectrograms.classifiers.base import last_layer, name_clusters
from beyond_spectrograms.classifiers.baselines import Centres, ReconstructingLayer
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.training.epoch import Outcome, Subset
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.training.trainers.base import FittingTrainer, Trainer

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


class KMeansTrainer(FittingTrainer):
    """Finds the centres; the loss is the error of the nearest one."""

    def fit(self) -> None:
        """Find and name the centres."""
        windows, targets = self._train.batch(torch.arange(len(self._train)))
        layer = last_layer(self.network, Centres)
        centres, layer.class_of = find_clusters(windows.flatten(1), targets, len(layer.centres))
        layer.centres = centres.reshape(layer.centres.shape)

    def _score(self, subset: Subset) -> Outcome:
        layer = last_layer(self.network, Centres)
        right = error = 0.0
        for places in self._batches(torch.arange(len(subset))):
            windows, targets = subset.batch(places)
            errors = layer.errors(windows)
            right += float((layer.class_of[errors.argmin(1)] == targets).sum())
            error += float(errors.amin(1).double().sum())
        return right / len(subset), error / len(subset)


class ReconstructionTrainer(Trainer):
    """Minimises the layer's loss; then, where it has clusters, finds them anew and names them."""

    columns = ("training_reconstruction_error", "validation_reconstruction_error")
    takes_codes = False
    moves = True

    def __init__(self, config: RunConfig, features: Features) -> None:
        super().__init__(config, features)
        self.layer = last_layer(self.network, ReconstructingLayer)

        def batches() -> Iterator[Tensor]:
            for places in self._batches(torch.arange(len(self._train))):
                yield self._train.batch(places)[0].double()

        counts, sums = zip(*((batch.numel(), float(batch.sum())) for batch in batches()), strict=True)
        values = sum(counts)
        mean = sum(sums) / values
        squares = sum(float((batch - mean).square().sum()) for batch in batches())
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
