"""The table of comparisons: every codec against every spectrogram on the same recordings."""

from collections.abc import Sequence

from beyond_spectrograms.evaluation.comparisons import Pair, matched
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.notes import explain_marks, mark
from beyond_spectrograms.report.table import SIGNED, Row, Show, Table, interval_row, joined, show_interval, text


def comparisons_table(results: Results, pairs: Sequence[Pair]) -> Table:
    """Tabulate every pair: difference in window accuracy with its interval, both tests, corrected."""
    rows: list[Row] = []
    for pair in pairs:
        test = pair.comparison
        row: Row = {"representation": pair.codec, "baseline": pair.baseline, "protocol": pair.protocol}
        row |= interval_row("difference", test.difference)
        row |= {"difference_mark": mark(results, [pair], pair.codec, pair.protocol)}
        row |= {"matched": "same size" if pair.baseline in matched(results, pair.codec) else None}
        row |= {"p_windows": test.p, "p_windows_holm": pair.p_windows}
        row |= {"only_codec_right": test.only_first, "only_baseline_right": test.only_second}
        row |= {"p_recordings": test.mcnemar_p, "p_recordings_holm": pair.p_recordings}
        control = "Control." if results.is_control(pair.codec) else None
        row["note"] = joined(control, test.difference.reason, test.difference.remark, by=" ")
        rows.append(row)
    columns: dict[str, Show] = {
        "representation": text("representation"),
        "against": text("baseline"),
        "size": text("matched"),
        "protocol": text("protocol"),
        "difference, points": show_interval("difference", SIGNED),
        "p, windows": _show_p("p_windows"),
        "corrected": _show_p("p_windows_holm"),
        "recordings only it has right": text("only_codec_right"),
        "only the other": text("only_baseline_right"),
        "p, recordings": _show_p("p_recordings"),
        "corrected ": _show_p("p_recordings_holm"),
        "note": text("note"),
    }
    notes = [
        "Difference of window accuracy, codec minus spectrogram, on the same recordings, resampled together.",
        explain_marks(results),
        "same size: a spectrogram with the bands and frames of the codec, the classifier so of its size. Not marked.",
        "p, windows: two-sided, from the same bootstrap. p, recordings: McNemar's exact test, a recording's class "
        "being that of its windows' mean probabilities over all seeds.",
        f"Corrected: Holm, for the {len(pairs)} pairs of this table.",
    ]
    least = len(pairs) * 2 / (1 + results.params.statistics.resamples)
    if least > 1 - results.params.statistics.confidence:
        notes.append(f"Nothing can be marked: with so few resamples no corrected p of windows is below {least:.2g}.")
    return Table(f"Comparisons: {results.dataset}, codec against spectrogram", rows, columns, notes)


def _show_p(key: str) -> Show:
    def show(row: Row) -> str:
        p = row[key]
        return "-" if p is None else f"{p:.4f}" if float(p) >= 0.0001 else "< 0.0001"

    return show
