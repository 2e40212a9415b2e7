"""The table of accuracy against bitrate."""

from collections.abc import Sequence

from beyond_spectrograms.evaluation.bitrates import points
from beyond_spectrograms.evaluation.comparisons import Pair
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.notes import explain_intervals, explain_marks, mark, note_of
from beyond_spectrograms.report.table import Row, Show, Table, interval_row, scaled, show_interval, text


def bitrates_table(results: Results, pairs: Sequence[Pair], protocol: str) -> Table:
    """Tabulate accuracy against bitrate."""
    rows: list[Row] = []
    for point in points(results, protocol):
        row: Row = {"codec": point.codec, "representation": point.representation, "form": point.form}
        row["bits_per_second"] = point.bitrate
        row |= interval_row("windows", point.interval)
        row["windows_mark"] = mark(results, pairs, point.representation, protocol)
        row["note"] = note_of(results, point.representation, point.interval is not None)
        rows.append(row)
    columns: dict[str, Show] = {
        "codec": text("codec"),
        "what is classified": text("form"),
        "kbit/s": scaled("bits_per_second", "g", per=1000),
        "windows %": show_interval("windows"),
        "representation": text("representation"),
        "note": text("note"),
    }
    notes = [
        "Codes as tokens: each codebook's entry number looked up in a learnt table of vectors, which are added.",
        explain_intervals(results),
        explain_marks(results),
    ]
    return Table(f"Bitrates: {results.dataset}, {protocol}, window accuracy", rows, columns, notes)
