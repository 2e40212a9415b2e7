"""The table of the paper's convergence marks, and mean curves as rows for `dvc plots`."""

import math
import statistics

from beyond_spectrograms.evaluation.convergence import epochs_to_beat, epochs_to_near_best, mean_curve
from beyond_spectrograms.evaluation.records import MEASURES
from beyond_spectrograms.evaluation.results import MEL, Results
from beyond_spectrograms.report import published
from beyond_spectrograms.report.notes import NOT_RUN, note_of
from beyond_spectrograms.report.table import Row, Show, Table, text, texts

TIDY = ["representation", "protocol", "epoch", *MEASURES]


def convergence_table(results: Results) -> Table:
    """Tabulate both marks for every cell: median over folds and seeds, with the smallest and largest.

    A run is compared with mel's run of the same fold and seed.
    """
    rows = []
    for protocol in results.protocols:
        if results.params.protocols[protocol].is_fitted_at_once:
            continue
        mel = {curve.run: curve for curve in results.cell(MEL, protocol).curves}
        for name in results.rows:
            curves = results.cell(name, protocol).curves
            compared = [curve for curve in curves if name != MEL and curve.run in mel]
            beat = [epochs_to_beat(curve, mel[curve.run]) for curve in compared]
            row: Row = {"representation": name, "protocol": protocol, "runs": len(curves) or None}
            row |= _spread("epochs_to_beat_mel", beat)
            row |= {"runs_that_never_beat_mel": sum(map(math.isinf, beat)) if beat else None}
            row |= _spread("epochs_to_near_best", [epochs_to_near_best(curve) for curve in curves])
            row |= {"paper_epochs_to_beat_mel": None, "paper_epochs_to_near_best": None}
            if paper := published.published_of(results.dataset, name, protocol):
                either = " or ".join(map(str, paper.epochs_encodec))
                row["paper_epochs_to_beat_mel"] = None if name == MEL else either
                row["paper_epochs_to_near_best"] = paper.near_best_mel if name == MEL else paper.near_best_encodec
            scores = results.cell(name, protocol).scores
            row["note"] = note_of(results, name, scores is not None, scores)
            rows.append(row)
    columns: dict[str, Show] = {
        **texts("representation", "protocol"),
        "first epoch better than mel's best": _show_beat,
        "epochs to within 1 % of own best": _show_spread("epochs_to_near_best"),
        **texts("runs"),
    }
    has_paper = published.paper_of(results.dataset) is not None
    if has_paper:
        columns["paper: better than mel"] = text("paper_epochs_to_beat_mel")
        columns["paper: near best"] = text("paper_epochs_to_near_best")
    columns |= texts("note")
    notes = [
        "Median over folds and seeds (smallest to largest), by validation accuracy as it is, not smoothed.",
        "Better than mel's best: above the highest validation accuracy of mel's run of the same fold and seed.",
        "Within 1 %: at least 99 % of the run's own highest validation accuracy (relative, not percentage points).",
    ]
    if any(row["runs_that_never_beat_mel"] for row in rows):
        notes.append("never: so many runs do not pass mel's best at any epoch; - where at least half do not.")
    if any(name == MEL and not results.cell(name, p).curves for name in results.rows for p in results.protocols):
        notes.append(f"Where mel was {NOT_RUN}, or diverged in its first epoch, nothing can be compared with it.")
    if has_paper:
        notes.append(
            f"The paper (section 3.2): EnCodec passes mel's value of epoch {published.EPOCHS}, not its best; which of "
            "the two epochs is 24 kHz is not stated. Near best is its reading of the loss curves (about)."
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
