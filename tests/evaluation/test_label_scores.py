"""Scores of several labels a sound are scikit-learn's, thresholds come of validation alone, intervals of draws."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    label_ranking_average_precision_score,
    roc_auc_score,
)

from beyond_spectrograms.evaluation.label_scores import (
    MEASURES,
    Judged,
    SeedAnswers,
    best_threshold,
    bootstrap,
    draw,
    draw_curves,
    draw_lwlraps,
    find_thresholds,
    lwlrap,
    mean_average_precisions,
    score,
)
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


def test_scores_are_those_of_scikit_learn() -> None:
    tested = judged().part("test")
    truth, given = tested.truth, tested.probabilities
    passing = given > 0.5
    found = score(tested, passing)
    for index, label in enumerate(tested.classes):
        assert found["by_class"][label] == {
            "average_precision": pytest.approx(average_precision_score(truth[:, index], given[:, index])),
            "auroc": pytest.approx(roc_auc_score(truth[:, index], given[:, index])),
            "f1": pytest.approx(f1_score(truth[:, index], passing[:, index])),
        }
    assert found["mean_average_precision"] == pytest.approx(average_precision_score(truth, given, average="macro"))
    assert found["f1"] == pytest.approx(f1_score(truth, passing, average="macro"))
    assert found["recording_accuracy"] == np.mean([np.array_equal(*pair) for pair in zip(truth, passing, strict=True)])


def test_lwlrap_is_the_mean_precision_at_every_label_as_its_definition_says() -> None:
    tested = judged().part("test")
    precisions = []
    for has, given in zip(tested.truth, tested.probabilities, strict=True):
        for index in np.flatnonzero(has):
            at_least = given >= given[index]
            precisions.append(has[at_least].sum() / at_least.sum())
    assert lwlrap(tested.truth, tested.probabilities) == pytest.approx(np.mean(precisions))


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


def test_weighted_average_precisions_are_those_of_scikit_learn_one_draw_after_the_other() -> None:
    tested = judged().part("test")
    given, weights = tested.probabilities.round(1), np.random.default_rng(2).integers(0, 3, (5, len(tested.rows)))
    expected = [average_precision_score(tested.truth, given, sample_weight=each) for each in weights]
    np.testing.assert_allclose(mean_average_precisions(tested.truth, given, weights), expected)
    weights[0, tested.truth[:, 1]] = 0  # no recording of b is drawn
    without = average_precision_score(tested.truth[:, ::2], given[:, ::2], sample_weight=weights[0])
    assert mean_average_precisions(tested.truth, given, weights)[0] == pytest.approx(without)


def test_the_interval_draws_origins_and_is_not_given_for_few() -> None:
    tested = judged(count=20).part("test")
    chance = np.random.default_rng(1).random(tested.probabilities.shape)
    ways, clips = [tested.probabilities, chance], tested.rows["clip"].tolist()
    interval, (difference,) = bootstrap(tested.truth, ways, clips, PARAMS.statistics)
    again, _ = bootstrap(tested.truth, ways, clips, PARAMS.statistics)
    assert interval == again
    assert (interval.low or 1) < interval.value < (interval.high or 0)
    assert (difference.high or 0) < 0
    by_tens = [clip[:-1] for clip in clips]
    few, _ = bootstrap(tested.truth, ways, by_tens, PARAMS.statistics)
    assert (few.value, few.low, few.reason) == (interval.value, None, f"{len(set(by_tens))} origins, fewer than 30.")


@pytest.mark.numeric
def test_weighted_aurocs_and_lwlraps_are_those_of_scikit_learn_one_draw_after_the_other() -> None:
    tested = judged().part("test")
    given, weights = tested.probabilities.round(1), np.random.default_rng(2).integers(0, 3, (5, len(tested.rows)))
    _, areas = draw_curves(tested.truth, given, weights)
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


def of_seeds(*closeness: float) -> list[SeedAnswers]:
    """Answers of as many seeds to the same 90 recordings of 45 origins, more or less close to the truth."""
    truth = judged().part("test").truth
    origins = np.array([f"{row // 2:02d}" for row in range(len(truth))])
    chance = [judged(1 + seed).part("test").probabilities for seed in range(len(closeness))]
    return [SeedAnswers(truth, near * truth + given, origins) for near, given in zip(closeness, chance, strict=True)]


@pytest.mark.numeric
def test_measures_are_means_over_seeds() -> None:
    seeds = of_seeds(0.1, 0.2, 0.3)
    found = draw(seeds, PARAMS.statistics).values
    by_seed = {
        "mean_average_precision": [average_precision_score(s.truth, s.probabilities, average="macro") for s in seeds],
        "auroc": [roc_auc_score(s.truth, s.probabilities, average="macro") for s in seeds],
        "lwlrap": [lwlrap(s.truth, s.probabilities) for s in seeds],
    }
    assert list(found) == list(MEASURES)
    assert found == {name: pytest.approx(np.mean(values)) for name, values in by_seed.items()}


def width(seeds: list[SeedAnswers]) -> float:
    interval = draw(seeds, PARAMS.statistics).interval("mean_average_precision", PARAMS.statistics)
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low < interval.value < interval.high
    return interval.high - interval.low


def test_an_interval_covers_the_spread_of_seeds() -> None:
    one = of_seeds(0.2)
    assert width(one * 2) == pytest.approx(width(one))
    assert width(of_seeds(0.0, 0.4)) > 2 * width(one)


def test_a_difference_is_paired() -> None:
    statistics = PARAMS.statistics
    better, small = draw(of_seeds(0.4), statistics), draw(of_seeds(0.0), statistics)
    none, p = better.difference(better, "lwlrap", statistics)
    assert (none.value, none.low, p) == (0, None, 1.0)
    assert none.reason == "All draws give the same: there is no spread to judge by."
    up, p = better.difference(small, "mean_average_precision", statistics)
    down, same_p = small.difference(better, "mean_average_precision", statistics)
    assert 0 < (up.low or 0) < up.value < (up.high or 0)
    assert down.value == -up.value
    assert p == same_p == pytest.approx(2 / 1001)


def test_few_origins_get_values_without_limits() -> None:
    few = [replace(seed, origins=np.array([origin[0] for origin in seed.origins])) for seed in of_seeds(0.1, 0.2)]
    draws = draw(few, PARAMS.statistics)
    interval = draws.interval("auroc", PARAMS.statistics)
    assert (interval.low, interval.reason) == (None, "5 origins, fewer than 30.")
    assert draws.difference(draws, "auroc", PARAMS.statistics)[1] is None
