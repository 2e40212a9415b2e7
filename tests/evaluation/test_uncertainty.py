"""Intervals and tests against cases with known answers: worked by hand, published, or scipy's and statsmodels'."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import t as student
from scipy.stats import ttest_1samp, ttest_rel

from beyond_spectrograms.evaluation.records import Interval, ResultError
from beyond_spectrograms.evaluation.uncertainty import (
    compare,
    compare_folds,
    gap,
    holm,
    mean_interval,
    median_interval,
    recording_interval,
    window_interval,
)
from support.hands import SETTINGS, cell, clustered


def limits(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def width(interval: Interval) -> float:
    low, high = limits(interval)
    return high - low


def test_takes_of_one_source_count_as_one_long_recording() -> None:
    takes = clustered(2, 60)
    apart = cell(np.concatenate([takes, takes], axis=1))
    joined = replace(apart, sources=tuple(f"{number % 60:02d}" for number in range(120)))
    whole = cell(2 * takes, windows=10)
    assert limits(window_interval(joined, SETTINGS)) == pytest.approx(limits(window_interval(whole, SETTINGS)))
    assert width(window_interval(joined, SETTINGS)) > 1.2 * width(window_interval(apart, SETTINGS))


def test_sources_alone_have_the_cluster_robust_error_of_statsmodels() -> None:
    import statsmodels.api as sm

    right = clustered(2, 200)
    right[1] = right[0]  # seeds alike, so that runs add what sources of a fold add and no more
    mel = cell(right, folds=1)
    values = right[0] / 5
    fitted = sm.OLS(values, np.ones(200)).fit(
        cov_type="cluster", cov_kwds={"groups": np.arange(200), "df_correction": False}
    )
    error = float(fitted.bse[0])
    share = values.mean()
    half = student.ppf(0.975, 199) * error / (share * (1 - share))
    few = SETTINGS.model_copy(update={"minimum_runs": 2})
    assert logit(limits(window_interval(mel, few))) == pytest.approx((logit(share) - half, logit(share) + half))


def test_runs_and_sources_are_added_as_worked_by_hand() -> None:
    # 100 folds of 4 recordings: one seed has 4 of 5 windows right, the other 1 of 5. A source is right half of the
    # time, so that sources add nothing; runs of a fold differ by 12 of 4000 windows: 2 (6 / 4000)^2 a fold and seed.
    better = np.arange(400) % 100 % 2 == 0
    found = window_interval(cell([np.where(better, 4, 1), np.where(better, 1, 4)], folds=100), SETTINGS)
    error = math.sqrt(100 * 2 * 2 * (6 / 4000) ** 2)
    half = student.ppf(0.975, 100) * error / 0.25
    assert logit(limits(found)) == pytest.approx((-half, half))
    assert (found.value, found.remark, found.reason) == (0.5, None, None)


def test_folds_of_one_run_each_count_as_runs_of_one() -> None:
    right = np.where(np.arange(200) % 5 < 2, 4, 2)  # folds 1 and 2 are better: no source differs within a fold
    found = window_interval(cell(right), SETTINGS)
    shares, total = np.array([0.8, 0.8, 0.4, 0.4, 0.4]), 0.56
    runs = 5 / 4 * np.sum(((shares - total) / 5) ** 2)
    sources = 200 / 199 * np.sum(((right / 5 - total) / 200) ** 2)
    freedom = (runs + sources) ** 2 / (runs**2 / 4 + sources**2 / 199)
    half = student.ppf(0.975, freedom) * math.sqrt(runs + sources) / (total * (1 - total))
    assert logit(limits(found)) == pytest.approx((logit(total) - half, logit(total) + half))


@pytest.mark.parametrize(("right", "low", "high"), [(5, 0.9119, 1.0), (0, 0.0, 0.0881)])
def test_recordings_without_a_fault_have_exact_limits(right: int, low: float, high: float) -> None:
    # Clopper & Pearson, 40 of 40: the lower limit is 0.025 ** (1 / 40) = 0.9119.
    every = cell(np.full((2, 40), right))
    found = window_interval(every, SETTINGS)
    assert (found.value, *limits(found)) == pytest.approx((right / 5, low, high), abs=0.00005)
    which = "right" if right else "wrong"
    assert found.remark == f"All is {which}: exact limits (Clopper-Pearson), a source counting once."
    assert recording_interval(every, SETTINGS) == found


def test_what_is_too_little_for_an_interval_says_so_and_few_runs_show_their_values() -> None:
    right = np.repeat([[4], [2]], 40, axis=1)
    reason = "2 runs, 80.0, 40.0 %; 5 are needed for an interval."
    assert window_interval(cell(right, folds=1), SETTINGS) == Interval(pytest.approx(0.6), reason=reason)
    alike = "Every source has the same share right: there is no spread to judge by."
    assert window_interval(cell(np.full((2, 40), 3)), SETTINGS) == Interval(pytest.approx(0.6), reason=alike)
    mel, other = cell([[5] * 10 + [0] * 19] * 2), cell([[5] * 20 + [0] * 9] * 2)
    reason = "Only 29 sources were tested; 30 are needed for an interval."
    assert recording_interval(mel, SETTINGS) == Interval(pytest.approx(10 / 29), reason=reason)
    both = compare(mel, other, SETTINGS)
    assert (both.difference.reason, both.difference.low, both.p, both.decision) == (reason, None, None, "undecided")


def test_a_difference_over_many_sources_has_the_p_and_limits_of_students_paired_test() -> None:
    first, second = clustered(1, 2000), clustered(1, 2000)
    second[:, :300] = np.maximum(second[:, :300] - np.arange(300) % 3, 0)
    first[:, 300:600] = np.maximum(first[:, 300:600] - np.arange(300) % 2, 0)
    order = np.random.default_rng(0).permutation(2000)
    first, second = first[:, order], second[:, order]
    # 400 folds: what runs add beyond their sources is then little, and doubles the variance.
    found = compare(cell(first, folds=400), cell(second, folds=400), SETTINGS)
    theirs = ttest_rel(first[0] / 5, second[0] / 5)
    expected = theirs.confidence_interval(0.95)
    assert found.difference.value == pytest.approx(np.mean((first - second) / 5))
    assert width(found.difference) == pytest.approx(math.sqrt(2) * (expected.high - expected.low), rel=0.06)
    assert found.p is not None
    assert (found.p <= 0.05) == (not limits(found.difference)[0] <= 0 <= limits(found.difference)[1])


def test_pairing_narrows_the_difference() -> None:
    counts = clustered(2, 200)
    worse = np.maximum(counts - (np.arange(200) % 4 == 0), 0)
    shuffled = np.random.default_rng(6).permutation(worse, axis=1)
    paired, unpaired = compare(cell(counts), cell(worse), SETTINGS), compare(cell(counts), cell(shuffled), SETTINGS)
    assert paired.difference.value == pytest.approx(unpaired.difference.value)
    assert width(unpaired.difference) > 3 * width(paired.difference)
    assert (paired.decision, unpaired.decision) == ("more", "undecided")
    assert compare(cell(worse), cell(counts), SETTINGS).decision == "less"


def test_a_small_difference_is_the_same_where_that_is_sure_and_undecided_where_it_is_not() -> None:
    counts = clustered(2, 800, 0.6)
    moved = counts.copy()
    moved[:, ::40] = np.clip(moved[:, ::40] + np.random.default_rng(0).integers(-1, 2, (2, 20)), 0, 5)
    sure = compare(cell(counts), cell(moved), SETTINGS)
    assert abs(sure.difference.value) < 0.01
    assert sure.decision == "same"
    strict = SETTINGS.model_copy(update={"margin": 0.0001})
    assert compare(cell(counts), cell(moved), strict).decision == "undecided"


def test_the_detectable_difference_is_found_with_a_chance_of_eighty_percent() -> None:
    # For a normal test, (1.960 + 0.842) standard errors; the half width is 1.960 of them.
    found = compare(cell(clustered(2, 1000)), cell(clustered(2, 1000, seed=1)), SETTINGS)
    assert found.detectable == pytest.approx(width(found.difference) / 2 * (1.960 + 0.842) / 1.960, rel=0.02)


def test_a_cell_does_not_differ_from_itself() -> None:
    mel = cell(clustered(1, 100))
    found = compare(mel, mel, SETTINGS)
    assert found.difference == Interval(0.0, reason="Every source differs alike: there is no spread to judge by.")
    assert (found.p, found.decision, found.detectable) == (None, "undecided", None)


def test_what_only_rounding_tells_apart_is_no_spread() -> None:
    """Shares of a twentyninth do not add up to the bit."""
    one, other = (cell(np.full((5, 40), right), windows=29) for right in (10, 9))
    assert window_interval(one, SETTINGS).reason == (
        "Every source has the same share right: there is no spread to judge by."
    )
    found = compare(one, other, SETTINGS)
    assert (found.difference.reason, found.p) == ("Every source differs alike: there is no spread to judge by.", None)


def test_runs_that_differ_widen_the_difference() -> None:
    counts = clustered(1, 200)[0]
    better = np.arange(200) % 5 % 2 == 0
    one, other = np.where(better, 5, counts), np.where(better, counts, 5)
    steady = cell(np.array([2 * counts, 2 * counts]) - [[0], [0]], windows=10)
    uneven = compare(cell([2 * one, 2 * other], windows=10), steady, SETTINGS).difference
    even = compare(cell([one + other, one + other], windows=10), steady, SETTINGS).difference
    assert uneven.value == pytest.approx(even.value)
    assert width(uneven) > 1.5 * width(even)


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({"windows": 4}, 1),
        ({"labels": ("rain", *["bird"] * 39)}, 1),
        ({"clips": (*(f"{number:05d}.wav" for number in range(1, 40)), "x.wav")}, 2),
    ],
)
def test_cells_of_different_recordings_are_not_compared(change: dict[str, Any], differing: int) -> None:
    mel, soundstream = cell(clustered(1, 40)), cell(clustered(1, 40), name="soundstream-fair")
    if "windows" in change:
        windows = soundstream.windows.copy()
        windows[0, 0] = change["windows"]
        change = {"windows": windows}
    with pytest.raises(ResultError) as error:
        compare(mel, replace(soundstream, **change), SETTINGS)
    assert str(error.value) == (
        f"mel-fair and soundstream-fair cannot be compared: {differing} recordings were tested by one only or with "
        "other labels or window counts, 00000.wav first. Compare cells of one data set and split."
    )


def test_a_gap_is_that_of_the_recordings_both_tested_and_adds_the_variances_of_other_runs() -> None:
    counts = clustered(2, 100)
    source = cell(counts)
    window = cell(np.minimum(np.tile(counts, (3, 1))[:5, :60], 2), windows=2, folds=1, name="mel-paper")
    found = gap(window, source, SETTINGS)
    assert found.difference.value == pytest.approx(
        window.windows_right.sum() / window.windows.sum() - counts[:, :60].mean() / 5
    )
    off = [
        (each.windows_right - each.windows_right.sum() / each.windows.sum() * each.windows) / each.windows.sum()
        for each in (window, source.among(window.clips))
    ]
    sources = 60 / 59 * np.sum((off[0].sum(0) - off[1].sum(0)) ** 2)
    of_window = 5 / 4 * np.sum(off[0].sum(1) ** 2)
    by_fold = off[1].sum(1).reshape(5, 2)  # folds, seeds
    of_source = 2 * np.sum((by_fold - by_fold.mean(1, keepdims=True)) ** 2)
    total = sources + of_window + of_source
    freedom = total**2 / (sources**2 / 59 + of_window**2 / 4 + of_source**2 / 5)
    assert width(found.difference) == pytest.approx(2 * student.ppf(0.975, freedom) * math.sqrt(total))
    other = cell(clustered(2, 100, seed=1))
    assert gap(source, other, SETTINGS) == compare(source, other, SETTINGS)
    elsewhere = replace(window, clips=tuple(f"x{clip}" for clip in window.clips))
    with pytest.raises(ResultError) as raised:
        gap(elsewhere, source, SETTINGS)
    assert str(raised.value) == "mel-paper and mel-fair have no recording in common. Compare cells of one data set."


def test_holm_gives_the_p_values_worked_by_hand_and_counts_tests_that_were_not_made() -> None:
    # 0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1 raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([None, 0.04, None, 0.01]) == [None, pytest.approx(0.12), None, pytest.approx(0.04)]
    assert holm([0.7, 0.6]) == [1.0, 1.0]
    assert (holm([None]), holm([])) == ([None], [])


def test_the_mean_over_folds_has_the_limits_of_students_test() -> None:
    means = [0.61, 0.55, 0.70, 0.66, 0.58]
    runs = {(fold, seed): mean + (0.02 if seed else -0.02) for fold, mean in enumerate(means, 1) for seed in (0, 1)}
    found = compare_folds(runs, SETTINGS, 0.03)
    expected = ttest_1samp(means, 0)
    assert found.difference.value == pytest.approx(np.mean(means))
    assert limits(found.difference) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.p == pytest.approx(expected.pvalue)
    # By hand: deviation 0.0604, t of 4 degrees of freedom 2.776.
    assert width(found.difference) == pytest.approx(2 * 2.776 * 0.0604 / math.sqrt(5), rel=0.001)
    reason = "Only 2 folds were run; 3 are needed for an interval."
    few = compare_folds({(1, seed): 1.0 for seed in range(2)} | {(2, seed): 3.0 for seed in range(3)}, SETTINGS, 0.03)
    assert few.difference == Interval(2.0, reason=reason)
    four = compare_folds({(fold, 0): fold / 7 for fold in range(4)}, SETTINGS)
    told = Interval(pytest.approx(1.5 / 7), reason="Only 4 runs; 5 are needed for an interval.")  # type: ignore[arg-type]
    assert (four.difference, four.p, four.decision) == (told, None, "undecided")
    alike = compare_folds({(fold, 0): 0.5 for fold in range(1, 6)}, SETTINGS, 0.03)
    assert alike.difference == Interval(0.5, reason="All folds are alike: there is no spread to judge by.")


def test_the_mean_of_runs_has_students_limits() -> None:
    values = [94.1, 95.2, 96.1, 95.0, 94.8]
    expected = student.interval(0.95, 4, np.mean(values), np.std(values, ddof=1) / math.sqrt(5))
    assert limits(mean_interval(values, SETTINGS)) == pytest.approx(expected)
    reason = "Only 4 runs; 5 are needed for an interval."
    assert mean_interval([1, 2, 3, 2], SETTINGS) == Interval(2, reason=reason)
    alike = "All runs are alike: there is no spread to judge by."
    assert mean_interval([3] * 5, SETTINGS) == Interval(3, reason=alike)


def test_the_median_has_the_order_statistics_of_the_binomial_as_limits() -> None:
    # Conover 1999: of 10 values the 2nd and the 9th, P(1 or fewer of 10 at 1/2) = 0.011; of 6 the least and the most.
    assert median_interval([9, 1, 8, 2, 7, 3, 6, 4, 5, 10], SETTINGS) == Interval(5.5, 2, 9)
    assert median_interval([5, 3, 9, 4, 7, 8], SETTINGS) == Interval(6, 3, 9)
    reason = "Only 5 values were measured: too few for an interval."
    assert median_interval([3, 4, 6, 9, 5], SETTINGS) == Interval(5, reason=reason)
