"""How fast a representation learns: curves averaged over folds and seeds, and the paper's convergence marks."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.results import MEASURES, Curve, Results
from beyond_spectrograms.report import published as paper
from beyond_spectrograms.report.table import Row, Show, Table, text
from beyond_spectrograms.report.tables import NOT_RUN, note_of

NEAR = 0.99  # "within 1 % of the best", taken as relative: 99 % of the run's own highest validation accuracy

TIDY = ["representation", "protocol", "epoch", *MEASURES]

Values = NDArray[np.float64]


@dataclass(frozen=True)
class MeanCurve:
    """The mean of a cell's curves, an item an epoch [epochs]; `runs` of them, `shortest` epochs the shortest."""

    runs: int
    shortest: int
    training_accuracy: Values
    training_loss: Values
    validation_accuracy: Values
    validation_loss: Values


def mean_curve(curves: tuple[Curve, ...]) -> MeanCurve:
    """Average runs of different length.

    A run that stopped early (patience) holds its last value to the end of the longest: averaging only those still
    running would let the curve jump whenever a fold leaves.
    """
    longest = max(len(curve.validation_loss) for curve in curves)
    means = {}
    for measure in MEASURES:
        values = [getattr(curve, measure) for curve in curves]
        means[measure] = np.mean([np.pad(value, (0, longest - len(value)), mode="edge") for value in values], axis=0)
    return MeanCurve(len(curves), min(len(curve.validation_loss) for curve in curves), **means)


def smooth(values: Values) -> Values:
    """Smooth by s_t = 0.8 s_(t-1) + 0.2 x_t, starting at x_1: the paper's Figure 4 as the released code draws it."""
    smoothed = values.copy()
    for epoch in range(1, len(values)):
        smoothed[epoch] = paper.SMOOTHING * smoothed[epoch - 1] + (1 - paper.SMOOTHING) * values[epoch]
    return smoothed


def first_epoch(reached: NDArray[np.bool_]) -> float:
    """Find the first epoch (from 1) that is true, infinity where none is."""
    return float(np.argmax(reached)) + 1 if reached.any() else math.inf


def epochs_to_beat(curve: Curve, mel: Curve) -> float:
    """Find the first epoch whose validation accuracy exceeds mel's maximum: the released code's mark."""
    return first_epoch(curve.validation_accuracy > mel.validation_accuracy.max())


def epochs_to_near_best(curve: Curve) -> float:
    """Find the first epoch whose validation accuracy is at least 99 % of the run's own highest."""
    return first_epoch(curve.validation_accuracy >= NEAR * curve.validation_accuracy.max())


def convergence_table(results: Results) -> Table:
    """Tabulate both marks for every cell: median over folds and seeds, with the smallest and largest.

    A run is compared with mel's run of the same fold and seed.
    """
    rows = []
    for protocol in results.protocols:
        mel = {(curve.fold, curve.seed): curve for curve in results.cell(paper.MEL, protocol).curves}
        for name in results.rows:
            curves = results.cell(name, protocol).curves
            compared = [curve for curve in curves if name != paper.MEL and (curve.fold, curve.seed) in mel]
            beat = [epochs_to_beat(curve, mel[curve.fold, curve.seed]) for curve in compared]
            better, near = _paper_marks(results.dataset, name, protocol)
            row: Row = {"representation": name, "protocol": protocol, "runs": len(curves) or None}
            row |= _spread("epochs_to_beat_mel", beat)
            row |= {"runs_that_never_beat_mel": sum(map(math.isinf, beat)) if beat else None}
            row |= _spread("epochs_to_near_best", [epochs_to_near_best(curve) for curve in curves])
            row |= {"paper_epochs_to_beat_mel": better, "paper_epochs_to_near_best": near}
            scores = results.cell(name, protocol).scores
            row["note"] = note_of(results, name, scores is not None, scores)
            rows.append(row)
    columns: dict[str, Show] = {
        "representation": text("representation"),
        "protocol": text("protocol"),
        "first epoch better than mel's best": _show_beat,
        "epochs to within 1 % of own best": _show_spread("epochs_to_near_best"),
        "runs": text("runs"),
        "paper: better than mel": text("paper_epochs_to_beat_mel"),
        "paper: near best": text("paper_epochs_to_near_best"),
        "note": text("note"),
    }
    published = results.dataset in paper.PUBLISHED
    if not published:
        del columns["paper: better than mel"], columns["paper: near best"]
    notes = [
        "Median over folds and seeds (smallest to largest), by validation accuracy as it is, not smoothed.",
        "Better than mel's best: above the highest validation accuracy of mel's run of the same fold and seed.",
        "Within 1 %: at least 99 % of the run's own highest validation accuracy (relative, not percentage points).",
    ]
    if any(row["runs_that_never_beat_mel"] for row in rows):
        notes.append("never: so many runs do not pass mel's best at any epoch; - where at least half do not.")
    if any(name == paper.MEL and not results.cell(name, p).curves for name in results.rows for p in results.protocols):
        notes.append(f"Where mel was {NOT_RUN}, or diverged in its first epoch, nothing can be compared with it.")
    if published:
        notes.append(
            f"The paper (section 3.2): EnCodec passes mel's value of epoch {paper.EPOCHS}, not its best; which of the "
            "two epochs is 24 kHz is not stated. Near best is its reading of the loss curves (about)."
        )
    return Table(f"Convergence: {results.dataset}, epochs", rows, columns, notes)


def _spread(key: str, epochs: list[float]) -> Row:
    """Take the median, smallest and largest; None for no runs and for "never"."""
    marks = (statistics.median(epochs), min(epochs), max(epochs)) if epochs else (math.inf,) * 3
    names = (f"{key}_median", f"{key}_min", f"{key}_max")
    return {name: mark if math.isfinite(mark) else None for name, mark in zip(names, marks, strict=True)}


def _show_spread(key: str) -> Show:
    def show(row: Row) -> str:
        median, smallest, largest = (row[f"{key}_{part}"] for part in ("median", "min", "max"))
        if median is None:
            return "-"
        if smallest == largest:
            return f"{median:g}"
        return f"{median:g} ({smallest:g} to {'never' if largest is None else f'{largest:g}'})"

    return show


def _show_beat(row: Row) -> str:
    never = row["runs_that_never_beat_mel"]
    return _show_spread("epochs_to_beat_mel")(row) + (f", {never} never" if never else "")


def _paper_marks(dataset: str, name: str, protocol: str) -> tuple[str | None, int | None]:
    """Find the paper's (epochs at which EnCodec is already better, epoch near the best), where it has any."""
    published = paper.PUBLISHED.get(dataset)
    if published is None or protocol != paper.PROTOCOL or name not in paper.INPUTS:
        return None, None
    if name == paper.MEL:
        return None, published.near_best_mel
    return " or ".join(str(epoch) for epoch in published.epochs_encodec), published.near_best_encodec


def tidy_curves(results: Results) -> list[Row]:
    """Lay out the mean curves of all cells as rows of `TIDY`, for `dvc plots`; a row is one epoch of one cell.

    Runs that diverged are left out.
    """
    rows: list[Row] = []
    for protocol in results.protocols:
        for name in results.rows:
            if curves := results.cell(name, protocol).whole_curves:
                mean = mean_curve(curves)
                for index in range(len(mean.validation_loss)):
                    row: Row = {"representation": results.label(name), "protocol": protocol, "epoch": index + 1}
                    row |= {measure: float(getattr(mean, measure)[index]) for measure in MEASURES}
                    rows.append(row)
    return rows
