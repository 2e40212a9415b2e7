"""How sure an accuracy, a difference or a figure of several runs is: bootstrap intervals and paired tests.

Neither windows of one recording nor recordings of one source (takes, excerpts) are independent, so the source is what
is resampled: it brings all its recordings, their windows and the answers of all seeds. A run is one fold and seed and
starts from a random state of its own: with several seeds, what the runs of a fold are off by is resampled as well
(hierarchical data, Davison & Hinkley 1997, Bootstrap Methods, sec. 3.8). Of n seeds n - 1 are drawn: n would give
(n - 1) / n of the variance, half of it with two seeds (Rao & Wu 1988, JASA 83, 231-241, at m = n - 1). Chance within a
recording makes runs differ too and so counts twice: this errs to the wide side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.records import Interval, ResultError

if TYPE_CHECKING:
    from beyond_spectrograms.evaluation.clip_results import Recordings
    from beyond_spectrograms.params import Statistics

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MINIMUM_FOLDS = 3  # with two, Student's limits are 13 standard errors wide
RESAMPLED_AT_ONCE = 2**20  # sources drawn in one go: bounds memory to some 30 MB


@dataclass(frozen=True)
class Comparison:
    """Two cells on the same recordings: first - second in window accuracy, and who alone has which recordings right."""

    difference: Interval
    p: float | None  # two-sided; None: too few sources
    only_first: int  # recordings right under the first cell alone, by the mean over its seeds
    only_second: int
    mcnemar_p: float  # exact, two-sided, of these two counts


def window_interval(recordings: Recordings, statistics: Statistics) -> Interval:
    """Share of all windows that are right, over all seeds; see `_accuracy_interval`."""
    return _accuracy_interval(recordings, recordings.windows_right.astype(float), recordings.windows, statistics)


def recording_interval(recordings: Recordings, statistics: Statistics) -> Interval:
    """Share of the recordings that are right, averaged over seeds; see `_accuracy_interval`."""
    return _accuracy_interval(recordings, recordings.right.astype(float), np.ones_like(recordings.windows), statistics)


def _accuracy_interval(cell: Recordings, counts: Floats, total: Integers, statistics: Statistics) -> Interval:
    """Share that `counts` [seeds, recordings] are of `total` [recordings], with BCa limits.

    BCa and not percentile: accuracies near 0 or 1 are skewed. Where all is right there is nothing to resample, and the
    exact limit of Clopper and Pearson (1934, Biometrika 26, 404-413) stands: it is that of the share of sources
    without a fault, and accuracy can only be higher. All wrong is its mirror image.
    """
    value = float(counts.sum() / (len(counts) * total.sum()))
    counts, total, folds = _by_source(cell, np.ones(len(total), dtype=bool), counts, total)
    if reason := _too_few(len(total), statistics.minimum_sources, "sources were tested"):
        return Interval(value, reason=reason)
    remark = _remark(statistics, cell)
    if value in (0, 1):
        from scipy.stats import binomtest

        exact = binomtest(round(value * len(total)), len(total)).proportion_ci(statistics.confidence, method="exact")
        why = f"All is {'right' if value else 'wrong'}: exact limits (Clopper-Pearson), a source counting once."
        return Interval(value, float(exact.low), float(exact.high), remark=f"{why} {remark}" if remark else why)
    (replicates,) = _resample([(counts, total, folds)], statistics)
    if replicates.min() == replicates.max():
        return Interval(value, reason="Every source has the same share right: there is no spread to resample.")
    left_out = (counts.sum() - counts.sum(0)) / (len(counts) * (total.sum() - total))
    low, high = bca_limits(replicates, value, left_out, statistics.confidence)
    return Interval(value, low, high, remark=remark)


def compare(first: Recordings, second: Recordings, statistics: Statistics) -> Comparison:
    """Test whether two cells differ, on the same draws of sources for both; runs are drawn for each cell by itself.

    McNemar's test takes recordings as independent, which those of one source are not quite: it errs to small p.

    p is twice the smaller share of resamples on either side of 0, as (1 + count) / (1 + resamples), which is never 0
    (Davison & Hinkley 1997, Bootstrap Methods, ch. 4; Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9(1), 39).
    The limits are percentiles and not BCa, so that they leave out 0 where p <= 1 - confidence.

    Raises:
        ResultError: the cells were not tested on the same recordings, or on another number of their windows.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    tested = [set(zip(cell.clips, cell.labels, cell.windows.tolist(), strict=True)) for cell in (first, second)]
    if differing := sorted({clip for clip, _, _ in tested[0] ^ tested[1]}):
        raise ResultError(
            f"{first.cell} and {second.cell} cannot be compared: {len(differing)} recordings were tested by one only "
            f"or with other labels or window counts, {differing[0]} first. Compare cells of one data set and split."
        )
    ours, theirs = first.right_by_seeds, second.right_by_seeds
    alone = int(np.sum(ours & ~theirs)), int(np.sum(theirs & ~ours))
    exact = float(mcnemar([[0, alone[0]], [alone[1], 0]], exact=True).pvalue)  # the diagonal does not enter the test
    difference, p = _difference(first, second, statistics)
    return Comparison(difference, p, *alone, exact)


def gap(first: Recordings, second: Recordings, statistics: Statistics) -> Interval:
    """Difference of window accuracy, first - second, on the recordings both tested, of which windows may differ.

    Raises:
        ResultError: they have no recording in common.
    """
    return _difference(first, second, statistics)[0]


def _difference(first: Recordings, second: Recordings, statistics: Statistics) -> tuple[Interval, float | None]:
    """Difference of window accuracy on the recordings both tested, and its p; see `compare`."""
    if not (common := set(first.clips) & set(second.clips)):
        raise ResultError(f"{first.cell} and {second.cell} have no recording in common. Compare cells of one data set.")
    tested = [
        _by_source(cell, np.isin(cell.clips, list(common)), cell.windows_right.astype(float), cell.windows)
        for cell in (first, second)
    ]
    one, other = (float(right.sum() / (len(right) * total.sum())) for right, total, _ in tested)
    if reason := _too_few(len(tested[0][1]), statistics.minimum_sources, "sources were tested"):
        return Interval(one - other, reason=reason), None
    replicates, remark = np.subtract(*_resample(tested, statistics)), _remark(statistics, first, second)
    tail = 1 + min(int(np.sum(replicates <= 0)), int(np.sum(replicates >= 0)))
    p = min(1.0, 2 * tail / (1 + statistics.resamples))
    if replicates.min() == replicates.max():
        why = "Every source differs alike: there is no spread to resample."
        return Interval(one - other, reason=why, remark=remark), p
    limits = _order_statistics(replicates, _tails(statistics.confidence))
    return Interval(one - other, *limits, remark=remark), p


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for their number (Holm 1979, Scand. J. Statist. 6, 65-70); None stays None and does not count."""
    from statsmodels.stats.multitest import multipletests

    given = [p for p in p_values if p is not None]
    adjusted = iter(multipletests(given, method="holm")[1].tolist() if given else [])
    return [None if p is None else next(adjusted) for p in p_values]


def fold_interval(values: Mapping[tuple[int, int], float], statistics: Statistics) -> Interval:
    """Mean of a figure that every run (fold, seed) has one of, with Student's limits over the means of folds.

    Runs of one fold share their data, so the fold is the unit; a percentile bootstrap of five would miss the truth far
    too often (simulated: 17 % instead of 5 % where half of the variance is the folds').
    """
    from scipy.stats import t as student

    by_fold: dict[int, list[float]] = {}
    for (fold, _), value in sorted(values.items()):
        by_fold.setdefault(fold, []).append(value)
    means = np.array([np.mean(found) for found in by_fold.values()])
    value = float(means.mean())
    if len(means) < MINIMUM_FOLDS:
        return Interval(value, reason=f"Only {len(means)} folds were run; {MINIMUM_FOLDS} are needed for an interval.")
    half = float(student.ppf((1 + statistics.confidence) / 2, len(means) - 1) * means.std(ddof=1) / len(means) ** 0.5)
    return Interval(value, value - half, value + half)


def median_interval(values: Sequence[float], statistics: Statistics) -> Interval:
    """Median of figures that are independent of one another, with percentile limits by bootstrap."""
    if reason := _too_few(len(values), statistics.minimum_runs, "values were measured"):
        return Interval(float(np.median(values)), reason=reason)
    measured = np.sort(np.array(values, dtype=np.float64))  # sorted: their order must not matter
    drawn = np.random.default_rng(statistics.seed).integers(len(measured), size=(statistics.resamples, len(measured)))
    low, high = _order_statistics(np.median(measured[drawn], axis=1), _tails(statistics.confidence))
    return Interval(float(np.median(measured)), low, high)


def bca_limits(replicates: Floats, value: float, left_out: Floats, confidence: float) -> tuple[float, float]:
    """Bias-corrected and accelerated limits (Efron & Tibshirani 1993, Introduction to the Bootstrap, eq. 14.9-14.15).

    `replicates` [resamples]; `left_out` [sources] is the value without each in turn.
    """
    from scipy.special import ndtr, ndtri

    below = (np.mean(replicates < value) + np.mean(replicates <= value)) / 2
    bias = ndtri(np.clip(below, 1 / len(replicates), 1 - 1 / len(replicates)))
    influence = left_out.mean() - left_out
    spread = np.sum(influence**2) ** 1.5
    acceleration = np.sum(influence**3) / (6 * spread) if spread else 0.0
    z = bias + ndtri(_tails(confidence))
    return _order_statistics(replicates, ndtr(bias + z / (1 - acceleration * z)))


def _tails(confidence: float) -> Floats:
    return np.array([(1 - confidence) / 2, (1 + confidence) / 2])


def _order_statistics(replicates: Floats, shares: Floats) -> tuple[float, float]:
    """Take the (resamples + 1) x share smallest at two shares; to interpolate would make NaN of inf."""
    ranks = np.rint((len(replicates) + 1) * shares).clip(1, len(replicates)).astype(np.int64)
    low, high = np.sort(replicates)[ranks - 1].tolist()
    return low, high


def _by_source(
    cell: Recordings, mine: NDArray[np.bool_], counts: Floats, total: Integers
) -> tuple[Floats, Integers, Integers]:
    """Add up the recordings `mine` [recordings]: counts [seeds, sources], totals and folds [sources], by name."""
    _, first, places = np.unique(np.array(cell.sources)[mine], return_index=True, return_inverse=True)
    added = np.array([np.bincount(places, of_seed) for of_seed in counts[:, mine]])
    return added, np.bincount(places, total[mine]).astype(np.int64), cell.folds[mine][first]


def _resample(cells: Sequence[tuple[Floats, Integers, Integers]], statistics: Statistics) -> Floats:
    """Draw sources, the same for all cells, and runs, for each cell its own: accuracies [cells, resamples].

    A cell is its right windows [seeds, sources], tested windows [sources] and fold [sources] that tested them.
    """
    generator, sources = np.random.default_rng(statistics.seed), len(cells[0][1])
    accuracies = np.empty((len(cells), statistics.resamples))
    at_once = max(1, RESAMPLED_AT_ONCE // sources)
    for start in range(0, statistics.resamples, at_once):
        size = min(at_once, statistics.resamples - start)
        drawn = generator.integers(sources, size=(size, sources)) + sources * np.arange(size)[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        for row, (right, total, folds) in zip(accuracies, cells, strict=True):
            seeds, runs_drawn, off = len(right), max(1, len(right) - 1), np.zeros(size)
            for fold in np.unique(folds):
                mine = folds == fold
                of_runs = right[:, mine].sum(1)
                runs = generator.multinomial(runs_drawn, np.full(seeds, 1 / seeds), size=size) / runs_drawn
                off += (times[:, mine] @ total[mine]) * (runs @ (of_runs - of_runs.mean())) / total[mine].sum()
            # Whole numbers up to `off`, which is 0 where runs agree: then equal accuracies are equal to the bit.
            row[start : start + size] = (times @ right.sum(0) + seeds * off) / (seeds * (times @ total))
    return accuracies


def _too_few(count: int, minimum: int, what: str) -> str | None:
    return f"Only {count} {what}; {minimum} are needed for an interval." if count < minimum else None


def _remark(statistics: Statistics, *cells: Recordings) -> str | None:
    if any(len(cell.seeds) == 1 for cell in cells):
        return "One seed: the interval leaves out how much training runs differ."
    runs = min(len(cell.seeds) * len(np.unique(cell.folds)) for cell in cells)
    if runs < statistics.minimum_runs:
        return f"Only {runs} training runs: the interval may be too narrow, as it hardly knows how much runs differ."
    return None
