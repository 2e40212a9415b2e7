"""Scores classes that are known by texts alone: there is nothing to fit."""

import torch

from beyond_spectrograms.classifiers.base import last_layer
from beyond_spectrograms.classifiers.zero_shot import Similarity
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.training.epoch import Outcome, Subset, run_epoch
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.training.trainers.base import Trainer


class ZeroShotTrainer(Trainer):
    """Puts the run's class vectors into the network. The loss is cross-entropy."""

    takes_codes = False

    def __init__(self, config: RunConfig, features: Features) -> None:
        super().__init__(config, features)
        assert config.class_vectors is not None  # loop.runs_of_protocol asks the representation for them
        last_layer(self.network, Similarity).class_vectors = torch.from_numpy(config.class_vectors.copy())

    def _make_optimizer(self) -> None:
        return None

    def epoch(self) -> tuple[Outcome, Outcome, tuple[float, ...]]:
        """Score both parts."""
        return self._score(self._train), self._score(self._validation), ()

    def _score(self, subset: Subset) -> Outcome:
        order = torch.arange(len(subset))
        return run_epoch(self._split, subset, order, self.config.protocol.batch_size, optimizer=None)
