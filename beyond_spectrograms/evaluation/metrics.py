"""Scores of answers to the test part: by window, by recording, by class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beyond_spectrograms.data.windows import release
from beyond_spectrograms.evaluation.predict import BATCH, NOTES, Predictions
from beyond_spectrograms.evaluation.records import ERROR
from beyond_spectrograms.params.protocols import SEVERAL

if TYPE_CHECKING:
    from beyond_spectrograms.representations.base import Features


def variance_of(features: Features, rows: npt.NDArray[np.int64]) -> float:
    """Mean squared difference of rows of features [windows, bands, frames] from each band's mean over them."""
    total = squares = np.zeros(features.shape[1])
    for first in range(0, len(rows), BATCH):
        windows = np.asarray(features[rows[first : first + BATCH]], dtype=np.float64)
        total, squares = total + windows.sum((0, 2)), squares + np.square(windows).sum((0, 2))
        release(features)
    values = len(rows) * features.shape[2]
    return float((squares / values - (total / values) ** 2).mean())


def decide(probabilities: npt.NDArray[Any], classes: Sequence[str], *, several: bool = False) -> npt.NDArray[Any]:
    """Name the class of the highest of the probabilities [rows, classes]; with `several` all from one half on."""
    if several:
        return np.array([SEVERAL.join(np.asarray(classes)[each]) for each in probabilities >= 0.5])
    named: npt.NDArray[Any] = np.asarray(classes)[probabilities.argmax(1)]
    return named


def tabulate_predictions(
    runs: list[Predictions], table: pd.DataFrame, classes: list[str], *, several: bool = False
) -> pd.DataFrame:
    """One row a tested window.

    fold, seed, clip, start_s, silent, group, label, predicted, probability, label_probability; what the classifier's
    family measures; and p_<class number>, every probability, for the scores of recordings. With `several` labels a
    window there is no label_probability, and `predicted` names those from one half on, as labels do: `owl|rain`.
    """
    frames = []
    for run in runs:
        frame = table.iloc[run.rows][["clip", "start_s", "silent", "group", "label"]].reset_index(drop=True)
        frame["predicted"] = decide(run.probabilities, classes, several=several)
        frame["probability"] = run.probabilities.max(1)
        if not several:
            target = np.searchsorted(classes, frame["label"])
            frame["label_probability"] = run.probabilities[np.arange(len(target)), target]
        frame.insert(0, "seed", run.seed)
        frame.insert(0, "fold", run.fold)
        every = {f"p_{index}": of_class for index, of_class in enumerate(run.probabilities.T)}
        frames.append(frame.assign(**run.measures, **every))
    return pd.concat(frames, ignore_index=True)


def accuracies(predictions: pd.DataFrame, classes: list[str], *, several: bool = False) -> dict[str, float | None]:
    """Fractions right: of windows, of recordings (by the mean of their windows' probabilities), mean over classes.

    None each where there is no window to judge by. With `several` labels all of them must be right, and none is too
    many; the mean over classes is then None.
    """
    if predictions.empty:
        return dict.fromkeys(("window_accuracy", "recording_accuracy", "class_accuracy"))
    right = predictions["predicted"] == predictions["label"]
    columns = [f"p_{index}" for index in range(len(classes))]
    recordings = predictions.groupby(["fold", "seed", "clip"], sort=True)
    means = recordings[columns].mean().to_numpy()
    recording_right = decide(means, classes, several=several) == recordings["label"].first().to_numpy()
    return {
        "window_accuracy": float(right.mean()),
        "recording_accuracy": float(recording_right.mean()),
        "class_accuracy": None if several else float(right.groupby(predictions["label"]).mean().mean()),
    }


def tabulate_recordings(predictions: pd.DataFrame, classes: list[str], *, several: bool = False) -> pd.DataFrame:
    """One row a tested recording, for each fold and seed: what intervals and paired tests are made of.

    fold, seed, clip, group, label, windows, windows_right, predicted (the class of the mean of its windows'
    probabilities), predicted_by_seeds (the same over all seeds' windows, one decision a recording: the page tells it),
    and where the classifier reconstructs reconstruction_error (the sum over its windows). With `several` labels also
    p_<class>, the mean of its windows' probabilities.
    """
    columns = [f"p_{index}" for index in range(len(classes))]
    counted = predictions.assign(right=predictions["predicted"] == predictions["label"])
    recordings = counted.groupby(["fold", "seed", "clip"], sort=True)
    table = recordings.agg(
        group=("group", "first"), label=("label", "first"), windows=("right", "size"), windows_right=("right", "sum")
    )
    means = recordings[columns].mean()
    table["predicted"] = decide(means.to_numpy(), classes, several=several)
    by_seeds = predictions.groupby(["fold", "clip"], sort=True)[columns].mean()
    decided = pd.Series(decide(by_seeds.to_numpy(), classes, several=several), by_seeds.index)
    if ERROR in predictions:
        table[ERROR] = recordings[ERROR].sum()
    if several:
        table[[f"p_{label}" for label in classes]] = means
    return table.reset_index().join(decided.rename("predicted_by_seeds"), on=["fold", "clip"])


def summarise(predictions: pd.DataFrame, measures: Iterable[str]) -> dict[str, float]:
    """Mean over one run's windows of each measure; of `cluster`, how well the clusters agree with the classes.

    The agreement is corrected for chance: 0 is what random clusters get, 1 are clusters that are the classes.
    """
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    scores = {}
    for name in measures:
        if name == "cluster":
            pair = predictions["label"], predictions["cluster"]
            scores["adjusted_rand"] = float(adjusted_rand_score(*pair))
            scores["adjusted_mutual_information"] = float(adjusted_mutual_info_score(*pair))
            scores["clusters"] = float(predictions["cluster"].nunique())
        else:
            scores[name] = float(predictions[name].mean())
    return scores


def score(
    runs: list[Predictions], predictions: pd.DataFrame, classes: list[str], *, several: bool = False
) -> dict[str, Any]:
    """Pool the tested windows of all folds and seeds into a cell's scores, but for intervals (records.Scores).

    A recording counts once for each fold and seed that tested it. What a classifier measures besides is summarised run
    by run and averaged: a cluster's number means nothing in another run. With `several` labels nothing is confused.
    """
    from sklearn.metrics import confusion_matrix

    by_fold, summaries = [], []
    for run in runs:
        mine = predictions[(predictions["fold"] == run.fold) & (predictions["seed"] == run.seed)]
        told = {key: getattr(run, key) for key in NOTES}
        summaries.append(summarise(mine, run.measures))
        by_fold.append({**told, **accuracies(mine, classes, several=several), **summaries[-1]})
    counts = (
        [] if several else confusion_matrix(predictions["label"], predictions["predicted"], labels=classes).tolist()
    )
    return {
        "folds": len({run.fold for run in runs}),
        "seeds": len({run.seed for run in runs}),
        "diverged_runs": sum(run.diverged_at_epoch is not None for run in runs),
        "windows": len(predictions),
        "silent_windows": int(predictions["silent"].sum()),
        "recordings": int(predictions["clip"].nunique()),
        **accuracies(predictions, classes, several=several),
        **{name: float(np.mean([summary[name] for summary in summaries])) for name in summaries[0]},
        "without_silent": accuracies(predictions[predictions["silent"] == 0], classes, several=several),
        "by_fold": by_fold,
        "confusion": {"classes": classes, "counts": counts},
    }
