"""Pairs of cells of several labels a sound: the contrasts that params name, in mean average precision by recording."""

from __future__ import annotations

from dataclasses import dataclass

from beyond_spectrograms.evaluation.label_scores import MEASURES, measure
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import Comparison, holm

COMPARED = MEASURES[0]


@dataclass(frozen=True)
class LabelPair:
    """First - second, 0 to 1, under one protocol. `p` is corrected (Holm) for all contrasts named in params."""

    first: str
    second: str
    protocol: str
    difference: Interval | None = None  # None: one was not run, or they tested other recordings or under other seeds
    p: float | None = None
    verdict: str = "-"


def compare_labels(results: Results) -> list[LabelPair]:
    """Compare what params name, on the same recordings and runs.

    The verdict is better or worse where the corrected p is small enough, same where they surely differ by less than the
    margin, else undecided.
    """
    contrasts, statistics = results.params.contrasts, results.params.statistics
    under = [protocol for protocol in contrasts.under if protocol in results.protocols]
    named = [(first, second, protocol) for protocol in under for first, second in contrasts.pairs]
    found = [_compare(results, *names) for names in named]
    corrected = holm([pair.p if pair else None for pair in found])
    return [
        LabelPair(*names, pair.difference, p, pair.verdict(p, statistics.confidence)) if pair else LabelPair(*names)
        for names, pair, p in zip(named, found, corrected, strict=True)
    ]


def _compare(results: Results, first: str, second: str, protocol: str) -> Comparison | None:
    ours, theirs = (results.cell(name, protocol) for name in (first, second))
    if ours.recordings is None or theirs.recordings is None or ours.recordings.runs != theirs.recordings.runs:
        return None
    if ours.recordings.clips != theirs.recordings.clips:
        return None
    statistics = results.params.statistics
    return measure(ours.answers, statistics).difference(measure(theirs.answers, statistics), COMPARED, statistics)
