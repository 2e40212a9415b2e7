"""Pairs of cells of several labels a sound: the contrasts that params name, in mean average precision by recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from beyond_spectrograms.evaluation.label_scores import DRAWS, MEASURES, Floats, Measured, limit, measure, shift
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import Comparison, compare_folds, holm
from beyond_spectrograms.params import Statistics

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
    one, other = (measure(cell.answers, statistics) for cell in (ours, theirs))
    return difference(one, other, COMPARED, statistics)


def difference(one: Measured, other: Measured, name: str, statistics: Statistics) -> Comparison:
    """Judge a measure of one cell minus that of another, of the same runs and draws: by folds, or few folds by draws.

    Then p is that of the interval, corrected for bias alike (Efron and Tibshirani 1993, An Introduction to the
    Bootstrap, ch. 14 and 15), none less than two in all draws and one; same is a whole interval within the margin.
    """
    by_folds = compare_folds(
        {run: each - other.by_run[name][run] for run, each in one.by_run[name].items()}, statistics
    )
    value = by_folds.difference.value
    if reason := one.too_few(statistics):
        return Comparison(Interval(value, reason=reason))
    if not one.drawn or len(one.by_run[name]) < statistics.minimum_runs:
        return by_folds
    drawn = one.drawn[name] - other.drawn[name]
    interval = limit(value, drawn, statistics.confidence)
    if interval.low is None or interval.high is None:
        return Comparison(interval)
    return Comparison(interval, same=max(-interval.low, interval.high) < statistics.margin, p=p_of(value, drawn))


def p_of(value: float, drawn: Floats) -> float:
    """Give the level at which an end of the bias-corrected interval is 0."""
    from scipy.stats import norm

    below = (np.mean(drawn < 0) + np.mean(drawn <= 0)) / 2
    end = float(norm.cdf(norm.ppf(np.clip(below, 1 / (DRAWS + 1), 1 - 1 / (DRAWS + 1))) - shift(value, drawn)))
    return min(1.0, max(2 * min(end, 1 - end), 2 / (DRAWS + 1)))
