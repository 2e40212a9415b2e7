"""Calibration against windows worked by hand and an independent count, and of which classifiers there is none."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beyond_spectrograms.data.windows import read_windows
from beyond_spectrograms.evaluation.calibration import BINS, BY_DISTANCE, calibrate, has_probabilities
from beyond_spectrograms.evaluation.predict import read_predictions
from beyond_spectrograms.evaluation.records import Calibration, ResultError, read_scores
from beyond_spectrograms.params import Params, load_params
from support import separable
from support.cells import change_scores, write_dataset, write_params
from support.common import refusal
from support.repository import REPOSITORY


def answers(confidence: Sequence[float], right: Sequence[bool], fold: int = 1, seed: int = 0) -> pd.DataFrame:
    """Make the rows of a run's answers, of which those that are wrong say rain."""
    told = {"fold": fold, "seed": seed, "label": "dog", "probability": confidence}
    return pd.DataFrame(told | {"predicted": ["dog" if hit else "rain" for hit in right]})


def counted_by_hand(rows: pd.DataFrame) -> float:
    """Count Guo et al.'s error window by window: bin m holds confidences in ((m - 1) / M, m / M]."""
    total = 0.0
    for m in range(1, BINS + 1):
        inside = [
            (row.probability, row.predicted == row.label)
            for row in rows.itertuples()
            if (m - 1) / BINS < row.probability <= m / BINS
        ]
        if inside:
            accuracy = sum(hit for _, hit in inside) / len(inside)
            confidence = sum(told for told, _ in inside) / len(inside)
            total += len(inside) / len(rows) * abs(accuracy - confidence)
    return total


def test_the_error_of_a_few_windows_is_that_worked_by_hand() -> None:
    # Of 15 bins the 9th ends at 0.6, the 12th at 0.8, the last at 1. 0.55 and 0.6 are in one, of confidence 0.575 and
    # accuracy 0.5; 0.75 is alone, and right; 0.95 and 0.99 have confidence 0.97 and accuracy 0.5.
    found = calibrate(answers([0.55, 0.6, 0.75, 0.95, 0.99], [True, False, True, True, False]))
    assert found["ece"] == pytest.approx((2 * 0.075 + 1 * 0.25 + 2 * 0.47) / 5)
    assert found["overconfidence"] == pytest.approx(3.84 / 5 - 3 / 5)
    assert [(place, each["windows"]) for place, each in enumerate(found["bins"]) if each["windows"]] == [
        (8, 2),
        (11, 1),
        (14, 2),
    ]
    assert found["bins"][8] == {"windows": 2, "confidence": pytest.approx(0.575), "accuracy": 0.5}
    assert found["bins"][0] == {"windows": 0, "confidence": None, "accuracy": None}
    assert Calibration.model_validate(found).by_run[0].fold == 1


def test_runs_are_averaged_and_their_windows_pooled_in_bins() -> None:
    sure, unsure = answers([0.9, 0.9], [True, False]), answers([0.5, 0.5], [True, True], fold=2, seed=1)
    found = calibrate(pd.concat([sure, unsure]))
    assert [(run["fold"], run["seed"]) for run in found["by_run"]] == [(1, 0), (2, 1)]
    assert [run["ece"] for run in found["by_run"]] == pytest.approx([0.4, 0.5])
    assert [run["overconfidence"] for run in found["by_run"]] == pytest.approx([0.4, -0.5])
    assert (found["ece"], found["overconfidence"]) == pytest.approx((0.45, -0.05))
    assert sum(each["windows"] for each in found["bins"]) == 4


def test_the_perfectly_calibrated_have_no_error_and_the_overconfident_have_their_excess() -> None:
    told = np.repeat([0.3, 0.5, 0.7, 0.9], 10)
    right = [place % 10 < 10 * share for place, share in enumerate(told)]
    perfect = calibrate(answers(told, right))
    assert (perfect["ece"], perfect["overconfidence"]) == pytest.approx((0, 0), abs=1e-12)
    bold = calibrate(answers(np.full(40, 0.99), [place % 2 == 0 for place in range(40)]))
    assert (bold["ece"], bold["overconfidence"]) == pytest.approx((0.49, 0.49))
    meek = calibrate(answers(np.full(40, 0.2), [True] * 40))
    assert (meek["ece"], meek["overconfidence"]) == pytest.approx((0.8, -0.8))


def test_any_answers_have_the_error_that_another_count_gives() -> None:
    generator = np.random.default_rng(0)
    edges = np.arange(1, BINS + 1) / BINS  # on an edge, a window counts in the bin that ends there
    for confidence in (generator.uniform(0.1, 1, 500), generator.dirichlet(np.ones(10), 500).max(1), edges):
        rows = answers(confidence, generator.uniform(size=len(confidence)) < confidence**2)
        assert calibrate(rows)["ece"] == pytest.approx(counted_by_hand(rows), abs=1e-12)


def test_what_is_no_probability_is_refused() -> None:
    for wrong in (1.25, -0.5, float("nan")):
        told = refusal(ResultError, calibrate, answers([0.5, wrong], [True, True], fold=3, seed=2))
        assert told == "fold 3, seed 2: probabilities are not all from 0 to 1. Train this run again."


def shipped(study: str = "") -> Params:
    return load_params(Path("studies", study) if study else Path(), REPOSITORY)


def test_what_answers_by_distance_alone_has_no_probabilities() -> None:
    root, prototypes = shipped().protocols, shipped("prototypes").protocols
    assert {name for name, protocol in root.items() if not has_probabilities(protocol)} == {
        "nearest_source", "nearest_window", "dealt_source", "dealt_window",
    }  # fmt: skip
    # Of prototypes those have whose temperature the cross-entropy fits.
    fitted = {name for name in shipped("prototypes").grid.protocols if has_probabilities(prototypes[name])}
    assert fitted == {"prototypes", "prototypes_utterance", "temporal_cnn", "apnet"}
    named = {protocol.classifier for protocol in (root | prototypes).values()}
    assert set(BY_DISTANCE) < named


def test_evaluate_adds_it_to_what_has_probabilities_and_to_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    separable.write(tmp_path, epochs=2)
    separable.run_stages("mean_linear", "train", "evaluate")
    scores, _ = separable.cell_of("mel-mean_linear")
    table = read_windows(Path("data/splits/demo"))
    model = Path("data/models/paper/demo/mel/mean_linear/fold_1-seed_0.predictions.safetensors")
    run = read_predictions(model, len(table))
    classes = np.array(sorted(table["label"].unique()))
    right = classes[run.probabilities.argmax(1)] == table["label"].to_numpy()[run.rows]
    rows = answers(run.probabilities.max(1).astype(np.float64), right)
    assert scores["calibration"]["ece"] == pytest.approx(counted_by_hand(rows))
    assert scores["calibration"]["overconfidence"] == pytest.approx(rows["probability"].mean() - right.mean())
    separable.run_stages("nearest_source", "train", "evaluate")
    assert "calibration" not in separable.cell_of("mel-nearest_source")[0]


def test_scores_without_it_are_read_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    write_params(tmp_path)
    write_dataset(tmp_path, "esc10", ["mel"], ["paper", "fair"])
    place = tmp_path / "metrics/esc10"
    assert read_scores(place, "esc10").cells["mel-fair"].calibration is None
    known = calibrate(answers([0.55, 0.95], [True, False]))
    change_scores(tmp_path, "esc10", "mel-fair", calibration=known)
    assert read_scores(place, "esc10").cells["mel-fair"].calibration == Calibration.model_validate(known)
    assert "calibration" not in json.loads((place / "scores.json").read_text(encoding="utf-8"))["cells"]["mel-paper"]
    change_scores(tmp_path, "esc10", "mel-fair", calibration=known | {"ece": 1.5})
    assert refusal(ResultError, read_scores, place, "esc10") == (
        f"{place}/scores.json: cells.mel-fair.calibration.ece: Input should be less than or equal to 1. "
        "Run its stage again."
    )
