"""The results of a data set's cells, read and checked: scores, learning curves, sizes, splits."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from beyond_spectrograms import paper
from beyond_spectrograms.errors import ProjectError
from beyond_spectrograms.params import Params

if TYPE_CHECKING:
    from beyond_spectrograms.evidence.uncertainty import Interval
    from beyond_spectrograms.recordings import Recordings

Fraction = Annotated[float, Field(ge=0, le=1)]
MEASURES = ("training_accuracy", "training_loss", "validation_accuracy", "validation_loss")


class ResultError(ProjectError):
    """A results file is not what its stage writes; the message names the file, the place and the value."""


class Record(BaseModel):
    """A JSON file written by another stage: what is named here must be there, more may be."""

    model_config = ConfigDict(frozen=True)


class Accuracies(Record):
    """Shares of windows, of recordings and of each class's windows (averaged), 0 to 1. None: no window was counted."""

    window_accuracy: Fraction | None
    recording_accuracy: Fraction | None
    class_accuracy: Fraction | None


class Confusion(Record):
    """`counts[label][predicted]`, windows."""

    classes: list[str]
    counts: list[list[int]]


class RunScores(Record):
    """One fold and seed of a cell: the epoch tested, and `diverged_at_epoch` where its loss stopped being finite."""

    fold: int
    seed: int
    epoch: int
    diverged_at_epoch: int | None


class Scores(Accuracies):
    """What `evaluate` writes for one cell, pooled over folds and seeds."""

    dataset: str
    representation: str
    protocol: str
    folds: int
    seeds: int
    diverged_runs: int
    device: str
    windows: int
    silent_windows: int
    recordings: int
    without_silent: Accuracies
    confusion: Confusion
    by_fold: list[RunScores]


class Training(Record):
    """What `train` writes for one cell: seconds each run took, by its name `fold_<fold>-seed_<seed>`."""

    dataset: str
    representation: str
    protocol: str
    device: str
    seconds_by_run: dict[str, float]


class SplitColumn(Record):
    """One fold of a split, as `split` describes it."""

    recordings_in_two_parts: int


class Splits(Record):
    """What `split` writes: split of params.yaml -> column of parts.csv -> figures."""

    recordings: int
    splits: dict[str, dict[str, SplitColumn]]


class Features(Record):
    """What `featurize` writes for one representation. `bytes` is the whole array's size."""

    representation: str
    windows: int
    bands: int
    frames: int
    bytes: int


@dataclass(frozen=True)
class Curve:
    """One training run's history, an item an epoch. Accuracies 0 to 1, losses in nats."""

    fold: int
    seed: int
    training_accuracy: NDArray[np.float64]  # [epochs]
    training_loss: NDArray[np.float64]  # [epochs]
    validation_accuracy: NDArray[np.float64]  # [epochs]
    validation_loss: NDArray[np.float64]  # [epochs]


@dataclass(frozen=True)
class Cell:
    """What is known of one representation under one protocol. None and empty: not run."""

    scores: Scores | None = None
    curves: tuple[Curve, ...] = ()
    recordings: Recordings | None = None
    window_interval: Interval | None = None
    recording_interval: Interval | None = None
    training: Training | None = None

    @property
    def whole_curves(self) -> tuple[Curve, ...]:
        """Curves of the runs that did not diverge: a loss on its way to infinity would drown the others in a mean."""
        runs = self.scores.by_fold if self.scores else []
        gone = {(run.fold, run.seed) for run in runs if run.diverged_at_epoch is not None}
        return tuple(curve for curve in self.curves if (curve.fold, curve.seed) not in gone)

    def validation_accuracy(self) -> float | None:
        """Average over runs the validation accuracy at the epoch tested: what a choice between cells may look at.

        None where nothing was run, or no run finished the epoch it tests.
        """
        tested = {(run.fold, run.seed): run.epoch for run in self.scores.by_fold} if self.scores else {}
        epochs = [(curve, tested.get((curve.fold, curve.seed), 0)) for curve in self.curves]
        found = [float(curve.validation_accuracy[epoch - 1]) for curve, epoch in epochs if epoch]
        return sum(found) / len(found) if found else None


@dataclass(frozen=True)
class Results:
    """What is known of one data set, and what was asked for.

    `rows` always holds the paper's three inputs; `ablations` are further representations, run under a few protocols.
    """

    dataset: str
    rows: tuple[str, ...]
    protocols: tuple[str, ...]
    ablations: tuple[str, ...]
    ablation_protocols: tuple[str, ...]
    params: Params
    splits: Splits
    features: dict[str, Features]
    cells: dict[tuple[str, str], Cell]

    def cell(self, representation: str, protocol: str) -> Cell:
        """Look up a cell; one that was not run is empty."""
        return self.cells.get((representation, protocol), Cell())

    def is_control(self, representation: str) -> bool:
        """Whether the representation is an untrained encoder."""
        known = self.params.representations.get(representation)
        return known is not None and known.weights == "untrained"

    def is_codec(self, representation: str) -> bool:
        """Whether the representation is made of a codec's latents or codes, trained or not."""
        known = self.params.representations.get(representation)
        return known is not None and known.kind != "mel"

    def label(self, representation: str) -> str:
        """Name a representation in a picture, where there is no room for a note."""
        return f"{representation} (control)" if self.is_control(representation) else representation


def rows_of(representations: Iterable[str], params: Params) -> tuple[str, ...]:
    """List the representations asked for and the paper's own, in the order of params.yaml."""
    wanted = {*representations, *paper.INPUTS}
    return tuple(name for name in dict.fromkeys([*params.representations, *paper.INPUTS]) if name in wanted)


def read_scores(path: Path, dataset: str, representation: str, protocol: str) -> Scores:
    """Read one cell's scores.

    Raises:
        ResultError: a key is missing or out of range, or the file belongs to another cell.
    """
    scores = read_record(path, Scores)
    found, expected = (scores.dataset, scores.representation, scores.protocol), (dataset, representation, protocol)
    if found != expected:
        raise ResultError(f"{path}: holds the scores of {' '.join(found)}, not of {' '.join(expected)}.")
    return scores


def read_training(path: Path, dataset: str, representation: str, protocol: str) -> Training:
    """Read how long one cell's runs took.

    Raises:
        ResultError: a key is missing or has the wrong type, or the file belongs to another cell.
    """
    training = read_record(path, Training)
    found, expected = (
        (training.dataset, training.representation, training.protocol),
        (dataset, representation, protocol),
    )
    if found != expected:
        raise ResultError(f"{path}: holds the training of {' '.join(found)}, not of {' '.join(expected)}.")
    return training


def read_splits(path: Path) -> Splits:
    """Read how a data set's windows were dealt.

    Raises:
        ResultError: a key is missing or has the wrong type.
    """
    return read_record(path, Splits)


def read_features(path: Path) -> Features:
    """Read one representation's sizes and extraction time.

    Raises:
        ResultError: a key is missing or has the wrong type.
    """
    return read_record(path, Features)


AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_record(path: Path, kind: type[AnyRecord]) -> AnyRecord:
    """Read a JSON file as a record of `kind`.

    Raises:
        ResultError: it is not there, a key is missing, has the wrong type or is out of range.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ResultError(
            f"{path}: missing, though other results of its cell are there. Run its stage again."
        ) from None
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ResultError(f"{path}: {f'{place}: ' if place else ''}{problem['msg']}. Run its stage again.") from None


def read_curves(path: Path) -> tuple[Curve, ...]:
    """Read one cell's history, a curve for every fold and seed that finished an epoch (one may diverge in its first).

    Raises:
        ResultError: the file or a column is missing, a value is not a number, an accuracy is not in 0..1, or a
            run's epochs are not 1, 2, 3, ...
    """
    if not path.exists():
        raise ResultError(f"{path}: missing, though its scores are there. Run its train stage again.")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        header, rows = list(reader.fieldnames or []), list(reader)
    if missing := [column for column in ("fold", "seed", "epoch", *MEASURES) if column not in header]:
        raise ResultError(f"{path}: no column {', '.join(missing)}. It has {', '.join(header) or 'none'}.")
    runs: dict[tuple[int, int], list[list[float]]] = {}
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ResultError(f"{path}, line {number}: the row does not have the header's {len(header)} values.")
        try:
            run, epoch = (int(row["fold"]), int(row["seed"])), int(row["epoch"])
            values = [float(row[measure]) for measure in MEASURES]
        except ValueError as error:
            raise ResultError(f"{path}, line {number}: {error}.") from None
        for measure, value in zip(MEASURES, values, strict=True):
            if measure.endswith("accuracy") and not 0 <= value <= 1:
                raise ResultError(f"{path}, line {number}: {measure} is {value:g}, not in 0..1.")
            if not math.isfinite(value):
                raise ResultError(f"{path}, line {number}: {measure} is {value:g}, which training never writes.")
        epochs = runs.setdefault(run, [])
        epochs.append(values)
        if epoch != len(epochs):
            raise ResultError(f"{path}, line {number}: epoch {epoch} where {len(epochs)} is due.")
    return tuple(Curve(fold, seed, *np.array(epochs, dtype=np.float64).T) for (fold, seed), epochs in runs.items())
