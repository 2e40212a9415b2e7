"""Learning curves from curves.csv.gz: read, averaged over folds and seeds, and the paper's convergence marks."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.records import CURVE_COLUMNS, MEASURES, ResultError, numbers_of, read_cells

NEAR = 0.99  # "within 1 % of the best", taken as relative: 99 % of the run's own highest validation accuracy

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One training run's history, an item an epoch [epochs]. Accuracies 0 to 1, losses in nats."""

    fold: int
    seed: int
    training_accuracy: Values
    training_loss: Values
    validation_accuracy: Values
    validation_loss: Values

    @property
    def run(self) -> tuple[int, int]:
        """Fold and seed."""
        return self.fold, self.seed


@dataclass(frozen=True)
class MeanCurve:
    """The mean of a cell's curves, an item an epoch [epochs]."""

    runs: int
    shortest: int  # epochs of the shortest
    training_accuracy: Values
    training_loss: Values
    validation_accuracy: Values
    validation_loss: Values
    split_by_seed: bool = False  # no two runs share a fold or a seed


def read_curves(path: Path) -> dict[str, tuple[Curve, ...]]:
    """Read the histories of all cells, a curve for every fold and seed that finished an epoch.

    Raises:
        ResultError: the file or a column is missing, a value is not a finite number, an accuracy is not in 0..1, or a
            run's epochs are not 1, 2, 3, ...
    """
    cells = {}
    for cell, rows in read_cells(path, CURVE_COLUMNS).items():
        fold, seed, epochs = (numbers_of(path, rows, name, int).tolist() for name in ("fold", "seed", "epoch"))
        values = np.stack([numbers_of(path, rows, measure, float) for measure in MEASURES])
        for measure, column in zip(MEASURES, values, strict=True):
            if measure.endswith("accuracy") and (wrong := np.flatnonzero((column < 0) | (column > 1))).size:
                line = rows.index[wrong[0]] + 2
                raise ResultError(f"{path}, line {line}: {measure} is {column[wrong[0]]:g}, not in 0..1.")
        runs: dict[tuple[int, int], list[int]] = {}
        for row, run in enumerate(zip(fold, seed, strict=True)):
            runs.setdefault(run, []).append(row)
            if epochs[row] != (due := len(runs[run])):
                raise ResultError(f"{path}, line {rows.index[row] + 2}: epoch {epochs[row]} where {due} is due.")
        cells[cell] = tuple(Curve(*run, *values[:, mine]) for run, mine in runs.items())
    return cells


def held_to_the_longest(curves: tuple[Curve, ...], measure: str) -> Values:
    """Stack a measure of runs of different length [runs, epochs].

    A run that stopped early holds its last value: were it left out, the mean would jump where it ends.
    """
    values = [getattr(curve, measure) for curve in curves]
    longest = max(map(len, values))
    return np.stack([np.pad(value, (0, longest - len(value)), mode="edge") for value in values])


def mean_curve(curves: tuple[Curve, ...]) -> MeanCurve:
    """Average runs of different length; see `held_to_the_longest`."""
    means = {measure: held_to_the_longest(curves, measure).mean(axis=0) for measure in MEASURES}
    alone = len({curve.fold for curve in curves}) == len({curve.seed for curve in curves}) == len(curves) > 1
    return MeanCurve(len(curves), min(len(curve.validation_loss) for curve in curves), **means, split_by_seed=alone)


def first_epoch(reached: NDArray[np.bool_]) -> float:
    """Find the first epoch (from 1) that is true, infinity where none is."""
    return float(np.argmax(reached)) + 1 if reached.any() else math.inf


def epochs_to_beat(curve: Curve, mel: Curve) -> float:
    """Find the first epoch whose validation accuracy exceeds mel's maximum: the released code's mark."""
    return first_epoch(curve.validation_accuracy > mel.validation_accuracy.max())


def epochs_to_pass(curve: Curve, mel: Curve) -> float:
    """Find the first epoch whose validation accuracy exceeds mel's final value: the paper's mark."""
    return first_epoch(curve.validation_accuracy > mel.validation_accuracy[-1])


def epochs_to_near_best(curve: Curve) -> float:
    """Find the first epoch whose validation accuracy is at least 99 % of the run's own highest."""
    return first_epoch(curve.validation_accuracy >= NEAR * curve.validation_accuracy.max())
