"""How each classifier learns in an epoch: the usual way, and those with ways of their own."""

from beyond_spectrograms.classifiers.registry import CLASSIFIERS
from beyond_spectrograms.training.trainers.base import NormalizingTrainer, Trainer
from beyond_spectrograms.training.trainers.clustering import KMeansTrainer, ReconstructionTrainer
from beyond_spectrograms.training.trainers.prototypes import PrototypeTrainer
from beyond_spectrograms.training.trainers.summaries import NeighbourTrainer, ProbeTrainer
from beyond_spectrograms.training.trainers.zero_shot import ZeroShotTrainer

# By the classifier's name in params.yaml.
TRAINERS: dict[str, type[Trainer]] = {
    **dict.fromkeys(CLASSIFIERS, Trainer),  # by cross-entropy, except:
    "m5": NormalizingTrainer,
    "kmeans": KMeansTrainer,
    "prototypes": PrototypeTrainer,
    "apnet": ReconstructionTrainer,
    "apnet_kmeans": ReconstructionTrainer,
    "autoencoder_kmeans": ReconstructionTrainer,
    "probe_mean": ProbeTrainer,
    "probe_mean_deviation": ProbeTrainer,
    "nearest_neighbour": NeighbourTrainer,
    "knn_euclidean": NeighbourTrainer,
    "knn_cosine": NeighbourTrainer,
    "zero_shot": ZeroShotTrainer,
}
