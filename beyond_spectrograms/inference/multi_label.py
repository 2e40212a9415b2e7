"""Several labels a sound: the folds' scores, each class's threshold, and a model trained on all sounds.

A recording's probability of a class is the mean over its windows. Recordings are tested once each, by the classifier of
the fold that had none of their origin, and scored together.

- **average precision** of a class: the area under precision over recall as the recordings are sorted by its
  probability; the mean over classes is mAP. AUROC likewise under the ROC curve.
- **lwlrap**: label-weighted label-ranking average precision. Classes of a recording are sorted by probability; each of
  its labels gets the precision down to its rank; the mean is over all labels of all recordings (DCASE 2019, task 2:
  Fonseca et al., "Audio tagging with noisy labels and minimal supervision", section 4).
- **F1** of a class, at the threshold that is best on the validation part of the recording's fold.
- The interval of mAP is of the bootstrap's percentiles: origins are drawn with replacement, as many as there are, with
  their recordings' answers as they are. Chance in training is not in it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beyond_spectrograms.data.windows import columns_of
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.result_files import ACCURACIES
from beyond_spectrograms.inference.card import MultiLabel, Scores
from beyond_spectrograms.inference.export import write_model
from beyond_spectrograms.inference.folder import data_folder
from beyond_spectrograms.inference.own_model import (
    MFCC,
    ON_ALL,
    PLAIN,
    SURE,
    Asked,
    describe_sounds,
    train_folds,
    train_on_all,
    with_clips,
    write_report,
)
from beyond_spectrograms.inference.own_sounds import SEED, SPLIT, OwnSounds
from beyond_spectrograms.inference.rejection import predict_parts
from beyond_spectrograms.params import Params, Statistics
from beyond_spectrograms.params.protocols import SEVERAL
from beyond_spectrograms.training.run import RunConfig, read_history

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


def judge(runs: Sequence[RunConfig], sounds: OwnSounds) -> Judged:
    """Let finished runs answer the windows of their validation and test parts."""
    return Judged(runs[0].classes, *predict_parts(runs, sounds))


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
    ends = (1 - statistics.confidence) / 2
    lows, highs = np.quantile(drawn, [ends, 1 - ends], axis=0).tolist()
    interval, *differences = map(Interval, values, lows, highs)
    return interval, differences


def train_model(
    params: Params, asked: Asked, *, sounds: OwnSounds, work: Path, out: Path, report: Path
) -> dict[str, Any]:
    """Do what own_model.train_model does, for sounds with several labels each.

    A class's threshold in the model is the median of those of the folds.
    """
    runs = train_folds(params, asked, sounds, work)
    windows = judge(runs, sounds)
    answers, tested_windows = windows.recordings(), windows.part("test")
    thresholds, tested = find_thresholds(answers.part("validation")), answers.part("test")
    scores = score(tested, tested.passing(thresholds))
    window_accuracy = float((tested_windows.passing(thresholds) == tested_windows.truth).all(axis=1).mean())
    interval, plain = score_plain_ways(params, asked, tested, sounds, work)
    epochs = windows.rows.groupby("fold")["epoch"].first()
    final = train_on_all(runs, epochs.tolist(), sounds)
    medians = np.median([thresholds[run.fold] for run in runs], axis=0)
    by_fold = [
        {"fold": run.fold, "epoch": int(epochs[run.fold]), "thresholds": _by_class(run, thresholds[run.fold])}
        for run in runs
    ]
    origins = sounds.clips.set_index("clip")["group"]
    recordings = tested.rows[["fold", "clip", "label"]].assign(
        group=tested.rows["clip"].map(origins),
        predicted=[SEVERAL.join(np.asarray(tested.classes)[each]) for each in tested.passing(thresholds)],
        **{f"p_{label}": column for label, column in zip(tested.classes, tested.probabilities.T, strict=True)},
    )
    recordings = with_clips(recordings, sounds, params)
    scores |= {"window_accuracy": window_accuracy, "folds": len(runs), "recordings": len(recordings)}
    scores |= {"by_fold": by_fold, "intervals": {"mean_average_precision": asdict(interval)}, "plain_ways": plain}
    scores["thresholds"] = _by_class(final, medians)
    scores |= describe_sounds(sounds, recordings)
    model = {"epochs": final.epochs, "recordings": len(sounds.clips)}
    dataset, name, protocol = sounds.dataset, asked.representation, asked.protocol
    settings = {"name": protocol, **params.protocols[protocol].model_dump()}
    scores = {"dataset": dataset, "representation": name, "protocol": settings, **scores, "model": model}
    history = pd.DataFrame([row for run in runs for row in read_history(run)])
    write_report(report, scores, recordings=recordings, history=history)
    write_model(
        out,
        final.result_files[0],
        params=params,
        recipe=final.protocol,
        cell=(dataset, name, protocol),
        run=(ON_ALL, SEED),
        weights=data_folder() / "weights" / name,
        licences=[],
        clips=sounds.clips,
        scores=Scores(file=f"{report.name}/scores.json", commit=None, **{key: scores[key] for key in ACCURACIES}),
        multi_label=MultiLabel(
            thresholds=scores["thresholds"],
            mean_average_precision_low=interval.low,
            mean_average_precision_high=interval.high,
            **{key: scores[key] for key in ("mean_average_precision", "lwlrap", "f1")},
        ),
    )
    shutil.rmtree(work)
    return scores


def _by_class(run: RunConfig, values: Floats) -> dict[str, float]:
    return dict(zip(run.classes, values.tolist(), strict=True))


def score_plain_ways(
    params: Params, asked: Asked, ours: Judged, sounds: OwnSounds, work: Path
) -> tuple[Interval, list[dict[str, Any]]]:
    """Score on the same folds what needs no network: each label's share of training recordings, and probes.

    Returns:
        the interval of our mAP; and of each way what it is, its scores, and how its mAP differs from ours.
    """
    told: list[dict[str, Any]] = [{"way": "each label's share of training recordings"}]
    judged = [replace(ours, probabilities=_shares(ours, sounds))]
    codes = params.representations[asked.representation].codebook_size is not None
    for name in dict.fromkeys([MFCC, *[asked.representation] * (not codes)]):
        if (name, PLAIN) != (asked.representation, asked.protocol):
            runs = train_folds(params, Asked(name, PLAIN, 1), sounds, work)
            judged.append(judge(runs, sounds).recordings().part("test"))
            way = f"logistic regression on mean and deviation of {name}"
            told.append({"way": way, "representation": name, "protocol": PLAIN})
    ways = [each.probabilities for each in (ours, *judged)]
    origins = ours.rows["clip"].map(sounds.clips.set_index("clip")["group"])
    interval, differences = bootstrap(ours.truth, ways, origins.tolist(), params.statistics)
    for row, theirs, difference in zip(told, ways[1:], differences, strict=True):
        row["mean_average_precision"] = float(average_precisions(ours.truth, theirs).mean())
        row["lwlrap"] = lwlrap(ours.truth, theirs)
        row |= {"difference": asdict(difference), SURE: difference.low is not None and difference.low > 0}
    return interval, told


def _shares(tested: Judged, sounds: OwnSounds) -> Floats:
    """Give the share of recordings with each label in the training part of each tested recording's fold."""
    shares = {}
    for fold, column in enumerate(columns_of(SPLIT, sounds.parts), start=1):
        clips = sounds.table[sounds.parts[column] == "train"].drop_duplicates("clip")
        shares[fold] = clips["label"].str.get_dummies(SEVERAL)[list(tested.classes)].mean().to_numpy()
    return np.stack([shares[fold] for fold in tested.rows["fold"]])
