"""How sure an accuracy, a difference or a figure of several runs is: Student intervals, and what they decide.

Two things make a share of windows what it happens to be. One is which recordings were drawn: takes of one source are
not independent, so the source is the unit. The other is the random state that each training run starts from, and under
splits by seed the deal itself: a run is one fold and seed. Their variances are estimated apart and added,

    sources   S / (S - 1) x the sum over sources of their residual squared
    runs      for each fold, K / (K - 1) x the sum over its K runs of their residual's distance from the fold's mean

where the residual of some windows is (right - accuracy x windows) / all windows (Cochran 1977, Sampling Techniques,
sec. 6.4). Where every fold has one run, all runs count as of one fold. Chance within a recording enters both: this errs
to the wide side. Limits are Student's with the degrees of freedom of Satterthwaite (1946, Biometrics Bulletin 2, 110);
those of an accuracy are taken on the logit scale, so that they stay between 0 and 1. docs/uncertainty.md shows by
simulation how often they cover.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.records import Interval, ResultError

if TYPE_CHECKING:
    from beyond_spectrograms.evaluation.clip_results import Recordings
    from beyond_spectrograms.params import Statistics

Floats = NDArray[np.float64]
Decision = Literal["more", "less", "same", "undecided"]

MINIMUM_FOLDS = 3  # with two, Student's limits are 13 standard errors wide
ROUNDING = 1e-9  # what differs by less is alike
POWER = 0.8  # of the smallest difference a design is said to find


@dataclass(frozen=True)
class Comparison:
    """Two cells on the same recordings: first - second, 0 to 1, and what that decides.

    `same` means: within the margin of params.statistics, by two one-sided tests (Schuirmann 1987, J. Pharmacokinet.
    Biopharm. 15, 657), whatever the test against 0 says. `detectable` is the smallest true difference that the test
    finds with a chance of 80 %, corrected (Bonferroni) where it is one of several.
    """

    difference: Interval
    decision: Decision = "undecided"
    same: bool = False
    p: float | None = None  # two-sided; None: no interval
    detectable: float | None = None

    def verdict(self, corrected: float | None, confidence: float) -> str:
        """Say what the test decides once its p is `corrected`: `better`, `worse`, `same` or `undecided`."""
        if corrected is not None and corrected <= 1 - confidence:
            return "better" if self.difference.value > 0 else "worse"
        return "same" if self.same else "undecided"


@dataclass(frozen=True)
class _Spread:
    """Variance of an estimate and the degrees of freedom of that variance."""

    variance: float
    freedom: float

    def half_width(self, share: float) -> float:
        """Give Student's quantile of `share` times the standard error."""
        from scipy.stats import t as student

        return float(student.ppf(share, self.freedom) * self.variance**0.5)


def error_interval(errors: Recordings, statistics: Statistics) -> Interval:
    """Mean error of a window, where `windows_right` holds sums of errors; limits as they are, not on a logit scale."""
    value, residuals = _residuals(errors)
    if reason := _too_little(errors, statistics, 1.0):
        return Interval(value, reason=reason)
    half = _spread(residuals, _strata(errors)).half_width((1 + statistics.confidence) / 2)
    return Interval(value, value - half, value + half)


def window_interval(cell: Recordings, statistics: Statistics) -> Interval:
    """Share of all windows that are right, over all runs, with its limits.

    Where all is right nothing varies, and the exact limit of Clopper and Pearson (1934, Biometrika 26, 404) stands: it
    is that of the share of sources without a fault, each counting once. All wrong is its mirror image.
    """
    value, residuals = _residuals(cell)
    if reason := _too_little(cell, statistics, 100.0, " %"):
        return Interval(value, reason=reason)
    if value in (0, 1):
        from scipy.stats import binomtest

        sources = residuals.shape[1]
        exact = binomtest(round(value * sources), sources).proportion_ci(statistics.confidence, method="exact")
        why = f"All is {'right' if value else 'wrong'}: exact limits (Clopper-Pearson), a source counting once."
        return Interval(value, float(exact.low), float(exact.high), remark=why)
    spread = _spread(residuals, _strata(cell))
    if spread.variance <= ROUNDING**2:
        return Interval(value, reason="Every source has the same share right: there is no spread to judge by.")
    # The delta method: the logit's derivative is 1 / (p (1 - p)).
    half = spread.half_width((1 + statistics.confidence) / 2) / (value * (1 - value))
    centre = np.log(value / (1 - value))
    low, high = (1 / (1 + np.exp(-limit)) for limit in (centre - half, centre + half))
    return Interval(value, float(low), float(high))


def recording_interval(cell: Recordings, statistics: Statistics) -> Interval:
    """Share of the recordings that are right, averaged over runs, with its limits."""
    return window_interval(cell.by_recording(), statistics)


def compare(first: Recordings, second: Recordings, statistics: Statistics, tests: int = 1) -> Comparison:
    """Judge first - second in the share of windows right, on the same windows of the same recordings.

    For the share of recordings right, give both `by_recording()`. `tests` are how many there are of this kind.

    Raises:
        ResultError: the cells were not tested on the same recordings, or on another number of their windows.
    """
    tested = [
        set(zip(cell.clips, cell.labels, cell.windows.sum(0) / len(cell.runs), strict=True)) for cell in (first, second)
    ]
    if differing := sorted({clip for clip, _, _ in tested[0] ^ tested[1]}):
        raise ResultError(
            f"{first.cell} and {second.cell} cannot be compared: {len(differing)} recordings were tested by one only "
            f"or with other labels or window counts, {differing[0]} first. Compare cells of one data set and split."
        )
    return gap(first, second, statistics, tests)


def gap(first: Recordings, second: Recordings, statistics: Statistics, tests: int = 1) -> Comparison:
    """Judge first - second on the recordings both tested, of which windows may differ.

    Runs of the same fold and seed are paired. Where the cells have other runs, as under two splits, the variances of
    their runs are added.

    Raises:
        ResultError: they have no recording in common.
    """
    common = set(first.clips) & set(second.clips)
    if not common:
        raise ResultError(f"{first.cell} and {second.cell} have no recording in common. Compare cells of one data set.")
    cells = [cell if len(common) == len(cell.clips) else cell.among(common) for cell in (first, second)]
    (one, ours), (other, theirs) = map(_residuals, cells)
    for cell in cells:
        if reason := _too_little(cell, statistics):
            return Comparison(Interval(one - other, reason=reason))
    if cells[0].runs == cells[1].runs:
        spread = _spread(ours - theirs, _strata(cells[0]))
    else:
        total = _source_variance(ours.sum(0) - theirs.sum(0))
        spread = _added(
            total, *(_run_variance(each, _strata(cell)) for each, cell in zip((ours, theirs), cells, strict=True))
        )
    if spread.variance <= ROUNDING**2:
        why = "Every source differs alike: there is no spread to judge by."
        return Comparison(Interval(one - other, reason=why))
    return _decide(one - other, spread, statistics, statistics.margin, tests)


def _decide(difference: float, spread: _Spread, statistics: Statistics, margin: float, tests: int = 1) -> Comparison:
    """Test a difference against 0, and against the margin on either side."""
    from scipy.stats import t as student

    error, wrong = spread.variance**0.5, 1 - statistics.confidence
    half = spread.half_width(1 - wrong / 2)
    p = 2 * float(student.sf(abs(difference) / error, spread.freedom))
    outside = float(student.sf((margin - abs(difference)) / error, spread.freedom))
    same, decision = outside <= wrong, "undecided"
    if p <= wrong:
        decision = "more" if difference > 0 else "less"
    elif same:
        decision = "same"
    detectable = spread.half_width(1 - wrong / tests / 2) + spread.half_width(POWER)
    interval = Interval(difference, difference - half, difference + half)
    return Comparison(interval, cast("Decision", decision), same, p, detectable)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for their number (Holm 1979, Scand. J. Statist. 6, 65-70).

    None, of a test that could not be made, stays None and counts as 1: what is run later does not change old marks.
    """
    values = np.array([1.0 if p is None else p for p in p_values])
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return [None if p is None else of for p, of in zip(p_values, adjusted.tolist(), strict=True)]


def compare_folds(
    values: Mapping[tuple[int, int], float], statistics: Statistics, margin: float | None = None
) -> Comparison:
    """Judge the mean of a figure that every run (fold, seed) has one of, against 0.

    Runs of one fold share their data, so the fold is the unit. `margin` is in the figure's own unit; of shares it is
    that of `statistics`. No interval for fewer than `minimum_runs`.
    """
    by_fold: dict[int, list[float]] = {}
    for (fold, _), value in sorted(values.items()):
        by_fold.setdefault(fold, []).append(value)
    means = np.array([np.mean(found) for found in by_fold.values()])
    value = float(means.mean())
    if reason := _too_few(len(values), statistics):
        return Comparison(Interval(value, reason=reason))
    if len(means) < MINIMUM_FOLDS:
        reason = f"Only {len(means)} folds were run; {MINIMUM_FOLDS} are needed for an interval."
        return Comparison(Interval(value, reason=reason))
    spread = _Spread(float(means.var(ddof=1)) / len(means), len(means) - 1)
    if np.ptp(means) <= ROUNDING:
        return Comparison(Interval(value, reason="All folds are alike: there is no spread to judge by."))
    return _decide(value, spread, statistics, statistics.margin if margin is None else margin)


def mean_interval(values: Sequence[float], statistics: Statistics) -> Interval:
    """Mean of figures of independent runs, with Student's limits; none for fewer than `minimum_runs`."""
    value, count = float(np.mean(values)), len(values)
    if reason := _too_few(count, statistics):
        return Interval(value, reason=reason)
    if np.ptp(values) <= ROUNDING:
        return Interval(value, reason="All runs are alike: there is no spread to judge by.")
    half = _Spread(float(np.var(values, ddof=1)) / count, count - 1).half_width((1 + statistics.confidence) / 2)
    return Interval(value, value - half, value + half)


def _too_few(runs: int, statistics: Statistics) -> str:
    few = runs < statistics.minimum_runs
    return f"Only {runs} runs; {statistics.minimum_runs} are needed for an interval." if few else ""


def median_interval(values: Sequence[float], statistics: Statistics) -> Interval:
    """Median of figures that are independent of one another, limits by order statistics (Conover 1999, ch. 3.2)."""
    from scipy.stats import quantile_test

    value = float(np.median(values))
    limits = quantile_test(values, p=0.5).confidence_interval(statistics.confidence)
    if not np.isfinite([limits.low, limits.high]).all():
        return Interval(value, reason=f"Only {len(values)} values were measured: too few for an interval.")
    return Interval(value, float(limits.low), float(limits.high))


def _residuals(cell: Recordings) -> tuple[float, Floats]:
    """Give the share right and how far each source is off it in each run, [runs, sources]; they add up to 0."""
    total = cell.windows.sum()
    value = float(cell.windows_right.sum() / total)
    off = (cell.windows_right - value * cell.windows) / total
    names, places = np.unique(np.array(cell.sources), return_inverse=True)
    return value, np.array([np.bincount(places, of_run, len(names)) for of_run in off])


def _strata(cell: Recordings) -> NDArray[np.int64]:
    """Give each run's fold, [runs]; where every fold has one run only, all are of one."""
    folds = np.array([fold for fold, _ in cell.runs])
    return folds if len(set(folds)) < len(folds) else np.zeros_like(folds)


def _spread(residuals: Floats, strata: NDArray[np.int64]) -> _Spread:
    return _added(_source_variance(residuals.sum(0)), _run_variance(residuals, strata))


def _source_variance(off: Floats) -> _Spread:
    """Variance over sources, of how far each is off over all runs, [sources]."""
    return _Spread(len(off) / (len(off) - 1) * float(np.sum(off**2)), len(off) - 1)


def _run_variance(residuals: Floats, strata: NDArray[np.int64]) -> _Spread:
    """Variance over the runs of each stratum, [runs]."""
    variance, freedom = 0.0, 0
    for stratum in np.unique(strata):
        of_runs = residuals[strata == stratum].sum(1)
        if (runs := len(of_runs)) > 1:
            variance += runs / (runs - 1) * float(np.sum((of_runs - of_runs.mean()) ** 2))
            freedom += runs - 1
    return _Spread(variance, freedom)


def _added(*parts: _Spread) -> _Spread:
    """Add variances; the sum has Satterthwaite's degrees of freedom."""
    variance = sum(part.variance for part in parts)
    spread = sum(part.variance**2 / part.freedom for part in parts if part.variance)
    return _Spread(variance, variance**2 / spread if spread else 1.0)


def _too_little(cell: Recordings, statistics: Statistics, scale: float | None = None, unit: str = "") -> str | None:
    """Say why a cell gets no interval; with a `scale` the values of the few runs are told instead."""
    if (sources := len(set(cell.sources))) < statistics.minimum_sources:
        return f"Only {sources} sources were tested; {statistics.minimum_sources} are needed for an interval."
    if (runs := len(cell.runs)) < statistics.minimum_runs:
        values = cell.windows_right.sum(1) / cell.windows.sum(1)
        told = "" if scale is None else ", " + ", ".join(f"{scale * value:.1f}" for value in values) + unit
        return f"{runs} runs{told}; {statistics.minimum_runs} are needed for an interval."
    return None
