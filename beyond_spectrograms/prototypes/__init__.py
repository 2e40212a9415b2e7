"""Classifiers that say what a class sounds like, and what they are compared with; found by classifiers.family_of."""

from pathlib import Path

from beyond_spectrograms.classifiers import Family
from beyond_spectrograms.prototypes import kmeans, learning, model

_CODE = tuple(sorted(Path(__file__).parent.glob("*.py")))

FAMILIES = {
    "kmeans": Family(kmeans.build, kmeans.KMeansLearner, kmeans.measure, _CODE),
    "prototypes": Family(model.build, learning.PrototypeLearner, model.measure, _CODE),
}
