"""The table of calibration: how far the probabilities of answers are from how often they are right."""

from beyond_spectrograms.evaluation.calibration import BINS, has_probabilities
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import compare_folds
from beyond_spectrograms.report.notes import note_of
from beyond_spectrograms.report.table import SIGNED, Row, Show, Table, interval_row, joined, show_interval, text, texts


def calibration_table(results: Results) -> Table | None:
    """Tabulate expected calibration error and overconfidence, a row a cell that answers with probabilities.

    None where no cell was measured.
    """
    asked = ((results.rows, results.protocols), (results.ablations, results.ablation_protocols))
    cells = {(name, protocol): None for names, protocols in asked for protocol in protocols for name in names}
    rows = [row for name, protocol in cells if (row := _row(results, name, protocol))]
    if all(row["ece_points"] is None for row in rows):
        return None
    columns: dict[str, Show] = {
        **texts("representation", "protocol"),
        "calibration error, points": show_interval("ece", unit="_points"),
        "confidence - accuracy, points": show_interval("overconfidence", SIGNED, "_points"),
        "runs": text("runs"),
        **texts("note"),
    }
    statistics = results.params.statistics
    notes = [
        "confidence: the highest probability of a window's answer. Where confidence - accuracy is above 0 a classifier "
        "is overconfident, where below, underconfident.",
        f"calibration error: of a run's windows in {BINS} bins of confidence, the distance of mean confidence from "
        "accuracy, averaged over windows (Guo et al. 2017); mean over runs. Few windows in a bin are off by chance, so "
        "that even a perfect classifier has more than 0.",
        f"In brackets: {statistics.confidence:.0%} interval over folds, whose runs share their data; none with fewer "
        f"than {statistics.minimum_runs} runs.",
    ]
    distances = [name for name in results.protocols if not has_probabilities(results.params.protocols[name])]
    if distances:
        notes.append(f"Not here, since their answers are distances and no probabilities: {', '.join(distances)}.")
    return Table(f"Calibration: {results.dataset}", rows, columns, notes)


def _row(results: Results, name: str, protocol: str) -> Row | None:
    scores = results.cell(name, protocol).scores
    if scores is None or not has_probabilities(results.params.protocols[protocol]):
        return None
    runs = scores.calibration.by_run if scores.calibration else []
    intervals: dict[str, Interval | None] = {}
    for key in ("ece", "overconfidence"):
        by_run = {(run.fold, run.seed): float(getattr(run, key)) for run in runs}
        intervals[key] = compare_folds(by_run, results.params.statistics).difference if runs else None
    row: Row = {"representation": name, "protocol": protocol}
    for key, interval in intervals.items():
        row |= interval_row(key, interval, unit="_points")
    why = next((interval.reason for interval in intervals.values() if interval), "scored before this was measured")
    return {**row, "runs": len(runs) or None, "note": joined(note_of(results, name, True, scores), why)}
