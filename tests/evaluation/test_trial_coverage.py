"""Intervals of equal error rates cover as docs/speakers.md says; the simulation is benchmarks/trial_coverage.py."""

import json
from itertools import product

import numpy as np
import pytest

from benchmarks import trial_coverage
from beyond_spectrograms.evaluation.verification import equal_error_rate, error_rates
from beyond_spectrograms.params import STUDIES, load_params
from support.repository import REPOSITORY, Patch

DRAWS = 100  # a share of 95 % then has a standard error of 2.2 points
CASES = list(product(trial_coverage.SPEAKERS, trial_coverage.RATES, trial_coverage.SPREADS))


@pytest.mark.numeric
@pytest.mark.parametrize("rate", trial_coverage.RATES)
def test_drawn_scores_have_the_true_rate(rate: float) -> None:
    scores, targets, sides = trial_coverage.draw(2000, rate, 0.5, np.random.default_rng(0))
    assert scores[targets].std() == pytest.approx(1, abs=0.05)
    assert scores[~targets].std() == pytest.approx(1, abs=0.05)
    assert ((sides[:, 0] == sides[:, 1]) == targets).all()
    assert equal_error_rate(*error_rates(scores, targets)) == pytest.approx(rate, abs=0.012)


@pytest.mark.long
@pytest.mark.parametrize("speakers", trial_coverage.SPEAKERS[:2])
def test_intervals_of_equal_error_rates_cover(speakers: int) -> None:
    params = load_params(STUDIES / "speakers", REPOSITORY)
    made = [trial_coverage.simulate(params, *case, DRAWS) for case in CASES if case[0] == speakers]
    assert all(case.coverage >= 0.86 for case in made)
    assert 0.92 <= sum(case.coverage for case in made) / len(made) <= 0.99


def test_the_committed_simulation_is_as_the_page_says(monkeypatch: Patch) -> None:
    monkeypatch.chdir(REPOSITORY)
    found = json.loads(trial_coverage.RESULTS.read_text())
    assert [(case["speakers"], case["rate"], case["spread"]) for case in found["cases"]] == CASES
    coverages = [case["coverage"] for case in found["cases"]]
    assert (min(coverages), max(coverages)) == (0.924, 0.986)
