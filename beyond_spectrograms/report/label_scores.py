"""Tables and the figure of cells of several labels a sound: mAP, AUROC and lwlrap in place of accuracies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beyond_spectrograms.evaluation.label_contrasts import compare_labels
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import MINIMUM_FOLDS
from beyond_spectrograms.report.evidence_figures import draw_beside, put_names
from beyond_spectrograms.report.figures import drawing
from beyond_spectrograms.report.notes import NOT_RUN, note_of
from beyond_spectrograms.report.table import (
    SIGNED,
    Row,
    Table,
    interval_row,
    joined,
    number,
    show_interval,
    show_p,
    text,
    texts,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {"mean_average_precision": "mAP", "auroc": "AUROC", "lwlrap": "lwlrap"}


def tabulate_labels(results: Results) -> dict[str, Table]:
    """Make every table that has a row, by the name of its file."""
    made = {
        "label_scores": scores_table(results),
        "label_contrasts": contrasts_table(results),
        "label_classes": classes_table(results),
    }
    return {name: table for name, table in made.items() if table.rows}


def scores_table(results: Results) -> Table:
    """Tabulate the measures of every cell, by recording and by window."""
    rows: list[Row] = []
    statistics = results.params.statistics
    few = f"Fewer than {statistics.minimum_runs} runs: no interval."
    for protocol in results.protocols:
        for name in results.asked(protocol):
            scores = results.cell(name, protocol).scores
            row: Row = {"representation": name, "protocol": protocol}
            reasons: list[str | None] = []
            for kind in ("recordings", "windows"):
                measured = getattr(scores.labels, kind) if scores and scores.labels else {}
                if scores and len(scores.by_fold) < statistics.minimum_runs:
                    measured = {key: Interval(each.value, reason=few) for key, each in measured.items()}
                reasons += [interval.reason for interval in measured.values()]
                for measure in NAMES:
                    row |= interval_row(f"{kind}_{measure}", measured.get(measure))
            row |= {"runs": len(scores.by_fold) if scores else None}
            why = sorted(filter(None, set(reasons)))
            rows.append({**row, "note": joined(note_of(results, name, scores is not None, scores), *why)})
    columns = texts("representation", "protocol")
    for kind in ("recordings", "windows"):
        columns |= {f"{label} {kind} %": show_interval(f"{kind}_{measure}") for measure, label in NAMES.items()}
    columns |= {"runs": text("runs"), "note": text("note")}
    notes = [
        "mAP: mean average precision over labels; AUROC likewise; lwlrap: label-weighted label-ranking average "
        "precision (beyond_spectrograms/evaluation/label_scores.py); each run alone, the mean over a fold's "
        "seeds and then over folds. recordings: by the mean of the probabilities of a recording's windows.",
        f"In brackets: {statistics.confidence:.0%} interval over folds; of fewer than {MINIMUM_FOLDS} folds by drawing "
        f"origins anew, and seeds where there are several; none with fewer than {statistics.minimum_sources} origins "
        f"or {statistics.minimum_runs} runs.",
    ]
    return Table(f"{results.dataset}: several labels a sound, test part", rows, columns, notes)


def contrasts_table(results: Results) -> Table:
    """Tabulate the contrasts that params name: difference in mAP by recording, corrected p, and what it decides."""
    rows: list[Row] = []
    for pair in compare_labels(results):
        row: Row = {"representation": pair.first, "against": pair.second, "protocol": pair.protocol}
        row |= interval_row("difference", pair.difference) | {"p_corrected": pair.p, "verdict": pair.verdict}
        rows.append(row | {"note": NOT_RUN if pair.difference is None else joined(pair.difference.reason)})
    columns = texts("representation", "against", "protocol") | {
        "mAP, points": show_interval("difference", SIGNED),
        "p, corrected": show_p("p_corrected"),
        **texts("verdict", "note"),
    }
    statistics = results.params.statistics
    notes = [
        "First minus second in mAP by recording, run by run.",
        f"p: two-sided, Student's over folds; of fewer than {MINIMUM_FOLDS} folds that of the interval's draws. "
        "Corrected by Holm for the contrasts here, run or not.",
        f"Verdict: better or worse where that p is at most {1 - statistics.confidence:.2g}; same where the "
        f"difference surely is within {100 * statistics.margin:g} points of 0; else undecided.",
    ]
    return Table(f"Contrasts: {results.dataset}, several labels a sound", rows, columns, notes)


def classes_table(results: Results) -> Table:
    """Tabulate each label's average precision by recording, a column a cell that was run."""
    known = {
        f"{name}, {protocol}": cell.scores.labels.by_class
        for (name, protocol), cell in results.cells.items()
        if cell.scores and cell.scores.labels
    }
    counts = {label: scores.recordings for of in known.values() for label, scores in of.items()}
    rows: list[Row] = []
    for label, recordings in counts.items():
        row: Row = {"label": label, "recordings": recordings}
        for head, of in known.items():
            precision = of[label].average_precision if label in of else None
            row[head] = None if precision is None else 100 * precision
        rows.append(row)
    columns = texts("label", "recordings") | {head: number(head, 1) for head in known}
    notes = [
        "Average precision of each label by recording (%), mean over a fold's seeds and then over folds. recordings: "
        "those tested that have it."
    ]
    return Table(f"Labels: {results.dataset}", rows, columns, notes)


def figure_labels(results: Results) -> Figure | None:
    """Draw mAP by recording, a point a representation for each protocol; None where nothing was run."""
    found = {
        name: [
            scores.labels.recordings["mean_average_precision"] if scores and scores.labels else None
            for scores in (results.cell(name, protocol).scores for protocol in results.protocols)
        ]
        for name in results.names()
    }
    if not found:
        return None
    with drawing(8.0, 5.5) as figure:
        axes = figure.subplots()
        draw_beside(axes, results, found, joined=False)
        axes.set_xticks(range(len(results.protocols)), results.protocols, fontsize=9)
        axes.set_xlim(-0.5, len(results.protocols) - 0.5)
        bars = f"{results.params.statistics.confidence:.0%} interval over folds"
        title = f"{results.dataset}: several labels a sound\nbars: {bars}"
        put_names(figure, axes, "mean average precision by recording (%)", title)
    return figure
