"""What the report page's own script draws: learning curves, confusion matrices and each representation's style."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.convergence import Curve, held_to_the_longest
from beyond_spectrograms.evaluation.records import MEASURES
from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.report.figures import styles
from beyond_spectrograms.report.learning_curves import LOSS_SHOWN

POINTS = 200  # no screen shows more of a line
NUMBERS = 250_000  # of all curves together, about 1.5 MB as text; more cells get fewer points each
SMALLEST_LOSS = 1e-6  # nats: the loss axis is logarithmic, and float32 can give exactly 0
# matplotlib's markers in Vega's words; it has no pentagon and no star.
SHAPES = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "triangle-right",
    "*": "triangle-left",
}
LINE_WIDTH = 2.0  # px; matplotlib gives dashes in line widths, Vega in px


def points_for(lines: int) -> int:
    """Choose how many points each of so many lines gets: 200, fewer where all together would weigh over 1.5 MB.

    Every point has a mean, a lowest and a highest value of each measure.
    """
    return max(20, min(POINTS, NUMBERS // (3 * len(MEASURES) * max(1, lines))))


def thinned(epochs: int, points: int) -> NDArray[np.int64]:
    """Choose at most `points` of 0 .. epochs - 1, evenly, first and last among them."""
    return np.unique(np.linspace(0, epochs - 1, min(epochs, points)).round().astype(np.int64))


def curve_of(runs: tuple[Curve, ...], points: int) -> dict[str, Any]:
    """Lay out mean, lowest and highest of a cell's runs, thinned: accuracies in %, losses in nats."""
    shown = thinned(max(len(run.validation_loss) for run in runs), points)
    laid_out: dict[str, Any] = {"runs": len(runs), "epochs": (shown + 1).tolist()}
    for measure in MEASURES:
        stack = held_to_the_longest(runs, measure)[:, shown]  # [runs, points]
        limits = {"mean": stack.mean(axis=0), "low": stack.min(axis=0), "high": stack.max(axis=0)}
        laid_out[measure] = {name: _rounded(values, measure) for name, values in limits.items()}
    return laid_out


def _rounded(values: NDArray[np.float64], measure: str) -> list[float]:
    if measure.endswith("accuracy"):
        return [round(100 * float(value), 2) for value in values]
    return [float(f"{max(float(value), SMALLEST_LOSS):.4g}") for value in values]


def cell_of(cell: Cell, points: int) -> dict[str, Any]:
    """Lay out one cell: its curve (None where every run diverged) and counts [true class][predicted class], windows."""
    scores = cell.scores
    assert scores is not None  # of cells that were run
    runs = cell.whole_curves
    return {
        "diverged": [scores.diverged_runs, len(scores.by_fold)],
        "curve": curve_of(runs, points) if runs else None,
        "classes": scores.confusion.classes,
        "counts": scores.confusion.counts,
        "window_accuracy": scores.window_accuracy,
        "recording_accuracy": scores.recording_accuracy,
    }


def protocols_run(results: Results) -> list[str]:
    """List the protocols of which any cell was run, in the order of params.yaml."""
    return [name for name in results.params.protocols if any(of == name for _, of in results.cells)]


def last_rung(results: Results) -> str | None:
    """Find the last rung of the ladder of protocols that was run; None where none was."""
    run = protocols_run(results)
    return next((name for name in reversed(results.params.claims.ladder) if name in run), None)


def drawn(all_results: list[Results]) -> dict[str, Any]:
    """Lay out all the page's script needs, as JSON has it."""
    cells = sum(cell.scores is not None for results in all_results for cell in results.cells.values())
    points = points_for(cells)
    params = all_results[0].params
    chosen = styles(params.representations)
    labels = {name: results.label(name) for results in all_results for name in results.names()}
    return {
        "representations": {
            name: {
                "label": labels[name],
                "control": all_results[0].is_control(name),
                "ablation": name in params.grid.only,
                "colour": chosen[name].colour,
                "dash": [] if chosen[name].dash == "-" else [LINE_WIDTH * part for part in chosen[name].dash[1]],
                "shape": SHAPES[chosen[name].marker],
            }
            for name in params.representations
            if name in labels
        },
        "baselines": list(params.claims.baselines),
        "lossShown": LOSS_SHOWN,
        "datasets": {
            results.dataset: {
                "protocols": protocols_run(results),
                "names": results.names(),
                "lastRung": last_rung(results),
                "cells": {
                    f"{name} {protocol}": cell_of(results.cell(name, protocol), points)
                    for name in results.names()
                    for protocol in protocols_run(results)
                    if results.cell(name, protocol).scores is not None
                },
            }
            for results in all_results
        },
    }
