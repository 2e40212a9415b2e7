"""What a run learns in an epoch: the way of the classifiers of CLASSIFIERS, and where a family has its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from beyond_spectrograms.classifiers.base import family_of
from beyond_spectrograms.training.epoch import Network, Subset, run_epoch
from beyond_spectrograms.training.run import RunConfig, class_weights_of, rows_of, seeded_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from beyond_spectrograms.representations.base import Features

Outcome = tuple[float, float]  # accuracy and loss, means over a subset's windows
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


class Trainer:
    """A run's network and how it learns, epoch by epoch; families override what they do otherwise.

    What is random is drawn from torch's generator of the CPU, whose state the loop stores beside `state`.

    Attributes:
        optimizer: None where there is nothing to descend.
        columns: what an epoch tells beside the accuracies and losses, columns of the history.
    """

    columns: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: RunConfig, features: Features) -> None:
        rows = rows_of(config)
        self.config = config
        self.network = seeded_network(config, features, rows["train"])
        self._split = Network.split(self.network, config.precision)
        self._train, self._validation = (Subset(self._split, features, config.targets, rows[part]) for part in rows)
        self._class_weights = class_weights_of(config, rows["train"])
        self.optimizer = self._make_optimizer()

    def _make_optimizer(self) -> torch.optim.Optimizer | None:
        protocol = self.config.protocol
        return OPTIMIZERS[protocol.optimizer](self.network.parameters(), lr=protocol.learning_rate, fused=True)

    def _order(self) -> torch.Tensor:
        """Order of the training windows for the next epoch."""
        return (torch.randperm if self.config.protocol.shuffle_each_epoch else torch.arange)(len(self._train))

    def epoch(self) -> tuple[Outcome, Outcome, tuple[float, ...]]:
        """Go over the training part once, then validate; gives both outcomes and a value for each of `columns`."""
        protocol = self.config.protocol
        go = partial(run_epoch, self._split, batch_size=protocol.batch_size, class_weights=self._class_weights)
        self.network.train()
        training = go(self._train, self._order(), optimizer=self.optimizer)
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


def create_trainer(config: RunConfig, features: Features) -> Trainer:
    """Make the run's trainer; seeds torch's generator, so that what is drawn later is the run's own too."""
    family = family_of(config.protocol.classifier)
    return Trainer(config, features) if family is None else family.trainer(config, features)
