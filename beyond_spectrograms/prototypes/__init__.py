"""Classifiers that say what a class sounds like, and what they are compared with; found by classifiers.family_of."""

from pathlib import Path

from beyond_spectrograms.classifiers import Family
from beyond_spectrograms.prototypes import kmeans, learning, model


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
}
