"""How good answers of several labels a sound are, and from which probability on each label counts.

A recording's probability of a class is the mean over its windows. Each run, a fold and seed, is measured alone, on what
it tests: probabilities of two classifiers are not on one scale, and sorting those of several folds together would mix
them. A measure is the mean over a fold's seeds, and then over folds.

- **average precision** of a class: the area under precision over recall as the recordings are sorted by its
  probability; the mean over classes is mAP. AUROC likewise under the ROC curve. A class that no recording of a run has
  is left out of that run.
- **lwlrap**: label-weighted label-ranking average precision. Classes of a recording are sorted by probability; each of
  its labels gets the precision down to its rank; the mean is over all labels of all recordings (DCASE 2019, task 2:
  Fonseca et al., "Audio tagging with noisy labels and minimal supervision", section 4).
- **F1** of a class, at the threshold that is best on the validation part of the recording's fold.
- Intervals are Student's over folds: what varies with the recordings tested and with training is in what differs from
  fold to fold. Of fewer than three folds they are the bootstrap's: origins are drawn with replacement, as many as there
  are, with their recordings' answers as they are. Recordings drawn twice lift mAP, so that percentiles are corrected
  for bias (Efron, "Nonparametric standard errors and confidence intervals", Can. J. Statistics 9, 1981). Seeds are
  drawn likewise; where there is one, chance in training is no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.uncertainty import MINIMUM_FOLDS, compare_folds
from beyond_spectrograms.params import Statistics
from beyond_spectrograms.params.protocols import SEVERAL

MEAN_AP = "mean_average_precision"
MEASURES = (MEAN_AP, "auroc", "lwlrap")
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

    def by_fold(self, origins: Mapping[str, str] | None = None) -> list[RunAnswers]:
        """Part the rows by fold; a clip is its own origin where `origins` does not say otherwise."""
        folds = self.rows["fold"].to_numpy()
        clips = self.rows["clip"]
        of = (clips.map(origins) if origins is not None else clips).to_numpy(str)
        return [
            RunAnswers(int(fold), 0, self.truth[mine], self.probabilities[mine], of[mine])
            for fold in np.unique(folds)
            if (mine := folds == fold).any()
        ]

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


def score(tested: Judged, passing: Bools) -> dict[str, Any]:
    """Score tested recordings, of which `passing` [recordings, classes] reach their thresholds."""
    from sklearn.metrics import f1_score

    runs, truth = tested.by_fold(), tested.truth
    precisions, areas = class_means(runs)
    of_class = {
        "average_precision": precisions,
        "auroc": areas,
        "f1": f1_score(truth, passing, average=None, zero_division=0),
    }
    by_class = {
        label: {name: float(values[index]) for name, values in of_class.items()}
        for index, label in enumerate(tested.classes)
    }
    return {
        **measure_runs(runs),
        "f1": float(of_class["f1"].mean()),
        "recording_accuracy": float((passing == truth).all(axis=1).mean()),
        "class_accuracy": float((passing == truth).mean()),
        "by_class": by_class,
    }


@dataclass(frozen=True)
class RunAnswers:
    """What the classifier of one run answers to what it tests: recordings or windows."""

    fold: int
    seed: int
    truth: Bools  # [rows, classes]
    probabilities: Floats  # [rows, classes]
    origins: npt.NDArray[np.str_]  # [rows]

    def curves(self, weights: npt.NDArray[np.int64] | None = None) -> tuple[Floats, Floats]:
        """Give average precisions and AUROCs [classes, draws], as draw_curves does; each row once without `weights`."""
        return draw_curves(self.truth, self.probabilities, self._once if weights is None else weights)

    def measure(self, weights: npt.NDArray[np.int64] | None = None) -> dict[str, Floats]:
        """Give each of MEASURES [draws]."""
        precisions, areas = (np.nanmean(curve, axis=0) for curve in self.curves(weights))
        ranked = draw_lwlraps(self.truth, self.probabilities, self._once if weights is None else weights)
        return dict(zip(MEASURES, (precisions, areas, ranked), strict=True))

    @property
    def _once(self) -> npt.NDArray[np.int64]:
        return np.ones((1, len(self.truth)), np.int64)


def class_means(runs: Sequence[RunAnswers]) -> tuple[Floats, Floats]:
    """Give average precisions and AUROCs [classes], the mean over a fold's seeds and then over folds.

    nan of a class that no run could measure.
    """
    folds = _by_fold(runs, [np.stack(run.curves())[:, :, 0] for run in runs])  # [folds, 2, classes]
    known = ~np.isnan(folds)
    precisions, areas = np.where(known, folds, 0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)
    return precisions, areas


def measure_runs(runs: Sequence[RunAnswers]) -> dict[str, float]:
    """Give each of MEASURES, the mean over a fold's seeds and then over folds."""
    folds = _by_fold(runs, [np.concatenate([*run.measure().values()]) for run in runs])  # [folds, measures]
    return dict(zip(MEASURES, folds.mean(axis=0).tolist(), strict=True))


def _by_fold(runs: Sequence[RunAnswers], found: Sequence[Floats]) -> Floats:
    """Average what was `found` of each run over the seeds of its fold: [folds, ...]."""
    of = np.array([run.fold for run in runs])
    return np.stack([np.mean(np.stack(found)[of == fold], axis=0) for fold in np.unique(of)])


@dataclass(frozen=True)
class Measured:
    """Each of MEASURES of every run, and as their mean is in draws of the bootstrap, where folds are few."""

    by_run: dict[str, dict[tuple[int, int], float]]  # measure -> fold, seed -> value
    drawn: dict[str, Floats]  # measure -> [draws]
    origins: int

    def interval(self, name: str, statistics: Statistics) -> Interval:
        """Give a measure with its limits, none below 0 or above 1: over folds, or where these are few of its draws.

        Also of few runs, which tables tell.
        """
        by_folds = compare_folds(self.by_run[name], statistics.model_copy(update={"minimum_runs": 1})).difference
        if reason := self.too_few(statistics):
            return Interval(by_folds.value, reason=reason)
        if not self.drawn:
            return by_folds.within(0.0, 1.0)
        return limit(by_folds.value, self.drawn[name], statistics.confidence).within(0.0, 1.0)

    def too_few(self, statistics: Statistics) -> str:
        """Say why there is no interval; empty where there is one."""
        few = self.origins < statistics.minimum_sources
        return f"{self.origins} origins, fewer than {statistics.minimum_sources}." if few else ""


def measure(runs: Sequence[RunAnswers], statistics: Statistics) -> Measured:
    """Measure the answers of all runs of a cell; cells of the same runs and origins get the same draws."""
    measured = {(run.fold, run.seed): run.measure() for run in runs}
    by_run = {name: {run: float(found[name][0]) for run, found in measured.items()} for name in MEASURES}
    names = np.unique(np.concatenate([run.origins for run in runs]))
    if len({run.fold for run in runs}) >= MINIMUM_FOLDS or len(names) < statistics.minimum_sources:
        return Measured(by_run, {}, len(names))
    random, seeds = np.random.default_rng(SEED), sorted({run.seed for run in runs})
    counts = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
    shares = random.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size=DRAWS) / len(seeds)
    drawn = dict.fromkeys(MEASURES, np.zeros(DRAWS))
    for run in runs:
        places, share = np.searchsorted(names, run.origins), shares[:, seeds.index(run.seed)]
        blocks = [run.measure(block[:, places]) for block in np.array_split(counts, BLOCKS)]
        for name in MEASURES:
            drawn[name] = drawn[name] + share * np.concatenate([block[name] for block in blocks])
    folds = len({run.fold for run in runs})
    return Measured(by_run, {name: found / folds for name, found in drawn.items()}, len(names))


def by_run(rows: pd.DataFrame, classes: Sequence[str], columns: Sequence[str]) -> list[RunAnswers]:
    """Part rows (fold, seed, label, group, and each class's probability in `columns`) by run."""
    return [
        RunAnswers(
            int(fold),
            int(seed),
            truth_of(mine["label"], classes),
            mine[list(columns)].to_numpy(np.float64),
            mine["group"].to_numpy(str),
        )
        for (fold, seed), mine in rows.groupby(["fold", "seed"], sort=True)
    ]


def score_cell(
    windows: pd.DataFrame, recordings: pd.DataFrame, classes: Sequence[str], statistics: Statistics
) -> dict[str, Any]:
    """Score a cell (records.LabelScores): `windows` with p_<class number>, `recordings` with p_<class>, of all runs."""
    of_windows = by_run(windows, classes, [f"p_{index}" for index in range(len(classes))])
    of_recordings = by_run(recordings, classes, [f"p_{label}" for label in classes])
    measured = {}
    for name, runs in (("windows", of_windows), ("recordings", of_recordings)):
        found = measure(runs, statistics)
        measured[name] = {each: asdict(found.interval(each, statistics)) for each in MEASURES}
    precisions, areas = class_means(of_recordings)
    by_class = {
        label: {
            "recordings": int(recordings["clip"][truth_of(recordings["label"], classes)[:, place]].nunique()),
            "average_precision": None if np.isnan(precisions[place]) else float(precisions[place]),
            "auroc": None if np.isnan(areas[place]) else float(areas[place]),
        }
        for place, label in enumerate(classes)
    }
    return {**measured, "by_class": by_class}


def limit(value: float, drawn: Floats, confidence: float) -> Interval:
    """Give the bias-corrected percentiles of the draws of a value."""
    from scipy.stats import norm

    if drawn.min() == drawn.max():
        return Interval(value, reason="All draws give the same: there is no spread to judge by.")
    shares = norm.cdf(shift(value, drawn) + norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2]))
    low, high = np.quantile(drawn, shares).tolist()
    return Interval(value, low, high)


def shift(value: float, drawn: Floats) -> float:
    """Give twice how far the draws' median is off the value, in standard deviations of a normal."""
    from scipy.stats import norm

    below = (np.mean(drawn < value) + np.mean(drawn <= value)) / 2
    return 2 * float(norm.ppf(np.clip(below, 1 / DRAWS, 1 - 1 / DRAWS)))
