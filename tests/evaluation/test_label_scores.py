"""Scores of several labels a sound are scikit-learn's, run by run; thresholds come of validation alone."""

from collections.abc import Callable
from dataclasses import replace
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    label_ranking_average_precision_score,
    roc_auc_score,
)

from beyond_spectrograms.evaluation.label_contrasts import difference, p_of
from beyond_spectrograms.evaluation.label_scores import (
    DRAWS,
    MEAN_AP,
    MEASURES,
    Judged,
    RunAnswers,
    best_threshold,
    class_means,
    draw_curves,
    draw_lwlraps,
    find_thresholds,
    limit,
    measure,
    score,
)
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.uncertainty import compare_folds, mean_interval
from support.models import PARAMS


def judged(seed: int = 0, folds: int = 3, count: int = 30) -> Judged:
    """Draw windows, one a recording, of every fold's validation and test part."""
    random = np.random.default_rng(seed)
    rows, probabilities = [], []
    for fold in range(1, folds + 1):
        for part in ("validation", "test"):
            for number in range(count):
                has = random.random(3) < 0.4
                has[number % 3] = True
                label = "|".join(np.array(["a", "b", "c"])[has])
                rows.append({"fold": fold, "part": part, "clip": f"{part}-{fold}-{number}", "label": label})
                probabilities.append(np.clip(0.3 + 0.3 * has + 0.2 * random.standard_normal(3), 0, 1))
    return Judged(("a", "b", "c"), pd.DataFrame(rows), np.array(probabilities))


def test_scores_are_the_mean_over_folds_of_those_of_scikit_learn() -> None:
    tested = judged().part("test")
    truth, given = tested.truth, tested.probabilities
    passing = given > 0.5
    found = score(tested, passing)
    folds = [tested.where(tested.rows["fold"] == fold) for fold in (1, 2, 3)]

    def over_folds(metric: Callable[..., float], **settings: Any) -> float:
        return mean(metric(fold.truth, fold.probabilities, **settings) for fold in folds)

    for index, label in enumerate(tested.classes):
        of_fold = [(fold.truth[:, index], fold.probabilities[:, index]) for fold in folds]
        assert found["by_class"][label] == {
            "average_precision": pytest.approx(mean(average_precision_score(*each) for each in of_fold)),
            "auroc": pytest.approx(mean(roc_auc_score(*each) for each in of_fold)),
            "f1": pytest.approx(f1_score(truth[:, index], passing[:, index])),
        }
    assert found["mean_average_precision"] == pytest.approx(over_folds(average_precision_score, average="macro"))
    assert found["auroc"] == pytest.approx(over_folds(roc_auc_score, average="macro"))
    assert found["f1"] == pytest.approx(f1_score(truth, passing, average="macro"))
    assert found["recording_accuracy"] == np.mean([np.array_equal(*pair) for pair in zip(truth, passing, strict=True)])


def test_folds_on_other_scales_are_scored_alike() -> None:
    """Sorted together, the answers of a fold that are all low would come last."""
    tested = judged().part("test")
    low = np.where(tested.rows["fold"] == 2, 0.1, 1.0)[:, None] * tested.probabilities
    passing = tested.probabilities > 0.5
    before, after = score(tested, passing), score(replace(tested, probabilities=low), passing)
    assert after == before


def test_lwlrap_is_the_mean_precision_at_every_label_as_its_definition_says() -> None:
    tested = judged(folds=1).part("test")
    precisions = []
    for has, given in zip(tested.truth, tested.probabilities, strict=True):
        for index in np.flatnonzero(has):
            at_least = given >= given[index]
            precisions.append(has[at_least].sum() / at_least.sum())
    assert score(tested, tested.truth)["lwlrap"] == pytest.approx(np.mean(precisions))


def test_a_threshold_is_that_of_the_highest_f1_and_lies_between_two_probabilities() -> None:
    truth, given = judged().truth[:, 0], judged().probabilities[:, 0]
    reached = {limit: f1_score(truth, given >= limit) for limit in np.unique(given)}
    threshold = best_threshold(truth, given)
    assert f1_score(truth, given >= threshold) == max(reached.values())
    assert best_threshold(np.array([True, False, True]), np.array([0.9, 0.2, 0.6])) == pytest.approx(0.4)
    assert best_threshold(np.array([True, True]), np.array([0.9, 0.6])) == pytest.approx(0.3)


def test_test_labels_have_no_say_in_thresholds() -> None:
    answers = judged()
    turned = answers.rows.assign(label=answers.rows["label"].where(answers.rows["part"] == "validation", "c"))
    before, after = (find_thresholds(each.part("validation")) for each in (answers, replace(answers, rows=turned)))
    assert sorted(before) == [1, 2, 3]
    for fold, thresholds in before.items():
        np.testing.assert_array_equal(thresholds, after[fold])
    other = answers.rows.assign(label=answers.rows["label"].where(answers.rows["part"] == "test", "c"))
    assert not np.array_equal(find_thresholds(replace(answers, rows=other).part("validation"))[1], before[1])


@pytest.mark.numeric
def test_weighted_measures_are_those_of_scikit_learn_one_draw_after_the_other() -> None:
    tested = judged().part("test")
    given, weights = tested.probabilities.round(1), np.random.default_rng(2).integers(0, 3, (5, len(tested.rows)))
    precisions, areas = draw_curves(tested.truth, given, weights)
    for index, of_class in enumerate(precisions):
        has = tested.truth[:, index]
        expected = [average_precision_score(has, given[:, index], sample_weight=each) for each in weights]
        np.testing.assert_allclose(of_class, expected)
    for index, of_class in enumerate(areas):
        expected = [roc_auc_score(tested.truth[:, index], given[:, index], sample_weight=each) for each in weights]
        np.testing.assert_allclose(of_class, expected)
    of_labels = tested.truth.sum(axis=1)
    ranked = [label_ranking_average_precision_score(tested.truth, given, sample_weight=w * of_labels) for w in weights]
    np.testing.assert_allclose(draw_lwlraps(tested.truth, given, weights), ranked)
    weights[0, tested.truth[:, 1]] = 0  # no recording of b is drawn
    precisions, areas = draw_curves(tested.truth, given, weights)
    assert np.isnan([precisions[1, 0], areas[1, 0]]).all()
    assert not np.isnan(areas[1, 1:]).any()


def of_runs(*closeness: float, folds: int = 5) -> list[RunAnswers]:
    """Answers to 60 recordings of 30 origins in each fold, a seed as close to the truth as each of `closeness` says."""
    tested = [judged(seed, folds, 60).part("test") for seed in range(len(closeness))]
    runs = []
    for seed, (near, chance) in enumerate(zip(closeness, tested, strict=True)):
        rows = tested[0].rows.assign(origin=[f"{clip}"[:-1] for clip in tested[0].rows["clip"]])
        answers = near * tested[0].truth + np.random.default_rng([seed]).random(chance.probabilities.shape)
        for fold in range(1, folds + 1):
            mine = (rows["fold"] == fold).to_numpy()
            origins = rows["clip"][mine].to_numpy(str)
            runs.append(RunAnswers(fold, seed, tested[0].truth[mine], answers[mine], origins))
    return runs


def macro(metric: Callable[..., float], run: RunAnswers) -> float:
    return float(metric(run.truth, run.probabilities, average="macro"))


@pytest.mark.numeric
def test_a_measure_and_its_interval_are_of_the_means_of_folds() -> None:
    runs, statistics = of_runs(0.1, 0.2, 0.3), PARAMS.statistics
    found = measure(runs, statistics)
    assert list(found.by_run) == list(MEASURES)
    for name, metric in ((MEAN_AP, average_precision_score), ("auroc", roc_auc_score)):
        by_fold = [mean(macro(metric, run) for run in runs if run.fold == fold) for fold in range(1, 6)]
        expected = mean_interval(by_fold, statistics)
        interval = found.interval(name, statistics)
        assert (interval.value, interval.low, interval.high) == (
            pytest.approx(expected.value), pytest.approx(expected.low), pytest.approx(expected.high)
        )  # fmt: skip


def test_what_training_varies_from_fold_to_fold_widens_the_interval() -> None:
    even, statistics = of_runs(0.3), PARAMS.statistics
    uneven = [replace(run, probabilities=run.probabilities + (run.fold % 2) * run.truth) for run in even]

    def width(runs: list[RunAnswers]) -> float:
        interval = measure(runs, statistics).interval(MEAN_AP, statistics)
        assert interval.low is not None
        assert interval.high is not None
        return interval.high - interval.low

    assert width(uneven) > 3 * width(even)


def test_a_difference_is_paired_by_run() -> None:
    statistics = PARAMS.statistics
    better, small = of_runs(0.4, 0.5), of_runs(0.0, 0.1)
    up = difference(measure(better, statistics), measure(small, statistics), MEAN_AP, statistics)
    apart = {
        (one.fold, one.seed): macro(average_precision_score, one) - macro(average_precision_score, other)
        for one, other in zip(better, small, strict=True)
    }
    expected = compare_folds(apart, statistics, statistics.margin)
    assert up.decision == expected.decision == "more"
    assert up.difference.low == pytest.approx(expected.difference.low)
    assert up.p == pytest.approx(expected.p)
    none = difference(measure(better, statistics), measure(better, statistics), "lwlrap", statistics)
    assert (none.difference.value, none.difference.low, none.p) == (0, None, None)
    assert none.difference.reason == "All folds are alike: there is no spread to judge by."


def test_of_one_fold_origins_and_seeds_are_drawn() -> None:
    statistics = PARAMS.statistics

    def interval(*closeness: float) -> Interval:
        return measure(of_runs(*closeness, folds=1), statistics).interval(MEAN_AP, statistics)

    one, apart = interval(0.2), interval(0.0, 0.6)
    assert (one.low or 1) < one.value < (one.high or 0)
    assert (apart.high or 0) - (apart.low or 1) > (one.high or 0) - (one.low or 1)
    better, small = (measure(of_runs(near, folds=1), statistics) for near in (0.6, 0.0))
    few = difference(better, small, MEAN_AP, statistics)
    assert (few.difference.reason, few.p) == ("Only 1 runs; 5 are needed for an interval.", None)
    statistics = statistics.model_copy(update={"minimum_runs": 1})
    up, down = (difference(*pair, MEAN_AP, statistics) for pair in ((better, small), (small, better)))
    assert 0 < (up.difference.low or 0) < up.difference.value < (up.difference.high or 0)
    assert down.difference.value == -up.difference.value
    assert up.p == down.p == pytest.approx(2 / 1001)
    assert not up.same
    assert difference(better, better, MEAN_AP, statistics).difference.reason == (
        "All draws give the same: there is no spread to judge by."
    )


def test_p_is_the_level_at_which_an_end_of_the_interval_is_0() -> None:
    random = np.random.default_rng(1)
    for middle in (0.0, 0.5, -0.4):  # of the draws, off the value's
        drawn, value = random.normal(1.5 + middle, 1, DRAWS), 1.5
        p = p_of(value, drawn)
        end = limit(value, drawn, 1 - p).low
        assert end == pytest.approx(0, abs=0.05), middle
        assert 0.001 < p < 0.6


def test_few_origins_get_values_without_limits() -> None:
    few = [replace(run, origins=np.array([origin[0] for origin in run.origins])) for run in of_runs(0.1)]
    found = measure(few, PARAMS.statistics)
    interval = found.interval("auroc", PARAMS.statistics)
    assert (interval.low, interval.reason) == (None, "1 origins, fewer than 30.")
    assert difference(found, found, "auroc", PARAMS.statistics).p is None


def test_a_class_that_a_fold_lacks_is_left_out_of_that_fold() -> None:
    runs = of_runs(0.5)
    none = np.zeros(len(runs[0].truth), bool)
    lacking = [replace(runs[0], truth=np.column_stack([runs[0].truth[:, :2], none])), *runs[1:]]
    precisions, areas = class_means(lacking)
    assert precisions[2] == pytest.approx(class_means(runs[1:])[0][2])
    assert areas[2] == pytest.approx(class_means(runs[1:])[1][2])
    assert np.isnan(class_means(lacking[:1])[0][2])
