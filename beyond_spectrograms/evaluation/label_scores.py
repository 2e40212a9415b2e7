"""How good answers of several labels a sound are, and from which probability on each label counts.

A recording's probability of a class is the mean over its windows. Recordings are tested once each, by the classifier of
the fold that had none of their origin, and scored together; where there are runs of several seeds, each seed's are, and
the scores averaged.

- **average precision** of a class: the area under precision over recall as the recordings are sorted by its
  probability; the mean over classes is mAP. AUROC likewise under the ROC curve.
- **lwlrap**: label-weighted label-ranking average precision. Classes of a recording are sorted by probability; each of
  its labels gets the precision down to its rank; the mean is over all labels of all recordings (DCASE 2019, task 2:
  Fonseca et al., "Audio tagging with noisy labels and minimal supervision", section 4).
- **F1** of a class, at the threshold that is best on the validation part of the recording's fold.
- Intervals are the bootstrap's: origins are drawn with replacement, as many as there are, with their recordings'
  answers as they are. Recordings drawn twice lift mAP, so that percentiles are corrected for bias (Efron,
  "Nonparametric standard errors and confidence intervals", Can. J. Statistics 9, 1981). Seeds are drawn likewise;
  where there is one, chance in training is no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.params import Statistics
from beyond_spectrograms.params.protocols import SEVERAL

MEASURES = ("mean_average_precision", "auroc", "lwlrap")
SEED = 0
DRAWS = 1000  # of the bootstrap
BLOCKS = 20  # in which they are made, so that those of many recordings fit in memory
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def truth_of(labels: pd.Series[Any], classes: Sequence[str]) -> Bools:
    """Say which of `labels` (`owl|rain`) has which class [rows, classes]."""
    return np.asarray(labels.str.get_dummies(SEVERAL).reindex(columns=list(classes), fill_value=0).to_numpy(bool))


@dataclass(frozen=True)
class Judged:
    """What the folds' classifiers answer to recordings, or to windows, of their validation and test parts."""

    classes: tuple[str, ...]
    rows: pd.DataFrame  # fold, part, clip, label
    probabilities: Floats  # [rows, classes]

    @property
    def truth(self) -> Bools:
        """Which row has which class [rows, classes]."""
        return truth_of(self.rows["label"], self.classes)

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

    A class that no recording of a draw has is left out of it.
    """
    return np.asarray(np.nanmean(draw_curves(truth, probabilities, weights)[0], axis=0))


def draw_curves(truth: Bools, probabilities: Floats, weights: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Give average precisions and AUROCs [classes, draws] of draws that hold recordings so many times.

    As scikit-learn's average_precision_score and roc_auc_score with such `weights` [draws, recordings], which take a
    thousand draws in turn; nan of a class that no recording of a draw has, and for AUROC of one that all have.
    """
    precisions, areas = [], []
    for has, given in zip(truth.T, probabilities.T, strict=True):
        order = np.argsort(-given, kind="stable")
        thresholds = np.append(np.diff(given[order]) != 0, True)  # equal probabilities pass together
        drawn = weights[:, order]
        hits = (drawn * has[order]).cumsum(axis=1)[:, thresholds]
        precision = hits / np.maximum(drawn.cumsum(axis=1)[:, thresholds], 1)
        all_hits = np.where(hits[:, -1] > 0, hits[:, -1], np.nan)
        rises = np.diff(hits, axis=1, prepend=0)
        precisions.append((rises * precision).sum(axis=1) / all_hits)
        misses = (drawn * ~has[order]).cumsum(axis=1)[:, thresholds]
        all_misses = np.where(misses[:, -1] > 0, misses[:, -1], np.nan)
        below = np.diff(misses, axis=1, prepend=0) * (hits - rises / 2)  # trapezoids
        areas.append(below.sum(axis=1) / (all_hits * all_misses))
    return np.array(precisions), np.array(areas)


def draw_lwlraps(truth: Bools, probabilities: Floats, weights: npt.NDArray[np.int64]) -> Floats:
    """Give lwlrap [draws] likewise; as scikit-learn's label_ranking_average_precision_score, labels as weights."""
    from scipy.stats import rankdata

    ranks = rankdata(-probabilities, "max", axis=1)
    of_labels = rankdata(-np.where(truth, probabilities, -np.inf), "max", axis=1)
    precision = np.where(truth, of_labels / ranks, 0.0).sum(axis=1)
    return np.asarray((weights @ precision) / (weights @ truth.sum(axis=1)))


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


@dataclass(frozen=True)
class SeedAnswers:
    """What one seed's classifiers answer to what they test: recordings or windows."""

    truth: Bools  # [rows, classes]
    probabilities: Floats  # [rows, classes]
    origins: npt.NDArray[np.str_]  # [rows]


@dataclass(frozen=True)
class Draws:
    """Each of MEASURES as it is, and as it is in draws of the bootstrap; none of too few origins."""

    values: dict[str, float]
    drawn: dict[str, Floats]  # [draws]
    origins: int

    def interval(self, name: str, statistics: Statistics) -> Interval:
        """Give a measure with its limits."""
        return self._limited(self.values[name], self.drawn.get(name), statistics)

    def difference(self, other: Draws, name: str, statistics: Statistics) -> tuple[Interval, float | None]:
        """Give this measure minus another cell's of the same draws, and the two-sided p of its being 0.

        p is twice the smaller share of draws on either side of 0 (Efron and Tibshirani 1993, An Introduction to the
        Bootstrap, ch. 15), none less than two in all draws and one.
        """
        value = self.values[name] - other.values[name]
        if not self.drawn:
            return self._limited(value, None, statistics), None
        apart = self.drawn[name] - other.drawn[name]
        fewer = min(int((apart <= 0).sum()), int((apart >= 0).sum()))
        return self._limited(value, apart, statistics), min(1.0, 2 * (fewer + 1) / (DRAWS + 1))

    def _limited(self, value: float, drawn: Floats | None, statistics: Statistics) -> Interval:
        if drawn is None:
            return Interval(value, reason=f"{self.origins} origins, fewer than {statistics.minimum_sources}.")
        return _limit(value, drawn, statistics.confidence)


def draw(seeds: Sequence[SeedAnswers], statistics: Statistics) -> Draws:
    """Measure the answers of all seeds, as they are and in draws of origins and seeds.

    Cells whose origins and seeds are the same get the same draws.
    """
    names = np.unique(np.concatenate([seed.origins for seed in seeds]))
    ones = np.ones((1, len(names)), np.int64)
    values = {name: float(found.mean()) for name, found in _measure(seeds, names, ones).items()}
    if len(names) < statistics.minimum_sources:
        return Draws(values, {}, len(names))
    random = np.random.default_rng(SEED)
    counts = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
    shares = random.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size=DRAWS) / len(seeds)
    blocks = [_measure(seeds, names, block) for block in np.array_split(counts, BLOCKS)]
    of_seeds = {name: np.concatenate([block[name] for block in blocks]) for name in MEASURES}
    return Draws(values, {name: (found * shares).sum(axis=1) for name, found in of_seeds.items()}, len(names))


def _measure(
    seeds: Sequence[SeedAnswers], names: npt.NDArray[np.str_], counts: npt.NDArray[np.int64]
) -> dict[str, Floats]:
    """Give each measure [draws, seeds] of draws that hold the origins `names` so often: `counts` [draws, origins]."""
    measured = []
    for seed in seeds:
        weights = counts[:, np.searchsorted(names, seed.origins)]
        precisions, areas = draw_curves(seed.truth, seed.probabilities, weights)
        lwlraps = draw_lwlraps(seed.truth, seed.probabilities, weights)
        measured.append((np.nanmean(precisions, axis=0), np.nanmean(areas, axis=0), lwlraps))
    return dict(zip(MEASURES, np.stack(measured, axis=2), strict=True))


def by_seed(rows: pd.DataFrame, classes: Sequence[str], columns: Sequence[str]) -> list[SeedAnswers]:
    """Part rows (seed, label, group, and each class's probability in `columns`) by seed."""
    return [
        SeedAnswers(
            truth_of(mine["label"], classes), mine[list(columns)].to_numpy(np.float64), mine["group"].to_numpy(str)
        )
        for _, mine in rows.groupby("seed", sort=True)
    ]


def score_cell(
    windows: pd.DataFrame, recordings: pd.DataFrame, classes: Sequence[str], statistics: Statistics
) -> dict[str, Any]:
    """Score a cell (records.LabelScores): `windows` with p_<class number>, `recordings` with p_<class>, of all runs."""
    of_windows = by_seed(windows, classes, [f"p_{index}" for index in range(len(classes))])
    of_recordings = by_seed(recordings, classes, [f"p_{label}" for label in classes])
    measured = {}
    for name, seeds in (("windows", of_windows), ("recordings", of_recordings)):
        draws = draw(seeds, statistics)
        measured[name] = {measure: asdict(draws.interval(measure, statistics)) for measure in MEASURES}
    curves = [draw_curves(s.truth, s.probabilities, np.ones((1, len(s.truth)), np.int64)) for s in of_recordings]
    precisions, areas = (np.mean([each[kind][:, 0] for each in curves], axis=0) for kind in (0, 1))
    by_class = {
        label: {
            "recordings": int(recordings["clip"][truth_of(recordings["label"], classes)[:, place]].nunique()),
            "average_precision": None if np.isnan(precisions[place]) else float(precisions[place]),
            "auroc": None if np.isnan(areas[place]) else float(areas[place]),
        }
        for place, label in enumerate(classes)
    }
    return {**measured, "by_class": by_class}


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
