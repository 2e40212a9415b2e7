"""Classifiers that say what a class sounds like, and what they are compared with; found by classifiers.family_of."""

from beyond_spectrograms.classifiers import apnet, autoencoder, kmeans, reconstruction, temporal_cnn
from beyond_spectrograms.classifiers.base import Family
from beyond_spectrograms.classifiers.prototypes import model
from beyond_spectrograms.training.trainers import prototypes
from beyond_spectrograms.training.trainers.base import Trainer

FAMILIES = {
    "kmeans": Family(kmeans.build, kmeans.KMeansTrainer, kmeans.measure),
    "prototypes": Family(model.build, prototypes.PrototypeTrainer, model.measure),
    "apnet": Family(apnet.build, reconstruction.ReconstructionTrainer, reconstruction.measure),
    "apnet_kmeans": Family(apnet.build_clustered, reconstruction.ReconstructionTrainer, reconstruction.measure),
    "autoencoder_kmeans": Family(autoencoder.build, reconstruction.ReconstructionTrainer, reconstruction.measure),
    "temporal_cnn": Family(temporal_cnn.build, Trainer, temporal_cnn.measure),
}
