"""Codec against spectrogram on the same recordings: every pair of the grid tested, and corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beyond_spectrograms.evaluation.results import Interval, Results
from beyond_spectrograms.evaluation.uncertainty import Comparison, compare, holm
from beyond_spectrograms.report.table import Row, Show, Table, text

MARKS = ("*", "†", "‡", "§")  # one a baseline, in the order of params.claims.baselines


@dataclass(frozen=True)
class Pair:
    """A codec and a baseline under one protocol; p-values are corrected (Holm) for all pairs of the data set."""

    codec: str
    baseline: str
    protocol: str
    comparison: Comparison
    p_windows: float | None  # by paired bootstrap of window accuracy; None: too few recordings
    p_recordings: float  # by McNemar's exact test on recordings


def compare_with_baselines(results: Results) -> list[Pair]:
    """Test every codec that was run against every baseline and matched control that was, under each protocol."""
    statistics, found = results.params.statistics, []
    for codec, protocol in results.cells:
        if results.params.protocols[protocol].shuffle_labels:
            continue
        ours = results.cell(codec, protocol).recordings
        for baseline in dict.fromkeys([*results.params.claims.baselines, *matched(results, codec)]):
            theirs = results.cell(baseline, protocol).recordings
            if results.is_codec(codec) and ours is not None and theirs is not None:
                found.append((codec, baseline, protocol, compare(ours, theirs, statistics)))
    windows = holm([comparison.p for *_, comparison in found])
    recordings = holm([comparison.mcnemar_p for *_, comparison in found])
    corrected = zip(found, windows, recordings, strict=True)
    return [Pair(*pair, p_windows, p_recordings or 0.0) for pair, p_windows, p_recordings in corrected]


def matched(results: Results, codec: str) -> list[str]:
    """List the spectrograms of a codec's own size [bands, frames], which so have a classifier of as many parameters."""
    shapes = {name: (known.bands, known.frames) for name, known in results.features.items()}
    return [name for name, shape in shapes.items() if not results.is_codec(name) and shape == shapes.get(codec)]


def mark(results: Results, pairs: Sequence[Pair], codec: str, protocol: str) -> str:
    """Give the marks of the baselines from which a codec's window accuracy differs after correction.

    None where training runs are too few to know how much they differ: with one seed and runs 10 points apart, 40 % of
    pairs without a difference would be marked (simulated, 5 folds).
    """
    limit = 1 - results.params.statistics.confidence
    differing = {
        pair.baseline
        for pair in pairs
        if (pair.codec, pair.protocol) == (codec, protocol)
        and pair.p_windows is not None
        and pair.p_windows <= limit
        and pair.comparison.difference.low is not None
        and pair.comparison.difference.remark is None
    }
    return "".join(sign for name, sign in _signs(results) if name in differing)


def explain_marks(results: Results) -> str:
    """Say what the marks mean."""
    signs = ", ".join(f"{sign} {name}" for name, sign in _signs(results))
    return (
        f"Marked: codecs whose window accuracy differs from that of {signs} (paired bootstrap over sources, p <= "
        f"{1 - results.params.statistics.confidence:.2g} after Holm's correction for all pairs of the data set); never "
        f"with one seed or fewer than {results.params.statistics.minimum_runs} runs."
    )


def explain_intervals(results: Results) -> str:
    """Say what the brackets hold."""
    statistics = results.params.statistics
    return (
        f"In brackets: {statistics.confidence:.0%} interval, bootstrap over sources (recordings of one origin) and "
        f"seeds ({statistics.resamples} resamples); none where the note says why."
    )


def _signs(results: Results) -> list[tuple[str, str]]:
    return list(zip(results.params.claims.baselines, MARKS, strict=False))


def interval_row(key: str, interval: Interval | None) -> Row:
    """Lay out an interval as percentages: <key>_percent, <key>_low_percent, <key>_high_percent."""
    parts = {"": "value", "_low": "low", "_high": "high"}
    values = {suffix: getattr(interval, name) if interval else None for suffix, name in parts.items()}
    return {f"{key}{suffix}_percent": None if value is None else 100 * value for suffix, value in values.items()}


def show_interval(key: str, digits: int = 1, sign: bool = False) -> Show:
    """Show what `interval_row` laid out as `71.2 [66.0, 76.1]` and, from <key>_mark if there is one, its mark."""
    form = f"{'+' if sign else ''}z.{digits}f"

    def show(row: Row) -> str:
        value, low, high = (row[f"{key}{suffix}_percent"] for suffix in ("", "_low", "_high"))
        if value is None:
            return "-"
        shown = f"{value:{form}}" + ("" if low is None else f" [{low:{form}}, {high:{form}}]")
        return f"{shown} {row.get(f'{key}_mark') or ''}".strip()

    return show


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
        remarks = [test.difference.reason, test.difference.remark]
        row["note"] = " ".join([*["Control."] * results.is_control(pair.codec), *[each for each in remarks if each]])
        rows.append(row)
    columns: dict[str, Show] = {
        "representation": text("representation"),
        "against": text("baseline"),
        "size": text("matched"),
        "protocol": text("protocol"),
        "difference, points": show_interval("difference", sign=True),
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
