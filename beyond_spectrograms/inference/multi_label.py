"""Several labels a sound: the folds' scores, each class's threshold, and a model trained on all sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from beyond_spectrograms.data.windows import columns_of
from beyond_spectrograms.evaluation.label_contrasts import difference
from beyond_spectrograms.evaluation.label_scores import (
    MEAN_AP,
    Floats,
    Judged,
    find_thresholds,
    measure,
    measure_runs,
    score,
)
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.inference.card import MultiLabel
from beyond_spectrograms.inference.own_model import (
    PLAIN,
    Asked,
    describe_sounds,
    probes_beside,
    tell_difference,
    train_folds,
    train_on_all,
    with_clips,
    write_all,
)
from beyond_spectrograms.inference.own_sounds import SPLIT, OwnSounds
from beyond_spectrograms.inference.rejection import predict_parts
from beyond_spectrograms.params import Params
from beyond_spectrograms.params.protocols import SEVERAL
from beyond_spectrograms.training.run import RunConfig, read_history


def judge(runs: Sequence[RunConfig], sounds: OwnSounds) -> Judged:
    """Let finished runs answer the windows of their validation and test parts."""
    return Judged(runs[0].classes, *predict_parts(runs, sounds))


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
    interval, plain = score_plain_ways(asked.plain_ways or params, asked, tested, sounds, work)
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
    tables = {"recordings": recordings, "history": pd.DataFrame([row for run in runs for row in read_history(run)])}
    multi_label = MultiLabel(
        thresholds=scores["thresholds"],
        mean_average_precision_low=interval.low,
        mean_average_precision_high=interval.high,
        **{key: scores[key] for key in ("mean_average_precision", "lwlrap", "f1")},
    )
    return write_all(
        params, asked, sounds, final, scores, tables=tables, out=out, report=report, multi_label=multi_label
    )


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
    for way in probes_beside(params, asked):
        runs = train_folds(params, Asked(way["representation"], PLAIN, 1), sounds, work)
        judged.append(judge(runs, sounds).recordings().part("test"))
        told.append(way)
    statistics, origins = params.statistics, sounds.clips.set_index("clip")["group"].to_dict()
    mine, *others = (measure(each.by_fold(origins), statistics) for each in (ours, *judged))
    for row, theirs, answers in zip(told, others, judged, strict=True):
        row |= {name: measure_runs(answers.by_fold())[name] for name in (MEAN_AP, "lwlrap")}
        row.update(tell_difference(difference(theirs, mine, MEAN_AP, statistics).difference))
    return mine.interval(MEAN_AP, statistics), told


def _shares(tested: Judged, sounds: OwnSounds) -> Floats:
    """Give the share of recordings with each label in the training part of each tested recording's fold."""
    shares = {}
    for fold, column in enumerate(columns_of(SPLIT, sounds.parts), start=1):
        clips = sounds.table[sounds.parts[column] == "train"].drop_duplicates("clip")
        shares[fold] = clips["label"].str.get_dummies(SEVERAL)[list(tested.classes)].mean().to_numpy()
    return np.stack([shares[fold] for fold in tested.rows["fold"]])
