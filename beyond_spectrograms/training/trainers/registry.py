"""Classifiers that say what a class sounds like, and what they are compared with; found by classifiers.family_of."""

from beyond_spectrograms.classifiers import apnet, autoencoder, kmeans, reconstruction, temporal_cnn
from beyond_spectrograms.classifiers.base import Family
from beyond_spectrograms.classifiers.prototypes import model
from beyond_spectrograms.training.trainers import prototypes
from beyond_spectrograms.training.trainers.base import Learner

FAMILIES = {
    "kmeans": Family(kmeans.build, kmeans.KMeansLearner, kmeans.measure),
    "prototypes": Family(model.build, prototypes.PrototypeLearner, model.measure),
    "apnet": Family(apnet.build, reconstruction.ReconstructingLearner, reconstruction.measure),
    "apnet_kmeans": Family(apnet.build_clustered, reconstruction.ReconstructingLearner, reconstruction.measure),
    "autoencoder_kmeans": Family(autoencoder.build, reconstruction.ReconstructingLearner, reconstruction.measure),
    "temporal_cnn": Family(temporal_cnn.build, Learner, temporal_cnn.measure),
}
