"""How good answers of several labels a sound are, and from which probability on each label counts.

A recording's probability of a class is the mean over its windows. Recordings are tested once each, by the classifier of
the fold that had none of their origin, and scored together.

- **average precision** of a class: the area under precision over recall as the recordings are sorted by its
  probability; the mean over classes is mAP. AUROC likewise under the ROC curve.
- **lwlrap**: label-weighted label-ranking average precision. Classes of a recording are sorted by probability; each of
  its labels gets the precision down to its rank; the mean is over all labels of all recordings (DCASE 2019, task 2:
  Fonseca et al., "Audio tagging with noisy labels and minimal supervision", section 4).
- **F1** of a class, at the threshold that is best on the validation part of the recording's fold.
- The interval of mAP is the bootstrap's: origins are drawn with replacement, as many as there are, with their
  recordings' answers as they are. Recordings drawn twice lift mAP, so that percentiles are corrected for bias (Efron,
  "Nonparametric standard errors and confidence intervals", Can. J. Statistics 9, 1981). Chance in training is no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.params import Statistics
from beyond_spectrograms.params.protocols import SEVERAL

SEED = 0
DRAWS = 1000  # of the bootstrap
BLOCKS = 20  # in which they are made, so that those of many recordings fit in memory
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """What the folds' classifiers answer to recordings, or to windows, of their validation and test parts."""

    classes: tuple[str, ...]
    rows: pd.DataFrame  # fold, part, clip, label
    probabilities: Floats  # [rows, classes]

    @property
    def truth(self) -> Bools:
        """Which row has which class [rows, classes]."""
        has = self.rows["label"].str.get_dummies(SEVERAL).reindex(columns=list(self.classes), fill_value=0)
        return np.asarray(has.to_numpy(bool))

    def where(self, rows: pd.Series[bool]) -> Judged:
        """Keep some of the rows."""
        return replace(
            self, rows=self.rows[rows].reset_index(drop=True), probabilities=self.probabilities[rows.to_numpy()]
        )

    def recordings(self) -> Judged:
        """Take the mean over each recording's windows."""
        keys = [self.rows[key] for key in ("fold", "part", "clip", "label")]
        means = pd.DataFrame(self.probabilities).groupby(keys).mean()
        return replace(self, rows=means.index.to_frame(index=False), probabilities=means.to_numpy())

    def part(self, part: str) -> Judged:
        """Keep the rows of a part."""
        return self.where(self.rows["part"] == part)

    def passing(self, thresholds: Mapping[int, Floats]) -> Bools:
        """Say which probabilities reach the thresholds [classes] of their fold [rows, classes]."""
        return np.asarray(self.probabilities >= np.stack([thresholds[fold] for fold in self.rows["fold"]]))


def best_threshold(truth: Bools, probabilities: Floats) -> float:
    """Find the threshold of one class of highest F1: halfway from the lowest probability that passes to the next lower.

    Of equally good ones the highest. A class that no recording has gets 1.
    """
    from sklearn.metrics import precision_recall_curve

    if not truth.any():
        return 1.0
    precision, recall, passing = precision_recall_curve(truth, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    best = int(np.flatnonzero(f1[:-1] == f1[:-1].max())[-1])
    return float((passing[best] + (passing[best - 1] if best else 0.0)) / 2)


def find_thresholds(validated: Judged) -> dict[int, Floats]:
    """Find every class's threshold of every fold by the recordings of its validation part: fold -> [classes]."""
    found = {}
    for fold in sorted(set(validated.rows["fold"])):
        mine = validated.where(validated.rows["fold"] == fold)
        columns = zip(mine.truth.T, mine.probabilities.T, strict=True)
        found[int(fold)] = np.array([best_threshold(*column) for column in columns])
    return found


def average_precisions(truth: Bools, probabilities: Floats) -> Floats:
    """Give the average precision of each class [classes]."""
    from sklearn.metrics import average_precision_score

    return np.atleast_1d(average_precision_score(truth, probabilities, average=None))


def mean_average_precisions(truth: Bools, probabilities: Floats, weights: npt.NDArray[np.int64]) -> Floats:
    """Give the mAP [draws] as it is when each draw holds recordings so many times: `weights` [draws, recordings].

    As scikit-learn's average_precision_score with such weights, which takes a thousand draws in turn. A class that no
    recording of a draw has is left out of it.
    """
    by_class = []
    for has, given in zip(truth.T, probabilities.T, strict=True):
        order = np.argsort(-given, kind="stable")
        thresholds = np.append(np.diff(given[order]) != 0, True)  # equal probabilities pass together
        drawn = weights[:, order]
        hits = (drawn * has[order]).cumsum(axis=1)[:, thresholds]
        precision = hits / np.maximum(drawn.cumsum(axis=1)[:, thresholds], 1)
        all_hits = np.where(hits[:, -1] > 0, hits[:, -1], np.nan)
        by_class.append((np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1) / all_hits)
    return np.asarray(np.nanmean(by_class, axis=0))


def lwlrap(truth: Bools, probabilities: Floats) -> float:
    """Give the label-weighted label-ranking average precision of recordings that have one label or more."""
    from sklearn.metrics import label_ranking_average_precision_score

    return float(label_ranking_average_precision_score(truth, probabilities, sample_weight=truth.sum(axis=1)))


def score(tested: Judged, passing: Bools) -> dict[str, Any]:
    """Score tested recordings, of which `passing` [recordings, classes] reach their thresholds."""
    from sklearn.metrics import f1_score, roc_auc_score

    truth = tested.truth
    of_class = {
        "average_precision": average_precisions(truth, tested.probabilities),
        "auroc": np.atleast_1d(roc_auc_score(truth, tested.probabilities, average=None)),
        "f1": f1_score(truth, passing, average=None, zero_division=0),
    }
    by_class = {
        label: {name: float(values[index]) for name, values in of_class.items()}
        for index, label in enumerate(tested.classes)
    }
    return {
        "mean_average_precision": float(of_class["average_precision"].mean()),
        "lwlrap": lwlrap(truth, tested.probabilities),
        **{key: float(of_class[key].mean()) for key in ("auroc", "f1")},
        "recording_accuracy": float((passing == truth).all(axis=1).mean()),
        "class_accuracy": float((passing == truth).mean()),
        "by_class": by_class,
    }


def bootstrap(
    truth: Bools, ways: Sequence[Floats], origins: Sequence[str], statistics: Statistics
) -> tuple[Interval, list[Interval]]:
    """Give the interval of the first way's mAP, and of the difference of each other's from it.

    Every draw takes as many origins as there are, with replacement; a class that none of them has is left out of it.
    """
    first_map, *others = (float(average_precisions(truth, way).mean()) for way in ways)
    names, origin_of = np.unique(list(origins), return_inverse=True)
    values = [first_map, *[other - first_map for other in others]]
    if len(names) < statistics.minimum_sources:
        reason = f"{len(names)} origins, fewer than {statistics.minimum_sources}."
        interval, *differences = (Interval(value, reason=reason) for value in values)
        return interval, differences
    counts = np.random.default_rng(SEED).multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
    drawn = np.concatenate(
        [
            np.stack([mean_average_precisions(truth, way, block[:, origin_of]) for way in ways], axis=1)
            for block in np.array_split(counts, BLOCKS)
        ]
    )
    drawn[:, 1:] -= drawn[:, :1]
    interval, *differences = (
        _limit(value, column, statistics.confidence) for value, column in zip(values, drawn.T, strict=True)
    )
    return interval, differences


def _limit(value: float, drawn: Floats, confidence: float) -> Interval:
    """Give the bias-corrected percentiles of the draws of a value."""
    from scipy.stats import norm

    if drawn.min() == drawn.max():
        return Interval(value, reason="All draws give the same: there is no spread to judge by.")
    below = (np.mean(drawn < value) + np.mean(drawn <= value)) / 2
    shift = 2 * norm.ppf(np.clip(below, 1 / DRAWS, 1 - 1 / DRAWS))
    shares = norm.cdf(shift + norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2]))
    low, high = np.quantile(drawn, shares).tolist()
    return Interval(value, low, high)
