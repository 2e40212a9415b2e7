"""What the result files of a data set hold, and how they are read.

Three files hold all that tables, intervals and figures are made of: scores.json, predictions.csv.gz (a row a tested
recording) and curves.csv.gz (a row an epoch). In them a cell is named <representation>-<protocol>.
"""

import csv
import gzip
import math
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import written_beside
from beyond_spectrograms.util.text import as_cell, from_cell, quoted, some_of

Fraction = Annotated[float, Field(ge=0, le=1)]
SCORES_FILE, PREDICTIONS_FILE, CURVES_FILE = "scores.json", "predictions.csv.gz", "curves.csv.gz"
MEASURES = ("training_accuracy", "training_loss", "validation_accuracy", "validation_loss")
OF_A_RUN = ("representation", "protocol", "fold", "seed")
COLUMNS = (*OF_A_RUN, "clip", "group", "label", "windows", "windows_right", "predicted", "predicted_by_seeds")
NAMES = ("clip", "group", "label", "predicted", "predicted_by_seeds")  # columns whose text a user chose
CURVE_COLUMNS = (*OF_A_RUN, "epoch", *MEASURES)
LONGEST_VALUE = 1000  # signs
ERROR = "reconstruction_error"  # a column of predictions.csv.gz, filled where a classifier reconstructs


class ResultError(ProjectError):
    """A result file is not what its stage writes. The message names the file, the place and the value."""


class Record(BaseModel):
    """A JSON file that another stage wrote. The keys named here must be there; others may be."""

    model_config = ConfigDict(frozen=True)


class Accuracies(Record):
    """Shares of windows, of recordings and of each class's windows (averaged), 0 to 1. None: no window was counted."""

    window_accuracy: Fraction | None
    recording_accuracy: Fraction | None
    class_accuracy: Fraction | None


class Confusion(Record):
    """`counts[label][predicted]`, windows; none where they may have several labels."""

    classes: list[str]
    counts: list[list[int]]


class RunScores(Accuracies):
    """One fold and seed of a cell, and whatever its classifier measures besides."""

    model_config = ConfigDict(extra="allow")

    fold: int
    seed: int
    epoch: int  # the one tested
    diverged_at_epoch: int | None  # the one whose loss was not finite
    weights_sha256: str | None  # of the tested weights; None in scores made before it was kept


class Trial(Record):
    """One trial of a tuned protocol, under the first seed of a fold; what it changed stands beside these."""

    model_config = ConfigDict(extra="allow")

    fold: int
    seed: int
    trial: str
    validation_accuracy: Fraction | None  # at its best epoch; None: it diverged in the first
    chosen: bool


class Training(Record):
    """How a cell was trained; seconds each run took, by its name `fold_<fold>-seed_<seed>`.

    `processors` and `kernels` (util/machine.py) are those of its runs; none in scores made before they were noted.
    """

    device: str
    precision: str
    processors: list[str] = []
    kernels: list[str] = []
    seconds_by_run: dict[str, float]


@dataclass(frozen=True)
class Interval:
    """A value and its limits."""

    value: float
    low: float | None = None
    high: float | None = None
    reason: str | None = None  # why there are no limits
    remark: str | None = None  # what the limits do not cover

    def mapped(self, rising: Callable[[float], float]) -> Self:
        """Carry value and limits through a function that rises."""
        low, high = (None if limit is None else rising(limit) for limit in (self.low, self.high))
        return replace(self, value=rising(self.value), low=low, high=high)

    def times(self, factor: float) -> Self:
        """Carry value and limits to another unit, by a factor above 0."""
        return self.mapped(lambda each: factor * each)

    def within(self, lowest: float, highest: float) -> Self:
        """Cut limits to what is possible: Student's do not know it."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(lowest, self.low), high=min(highest, self.high))

    def shown(self, form: str) -> str:
        """Write it in a format of Python's, `71.2 [66.0, 76.1]`; no brackets where there are no limits."""
        value = format(self.value, form)
        return value if self.low is None or self.high is None else f"{value} [{self.low:{form}}, {self.high:{form}}]"


class RunCalibration(Record):
    """Of one run: expected calibration error, 0 to 1, and mean confidence minus accuracy, -1 to 1."""

    fold: int
    seed: int
    ece: Fraction
    overconfidence: float


class ReliabilityBin(Record):
    """Windows of one bin of confidences, 0 to 1: their mean confidence and the share that is right, None of none."""

    windows: int
    confidence: Fraction | None
    accuracy: Fraction | None


class Calibration(Record):
    """How well confidence tells accuracy (evaluation/calibration.py): means over runs; bins of all runs together."""

    ece: Fraction
    overconfidence: float
    by_run: list[RunCalibration]
    bins: list[ReliabilityBin]


class ClassScores(Record):
    """Of one of several labels, by recording, mean over seeds; None where no tested recording has it, or each has."""

    recordings: int  # tested, with it
    average_precision: Fraction | None
    auroc: Fraction | None


class LabelScores(Record):
    """How good answers of several labels are (evaluation/label_scores.py): its measures, by window and by recording."""

    windows: dict[str, Interval]
    recordings: dict[str, Interval]
    by_class: dict[str, ClassScores]


class Scores(Accuracies):
    """Scores of one cell, pooled over folds and seeds.

    `last_epoch` has those of each run's last epoch, where the protocol selects another; None where it does not.
    `calibration`: None where answers are no probabilities, and in scores made before it was measured. `labels`: only of
    protocols for several labels a sound; what is right there has all labels right, from a probability of one half on.
    """

    folds: int
    seeds: int
    diverged_runs: int
    windows: int
    silent_windows: int
    recordings: int
    without_silent: Accuracies
    by_fold: list[RunScores]
    confusion: Confusion
    last_epoch: Accuracies | None = None
    trials: list[Trial] = Field(default_factory=list)  # of a tuned protocol
    calibration: Calibration | None = None
    labels: LabelScores | None = None
    training: Training
    provenance: dict[str, Any]  # what the scores depend on: Study.score_provenance


class SplitColumn(Record):
    """One fold of a split, as `split` describes it."""

    recordings_in_two_parts: int


class Splits(Record):
    """splits.json: split of params.yaml -> column of parts.csv -> figures."""

    recordings: int
    splits: dict[str, dict[str, SplitColumn]]


class Features(Record):
    """One representation's features, [windows, bands, frames].

    `variance`, by split, is the mean squared difference of the tested windows from each band's mean over them.
    Reconstruction errors are given as shares of it. Empty where no classifier reconstructs.
    """

    windows: int
    bands: int
    frames: int
    bytes: int  # of the whole array
    variance: dict[str, float]


class ScoresFile(Record):
    """scores.json: features by representation, scores by cell."""

    dataset: str
    features: dict[str, Features]
    cells: dict[str, Scores]


def cell_name(representation: str, protocol: str) -> str:
    """Name a cell as result files do. Neither part has a dash."""
    return f"{representation}-{protocol}"


AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_record(path: Path, kind: type[AnyRecord]) -> AnyRecord:
    """Read a JSON file as a record of `kind`.

    Raises:
        ResultError: it is not there, a key is missing, has the wrong type or is out of range.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ResultError(f"{path}: missing. Run its stage again, or restore it from git.") from None
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        raise ResultError(f"{path}: {f'{place}: ' if place else ''}{message}. Run its stage again.") from None


def read_scores(folder: Path, dataset: str) -> ScoresFile:
    """Read the scores.json of a data set.

    Raises:
        ResultError: it is not there, a key is missing or out of range, or it is of another data set.
    """
    scores = read_record(folder / SCORES_FILE, ScoresFile)
    if scores.dataset != dataset:
        raise ResultError(f"{folder / SCORES_FILE}: holds the scores of {scores.dataset}, not of {dataset}.")
    if unknown := [name for cell in scores.cells if (name := cell.partition("-")[0]) not in scores.features]:
        raise ResultError(f"{folder / SCORES_FILE}: features: nothing of {unknown[0]}'s. Run its evaluate stage again.")
    return scores


def write_gzip_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as compressed CSV, the same rows always as the same bytes. Numbers have nine figures.

    No name is computed by a spreadsheet (see as_cell).
    """
    table = table.assign(**{name: table[name].map(as_cell) for name in NAMES if name in table})
    with (
        written_beside(path) as beside,
        beside.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file,
    ):
        file.write(table.to_csv(index=False, lineterminator="\n", float_format="%.9g").encode())


def read_cells(path: Path, columns: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Read a compressed CSV file of all cells, every value as text. A row's index + 2 is its line in the file.

    Raises:
        ResultError: it is missing or damaged, has not all of `columns`, or a row has not the header's number of values.
    """
    if not path.exists():
        raise ResultError(f"{path}: missing. Run its evaluate stage again.")
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise ResultError(f"{path}: not a gzip file of CSV: {error}. Run its evaluate stage again.") from None
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise ResultError(f"{path}: column {quoted(twice[0])} stands there twice. Run its evaluate stage again.")
    if missing := [name for name in columns if name not in header]:
        raise ResultError(f"{path}: no column {', '.join(missing)}. It has {some_of(header, 30) or 'none'}.")
    for line, row in enumerate(rows, start=2):
        if len(max(row, key=len, default="")) > LONGEST_VALUE:
            raise ResultError(f"{path}, line {line}: a value has over {LONGEST_VALUE} signs.")
        if len(row) != len(header):
            raise ResultError(f"{path}, line {line}: the row does not have the header's {len(header)} values.")
    table = pd.DataFrame(rows, columns=header, dtype=str)
    table = table.assign(**{name: table[name].map(from_cell) for name in NAMES if name in table})
    cells = table.groupby(["representation", "protocol"], sort=False)
    return {cell_name(*map(str, names)): mine for names, mine in cells}


def numbers_of(path: Path, rows: pd.DataFrame, column: str, kind: type[int] | type[float]) -> NDArray[Any]:
    """Read a column of text as numbers, [rows].

    Raises:
        ResultError: a value is not a finite number of that kind; the message names its line.
    """
    texts, dtype = rows[column].tolist(), np.int64 if kind is int else np.float64
    try:  # at once: there are millions
        values = np.array(list(map(kind, texts)), dtype=dtype)
    except (ValueError, OverflowError):
        values = np.array([_number(kind, text) for text in texts])
    for row in np.flatnonzero(~np.isfinite(values)):
        wanted = "a whole number" if kind is int else "a finite number"
        raise ResultError(f"{path}, line {rows.index[row] + 2}: {column} is {texts[row]!r}, not {wanted}.")
    return values


def _number(kind: type[int] | type[float], text: str) -> float:
    """Read a number; NaN if it is none, or more than 64 bits hold."""
    with suppress(ValueError):
        if abs(value := kind(text)) < (2**63 if kind is int else math.inf):
            return value
    return math.nan
