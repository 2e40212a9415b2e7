"""Accuracy against how many of the training recordings were trained on: the learning curve of a representation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.evidence_figures import draw_lines, explain_bars
from beyond_spectrograms.report.figures import Style, drawing
from beyond_spectrograms.report.notes import explain_intervals, note_of
from beyond_spectrograms.report.table import Row, Table, interval_row, show_interval, texts

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def shares_of(results: Results) -> dict[str, float]:
    """List the protocols of this report that differ in their training share alone, the smallest first; share by name.

    Empty where no protocol takes a share. The whole training part is the share 1.
    """
    protocols = {name: results.params.protocols[name] for name in results.protocols}
    parted = next((protocol for protocol in protocols.values() if protocol.training_share), None)
    if parted is None:
        return {}
    whole = parted.model_copy(update={"training_share": None})
    alike = {
        name: protocol.training_share or 1.0
        for name, protocol in protocols.items()
        if protocol.model_copy(update={"training_share": None}) == whole
    }
    return dict(sorted(alike.items(), key=lambda one: one[1]))


def training_share_table(results: Results) -> Table | None:
    """Tabulate test windows right by training share, a row a representation; None where no share was run."""
    shares = shares_of(results)
    if not any(results.cell(name, protocol).scores for name in results.rows for protocol in shares):
        return None
    rows: list[Row] = []
    for name in results.rows:
        row: Row = {"representation": name}
        cells = {protocol: results.cell(name, protocol) for protocol in shares}
        for protocol, cell in cells.items():
            row |= interval_row(protocol, cell.window_interval)
        row["note"] = note_of(results, name, any(cell.scores for cell in cells.values()))
        rows.append(row)
    columns = texts("representation")
    columns |= {f"{100 * share:g} % of recordings": show_interval(protocol) for protocol, share in shares.items()}
    notes = [
        "Shares are of each class's training recordings, drawn anew for every seed; a smaller share lies within a "
        "larger one. Validation and test parts are whole.",
        explain_intervals(results),
    ]
    return Table(f"Learning curve: {results.dataset}, test windows right, %", rows, columns | texts("note"), notes)


def figure_training_share(results: Results, chosen: dict[str, Style]) -> Figure:
    """Draw test windows right against the share of training recordings, a line a representation.

    Args:
        results: rows without any result are left out.
        chosen: a style for each row.
    """
    shares = shares_of(results)
    with drawing(9.0, 5.6) as figure:
        axes = figure.subplots()
        draw_lines(axes, results, list(shares), chosen)
        axes.set_xticks(range(len(shares)), [f"{100 * share:g} %" for share in shares.values()])
        axes.set_xlabel("share of each class's training recordings")
        axes.set_ylabel("test windows right (%)")
        axes.set_ylim(0, None)
        axes.grid(axis="y", alpha=0.3)
        figure.legend(loc="outside lower center", ncols=3, handlelength=3.5)
        title = f"{results.dataset}, protocol {list(shares)[-1]}: accuracy against the number of training recordings"
        figure.suptitle(f"{title}\nbars: {explain_bars(results)}", fontsize=11)
    return figure
