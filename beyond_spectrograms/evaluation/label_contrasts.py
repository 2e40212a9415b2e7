"""Pairs of cells of several labels a sound: the contrasts that params name, in mean average precision by recording."""

from __future__ import annotations

from dataclasses import dataclass

from beyond_spectrograms.evaluation.label_scores import MEASURES, draw
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import holm

COMPARED = MEASURES[0]


@dataclass(frozen=True)
class LabelPair:
    """First - second, 0 to 1, under one protocol. `p` is corrected (Holm) for all contrasts named in params."""

    first: str
    second: str
    protocol: str
    difference: Interval | None  # None: one was not run, or they tested other recordings or under other seeds
    p: float | None = None
    verdict: str = "-"


def compare_labels(results: Results) -> list[LabelPair]:
    """Compare what params name, on the same recordings, by draws of their origins and of seeds.

    The verdict is better or worse where the corrected p is small enough, same where the whole interval is within the
    margin, else undecided.
    """
    contrasts, statistics = results.params.contrasts, results.params.statistics
    under = [protocol for protocol in contrasts.under if protocol in results.protocols]
    named = [(first, second, protocol) for protocol in under for first, second in contrasts.pairs]
    found = [_difference(results, *names) for names in named]
    pairs = []
    for names, (difference, _), p in zip(named, found, holm([p for _, p in found]), strict=True):
        verdict = "-" if difference is None else "undecided"
        if difference is not None and difference.low is not None and difference.high is not None:
            if p is not None and p <= 1 - statistics.confidence:
                verdict = "better" if difference.value > 0 else "worse"
            elif max(-difference.low, difference.high) < statistics.margin:
                verdict = "same"
        pairs.append(LabelPair(*names, difference, p, verdict))
    return pairs


def _difference(results: Results, first: str, second: str, protocol: str) -> tuple[Interval | None, float | None]:
    ours, theirs = (results.cell(name, protocol) for name in (first, second))
    if ours.recordings is None or theirs.recordings is None or ours.recordings.runs != theirs.recordings.runs:
        return None, None
    if ours.recordings.clips != theirs.recordings.clips:
        return None, None
    statistics = results.params.statistics
    return draw(ours.answers, statistics).difference(draw(theirs.answers, statistics), COMPARED, statistics)
