"""Prototypes beside what they are compared with, how sure each figure is, and what one change does.

The paper's tables 1 to 3 in one (Loiseau et al., ISMIR 2022). Intervals are those of evaluation/uncertainty.py: an
error takes the place of the windows that are right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from beyond_spectrograms.evaluation.ladder import find_leaks
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.uncertainty import (
    MINIMUM_FOLDS,
    compare_folds,
    error_interval,
    gap,
    window_interval,
)
from beyond_spectrograms.report.table import (
    SIGNED,
    Row,
    Table,
    interval_row,
    scaled,
    show_interval,
    show_range,
    text,
    texts,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from beyond_spectrograms.evaluation.clip_results import Recordings
    from beyond_spectrograms.evaluation.results import Results
    from beyond_spectrograms.params import Params, Protocol, PrototypeSettings, Statistics

SPREAD = {  # measures of whole runs: column, title, factor, decimals
    "class_accuracy": ("class_accuracy_percent", "windows right, mean over classes %", 100, 1),
    "adjusted_rand": ("adjusted_rand", "adjusted Rand", 1, 3),
    "adjusted_mutual_information": ("adjusted_mutual_information", "adjusted mutual information", 1, 3),
}

LIMITS = ("_lowest", "_highest")  # of these


@dataclass(frozen=True)
class Cell:
    """What is tabulated of one protocol: the `runs` of scores.json, and the `variance` of the features tested.

    In `right` a recording counts once, in `windows` each of its windows; in `errors` the sum of its errors, in the
    features' own unit, stands where the number of its right windows does.
    """

    runs: list[dict[str, Any]]
    windows: Recordings
    right: Recordings
    errors: Recordings | None
    variance: float


def cells_of(results: Results, representation: str) -> dict[str, Cell]:
    """Gather what is tabulated of each protocol that a representation was run under, in the order of the grid."""
    params, cells = results.params, {}
    for protocol in params.grid.protocols_of(representation):
        known = results.cell(representation, protocol)
        if known.scores is None or known.recordings is None:
            continue
        recipe = params.protocols[protocol]
        unit = recipe.prototypes.scale**2 if recipe.prototypes else 1.0
        cells[protocol] = Cell(
            runs=[run.model_dump() for run in known.scores.by_fold],
            windows=known.recordings,
            right=known.recordings.by_recording(),
            errors=sum_errors(known.recordings, unit),
            variance=results.features[representation].variance.get(recipe.split, 0.0),
        )
    return cells


def sum_errors(recordings: Recordings, unit: float) -> Recordings | None:
    """Put the sum of each recording's errors in place of its right windows; None where no error was measured.

    An error of 1 is `unit` of the features' own.
    """
    if recordings.errors is None:
        return None
    # Variances are of floats: what is counted need not be whole.
    return replace(recordings, windows_right=cast("NDArray[np.int64]", unit * recordings.errors))


def judge(
    cell: Recordings, statistics: Statistics, interval: Callable[..., Interval] = window_interval
) -> tuple[Interval, str]:
    """Give the share right (or the error) of a cell with its interval, and over what that is.

    Over sources where there are enough; else over folds; else, where there is one part, over recordings: that holds
    for further recordings of the same sources.
    """
    if len(set(cell.sources)) >= statistics.minimum_sources:
        return interval(cell, statistics), "sources"
    if len({fold for fold, _ in cell.runs}) >= MINIMUM_FOLDS:
        return compare_folds(_by_run(cell), statistics).difference, "folds"
    return interval(replace(cell, sources=cell.clips), statistics), "recordings"


def compare(first: Recordings, second: Recordings, statistics: Statistics) -> tuple[Interval, str]:
    """Give first - second on the recordings both tested, with its interval, and over what that is; as `judge` does.

    Where windows are the same they are compared one by one. Over folds, runs of one fold and seed are.

    Raises:
        ResultError: they have no recording in common.
    """
    common = set(first.clips) & set(second.clips)
    sources = {source for clip, source in zip(first.clips, first.sources, strict=True) if clip in common}
    if len(sources) >= statistics.minimum_sources:
        return gap(first, second, statistics).difference, "sources"
    ours, theirs = _by_run(first), _by_run(second)
    folds = {fold for fold, _ in first.runs}
    if first.clips == second.clips and ours.keys() == theirs.keys() and len(folds) >= MINIMUM_FOLDS:
        return compare_folds({run: ours[run] - theirs[run] for run in ours}, statistics).difference, "folds"
    apart = [replace(cell, sources=cell.clips) for cell in (first, second)]
    return gap(apart[0], apart[1], statistics).difference, "recordings"


def _by_run(cell: Recordings) -> dict[tuple[int, int], float]:
    """Share right (or error) of each fold and seed."""
    shares = cell.windows_right.sum(1) / cell.windows.sum(1)
    return dict(zip(cell.runs, shares.tolist(), strict=True))


def find_steps(protocols: Mapping[str, Protocol]) -> list[tuple[str, str, str]]:
    """List protocols of which one adds a transformation or the cross-entropy: with it, without, what it adds."""
    steps = []
    for without, with_it in permutations(protocols, 2):
        old, new = protocols[without].prototypes, protocols[with_it].prototypes
        alike = protocols[with_it] == protocols[without].model_copy(update={"prototypes": new})
        if old and new and alike and (added := _added(old, new)):
            steps.append((with_it, without, added))
    return steps


def _added(old: PrototypeSettings, new: PrototypeSettings) -> str | None:
    """Name the one thing that `new` has more than `old`, all else being equal."""
    longer = [*old.transformations, *new.transformations[-1:]]
    if new.transformations != old.transformations and new == old.model_copy(update={"transformations": longer}):
        return new.transformations[-1]
    with_it = old.model_copy(update={"cross_entropy": new.cross_entropy})
    return "cross-entropy" if old.cross_entropy == 0 < new.cross_entropy and new == with_it else None


def tabulate_cells(dataset: str, representation: str, cells: Mapping[str, Cell], statistics: Statistics) -> Table:
    """Tabulate cells by protocol, in the order given; None where a classifier does not measure something."""
    rows: list[Row] = []
    remarks: dict[str, list[str]] = {}
    for protocol, cell in cells.items():
        right, over = judge(cell.right, statistics)
        right = right.within(0.0, 1.0)
        error = None
        if cell.errors:
            error = judge(cell.errors, statistics, error_interval)[0].within(0.0, math.inf)
        row: Row = {"protocol": protocol, "runs": len(cell.runs)}
        row |= interval_row("recording_accuracy_percent", right, unit="")
        row |= interval_row("reconstruction_error", error, 1, "") | {"interval_over": over}
        row |= {"unexplained_share": error.value / cell.variance if error and cell.variance else None}
        for name, (key, _, factor, _) in SPREAD.items():
            runs = [factor * run[name] for run in cell.runs if run.get(name) is not None]
            row |= {key: float(np.mean(runs)) if runs else None}
            row |= {f"{key}{end}": of(runs, default=None) for end, of in zip(LIMITS, (min, max), strict=True)}
        rows.append(row | _note(remarks, protocol, right, error))
    columns = texts("protocol", "runs")
    columns |= {"recordings right %": show_interval("recording_accuracy_percent", unit="")}
    columns |= {"error": show_interval("reconstruction_error", "z.2f", "")}
    columns |= {"interval over": text("interval_over"), "unexplained %": scaled("unexplained_share", ".1f", times=100)}
    columns |= {title: show_range(key, digits, "runs", LIMITS) for key, title, _, digits in SPREAD.values()}
    notes = [
        _explain(statistics) + " In round brackets: lowest to highest run.",
        "error: mean squared difference of a window and its reconstruction, in the features' own unit (squared "
        "decibels for spectra in decibels). unexplained: the error as a share of the tested features' variance about "
        "each band's mean, so 100 % is what that mean reaches and units do not matter.",
        *_tell(remarks),
    ]
    return Table(f"{dataset}, {representation}: prototypes", rows, columns, notes)


def tabulate_differences(
    title: str, cells: Mapping[str, Cell], pairs: list[tuple[str, str, str]], statistics: Statistics, unit: str
) -> Table:
    """Tabulate first - second of every pair: share of a unit (recordings, windows) right in points, and error."""
    rows: list[Row] = []
    remarks: dict[str, list[str]] = {}
    for first, second, what in pairs:
        one, other = ((cell.windows if unit == "windows" else cell.right) for cell in (cells[first], cells[second]))
        right, over = compare(one, other, statistics)
        ours, theirs = cells[first].errors, cells[second].errors
        error = compare(ours, theirs, statistics)[0] if ours and theirs else None
        row: Row = {"change": what, "first": first, "second": second, "interval_over": over}
        row |= {"unit": unit} | interval_row("accuracy_percent", right, unit="")
        row |= interval_row("reconstruction_error", error, 1, "")
        rows.append(row | _note(remarks, f"{first} - {second}", right, error))
    columns = {**texts("change"), "of": text("first"), "minus": text("second")}
    columns |= {f"{unit} right, points": show_interval("accuracy_percent", SIGNED, "")}
    columns |= {"error": show_interval("reconstruction_error", "+z.2f", ""), "interval over": text("interval_over")}
    notes = [
        "On the recordings both tested; intervals as above.",
        *_tell(remarks),
    ]
    return Table(title, rows, columns, notes)


def tabulate_changes(dataset: str, representation: str, cells: Mapping[str, Cell], params: Params) -> list[Table]:
    """Tabulate the contrasts that params name, what the leaky split adds and what each part of prototypes changes.

    The leaky split tests fewer windows of a recording, and votes of fewer are right less often: there, windows count.
    """
    protocols = {name: params.protocols[name] for name in cells}
    named = [(first, second, "named") for first, second in params.contrasts.pairs if {first, second} <= cells.keys()]
    found = (
        ("contrasts named in params.yaml", named, "recordings"),
        ("what the leaky split adds", find_leaks(protocols, params.splits), "windows"),
        ("what each part of prototypes changes", find_steps(protocols), "recordings"),
    )
    return [
        tabulate_differences(f"{dataset}, {representation}: {what}", cells, pairs, params.statistics, unit)
        for what, pairs, unit in found
        if pairs
    ]


def _explain(statistics: Statistics) -> str:
    return (
        f"In square brackets: {statistics.confidence:.0%} interval, over sources (recordings of one origin) and runs. "
        f"With fewer than {statistics.minimum_sources} sources: over folds; where one part is tested, over recordings, "
        "which holds for further recordings of the same sources, not for new ones."
    )


def _note(remarks: dict[str, list[str]], of: str, *intervals: Interval | None) -> Row:
    """Give what is to be said of a row's intervals, and add it to `remarks`: remark -> rows."""
    said = dict.fromkeys(each for i in intervals if i for each in (i.reason, i.remark) if each)
    for remark in said:
        remarks.setdefault(remark, []).append(of)
    return {"note": " ".join(said)}


def _tell(remarks: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{', '.join(rows)}: {remark}" for remark, rows in remarks.items()]
