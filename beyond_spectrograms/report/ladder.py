"""Tables of what causes the gap: accuracies along the ladder of protocols, the codecs' advantage, the leakage."""

from collections.abc import Sequence
from itertools import pairwise

from beyond_spectrograms.evaluation.comparisons import Pair
from beyond_spectrograms.evaluation.ladder import describe_step, leakage_gap, leakage_step, rungs
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.notes import explain_intervals, explain_marks, mark, note_of
from beyond_spectrograms.report.table import SIGNED, Row, Table, interval_row, joined, show_interval, text, texts


def step_notes(results: Results) -> list[str]:
    """Say of each rung what it changes."""
    known = results.params.protocols
    return [f"{new}: {old}, with {describe_step(known[old], known[new])}." for old, new in pairwise(rungs(results))]


def ladder_table(results: Results, pairs: Sequence[Pair]) -> Table | None:
    """Tabulate the window accuracy of every representation along the ladder; None where no rung is asked for."""
    if not rungs(results):
        return None
    rows: list[Row] = []
    for name in results.rows:
        row: Row = {"representation": name}
        for protocol in rungs(results):
            row |= interval_row(protocol, results.cell(name, protocol).window_interval)
            row[f"{protocol}_mark"] = mark(results, pairs, name, protocol)
        row["note"] = note_of(results, name, any(results.cell(name, rung).scores for rung in rungs(results)))
        rows.append(row)
    shown = {f"{protocol} %": show_interval(protocol) for protocol in rungs(results)}
    columns = texts("representation") | shown | texts("note")
    notes = [*step_notes(results), explain_intervals(results), explain_marks(results)]
    if {"mel", "log_mel", "log_mel_2048"} <= set(results.rows):
        notes.append("log_mel is mel in decibels; log_mel_2048 has a larger n_fft, and with it hop_length and window.")
    return Table(f"Ladder: {results.dataset}, window accuracy", rows, columns, notes)


def advantage_table(results: Results, pairs: Sequence[Pair]) -> Table:
    """Tabulate codec minus spectrogram along the ladder: what is left of the advantage at each rung."""
    found = {(pair.first, pair.second, pair.protocol): pair.comparison.difference for pair in pairs}
    rows: list[Row] = []
    for codec in filter(results.is_codec, results.rows):
        for baseline in results.params.claims.baselines:
            if not any((codec, baseline, rung) in found for rung in rungs(results)):
                continue
            row: Row = {"representation": codec, "baseline": baseline}
            for rung in rungs(results):
                row |= interval_row(rung, found.get((codec, baseline, rung)))
                mine = [pair for pair in pairs if pair.second == baseline]
                row[f"{rung}_mark"] = mark(results, mine, codec, rung)
            row["note"] = note_of(results, codec, run=True)
            rows.append(row)
    shown = {rung: show_interval(rung, SIGNED) for rung in rungs(results)}
    columns = texts("representation") | {"minus": text("baseline")} | shown | texts("note")
    notes = ["Window accuracy, in percentage points, on the same windows.", *step_notes(results)]
    return Table(
        f"Advantage: {results.dataset}, codec minus spectrogram", rows, columns, [*notes, explain_marks(results)]
    )


def leakage_table(results: Results) -> Table | None:
    """Tabulate window minus source split, all else equal; None where the ladder has no such step here."""
    if (step := leakage_step(results)) is None:
        return None
    before, after = step
    rows: list[Row] = []
    for name in results.rows:
        leaky, clean = (results.cell(name, protocol) for protocol in step)
        difference = leakage_gap(results, name, before, after)
        row: Row = {"representation": name}
        row |= interval_row("window_split", leaky.window_interval) | interval_row("source_split", clean.window_interval)
        row |= interval_row("gap", difference)
        remark = difference.reason or difference.remark if difference else None
        row["note"] = joined(note_of(results, name, difference is not None), remark)
        rows.append(row)
    columns = {
        **texts("representation"),
        f"window split ({before}) %": show_interval("window_split"),
        f"source split ({after}) %": show_interval("source_split"),
        "gap, points": show_interval("gap", SIGNED),
        **texts("note"),
    }
    notes = [
        "The gap is judged on the recordings both splits test: under the window split some of a recording's windows "
        "are tested and others of it trained on, under the source split all of it is new.",
        explain_intervals(results),
    ]
    return Table(f"Leakage gap: {results.dataset}, window minus source split", rows, columns, notes)
