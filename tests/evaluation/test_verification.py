"""Error rates, their interval and the embeddings, beside scikit-learn and plain reckoning."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import det_curve, roc_curve

from beyond_spectrograms.evaluation import embeddings, verification
from beyond_spectrograms.evaluation.records import Interval, ResultError
from beyond_spectrograms.params import Embedding, Verification
from support.common import refusal
from support.hands import FEW, SETTINGS
from support.repository import Patch

MEAN = Embedding(summary="mean", normalize="none")
WAYS = Verification(embeddings={"mean": MEAN}, resamples=300, seed=0, target_prior=0.01)


def made_scores(count: int = 400, seed: int = 0, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Draw scores, with ties, and which of them are of one speaker."""
    random = np.random.default_rng(seed)
    targets = random.random(count) < 0.4
    return np.round(random.normal(targets * 1.5, 1), digits), targets


def test_rates_made_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.6, 0.5, 0.4])
    targets = np.array([True, True, False, True, False, False])
    accepts, rejects = verification.error_rates(scores, targets)
    assert accepts == pytest.approx([0, 0, 1 / 3, 1 / 3, 2 / 3, 1])
    assert rejects == pytest.approx([1, 2 / 3, 1 / 3, 0, 0, 0])
    assert verification.equal_error_rate(accepts, rejects) == pytest.approx(1 / 3)
    # At 10 % of one speaker: 0.1 x 2/3 rejected and none accepted, of 0.1.
    assert verification.least_cost(accepts, rejects, 0.1) == pytest.approx(2 / 3)
    # Between 0.7 and 0.5 both are linear: a rejects a half and accepts none, b rejects none and accepts a third.
    scores, targets = np.array([0.9, 0.5, 0.5, 0.3, 0.2]), np.array([True, True, False, False, False])
    assert verification.equal_error_rate(*verification.error_rates(scores, targets)) == pytest.approx(0.2)


def test_all_apart_and_all_mistaken() -> None:
    targets = np.array([True, True, False, False])
    for scores, rate, cost in (([4, 3, 2, 1], 0, 0), ([1, 2, 3, 4], 1, 1), ([1, 1, 1, 1], 0.5, 1)):
        rates = verification.error_rates(np.array(scores, dtype=float), targets)
        assert verification.equal_error_rate(*rates) == rate
        assert verification.least_cost(*rates, 0.01) == pytest.approx(cost)


@pytest.mark.numeric
@pytest.mark.parametrize("digits", [1, 2, 9])
def test_rates_are_scikit_learns(digits: int) -> None:
    scores, targets = made_scores(digits=digits)
    accepts, rejects = verification.error_rates(scores, targets)
    points = set(zip(np.round(accepts, 12), np.round(rejects, 12), strict=True))
    theirs = det_curve(targets, scores, drop_intermediate=False)[:2]
    assert set(zip(*np.round(theirs, 12), strict=True)) <= points
    roc = roc_curve(targets, scores, drop_intermediate=False)
    assert accepts == pytest.approx(roc[0])
    assert rejects == pytest.approx(1 - roc[1])
    # On the line between the points of that curve both errors are the same.
    rate = verification.equal_error_rate(accepts, rejects)
    assert np.interp(rate, roc[0], 1 - roc[1]) == pytest.approx(rate) or rate in accepts


def test_the_rate_is_found_on_a_dense_grid() -> None:
    scores, targets = made_scores(5000, digits=9)
    rates = verification.error_rates(scores, targets)
    closest = np.abs(rates[0] - rates[1]).argmin()
    assert verification.equal_error_rate(*rates) == pytest.approx((rates[0] + rates[1])[closest] / 2, abs=1e-3)


def test_a_weight_counts_a_trial_so_many_times() -> None:
    scores, targets = made_scores()
    weights = np.random.default_rng(1).integers(0, 4, len(scores))
    repeated = verification.error_rates(scores.repeat(weights), targets.repeat(weights))
    weighted = verification.error_rates(scores, targets, weights.astype(float))
    assert verification.equal_error_rate(*weighted) == pytest.approx(verification.equal_error_rate(*repeated))
    assert verification.least_cost(*weighted, 0.2) == pytest.approx(verification.least_cost(*repeated, 0.2))


def sides_of(targets: np.ndarray, speakers: int) -> np.ndarray:
    random = np.random.default_rng(2)
    first = random.integers(0, speakers, len(targets))
    other = (first + random.integers(1, speakers, len(targets))) % speakers
    return np.stack([first, np.where(targets, first, other)], axis=1)


def test_an_interval_is_over_speakers_and_not_over_trials() -> None:
    scores, targets = made_scores(600)
    sides = sides_of(targets, 12)
    single = verification.eer_interval(scores, targets, sides, WAYS, FEW)
    # The same trials ten times over are no more speakers.
    many = [np.repeat(each, 10, axis=0) for each in (scores, targets, sides)]
    tenfold = verification.eer_interval(*many, WAYS, FEW)
    assert single.low is not None
    assert single.high is not None
    assert single.low < single.value < single.high
    assert (tenfold.value, tenfold.low, tenfold.high) == pytest.approx((single.value, single.low, single.high))
    assert single == verification.eer_interval(scores, targets, sides, WAYS, FEW)


def test_few_speakers_or_none_confused_give_no_interval() -> None:
    scores, targets = made_scores(600)
    few = verification.eer_interval(scores, targets, sides_of(targets, 29), WAYS, SETTINGS)
    assert (few.low, few.high) == (None, None)
    assert few.reason == "Only 29 speakers were tried; 30 are needed for an interval."
    for values, rate, reason in ((targets, 0, "No"), (~targets, 1, "Every")):
        found = verification.eer_interval(values.astype(float), targets, sides_of(targets, 40), WAYS, SETTINGS)
        assert found == Interval(rate, reason=f"{reason} pair is confused: no spread to judge by.")


def test_a_thinned_curve_keeps_its_ends_and_its_run() -> None:
    rates = verification.error_rates(*made_scores(20_000, digits=9))
    accepts, rejects = verification.thin_curve(*rates)
    assert (accepts[0], rejects[0], accepts[-1], rejects[-1]) == (0, 1, 1, 0)
    assert 40 < len(accepts) == len(rejects) <= verification.CURVE_POINTS + 2
    assert accepts == sorted(accepts)
    assert np.interp(accepts, *rates) == pytest.approx(rejects, abs=0.01)


TABLE = pd.DataFrame({"clip": ["b/1", "b/1", "a/1", "a/2", "a/2", "a/2"]})


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(3).normal(5, 2, (len(TABLE), 4, 7)).astype(np.float32)


@pytest.mark.numeric
@pytest.mark.parametrize("at_once", [2, 512])
def test_an_embedding_is_of_all_frames_of_a_recording(features: np.ndarray, at_once: int, monkeypatch: Patch) -> None:
    monkeypatch.setattr(embeddings, "AT_ONCE", at_once)
    both = MEAN.model_copy(update={"summary": "mean_deviation"})
    found = embeddings.embed(*embeddings.summarize_windows(features), TABLE["clip"], both)
    for row, windows in enumerate(([0, 1], [2], [3, 4, 5])):
        frames = np.concatenate(features[windows].astype(np.float64), axis=1)  # [bands, frames]
        assert found[row] == pytest.approx(np.concatenate([frames.mean(1), frames.std(1)]))
    mean = embeddings.embed(*embeddings.summarize_windows(features), TABLE["clip"], MEAN)
    assert mean == pytest.approx(found[:, :4])


@pytest.mark.numeric
def test_recordings_that_are_tested_do_not_centre_or_scale() -> None:
    random = np.random.default_rng(4)
    vectors, aside = random.normal(3, 2, (30, 5)), np.arange(30) < 20
    vectors[:20, 4] = 7  # a value that is always the same is not scaled
    for normalize in ("none", "centre", "standardize"):
        way = Embedding(summary="mean", normalize=normalize)
        found = embeddings.normalize(vectors, aside, way, "pets as mel")
        moved = vectors - (vectors[:20].mean(0) if normalize != "none" else 0)
        moved = moved / (np.append(vectors[:20, :4].std(0), 1) if normalize == "standardize" else 1)
        assert found == pytest.approx(moved / np.linalg.norm(moved, axis=1)[:, None])
        changed = vectors.copy()
        changed[25:] = random.normal(100, 50, (5, 5))
        assert np.array_equal(embeddings.normalize(changed, aside, way, "pets as mel")[:25], found[:25])


def test_nobody_aside_or_a_vector_of_zeros_is_an_error() -> None:
    centred = Embedding(summary="mean", normalize="centre")
    vectors = np.ones((3, 2))
    told = refusal(ResultError, embeddings.normalize, vectors, np.zeros(3, dtype=bool), centred, "pets as mel")
    assert told == (
        "pets as mel: normalize: centre takes recordings of speakers that no trial has, and 0 are there. Add some to "
        "the data set, or take normalize: none."
    )
    vectors[1] = 0
    told = refusal(ResultError, embeddings.normalize, vectors, np.zeros(3, dtype=bool), MEAN, "pets as mel")
    assert told == (
        "pets as mel: 1 recordings have a vector of zeros, which has no angle; row 1 of the recordings is the first"
    )


def test_trials_are_scored_by_the_vectors_of_their_fold() -> None:
    recordings = pd.DataFrame({"clip": ["a/1", "a/2", "b/1"], "label": ["a", "a", "b"]})
    trials = pd.DataFrame(
        [(1, True, "a/1", "a/2"), (2, False, "b/1", "a/1"), (1, False, "a/2", "b/1")],
        columns=["fold", "target", "first", "second"],
    )
    one = np.array([[1.0, 0], [0.6, 0.8], [0, 1]])
    scores = verification.score_cosines(trials, {1: one, 2: one[::-1]}, recordings)
    assert scores == pytest.approx([0.6, 0, 0.8])
    told = verification.evaluate_trials(trials, scores, recordings, WAYS, SETTINGS)
    assert (told["targets"], told["non_targets"], told["speakers"], told["recordings"]) == (1, 2, 2, 3)
    assert told["eer_by_speaker"] == {"a": told["eer"], "b": None}
    assert told["eer"] == pytest.approx(0.5)
    assert told["eer_reason"] == "Only 2 speakers were tried; 30 are needed for an interval."


def test_scores_of_another_data_set_are_refused(tmp_path: Path) -> None:
    assert verification.read_trial_scores(tmp_path, "pets").cells == {}
    (tmp_path / "trials.json").write_text('{"dataset": "birds", "cells": {}}')
    told = f"{tmp_path}/trials.json: holds the trials of birds, not of pets."
    assert refusal(ResultError, verification.read_trial_scores, tmp_path, "pets") == told
