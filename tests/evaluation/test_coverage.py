"""Intervals cover and tests err as docs/uncertainty.md says; the whole simulation is benchmarks/coverage.py."""

import json

import pytest

from benchmarks import coverage
from beyond_spectrograms.params import load_params
from support.repository import REPOSITORY

DRAWS = 150  # a share of 95 % then has a standard error of 1.8 points, and 6 % of 1.9


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.long
@pytest.mark.parametrize("design", coverage.DESIGNS)
def test_intervals_cover_and_paired_tests_rarely_err(design: str) -> None:
    cases = [(accuracy, deviation) for of, accuracy, deviation in coverage.all_cases() if of == design]
    made = [coverage.simulate(load_params(), design, *case, DRAWS) for case in cases]
    assert all(case.coverage >= 0.87 for case in made)  # each within three standard errors of 92.4 %
    assert 0.93 <= sum(case.coverage for case in made) / len(made) <= 0.99
    assert all(case.type_1 <= 0.12 for case in made)
    assert sum(case.type_1 for case in made) / len(made) <= 0.06


@pytest.mark.long
def test_a_representation_against_itself_is_not_faster_and_four_times_as_fast_is() -> None:
    said = coverage.convergence(load_params(), DRAWS)
    assert said["alike"] <= 0.1
    assert said["four_times"] >= 0.95


def test_the_committed_simulation_is_as_the_page_says() -> None:
    found = json.loads(coverage.RESULTS.read_text())
    assert {(case["design"], case["accuracy"], case["run_deviation"]) for case in found["cases"]} == {
        *coverage.all_cases()
    }
    coverages, errors = ([case[key] for case in found["cases"]] for key in ("coverage", "type_1"))
    assert (len(coverages), sum(not 0.93 <= each <= 0.97 for each in coverages), min(coverages)) == (55, 14, 0.924)
    assert (sum(each > 0.06 for each in errors), max(errors)) == (4, 0.066)
    assert found["convergence"]["alike"] <= 0.05
    assert found["convergence"]["four_times"] >= 0.95
