"""The results of a data set's cells, written and read: scores, tested recordings, learning curves, sizes, splits.

Three files hold all that tables, intervals and figures are made of: scores.json, predictions.csv.gz (a row a tested
recording: recordings.py) and curves.csv.gz (a row an epoch). A cell is known in them as <representation>-<protocol>.
"""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from beyond_spectrograms.params import Codec, Params
from beyond_spectrograms.report import published
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import written_beside

if TYPE_CHECKING:
    import pandas as pd

    from beyond_spectrograms.evaluation.clip_results import Recordings

Fraction = Annotated[float, Field(ge=0, le=1)]
SCORES_FILE, PREDICTIONS_FILE, CURVES_FILE = "scores.json", "predictions.csv.gz", "curves.csv.gz"
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
    """One fold and seed of a cell: the epoch tested, and `diverged_at_epoch` where its loss stopped being finite.

    `weights_sha256` is that of the file of weights that was tested; None where scores were made before it was kept.
    """

    model_config = ConfigDict(frozen=True, extra="allow")  # what a classifier's family measures

    fold: int
    seed: int
    epoch: int
    diverged_at_epoch: int | None
    window_accuracy: Fraction | None
    recording_accuracy: Fraction | None
    class_accuracy: Fraction | None
    weights_sha256: str | None


class Training(Record):
    """How a cell was trained; seconds each run took, by its name `fold_<fold>-seed_<seed>`."""

    device: str
    precision: str
    seconds_by_run: dict[str, float]


class Provenance(Record):
    """What decided a cell's scores (Study.score_provenance)."""

    params: str
    data: str
    versions: dict[str, int | str]


@dataclass(frozen=True)
class Interval:
    """A value and its limits. None: there are no limits, and `reason` says why; `remark` says what limits leave out."""

    value: float
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    remark: str | None = None


class Scores(Accuracies):
    """What `evaluate` found of one cell, pooled over folds and seeds, with its intervals."""

    folds: int
    seeds: int
    diverged_runs: int
    windows: int
    silent_windows: int
    recordings: int
    without_silent: Accuracies
    by_fold: list[RunScores]
    confusion: Confusion
    window_interval: Interval
    recording_interval: Interval
    training: Training
    provenance: Provenance


class SplitColumn(Record):
    """One fold of a split, as `split` describes it."""

    recordings_in_two_parts: int


class Splits(Record):
    """What `split` writes: split of params.yaml -> column of parts.csv -> figures."""

    recordings: int
    splits: dict[str, dict[str, SplitColumn]]


class Features(Record):
    """One representation's features. `bytes` is the whole array's size.

    `variance`, by split, is the tested windows' mean squared difference from each band's mean over them: what errors of
    reconstruction are shares of. Empty where nothing reconstructs.
    """

    windows: int
    bands: int
    frames: int
    bytes: int
    variance: dict[str, float]


class ScoresFile(Record):
    """scores.json: features by representation, scores by cell."""

    dataset: str
    features: dict[str, Features]
    cells: dict[str, Scores]


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

    @property
    def window_interval(self) -> Interval | None:
        """Share of tested windows that are right, 0 to 1."""
        return self.scores.window_interval if self.scores else None

    @property
    def recording_interval(self) -> Interval | None:
        """Share of tested recordings that are right, 0 to 1."""
        return self.scores.recording_interval if self.scores else None

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
        return isinstance(self.params.representations.get(representation), Codec)

    def label(self, representation: str) -> str:
        """Name a representation in a picture, where there is no room for a note."""
        return f"{representation} (control)" if self.is_control(representation) else representation


def rows_of(representations: Iterable[str], params: Params) -> tuple[str, ...]:
    """List the representations asked for and the paper's own, in the order of params.yaml."""
    wanted = {*representations, *published.INPUTS}
    return tuple(name for name in dict.fromkeys([*params.representations, *published.INPUTS]) if name in wanted)


def cell_name(representation: str, protocol: str) -> str:
    """Name a cell as result files do. Neither part has a dash."""
    return f"{representation}-{protocol}"


def read_scores(folder: Path, dataset: str) -> ScoresFile:
    """Read a data set's scores.json.

    Raises:
        ResultError: it is not there, a key is missing or out of range, or it is of another data set.
    """
    scores = read_record(folder / SCORES_FILE, ScoresFile)
    if scores.dataset != dataset:
        raise ResultError(f"{folder / SCORES_FILE}: holds the scores of {scores.dataset}, not of {dataset}.")
    return scores


def read_results(params: Params, dataset: str, folder: Path, root: Path) -> Results:
    """Read a data set's cells: those of the grid from `folder`, those that stand beside them from `root`.

    What is in a file but not asked for is not read.

    Args:
        params: of the study.
        dataset: its name.
        folder: the study's metrics/<dataset>.
        root: metrics/<dataset> of the paper's experiment; splits.json is there or in `folder`.

    Raises:
        ResultError: a file is missing or damaged.
    """
    from beyond_spectrograms.evaluation.clip_results import read_recordings

    protocols = list(dict.fromkeys(protocol for _, protocol in params.grid.cells()))
    beside = [(name, protocol) for name in params.grid.beside for protocol in protocols]
    found: dict[tuple[str, str], Cell] = {}
    features: dict[str, Features] = {}
    for place, asked in ((folder, params.grid.cells()), (root, beside)):
        if not asked:
            continue
        scores = read_scores(place, dataset)
        recordings, curves = read_recordings(place / PREDICTIONS_FILE), read_curves(place / CURVES_FILE)
        for cell in asked:
            if (name := cell_name(*cell)) not in scores.cells:
                continue
            if name not in recordings:
                raise ResultError(
                    f"{place / PREDICTIONS_FILE}: nothing of {name}, whose scores are there. Run evaluate again."
                )
            found[cell] = Cell(scores.cells[name], curves.get(name, ()), recordings[name])
        names = {name for name, _ in asked}
        features |= {name: record for name, record in scores.features.items() if name in names}
    grid, few = params.grid, params.grid.only if not params.grid.beside else params.grid.representations
    rows = grid.beside or [name for name in grid.representations if name not in grid.only]
    # By protocol, so that whatever lists cells in order keeps those together that are compared.
    order = list(params.protocols)
    return Results(
        dataset=dataset,
        rows=rows_of(rows, params),
        protocols=tuple(grid.protocols),
        ablations=tuple(few),
        ablation_protocols=tuple(dict.fromkeys(protocol for name in few for protocol in grid.protocols_of(name))),
        params=params,
        splits=read_record((folder if (folder / "splits.json").exists() else root) / "splits.json", Splits),
        features=features,
        cells={cell: found[cell] for cell in sorted(found, key=lambda cell: order.index(cell[1]))},
    )


def write_gzip_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, compressed: the same rows give the same bytes. Numbers have nine figures."""
    with (
        written_beside(path) as beside,
        beside.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file,
    ):
        file.write(table.to_csv(index=False, lineterminator="\n", float_format="%.9g").encode())


def read_gzip_csv(path: Path, columns: Iterable[str]) -> tuple[list[str], list[dict[str, str]]]:
    """Read the header and the rows of a compressed CSV file.

    Raises:
        ResultError: it is missing or damaged, has not all of `columns`, or a row has not the header's number of values.
    """
    if not path.exists():
        raise ResultError(f"{path}: missing. Run its evaluate stage again.")
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header, rows = list(reader.fieldnames or []), list(reader)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise ResultError(f"{path}: not a gzip file of CSV: {error}. Run its evaluate stage again.") from None
    if missing := [column for column in columns if column not in header]:
        raise ResultError(f"{path}: no column {', '.join(missing)}. It has {', '.join(header) or 'none'}.")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ResultError(f"{path}, line {number}: the row does not have the header's {len(header)} values.")
    return header, rows


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


def read_curves(path: Path) -> dict[str, tuple[Curve, ...]]:
    """Read the histories of all cells, a curve for every fold and seed that finished an epoch.

    Raises:
        ResultError: the file or a column is missing, a value is not a number, an accuracy is not in 0..1, or a
            run's epochs are not 1, 2, 3, ...
    """
    _, rows = read_gzip_csv(path, ("representation", "protocol", "fold", "seed", "epoch", *MEASURES))
    cells: dict[str, dict[tuple[int, int], list[list[float]]]] = {}
    for number, row in enumerate(rows, start=2):
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
        epochs = cells.setdefault(cell_name(row["representation"], row["protocol"]), {}).setdefault(run, [])
        epochs.append(values)
        if epoch != len(epochs):
            raise ResultError(f"{path}, line {number}: epoch {epoch} where {len(epochs)} is due.")
    return {
        cell: tuple(Curve(fold, seed, *np.array(epochs, dtype=np.float64).T) for (fold, seed), epochs in runs.items())
        for cell, runs in cells.items()
    }
