"""Classifiers that say what a class sounds like, and what they are compared with; found by classifiers.family_of."""

from pathlib import Path

from beyond_spectrograms.classifiers import Family
from beyond_spectrograms.learners import Learner
from beyond_spectrograms.prototypes import apnet, autoencoder, kmeans, learning, model, reconstructing, temporal

RECONSTRUCTING = ("clusters", "reconstructing")


def _code(*names: str) -> tuple[Path, ...]:
    return tuple(Path(__file__).with_name(f"{name}.py") for name in names)


FAMILIES = {
    "kmeans": Family(kmeans.build, kmeans.KMeansLearner, kmeans.measure, _code("clusters", "kmeans")),
    "prototypes": Family(
        model.build,
        learning.PrototypeLearner,
        model.measure,
        _code("clusters", "learning", "model", "networks", "starting", "transformations"),
    ),
    "apnet": Family(
        apnet.build, reconstructing.ReconstructingLearner, reconstructing.measure, _code("apnet", *RECONSTRUCTING)
    ),
    "apnet_kmeans": Family(
        apnet.build_clustered,
        reconstructing.ReconstructingLearner,
        reconstructing.measure,
        _code("apnet", *RECONSTRUCTING),
    ),
    "autoencoder_kmeans": Family(
        autoencoder.build,
        reconstructing.ReconstructingLearner,
        reconstructing.measure,
        _code("autoencoder", *RECONSTRUCTING),
    ),
    "temporal_cnn": Family(temporal.build, Learner, temporal.measure, _code("temporal")),
}
