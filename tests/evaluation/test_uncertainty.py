"""Intervals and tests against cases with known answers: worked by hand, published, or scipy's."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap, norm, ttest_1samp

from beyond_spectrograms.evaluation.clip_results import Recordings
from beyond_spectrograms.evaluation.records import Interval, ResultError
from beyond_spectrograms.evaluation.uncertainty import (
    Comparison,
    bca_limits,
    compare,
    fold_interval,
    gap,
    holm,
    median_interval,
    recording_interval,
    window_interval,
)
from support.hands import SETTINGS, cell, clustered

ONE_SEED = "One seed: the interval leaves out how much training runs differ."


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
    joined = Recordings(**{**vars(apart), "sources": tuple(f"{number % 60:02d}" for number in range(120))})
    whole = cell(2 * takes, windows=10)
    assert limits(window_interval(joined, SETTINGS)) == limits(window_interval(whole, SETTINGS))
    assert width(window_interval(joined, SETTINGS)) > 1.3 * width(window_interval(apart, SETTINGS))


def test_limits_are_the_published_ones_of_a_textbook() -> None:
    # Efron & Tibshirani 1993: spatial test data A (table 14.1), the variance with divisor n, 90 % BCa limits
    # (115.8, 259.6) from 2000 resamples (table 14.2).
    first = [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6]
    data = np.array([*first, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41])
    replicates = data[np.random.default_rng(0).integers(26, size=(19_999, 26))].var(1)
    left_out = np.array([np.delete(data, index).var() for index in range(26)])
    assert data.var() == pytest.approx(171.5, abs=0.05)
    assert bca_limits(replicates, data.var(), left_out, 0.9) == pytest.approx((115.8, 259.6), abs=4)


def test_one_seed_has_the_interval_of_scipys_bootstrap_of_a_ratio_of_sums() -> None:
    generator = np.random.default_rng(3)
    windows = generator.integers(1, 9, 80)
    right = generator.binomial(windows, generator.beta(4, 1, 80))
    mel = Recordings(**{**vars(cell(right)), "windows": windows})
    theirs = bootstrap(
        (right, windows),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        n_resamples=9999,
        method="BCa",
        rng=np.random.default_rng(SETTINGS.seed),  # the same draws
    )
    ours = window_interval(mel, SETTINGS)
    assert ours.value == right.sum() / windows.sum()
    assert limits(ours) == pytest.approx(tuple(theirs.confidence_interval), abs=0.0005)
    assert ours.remark == ONE_SEED


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_many_recordings_of_one_window_have_the_interval_of_wilson(share: float) -> None:
    # Wilson 1927: centre and half width of the score interval of a proportion.
    recordings, z = 1000, 1.959964
    right = np.arange(recordings) < share * recordings
    centre = (share + z**2 / (2 * recordings)) / (1 + z**2 / recordings)
    half = z / (1 + z**2 / recordings) * math.sqrt(share * (1 - share) / recordings + (z / 2 / recordings) ** 2)
    mel = cell(right.astype(int), windows=1)
    assert limits(window_interval(mel, SETTINGS)) == pytest.approx((centre - half, centre + half), abs=0.002)
    assert limits(recording_interval(mel, SETTINGS)) == limits(window_interval(mel, SETTINGS))


def test_the_variance_of_runs_is_that_worked_by_hand() -> None:
    # 100 folds of 4 recordings: one seed has 4 of 5 windows right, the other 1 of 5. Each resample takes one of them a
    # fold, 0.5 +- 0.3, times the share of draws that fall on the fold: W ~ Binomial(400, 1/100), E[W^2] = 16 + 3.96.
    better = np.arange(400) % 100 % 2 == 0
    mel = cell([np.where(better, 4, 1), np.where(better, 1, 4)], folds=100)
    deviation = math.sqrt(100 * 0.3**2 * 19.96) / 400
    found = window_interval(mel, SETTINGS)
    assert limits(found) == pytest.approx((0.5 - 1.96 * deviation, 0.5 + 1.96 * deviation), abs=0.004)
    assert (found.value, found.remark) == (0.5, None)


def test_intervals_cover_the_truth_only_if_runs_are_resampled_as_well() -> None:
    # Every fold and seed is off by a chance of its own; 0.6 is right on average.
    quick, generator, covered = SETTINGS.model_copy(update={"resamples": 999}), np.random.default_rng(5), []
    for _ in range(200):
        run = generator.uniform(-0.2, 0.2, size=(2, 5))[:, np.arange(200) % 5]
        right = generator.binomial(5, generator.choice([0.4, 0.8], 200) + run)
        both, alone = cell(right), cell(right.sum(0), windows=10)  # the sum over seeds hides the runs
        assert window_interval(both, quick).value == window_interval(alone, quick).value
        found = [limits(window_interval(mel, quick)) for mel in (both, alone)]
        covered.append([low <= 0.6 <= high for low, high in found])
    two_levels, recordings_alone = np.mean(covered, axis=0)
    assert 0.9 <= two_levels <= 0.99
    assert recordings_alone < 0.75


@pytest.mark.parametrize(("right", "low", "high"), [(5, 0.9119, 1.0), (0, 0.0, 0.0881)])
def test_recordings_without_a_fault_have_exact_limits(right: int, low: float, high: float) -> None:
    # Clopper & Pearson, 40 of 40: the lower limit is 0.025 ** (1 / 40) = 0.9119.
    every = cell(np.full((2, 40), right))
    found = window_interval(every, SETTINGS)
    assert (found.value, *limits(found)) == pytest.approx((right / 5, low, high), abs=0.00005)
    which = "right" if right else "wrong"
    assert found.remark == f"All is {which}: exact limits (Clopper-Pearson), a source counting once."
    assert recording_interval(every, SETTINGS) == found
    alone = window_interval(cell(np.full(40, right)), SETTINGS)
    assert alone.remark == f"{found.remark} {ONE_SEED}"


def test_few_runs_are_remarked_on_and_recordings_alike_or_too_few_have_a_reason_instead_of_limits() -> None:
    assert window_interval(cell(clustered(2, 100), folds=1), SETTINGS).remark == (
        "Only 2 training runs: the interval may be too narrow, as it hardly knows how much runs differ."
    )
    found = window_interval(cell(np.full(40, 3)), SETTINGS)
    assert found == Interval(0.6, reason="Every source has the same share right: there is no spread to resample.")
    mel, other = cell([[5] * 10 + [0] * 19]), cell([[5] * 20 + [0] * 9])
    reason = "Only 29 sources were tested; 30 are needed for an interval."
    assert recording_interval(mel, SETTINGS) == Interval(10 / 29, reason=reason)
    both = compare(mel, other, SETTINGS)
    assert (both.difference.reason, both.difference.low, both.p) == (reason, None, None)
    assert both.mcnemar_p == pytest.approx(2 / 2**10)  # ten recordings all for one side: 2 x 0.5^10


def test_the_exact_test_of_mcnemar_gives_the_published_p() -> None:
    # Fay 2010 (R Journal 2(1), 53-58) and the manual of exact2x2: 21, 2, 9, 12; p-value = 0.06543.
    both, first, second, neither = [5, 5], [5, 0], [0, 5], [0, 0]
    pairs = np.array([both] * 21 + [first] * 2 + [second] * 9 + [neither] * 12).T
    found = compare(cell(pairs[0]), cell(pairs[1]), SETTINGS)
    assert (found.only_first, found.only_second) == (2, 9)
    assert found.mcnemar_p == pytest.approx(0.06543, abs=0.000005)
    assert found.difference.value == pytest.approx(-7 / 44)
    assert found.difference.remark == ONE_SEED


def test_a_difference_over_many_recordings_has_the_p_and_limits_of_the_normal_test() -> None:
    first, second = clustered(1, 2000), clustered(1, 2000)
    second[:, :300] = np.maximum(second[:, :300] - np.arange(300) % 3, 0)
    first[:, 300:600] = np.maximum(first[:, 300:600] - np.arange(300) % 2, 0)
    apart = ((first - second) / 5)[0]
    error = apart.std() / math.sqrt(2000)
    found = compare(cell(first), cell(second), SETTINGS)
    assert found.difference.value == pytest.approx(apart.mean())
    normal = apart.mean() - 1.96 * error, apart.mean() + 1.96 * error
    assert limits(found.difference) == pytest.approx(normal, abs=3e-4)
    assert found.p == pytest.approx(2 * norm.sf(apart.mean() / error), abs=0.005)


def test_pairing_narrows_the_difference() -> None:
    counts = clustered(1, 200)
    worse = np.maximum(counts - (np.arange(200) % 4 == 0), 0)
    shuffled = np.random.default_rng(6).permutation(worse, axis=1)
    paired, unpaired = compare(cell(counts), cell(worse), SETTINGS), compare(cell(counts), cell(shuffled), SETTINGS)
    assert paired.difference.value == unpaired.difference.value
    assert width(unpaired.difference) > 3 * width(paired.difference)
    assert paired.p == 2 / 10_000  # no resample on the other side of 0: (1 + 0) / (1 + 9999), twice
    assert (unpaired.p or 0) > 0.05


def test_limits_leave_out_zero_exactly_where_p_is_small() -> None:
    first, seen = clustered(2, 100), set()
    for seed in range(20):
        found = compare(cell(first), cell(clustered(2, 100, 0.6, seed=seed)), SETTINGS)
        low, high = limits(found.difference)
        seen.add(small := (found.p or 0) <= 0.05)
        assert small == (not low <= 0 <= high)
    assert seen == {True, False}


def test_a_cell_does_not_differ_from_itself() -> None:
    mel, reason = cell(clustered(1, 100)), "Every source differs alike: there is no spread to resample."
    same = Interval(0.0, reason=reason, remark=ONE_SEED)
    assert compare(mel, mel, SETTINGS) == Comparison(same, 1.0, only_first=0, only_second=0, mcnemar_p=1.0)


def test_runs_that_differ_widen_the_difference() -> None:
    counts = clustered(1, 200)[0]
    better = np.arange(200) % 5 % 2 == 0
    one, other = np.where(better, 5, counts), np.where(better, counts, 5)
    steady = cell([2 * counts, 2 * counts], windows=10)
    uneven = compare(cell([2 * one, 2 * other], windows=10), steady, SETTINGS).difference
    even = compare(cell([one + other, one + other], windows=10), steady, SETTINGS).difference
    assert uneven.value == even.value
    assert width(uneven) > 1.5 * width(even)


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({"windows": np.array([4] + [5] * 39)}, 1),
        ({"labels": ("rain", *["bird"] * 39)}, 1),
        ({"clips": (*(f"{number:05d}.wav" for number in range(1, 40)), "x.wav")}, 2),
    ],
)
def test_cells_of_different_recordings_are_not_compared(change: dict[str, Any], differing: int) -> None:
    mel, soundstream = cell(clustered(1, 40)), cell(clustered(1, 40), name="soundstream-fair")
    with pytest.raises(ResultError) as error:
        compare(mel, Recordings(**{**vars(soundstream), **change}), SETTINGS)
    assert str(error.value) == (
        f"mel-fair and soundstream-fair cannot be compared: {differing} recordings were tested by one only or with "
        "other labels or window counts, 00000.wav first. Compare cells of one data set and split."
    )


def test_a_gap_is_that_of_the_recordings_both_tested() -> None:
    counts = clustered(1, 100)
    source, window = cell(counts), vars(cell(np.minimum(counts, 2)[:, :60], windows=2, folds=1, name="mel-paper"))
    found = gap(Recordings(**window), source, SETTINGS)
    assert found.value == pytest.approx(np.minimum(counts, 2)[:, :60].mean() / 2 - counts[:, :60].mean() / 5)
    apart = np.minimum(counts[0, :60], 2) / 2 - counts[0, :60] / 5
    error = apart.std() / math.sqrt(60)
    assert limits(found) == pytest.approx((apart.mean() - 1.96 * error, apart.mean() + 1.96 * error), abs=0.005)
    other = cell(clustered(1, 100, seed=1))
    assert gap(source, other, SETTINGS) == compare(source, other, SETTINGS).difference
    window["clips"] = tuple(f"x{clip}" for clip in window["clips"])
    with pytest.raises(ResultError) as raised:
        gap(Recordings(**window), source, SETTINGS)
    assert str(raised.value) == "mel-paper and mel-fair have no recording in common. Compare cells of one data set."


def test_holm_gives_the_p_values_worked_by_hand() -> None:
    # 0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1 raised to the one before it; None is no test.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([None, 0.04, None, 0.01]) == [None, 0.04, None, 0.02]
    assert holm([0.7, 0.6]) == [1.0, 1.0]
    assert holm([None]) == [None]
    assert holm([]) == []


def test_the_mean_over_folds_has_the_limits_of_students_test() -> None:
    means = [0.61, 0.55, 0.70, 0.66, 0.58]
    runs = {(fold, seed): mean + (0.02 if seed else -0.02) for fold, mean in enumerate(means, 1) for seed in (0, 1)}
    found = fold_interval(runs, SETTINGS)
    expected = ttest_1samp(means, 0).confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(means))
    assert limits(found) == pytest.approx((expected.low, expected.high))
    # By hand: deviation 0.0604, t of 4 degrees of freedom 2.776.
    assert width(found) == pytest.approx(2 * 2.776 * 0.0604 / math.sqrt(5), rel=0.001)
    reason = "Only 2 folds were run; 3 are needed for an interval."
    assert fold_interval({(1, 0): 1.0, (2, 0): 2.0, (2, 1): 4.0}, SETTINGS) == Interval(2.0, reason=reason)


def test_the_median_of_few_runs_has_the_limits_worked_by_hand() -> None:
    # Of 5 values the median of a resample is the least with P(3 or more of 5 draws at 1/5) = 0.058 > 0.025. Of 9 it is
    # the least with 0.0013 and one of the two least with P(5 or more of 9 at 2/9) = 0.030.
    assert median_interval([5, 3, 9, 4, 7], SETTINGS) == Interval(5, 3, 9)
    assert median_interval([9, 1, 8, 2, 7, 3, 6, 4, 5], SETTINGS) == Interval(5, 2, 8)
    reason = "Only 4 values were measured; 5 are needed for an interval."
    assert median_interval([3, 4, 6, 9], SETTINGS) == Interval(5, reason=reason)


def test_another_seed_moves_limits_by_little_and_the_same_by_nothing() -> None:
    mel, other = cell(clustered(2, 100)), SETTINGS.model_copy(update={"seed": 1})
    first, second = limits(window_interval(mel, SETTINGS)), limits(window_interval(mel, other))
    assert limits(window_interval(mel, SETTINGS)) == first
    assert first != second
    assert first == pytest.approx(second, abs=0.005)
