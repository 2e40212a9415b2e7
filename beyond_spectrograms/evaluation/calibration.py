"""Calibration: whether windows that are answered with a probability of 70 % are right in 70 % of the cases.

Expected calibration error: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2. Windows are
put into bins by the highest probability of their answer, its confidence; the error is the distance of the bins' mean
confidence from their accuracy, averaged over windows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.evaluation.records import ResultError

if TYPE_CHECKING:
    import pandas as pd

    from beyond_spectrograms.params import Protocol

BINS = 15  # Guo et al.'s, of equal width, each with its upper edge
# Their softmax is of distances in the features' own unit. No one ever fitted that unit to how often they are right, so
# that it is no probability: to measure it would be to measure the unit.
BY_DISTANCE = ("kmeans", "autoencoder_kmeans", "apnet_kmeans", "nearest_neighbour")


def has_probabilities(protocol: Protocol) -> bool:
    """Whether a protocol's answers are fitted as probabilities, by cross-entropy: prototypes are if it has a weight."""
    if protocol.prototypes is not None:
        return protocol.prototypes.cross_entropy > 0
    return protocol.classifier not in BY_DISTANCE


def calibrate(answers: pd.DataFrame) -> dict[str, Any]:
    """Measure how well confidence tells accuracy: of each run, and in bins of all runs (records.Calibration).

    Args:
        answers: a row a tested window of each run: fold, seed, label, predicted and probability, the highest one.

    Raises:
        ResultError: a probability is not from 0 to 1.
    """
    by_run = []
    for (fold, seed), mine in answers.groupby(["fold", "seed"], sort=False):
        if not mine["probability"].between(0, 1).all():
            raise ResultError(f"fold {fold}, seed {seed}: probabilities are not all from 0 to 1. Train this run again.")
        _, confidences, rights = _binned(mine)
        off = confidences - rights
        told = {"ece": float(np.abs(off).sum() / len(mine)), "overconfidence": float(off.sum() / len(mine))}
        by_run.append({"fold": int(fold), "seed": int(seed), **told})
    bins = [
        {"windows": count}
        | {"confidence": confidence / count if count else None, "accuracy": right / count if count else None}
        for count, confidence, right in zip(*(values.tolist() for values in _binned(answers)), strict=True)
    ]
    means = {name: float(np.mean([run[name] for run in by_run])) for name in ("ece", "overconfidence")}
    return {**means, "by_run": by_run, "bins": bins}


def _binned(answers: pd.DataFrame) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Count windows, and add up their confidences and how many are right, in each bin: each [bins]."""
    confidence = answers["probability"].to_numpy(np.float64)
    right = (answers["predicted"] == answers["label"]).to_numpy(np.float64)
    places = np.digitize(confidence, np.arange(1, BINS) / BINS, right=True)
    return np.bincount(places, minlength=BINS), np.bincount(places, confidence, BINS), np.bincount(places, right, BINS)
