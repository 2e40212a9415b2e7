"""From answers of trained classifiers to the result files of a data set, cell by cell; cells not run here are kept."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from beyond_spectrograms.data.label_sets import one_row_a_label
from beyond_spectrograms.data.windows import columns_of, deal_labels
from beyond_spectrograms.evaluation.agreement import check_agrees
from beyond_spectrograms.evaluation.calibration import calibrate, has_probabilities
from beyond_spectrograms.evaluation.label_scores import score_cell
from beyond_spectrograms.evaluation.metrics import accuracies, score, tabulate_predictions, tabulate_recordings
from beyond_spectrograms.evaluation.predict import read_predictions
from beyond_spectrograms.evaluation.records import (
    COLUMNS,
    CURVE_COLUMNS,
    CURVES_FILE,
    ERROR,
    PREDICTIONS_FILE,
    SCORES_FILE,
    ResultError,
    cell_name,
    read_cells,
    read_scores,
    write_gzip_csv,
)
from beyond_spectrograms.training.tuning import TRIALS_FILE
from beyond_spectrograms.util.files import read_sealed, read_told, write_json, written_beside
from beyond_spectrograms.util.text import as_cell

if TYPE_CHECKING:
    from beyond_spectrograms.params import Params

ACCURACY_FILE = "accuracy.json"  # what `dvc metrics` shows; scores.json has too much for that
ACCURACIES = ("window_accuracy", "recording_accuracy", "class_accuracy")
PREDICTION_COLUMNS = (*COLUMNS, ERROR)


@dataclass
class Evaluation:
    """Result files in memory: scores by cell, features by representation, and rows of text by cell."""

    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    predictions: dict[str, pd.DataFrame] = field(default_factory=dict)
    curves: dict[str, pd.DataFrame] = field(default_factory=dict)

    def add(self, other: Evaluation) -> None:
        """Take in another's cells."""
        for name in ("scores", "features", "predictions", "curves"):
            getattr(self, name).update(getattr(other, name))


def evaluate_cell(
    params: Params,
    split: tuple[pd.DataFrame, pd.DataFrame],
    models: Path,
    cell: tuple[str, str, str],
    provenance: dict[str, Any],
    *,
    disturbed: Path | None = None,
) -> Evaluation:
    """Score every run of a cell.

    Args:
        params: of the study.
        split: the table of windows (clip, start_s, silent, group, label), and the part of each in every split and fold.
        models: what `train` left of the representation, a folder a protocol.
        cell: data set, representation and protocol.
        provenance: what decides the cell's scores as things stand now.
        disturbed: where the runs' answers to disturbed sounds are; these are scored in place of those in `models`.

    Raises:
        ResultError: a run's record or answers are not of this cell, answers not of its weights, or no probabilities.
        ModelError: answers are missing or damaged.
    """
    (table, parts), (_, representation, protocol) = split, cell
    folder, name = models / protocol, cell_name(representation, protocol)
    answered, stage = (folder, "train") if disturbed is None else (disturbed, "disturb")
    columns = columns_of(params.protocols[protocol].split, parts)
    names = {f"fold_{fold}-seed_{seed}": (fold, seed) for fold, seed in params.runs_of(*cell, len(columns))}
    runs = [read_predictions(answered / f"{run}.predictions.safetensors", len(table), stage) for run in names]
    for run in runs:
        if not np.array_equal(run.rows, np.flatnonzero(parts[columns[run.fold - 1]] == "test")):
            raise ResultError(f"{answered}: its answers are to other windows than the test part's. Run {stage} again.")
    records: dict[str, dict[str, Any]] = {}
    for run_name, run in zip(names, runs, strict=True):
        if (record := read_sealed(path := folder / f"{run_name}.json")) is None:
            raise ResultError(f"{path}: missing or damaged. Run its train stage again.")
        records[run_name] = record
        if run.weights_sha256 != record["weights_sha256"]:
            raise ResultError(f"{answered}: its answers are not of the weights of {run_name}. Run {stage} again.")
    table = deal_labels(table, params.protocols[protocol].deal_labels)
    several = params.protocols[protocol].loss is not None
    classes = sorted((one_row_a_label(table) if several else table)["label"].unique().tolist())
    answers = tabulate_predictions(runs, table, classes, several=several)
    recordings = tabulate_recordings(answers, classes, several=several)
    rows = as_text(recordings, representation, protocol, PREDICTION_COLUMNS)
    first = next(iter(records.values()))
    history = pd.DataFrame(
        [[*names[run], *row] for run, record in records.items() for row in record["history"]],
        columns=["fold", "seed", *first["columns"]],
    ).astype({"epoch": int})
    scores = score(runs, answers, classes, several=several)
    ended = [replace(run, probabilities=run.last) for run in runs if run.last is not None]
    at_the_end = tabulate_predictions(ended, table, classes, several=several) if ended else None
    scores["last_epoch"] = None if at_the_end is None else accuracies(at_the_end, classes, several=several)
    if params.protocols[protocol].trials:
        scores["trials"] = read_told(folder / TRIALS_FILE, list)
    if several:
        scores["labels"] = score_cell(answers, recordings, classes, params.statistics)
    elif has_probabilities(params.protocols[protocol]):
        scores["calibration"] = calibrate(answers)
    training: dict[str, Any] = {"device": first["device"], "precision": first["precision"]}
    training["processors"] = sorted({record["processor"] for record in records.values()})
    training["kernels"] = sorted({record["kernels"] for record in records.values()})
    training["seconds_by_run"] = {run: record["seconds"] for run, record in records.items()}
    scores |= {"training": training, "provenance": provenance}
    return Evaluation(
        scores={name: scores},
        features={representation: read_told(models / "features.json")},
        predictions={name: rows},
        curves={name: as_text(history, representation, protocol, CURVE_COLUMNS)},
    )


def as_text(rows: pd.DataFrame, representation: str, protocol: str, columns: Sequence[str]) -> pd.DataFrame:
    """Put a cell's rows as they stand in a result file: `columns` first, then what else there is; as text."""
    named = rows.assign(representation=representation, protocol=protocol)
    known = [column for column in columns if column in named]
    ordered = named[[*known, *(column for column in named if column not in known)]]
    text = ordered.to_csv(index=False, float_format="%.9g")
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


def kept_cell(earlier: Evaluation, representation: str, protocol: str, provenance: dict[str, Any]) -> Evaluation | None:
    """Take a cell of an earlier evaluation over, if all that decides it is the same; None if not."""
    name = cell_name(representation, protocol)
    if name not in earlier.scores or earlier.scores[name]["provenance"] != provenance:
        return None
    curves = {name: earlier.curves[name]} if name in earlier.curves else {}
    features = {representation: earlier.features[representation]}
    return Evaluation({name: earlier.scores[name]}, features, {name: earlier.predictions[name]}, curves)


def read_evaluation(folder: Path, dataset: str) -> Evaluation:
    """Read result files as they are; empty where there are none.

    Raises:
        ResultError: a file is missing beside another, or damaged.
    """
    path = folder / SCORES_FILE
    if not path.exists():
        return Evaluation()
    known = read_scores(folder, dataset)
    stored = read_told(path)
    predictions = read_cells(folder / PREDICTIONS_FILE, COLUMNS)
    check_agrees(folder / PREDICTIONS_FILE, predictions, known.cells)
    curves = read_cells(folder / CURVES_FILE, CURVE_COLUMNS)
    return Evaluation(stored["cells"], stored["features"], predictions, curves)


def write_evaluation(folder: Path, dataset: str, found: Evaluation) -> None:
    """Write the result files; scores.json last, since it names what the others hold."""
    for file, tables, columns in (
        (PREDICTIONS_FILE, found.predictions, PREDICTION_COLUMNS),
        (CURVES_FILE, found.curves, CURVE_COLUMNS),
    ):
        rows = pd.concat(tables.values(), ignore_index=True) if tables else pd.DataFrame(columns=list(columns))
        rows = rows.fillna("")
        further = [name for name in rows if name == ERROR or name not in columns]  # what some classifiers measure
        write_gzip_csv(folder / file, rows.drop(columns=[name for name in further if (rows[name] == "").all()]))
    accuracies = {name: {key: scores[key] for key in ACCURACIES} for name, scores in found.scores.items()}
    for name, scores in found.scores.items():
        if labels := scores.get("labels"):
            accuracies[name] |= {measure: each["value"] for measure, each in labels["recordings"].items()}
    write_json(folder / ACCURACY_FILE, accuracies)
    stored = {"dataset": dataset, "features": found.features, "cells": found.scores}
    write_json(folder / SCORES_FILE, stored)


def write_variant(folder: Path, variant: dict[str, Any], found: Evaluation) -> None:
    """Write the one cell of `found`: metrics.json, history.csv and, with a row a tested window, predictions.csv."""
    [(name, scores)] = found.scores.items()
    write_json(folder / "metrics.json", variant | {key: scores[key] for key in (*ACCURACIES, "diverged_runs")})
    classes, counts = scores["confusion"]["classes"], np.ravel(scores["confusion"]["counts"])
    pairs = pd.MultiIndex.from_product([classes, classes], names=["label", "predicted"])
    answers = pairs.repeat(counts).to_frame(index=False).map(as_cell)
    for file, rows in (("history", found.curves[name]), ("predictions", answers)):
        with written_beside(folder / f"{file}.csv") as beside:
            rows.to_csv(beside, index=False, lineterminator="\n")
