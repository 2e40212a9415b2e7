"""One epoch of a run by cross-entropy, and what other trainers share with it."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch

from beyond_spectrograms.classifiers.base import ClassifierError, Standardize
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.training.augmentation import Augment
from beyond_spectrograms.training.epoch import Network, Outcome, Subset, run_epoch
from beyond_spectrograms.training.run import RunConfig, class_weights_of, rows_of, seeded_network

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


class Trainer:
    """A run's network and how it is trained, epoch by epoch; other trainers override what they do differently.

    What is random is drawn from torch's generator of the CPU, which making a trainer seeds; the loop stores its state
    beside `state`.
    """

    columns: ClassVar[tuple[str, ...]] = ()  # what an epoch reports besides accuracies and losses, for the history
    # Whether it learns a layer in front by gradient; else codes, and layers to be weighed, raise ClassifierError.
    takes_codes: ClassVar[bool] = True
    moves: ClassVar[bool] = False  # whether it moves network and batches to the run's device; else the CPU computes

    def __init__(self, config: RunConfig, features: Features) -> None:
        if config.codebook_size is not None and not self.takes_codes:
            name = config.protocol.classifier
            raise ClassifierError(f"{name} needs spectra or latents: between the numbers of codes there is no distance")
        if config.stacked is not None and not self.takes_codes:
            name = config.protocol.classifier
            raise ClassifierError(f"{name} learns no weights of layers: choose join: mean, or a network")
        rows = rows_of(config)
        self.config = config
        self.network = seeded_network(config, features, rows["train"])
        self._split = Network.split(self.network, config.precision)
        self._train, self._validation = (Subset(self._split, features, config.targets, rows[part]) for part in rows)
        self._class_weights = class_weights_of(config, rows["train"])
        self._augment = self._make_augment()
        self.optimizer = self._make_optimizer()

    def _make_optimizer(self) -> torch.optim.Optimizer | None:
        protocol = self.config.protocol
        return OPTIMIZERS[protocol.optimizer](self.network.parameters(), lr=protocol.learning_rate, fused=True)

    def _make_augment(self) -> Augment | None:
        settings, classifier = self.config.protocol.augment, self.config.protocol.classifier
        if settings is None:
            return None
        if self.config.codebook_size is not None:
            raise ClassifierError(f"augment of {classifier} needs spectra or latents: numbers of codes cannot be mixed")
        first = self.network[0]
        assert isinstance(first, Standardize)  # params.Protocol sees to it
        return Augment(settings, first, len(self.config.classes))

    def _order(self) -> torch.Tensor:
        """Order of the training windows for the next epoch."""
        return self._train.order(shuffle=self.config.protocol.shuffle_each_epoch)

    def _batches(self, places: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.split(places, self.config.protocol.batch_size)

    def epoch(self) -> tuple[Outcome, Outcome, tuple[float, ...]]:
        """Go over the training part once, then validate; gives both outcomes and a value for each of `columns`."""
        protocol = self.config.protocol
        go = partial(run_epoch, self._split, batch_size=protocol.batch_size, class_weights=self._class_weights)
        self.network.train()
        training = go(self._train, self._order(), optimizer=self.optimizer, augment=self._augment)
        self.network.train(protocol.dropout_at_evaluation)
        return training, go(self._validation, torch.arange(len(self._validation)), optimizer=None), ()

    def is_over(self) -> bool:
        """Say whether nothing is left to learn, whatever number of epochs the protocol allows."""
        return False

    def state(self) -> dict[str, Any]:
        """All that changes from epoch to epoch: tensors and plain values."""
        optimizer = None if self.optimizer is None else self.optimizer.state_dict()
        return {"network": self.network.state_dict(), "optimizer": optimizer}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a stored state."""
        self.network.load_state_dict(state["network"])
        if self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])


class FittingTrainer(Trainer):
    """Fits the last layer anew in each epoch, at once and without gradients: one epoch is enough."""

    takes_codes = False

    def _make_optimizer(self) -> None:
        return None

    def epoch(self) -> tuple[Outcome, Outcome, tuple[float, ...]]:
        """Fit, and score both parts."""
        self.fit()
        return self._score(self._train), self._score(self._validation), ()

    def fit(self) -> None:
        """Fit the last layer to the training part; here it stays as it is."""

    def _score(self, subset: Subset) -> Outcome:
        """Accuracy and loss, here cross-entropy, means over the subset's windows."""
        order = torch.arange(len(subset))
        return run_epoch(self._split, subset, order, self.config.protocol.batch_size, optimizer=None)


class NormalizingTrainer(Trainer):
    """Trains networks with batch normalisation: its running statistics cannot be stacked over runs (multi_run.py)."""
