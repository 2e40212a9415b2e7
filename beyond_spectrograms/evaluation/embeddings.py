"""Recordings as vectors: what the frames of a representation say on average, centred and scaled by other recordings."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from beyond_spectrograms.data.windows import release
from beyond_spectrograms.evaluation.records import ResultError
from beyond_spectrograms.params import Embedding

Floats = NDArray[np.float64]
AT_ONCE = 512  # windows read


def summarize_windows(features: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Give each band's mean and variance over the frames of each window, [windows, bands] each.

    `features` [windows, bands, frames] may be a mapped file, of which a few windows are held at a time.
    """
    means, variances = [], []
    for start in range(0, len(features), AT_ONCE):
        block = np.asarray(features[start : start + AT_ONCE], dtype=np.float64)
        means.append(block.mean(2))
        variances.append(block.var(2))
        release(features)
    return np.concatenate(means), np.concatenate(variances)


def embed(means: Floats, variances: Floats, clips: pd.Series, embedding: Embedding) -> Floats:
    """Bring the windows of each recording together: [recordings, values], in the order of their first windows.

    Args:
        means: of each window, [windows, bands], as variances: from `summarize_windows`.
        variances: their mean over a recording and the variance of its windows' means add up to that of all its frames.
        clips: the recording of each window.
        embedding: whether the deviation stands beside the mean.
    """
    rows, names = pd.factorize(clips)
    counts = np.bincount(rows)[:, None]

    def average(values: Floats) -> Floats:
        sums = np.zeros((len(names), values.shape[1]))
        np.add.at(sums, rows, values)
        return sums / counts

    mean = average(means)
    if embedding.summary == "mean":
        return mean
    variance = average(variances) + average((means - mean[rows]) ** 2)
    return np.concatenate([mean, np.sqrt(variance)], axis=1)


def normalize(vectors: Floats, aside: NDArray[np.bool_], embedding: Embedding, what: str) -> Floats:
    """Centre, scale and bring to length 1 the vectors of recordings [recordings, values].

    Args:
        vectors: from `embed`.
        aside: which recordings [recordings] give mean and deviation: of speakers that are not tested.
        embedding: says which of both is used.
        what: names data set and representation in an error.

    Raises:
        ResultError: all speakers are tested, so that none can centre; or a recording's vector is zero.
    """
    if embedding.normalize != "none":
        if aside.sum() < 2:
            raise ResultError(
                f"{what}: normalize: {embedding.normalize} takes recordings of speakers that no trial has, and "
                f"{aside.sum()} are there. Add some to the data set, or take normalize: none."
            )
        vectors = vectors - vectors[aside].mean(0)
    if embedding.normalize == "standardize":
        deviation = vectors[aside].std(0)
        vectors = vectors / np.where(deviation > 0, deviation, 1.0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not lengths.all():
        raise ResultError(
            f"{what}: {int((lengths == 0).sum())} recordings have a vector of zeros, which has no angle; row "
            f"{int(lengths.argmin())} of the recordings is the first"
        )
    normalized: Floats = vectors / lengths
    return normalized
