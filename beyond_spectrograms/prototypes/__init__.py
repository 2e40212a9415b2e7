"""Classifiers that say what a class sounds like, and what they are compared with; found by classifiers.family_of."""

from beyond_spectrograms.classifiers import Family
from beyond_spectrograms.learners import Learner
from beyond_spectrograms.prototypes import apnet, autoencoder, kmeans, learning, model, reconstructing, temporal

FAMILIES = {
    "kmeans": Family(kmeans.build, kmeans.KMeansLearner, kmeans.measure),
    "prototypes": Family(model.build, learning.PrototypeLearner, model.measure),
    "apnet": Family(apnet.build, reconstructing.ReconstructingLearner, reconstructing.measure),
    "apnet_kmeans": Family(apnet.build_clustered, reconstructing.ReconstructingLearner, reconstructing.measure),
    "autoencoder_kmeans": Family(autoencoder.build, reconstructing.ReconstructingLearner, reconstructing.measure),
    "temporal_cnn": Family(temporal.build, Learner, temporal.measure),
}
