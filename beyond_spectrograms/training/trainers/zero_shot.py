"""Scores classes that are known by texts alone: there is nothing to fit."""

import torch

from beyond_spectrograms.classifiers.base import last_layer
from beyond_spectrograms.classifiers.zero_shot import Similarity
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.training.trainers.base import FittingTrainer


class ZeroShotTrainer(FittingTrainer):
    """Puts the run's class vectors into the network."""

    def __init__(self, config: RunConfig, features: Features) -> None:
        super().__init__(config, features)
        assert config.class_vectors is not None  # loop.runs_of_protocol asks the representation for them
        last_layer(self.network, Similarity).class_vectors = torch.from_numpy(config.class_vectors.copy())
