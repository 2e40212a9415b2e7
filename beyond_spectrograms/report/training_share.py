"""Accuracy against how many of the training recordings were trained on: the learning curve of a representation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.evidence_figures import WINDOWS_RIGHT, draw_lines, explain_bars, put_names
from beyond_spectrograms.report.figures import drawing
from beyond_spectrograms.report.notes import explain_intervals, note_of
from beyond_spectrograms.report.table import Row, Table, interval_row, show_interval, texts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from beyond_spectrograms.params import Protocol

NAME = "training_share"  # of the first curve's files


def curves_of(results: Results) -> dict[str, dict[str, Protocol]]:
    """List the learning curves of this report: protocols that differ in how many recordings are trained on alone.

    By the name of the curve's files: its protocols by name, the fewest recordings first, at the end all of them where
    such a protocol is in the report. Those fitted at once may differ in seeds too: without a draw nothing is random.
    """
    curves: list[dict[str, Protocol]] = []
    wholes: list[Protocol] = []
    for name in results.protocols:
        whole = _on_all(results.params.protocols[name])
        if whole not in wholes:
            wholes.append(whole)
            curves.append({})
        curves[wholes.index(whole)][name] = results.params.protocols[name]
    parted = [curve for curve in curves if any(map(_is_parted, curve.values()))]
    ordered = [dict(sorted(curve.items(), key=lambda one: _amount(one[1]))) for curve in parted]
    return {"-".join([NAME, *[list(curve)[-1]] * (place > 0)]): curve for place, curve in enumerate(ordered)}


def _on_all(protocol: Protocol) -> Protocol:
    changes: dict[str, Any] = {"training_share": None, "examples_per_class": None}
    return protocol.model_copy(update=changes | ({"seeds": []} if protocol.is_fitted_at_once else {}))


def _is_parted(protocol: Protocol) -> bool:
    return protocol.training_share is not None or protocol.examples_per_class is not None


def _amount(protocol: Protocol) -> tuple[bool, float]:
    """Order protocols by recordings trained on: so many a class before shares."""
    return protocol.examples_per_class is None, protocol.examples_per_class or protocol.training_share or 1.0


def _is_run(results: Results, curve: Mapping[str, Protocol]) -> bool:
    """Say whether any representation has two points of a curve: one alone is none."""
    return any(_points(results, name, curve) > 1 for name in results.names())


def _points(results: Results, name: str, curve: Mapping[str, Protocol]) -> int:
    return sum(results.cell(name, protocol).scores is not None for protocol in curve)


def _shown(results: Results, curve: Mapping[str, Protocol]) -> list[str]:
    """List the rows, and what else has two points of a curve."""
    others = [name for name in results.names() if name not in results.rows and _points(results, name, curve) > 1]
    return [*results.rows, *others]


def training_share_tables(results: Results) -> dict[str, Table]:
    """Tabulate test windows right by how many recordings were trained on, a table a curve, by the name of its file."""
    return {name: _tabulate(results, curve) for name, curve in curves_of(results).items() if _is_run(results, curve)}


def _tabulate(results: Results, curve: Mapping[str, Protocol]) -> Table:
    rows: list[Row] = []
    for name in _shown(results, curve):
        row: Row = {"representation": name}
        cells = {protocol: results.cell(name, protocol) for protocol in curve}
        for protocol, cell in cells.items():
            row |= interval_row(protocol, cell.window_interval)
        row["note"] = note_of(results, name, any(cell.scores for cell in cells.values()))
        rows.append(row)
    columns, notes = texts("representation"), []
    for protocol, recipe in curve.items():
        few = recipe.examples_per_class
        told = f"{few} a class" if few else f"{100 * (recipe.training_share or 1):g} % of recordings"
        columns |= {told: show_interval(protocol)}
    if any(recipe.training_share for recipe in curve.values()):
        notes.append(
            "Shares are of each class's training recordings, drawn anew for every seed; a smaller share lies within a "
            "larger one. Validation and test parts are whole."
        )
    if any(recipe.examples_per_class for recipe in curve.values()):
        notes.append(
            "So many training recordings a class are drawn anew for every seed, fewer within more, and at most as many "
            f"validate; the test part is whole. Protocol {list(curve)[-1]}."
        )
    notes.append(explain_intervals(results))
    return Table(f"Learning curve: {results.dataset}, test windows right, %", rows, columns | texts("note"), notes)


def training_share_figures(results: Results) -> dict[str, Figure]:
    """Draw every curve that was run, by the name of its file."""
    return {name: _draw(results, curve) for name, curve in curves_of(results).items() if _is_run(results, curve)}


def _draw(results: Results, curve: Mapping[str, Protocol]) -> Figure:
    """Draw test windows right against the number of training recordings, a line a representation that was run."""
    few = any(recipe.examples_per_class for recipe in curve.values())
    told = [
        str(each.examples_per_class) if each.examples_per_class else f"{100 * (each.training_share or 1):g} %"
        for each in curve.values()
    ]
    with drawing(9.0, 5.6) as figure:
        axes = figure.subplots()
        draw_lines(axes, results, _shown(results, curve), curve)
        axes.set_xticks(range(len(curve)), told)
        axes.set_xlabel("training recordings of each class" if few else "share of each class's training recordings")
        axes.set_ylim(0, None)
        title = f"{results.dataset}, protocol {list(curve)[-1]}: accuracy against the number of training recordings"
        put_names(figure, axes, WINDOWS_RIGHT, f"{title}\nbars: {explain_bars(results)}")
    return figure
