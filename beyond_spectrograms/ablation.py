"""Scores of prototypes and of what they are compared with, side by side: the paper's tables 1 to 3 in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from beyond_spectrograms.tabular import Row, Show, Table, number, text

MEASURES = {
    "recording_accuracy": ("recordings right %", 100, 1),
    "class_accuracy": ("mean over classes %", 100, 1),
    "reconstruction_error": ("error", 1, 1),
    "adjusted_rand": ("adjusted Rand", 1, 3),
    "adjusted_mutual_information": ("adjusted mutual information", 1, 3),
}


def tabulate_ablation(
    dataset: str, representation: str, scores: Mapping[str, Mapping[str, Any]], scales: Mapping[str, float]
) -> Table:
    """Tabulate cells by protocol, in the order given; `scores` are those of metrics/scores.

    `scales` are what one unit of a protocol's reconstruction errors is in the features' own, where it is not 1.

    Every figure is the mean over runs (folds and seeds), with the lowest and the highest run where there are several;
    None where a classifier does not measure it.
    """
    rows: list[Row] = []
    for protocol, of_cell in scores.items():
        row: Row = {"protocol": protocol, "runs": len(of_cell["by_fold"])}
        for name, (_, factor, _) in MEASURES.items():
            unit = scales.get(protocol, 1.0) ** 2 if name == "reconstruction_error" else factor
            runs = [unit * run[name] for run in of_cell["by_fold"] if run.get(name) is not None]
            row |= {name: float(np.mean(runs)) if runs else None}
            row |= {f"{name}_low": min(runs, default=None), f"{name}_high": max(runs, default=None)}
        rows.append(row)
    columns: dict[str, Show] = {"protocol": text("protocol"), "runs": text("runs")}
    columns |= {title: _spread(name, digits) for name, (title, _, digits) in MEASURES.items()}
    notes = [
        "Mean over runs (lowest to highest run). The error is the mean squared difference of a window and its "
        "reconstruction, in the features' own unit (squared decibels for spectra in decibels)."
    ]
    return Table(f"{dataset}, {representation}: prototypes", rows, columns, notes)


def _spread(name: str, digits: int) -> Show:
    mean, low, high = (number(key, digits) for key in (name, f"{name}_low", f"{name}_high"))

    def show(row: Row) -> str:
        if row[name] is None or row["runs"] == 1:
            return mean(row)
        return f"{mean(row)} ({low(row)} to {high(row)})"

    return show
