"""How each classifier is trained: its Trainer, by the classifier's name in params.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beyond_spectrograms.classifiers.registry import CLASSIFIERS
from beyond_spectrograms.training.run import HISTORY_COLUMNS
from beyond_spectrograms.training.trainers.base import Trainer
from beyond_spectrograms.training.trainers.kmeans import KMeansTrainer
from beyond_spectrograms.training.trainers.prototypes import PrototypeTrainer
from beyond_spectrograms.training.trainers.reconstruction import ReconstructionTrainer

if TYPE_CHECKING:
    from beyond_spectrograms.params import Protocol
    from beyond_spectrograms.representations.base import Features
    from beyond_spectrograms.training.run import RunConfig

TRAINERS: dict[str, type[Trainer]] = {
    **dict.fromkeys(CLASSIFIERS, Trainer),  # by cross-entropy, except:
    "kmeans": KMeansTrainer,
    "prototypes": PrototypeTrainer,
    "apnet": ReconstructionTrainer,
    "apnet_kmeans": ReconstructionTrainer,
    "autoencoder_kmeans": ReconstructionTrainer,
}


def create_trainer(config: RunConfig, features: Features) -> Trainer:
    """Make the run's trainer; seeds torch's generator, so that what is drawn later belongs to the run.

    Raises:
        ClassifierError: the features are codes, which this classifier cannot take.
    """
    return TRAINERS[config.protocol.classifier](config, features)


def history_columns(protocol: Protocol) -> list[str]:
    """List the columns of a learning curve."""
    return [*HISTORY_COLUMNS, *TRAINERS[protocol.classifier].columns]
