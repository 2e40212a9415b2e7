"""Intervals of mean average precision cover as docs/several-labels.md says (benchmarks/label_coverage.py)."""

import json

import numpy as np
import pytest

from benchmarks import label_coverage
from beyond_spectrograms.params import load_params
from beyond_spectrograms.params.loading import STUDIES
from support.repository import REPOSITORY

DRAWS = 150


@pytest.mark.parametrize("spread", label_coverage.SPREADS)
def test_an_experiment_is_of_the_design_that_is_asked_for(spread: float) -> None:
    runs = label_coverage.draw(75, 5, spread, np.random.default_rng(0))
    assert [(run.fold, len(run.truth)) for run in runs] == [(fold, 45) for fold in range(5)]
    assert all((run.truth.sum(axis=1) == 2).all() for run in runs)
    groups = [set(run.origins) for run in runs]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 75  # none stands in two folds


@pytest.mark.long
def test_intervals_cover_whether_or_not_training_varies() -> None:
    params = load_params(REPOSITORY / STUDIES / "multi_label", REPOSITORY)
    for spread in label_coverage.SPREADS:
        case = label_coverage.simulate(params, 150, 5, spread, DRAWS)
        assert 0.89 <= case.coverage <= 1  # 95 % less three standard errors of so many draws


def test_the_committed_simulation_covers() -> None:
    found = json.loads((REPOSITORY / label_coverage.RESULTS).read_text(encoding="utf-8"))
    assert found["draws"] == 500
    assert all(0.92 <= case["coverage"] <= 0.98 for case in found["cases"])
