"""Verification of speakers as a table of equal error rates, and as DET curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scipy.special import ndtri

from beyond_spectrograms.evaluation.verification import FARTHEST, TrialScores, TrialsFile
from beyond_spectrograms.params import Params
from beyond_spectrograms.report.figures import drawing, styles
from beyond_spectrograms.report.notes import heard_before
from beyond_spectrograms.report.table import Row, Table, interval_row, number, show_interval, text, texts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TICKS = (0.1, 0.5, 1, 2, 5, 10, 20, 40, 60, 80)  # % of both axes


def trials_table(found: TrialsFile, params: Params) -> Table:
    """Tabulate the equal error rate of every embedding of every representation, by representation."""
    assert params.verification is not None  # of studies that verify speakers
    rows: list[Row] = []
    for cell in found.cells.values():
        of_speakers = [rate for rate in cell.eer_by_speaker.values() if rate is not None]
        row: Row = {"representation": cell.representation, "embedding": cell.embedding, "values": cell.values}
        row |= interval_row("eer", cell.interval)
        row |= {
            "lowest_of_a_speaker_percent": 100 * min(of_speakers) if of_speakers else None,
            "highest_of_a_speaker_percent": 100 * max(of_speakers) if of_speakers else None,
            "min_dcf": cell.min_dcf,
            "targets": cell.targets,
            "non_targets": cell.non_targets,
            "speakers": cell.speakers,
        }
        rows.append(row)
    columns = texts("representation", "embedding") | {
        "values": text("values"),
        "equal error rate %": show_interval("eer"),
        "of single speakers %": _range_of_speakers,
        "least cost": number("min_dcf", 3),
    }
    return Table(f"Verification of speakers: {found.dataset}", rows, columns, _notes(found, params))


def _range_of_speakers(row: Row) -> str:
    low, high = row["lowest_of_a_speaker_percent"], row["highest_of_a_speaker_percent"]
    return "-" if low is None or high is None else f"{float(low):.1f} to {float(high):.1f}"


def _notes(found: TrialsFile, params: Params) -> list[str]:
    verification = params.verification
    assert verification is not None  # as above
    cells = list(found.cells.values())
    names = dict.fromkeys(cell.representation for cell in cells)
    counts = dict.fromkeys(
        f"{cell.targets} pairs of one speaker and {cell.non_targets} of two; {cell.speakers} speakers, "
        f"{cell.recordings} recordings, {cell.folds} {'fold' if cell.folds == 1 else 'folds'}"
        for cell in cells
    )
    ways = (f"{key}: {each.summary}, {each.normalize}" for key, each in verification.embeddings.items())
    reasons = dict.fromkeys(cell.eer_reason for cell in cells if cell.eer_reason)
    notes = [
        f"Trials: {' / '.join(counts)}.",
        f"Embeddings, normalized by speakers that are not tested: {'; '.join(ways)}. The score is the cosine.",
        "Equal error rate: where as large a share of the pairs of two speakers is accepted as of those of one is "
        "rejected; chance is 50 %. Of single speakers: the lowest and the highest among trials in which one stands.",
        f"Least cost: minDCF where {100 * verification.target_prior:g} % of pairs are of one speaker; 1 is that of "
        "deciding without the score.",
        *(f"{name}: {warning}." for name in names for warning in heard_before(params, found.dataset, name)),
        *reasons,
    ]
    if any(cell.eer_low is not None for cell in cells):
        notes.append(f"In brackets: {params.statistics.confidence:.0%} interval over speakers (docs/speakers.md).")
    return notes


def figure_det(dataset: str, embedding: str, cells: Sequence[TrialScores]) -> Figure:
    """Draw DET curves, a line a representation, both axes as normal deviates (Martin et al., Eurospeech 1997)."""
    chosen = styles([cell.representation for cell in cells])
    with drawing(7.5, 7.0) as figure:
        axes = figure.subplots()
        for cell in cells:
            style = chosen[cell.representation]
            axes.plot(
                *(ndtri([min(max(rate, FARTHEST), 1 - FARTHEST) for rate in rates])
                  for rates in (cell.false_accepts, cell.false_rejects)),
                color=style.colour,
                linestyle=style.dash,
                label=f"{cell.representation}: {100 * cell.eer:.1f} %",
            )  # fmt: skip
        places = ndtri([tick / 100 for tick in TICKS])
        ends = places[0], places[-1]
        axes.plot(ends, ends, color="black", linewidth=0.8, linestyle=(0, (1, 3)))
        for axis, name in (
            (axes.xaxis, "pairs of two speakers accepted (%)"),
            (axes.yaxis, "pairs of one speaker rejected (%)"),
        ):
            axis.set_ticks(places, [f"{tick:g}" for tick in TICKS])
            axis.set_label_text(name)
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        axes.set_aspect("equal")
        axes.grid(linewidth=0.3)
        axes.legend(title="equal error rate, on the dotted line")
        axes.set_title(f"{dataset}, {embedding}", loc="left")
    return figure
