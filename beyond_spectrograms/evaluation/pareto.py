"""Accuracy against cost: which representations no other beats in both, the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median

from beyond_spectrograms.evaluation.costs import Costs, paired_ratios
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import median_interval

FROM_FILE = "file_s_per_s"  # decode, resample, cut, encode, classify


@dataclass(frozen=True)
class Point:
    """A representation by what it costs and how often it is right, and the others that beat it.

    `cost` is seconds of processor time to classify a second of sound from its file, `accuracy` the share of test
    windows right, 0 to 1. Another dominates it that is no worse in both and better in one, by the values alone.
    """

    representation: str
    cost: Interval
    accuracy: Interval
    dominated_by: tuple[str, ...] = ()

    def dominates(self, other: Point) -> bool:
        """Whether it is no worse in both and better in one."""
        mine, theirs = ((of.cost.value, -of.accuracy.value) for of in (self, other))
        return mine != theirs and mine[0] <= theirs[0] and mine[1] <= theirs[1]


def pareto_points(results: Results, measured: Mapping[str, Costs]) -> list[Point]:
    """List the representations that have both an accuracy, under the judged protocol, and a cost, the cheapest first.

    Costs are measured at different hours, and a processor is not always equally fast. So a cost is the median of the
    ratios to the first baseline within a round, times the baseline's median over all rounds.
    """
    protocol, baseline = results.judged_protocol, results.params.claims.baselines[0]
    seconds = [
        each
        for costs in measured.values()
        if baseline in costs.representations
        for each in costs.representations[baseline].file_s_per_s
    ]
    if protocol is None or not seconds:
        return []
    points = []
    for name in dict.fromkeys([*results.rows, *results.ablations]):
        accuracy = results.cell(name, protocol).window_interval
        ratios = _ratios(measured, name, baseline)
        if accuracy and ratios:
            ratio = Interval(1.0) if name == baseline else median_interval(ratios, results.params.statistics)
            points.append(Point(name, ratio.times(median(seconds)), accuracy))
    points.sort(key=lambda point: point.cost.value)
    return [
        replace(point, dominated_by=tuple(other.representation for other in points if other.dominates(point)))
        for point in points
    ]


def _ratios(measured: Mapping[str, Costs], name: str, baseline: str) -> list[float]:
    """Divide a representation's times by the baseline's, in the rounds it was measured in, or stood beside others."""
    places = [measured[name]] if name in measured else measured.values()
    return [
        ratio
        for costs in places
        if {name, baseline} <= costs.representations.keys()
        for ratio in paired_ratios(costs.model_copy(update={"representation": name}), baseline, FROM_FILE)
    ]
