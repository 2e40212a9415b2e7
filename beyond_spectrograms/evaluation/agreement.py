"""Whether rows of predictions.csv.gz and curves.csv.gz are those that the scores beside them were made of."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from beyond_spectrograms.evaluation.convergence import Curve
from beyond_spectrograms.evaluation.records import SCORES_FILE, ResultError, Scores, numbers_of
from beyond_spectrograms.params.protocols import SEVERAL
from beyond_spectrograms.util.text import quoted

ROUNDED = 1e-9  # what the order of a sum may change
COUNTED = ("windows", "windows_right")
RESTORE = "One of the two was edited or damaged: restore them from git, or remove both and run evaluate again."


def check_agrees(path: Path, rows: Mapping[str, pd.DataFrame], cells: Mapping[str, Scores]) -> None:
    """See that the rows of all cells, as in the file at `path`, are those that their scores were made of.

    As far as scores tell: cells, runs, classes, recordings, windows of each class, how many of these are right, and the
    accuracies by recording and by class.

    Raises:
        ResultError: some are others; the message names the first.
    """
    if absent := sorted(rows.keys() ^ cells.keys()):
        where, other = (path.name, SCORES_FILE) if absent[0] in rows else (SCORES_FILE, path.name)
        raise ResultError(f"{path}: {absent[0]} is in {where} and not in {other}. {RESTORE}")
    for cell, mine in rows.items():
        _check_cell(path, cell, mine, cells[cell])


def check_curves(path: Path, cell: str, curves: Sequence[Curve], scores: Scores) -> None:
    """See that every run that finished has a learning curve as far as the epoch that was tested.

    Raises:
        ResultError: one has none, or a shorter one; the message names it.
    """
    lengths = {curve.run: len(curve.validation_loss) for curve in curves}
    for run in scores.by_fold:
        if run.diverged_at_epoch is None and (found := lengths.get((run.fold, run.seed), 0)) < run.epoch:
            raise ResultError(
                f"{path}: {cell}: {found} epochs of fold {run.fold}, seed {run.seed}, whose epoch {run.epoch} was "
                f"tested by {SCORES_FILE}. {RESTORE}"
            )


def _check_cell(path: Path, cell: str, rows: pd.DataFrame, scores: Scores) -> None:
    several, classes = scores.labels is not None, scores.confusion.classes
    if (unnamed := rows["clip"] == "").any():
        raise ResultError(f"{path}, line {unnamed.idxmax() + 2}: no clip. {RESTORE}")
    known = {*classes, *[""] * several}  # of several labels none may be told
    for column in ("label", "predicted", "predicted_by_seeds"):
        for text in rows[column].unique():
            if unknown := sorted({*(text.split(SEVERAL) if several else [text])} - known):
                raise ResultError(
                    f"{path}: {cell}: {column} is {quoted(unknown[0])}, no class of {SCORES_FILE}. {RESTORE}"
                )
    numbers = pd.DataFrame({name: numbers_of(path, rows, name, int) for name in ("fold", "seed", *COUNTED)}, rows.index)
    windows, right = (int(numbers[name].sum()) for name in COUNTED)
    pairs: list[tuple[str, Any, Any]] = [
        (
            "runs",
            sorted({*zip(numbers["fold"], numbers["seed"], strict=True)}),
            sorted((run.fold, run.seed) for run in scores.by_fold),
        ),
        ("recordings", rows["clip"].nunique(), scores.recordings),
        ("windows", windows, scores.windows),
        ("windows right", right, None if scores.window_accuracy is None else round(scores.window_accuracy * windows)),
    ]
    of_class = numbers["windows"].groupby(rows["label"]).sum()
    for label, counted in zip(classes, scores.confusion.counts, strict=not several):
        pairs.append((f"windows of {label}", int(of_class.get(label, 0)), sum(counted)))
    by_label = numbers.groupby(rows["label"])[list(COUNTED)].sum()
    pairs += [
        (name, found, found if told is None or math.isclose(found, told, abs_tol=ROUNDED) else told)
        for name, found, told in (
            ("recordings right", float((rows["predicted"] == rows["label"]).mean()), scores.recording_accuracy),
            ("mean of classes", float((by_label["windows_right"] / by_label["windows"]).mean()), scores.class_accuracy),
        )
    ]
    for what, found, told in pairs:
        if found != told:
            raise ResultError(f"{path}: {cell}: {what} are {quoted(found)}, by {SCORES_FILE} {quoted(told)}. {RESTORE}")
