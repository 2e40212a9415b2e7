"""Scores against a case worked by hand, and stored classifiers that do not fit."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from safetensors.torch import save_file

from beyond_spectrograms.classifiers.base import ClassifierError
from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.evaluation.metrics import score, tabulate_predictions, tabulate_recordings
from beyond_spectrograms.evaluation.predict import Predictions, predict
from beyond_spectrograms.params import load_params

CLASSES = ["dog", "rain"]
TABLE = pd.DataFrame(
    {
        "clip": ["dog/1", "dog/1", "dog/2", "rain/1", "rain/1", "rain/1"],
        "label": ["dog", "dog", "dog", "rain", "rain", "rain"],
        "start_s": [0.0, 1.0, 0.0, 0.0, 1.0, 2.0],
        "silent": [0, 1, 0, 0, 0, 0],
        "group": ["a", "a", "b", "c", "c", "c"],
    }
)
# dog/1: one window right by far, a silent one wrong by little: the recording is right. dog/2: wrong.
# rain/1: two windows right by little, one wrong by far: the recording is wrong.
DOG = [0.9, 0.4, 0.2, 0.4, 0.45, 0.99]


def run_of(dog: npt.ArrayLike, rows: Sequence[int] = range(6), fold: int = 1, seed: int = 0) -> Predictions:
    """Make answers from the probabilities of `dog` [windows]."""
    given = np.array(dog, dtype=np.float32)
    return Predictions(fold, seed, 7, None, "", np.array(rows), np.stack([given, 1 - given], axis=1))


RUN = run_of(DOG)


def test_scores_are_those_worked_by_hand() -> None:
    scores = score([RUN], tabulate_predictions([RUN], TABLE, CLASSES), CLASSES)
    assert scores["window_accuracy"] == pytest.approx(3 / 6)
    assert scores["recording_accuracy"] == pytest.approx(1 / 3)
    assert scores["class_accuracy"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert scores["without_silent"] == pytest.approx(
        {"window_accuracy": 3 / 5, "recording_accuracy": 1 / 3, "class_accuracy": (1 / 2 + 2 / 3) / 2}
    )
    assert scores["confusion"] == {"classes": CLASSES, "counts": [[1, 2], [1, 2]]}
    assert (scores["windows"], scores["silent_windows"], scores["recordings"]) == (6, 1, 3)
    assert (scores["folds"], scores["seeds"]) == (1, 1)
    assert scores["by_fold"][0]["epoch"] == 7


def test_every_fold_and_seed_counts_in_the_pool() -> None:
    worse = replace(run_of([0.1] * 3, range(3), fold=2), diverged_at_epoch=2, weights_sha256="f00d")
    scores = score([RUN, worse], tabulate_predictions([RUN, worse], TABLE, CLASSES), CLASSES)
    assert scores["window_accuracy"] == pytest.approx(3 / 9)
    assert [fold["window_accuracy"] for fold in scores["by_fold"]] == pytest.approx([0.5, 0.0])
    assert (scores["folds"], scores["diverged_runs"]) == (2, 1)
    told = [(fold["diverged_at_epoch"], fold["weights_sha256"]) for fold in scores["by_fold"]]
    assert told == [(None, ""), (2, "f00d")]


def test_predictions_keep_what_the_window_is_and_both_probabilities() -> None:
    row = tabulate_predictions([RUN], TABLE, CLASSES).iloc[2]
    assert (row["clip"], row["label"], row["predicted"]) == ("dog/2", "dog", "rain")
    assert row["probability"] == pytest.approx(0.8)
    assert row["label_probability"] == pytest.approx(0.2)


def recordings_of(*runs: Predictions) -> pd.DataFrame:
    return tabulate_recordings(tabulate_predictions(list(runs), TABLE, CLASSES), CLASSES)


def test_a_recording_has_a_row_with_its_windows_and_the_class_of_their_mean() -> None:
    table = recordings_of(RUN)
    assert table.columns.tolist() == [
        "fold", "seed", "clip", "group", "label", "windows", "windows_right", "predicted", "predicted_by_seeds",
    ]  # fmt: skip
    assert table.to_numpy().tolist() == [
        [1, 0, "dog/1", "a", "dog", 2, 1, "dog", "dog"],
        [1, 0, "dog/2", "b", "dog", 1, 0, "rain", "rain"],
        [1, 0, "rain/1", "c", "rain", 3, 2, "dog", "dog"],
    ]


def test_where_seeds_disagree_the_mean_over_both_decides() -> None:
    # dog/1: 0.65 and 0.3 for dog, mean 0.475. dog/2: 0.2 and 0.9, mean 0.55. rain/1: 0.6133 and 0.3, mean 0.4567.
    table = recordings_of(RUN, run_of([0.1, 0.5, 0.9, 0.3, 0.3, 0.3], seed=1))
    told = table[["clip", "seed", "predicted", "predicted_by_seeds", "windows"]]
    assert told.to_numpy().tolist() == [
        ["dog/1", 0, "dog", "rain", 2],
        ["dog/2", 0, "rain", "dog", 1],
        ["rain/1", 0, "dog", "rain", 3],
        ["dog/1", 1, "rain", "rain", 2],
        ["dog/2", 1, "dog", "dog", 1],
        ["rain/1", 1, "rain", "rain", 3],
    ]


def test_folds_that_test_the_same_clip_are_not_pooled() -> None:
    table = recordings_of(RUN, run_of([0.95], [2], fold=2))
    both = table.loc[table["clip"] == "dog/2", ["fold", "predicted", "predicted_by_seeds"]]
    assert both.to_numpy().tolist() == [[1, "rain", "rain"], [2, "dog", "dog"]]


def test_the_recordings_say_what_the_scores_say() -> None:
    predictions = tabulate_predictions([RUN], TABLE, CLASSES)
    table, scores = tabulate_recordings(predictions, CLASSES), score([RUN], predictions, CLASSES)
    assert table["windows_right"].sum() / table["windows"].sum() == scores["window_accuracy"]
    assert (table["predicted"] == table["label"]).mean() == scores["recording_accuracy"]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    network = build_network(load_params().protocols["paper"], 8, 49, 2, None)
    path, notes = tmp_path / "fold_1-seed_0.safetensors", {"epoch": 3, "diverged_at_epoch": None, "classes": CLASSES}
    save_file(network.state_dict(), path, metadata={"notes": json.dumps(notes)})
    return path


def predictions_of(path: Path, protocol: str, classes: list[str], frames: int = 49) -> Predictions:
    features = np.random.default_rng(0).standard_normal((6, 8, frames)).astype(np.float32)
    record = load_params().protocols[protocol]
    shape = {"classes": classes, "codebook_size": None}
    return predict(path, record, features, rows=np.arange(6), **shape, fold=1, seed=0, device="cpu")


def test_protocol_paper_predicts_with_dropout_and_eval_mode_without(stored: Path) -> None:
    paper, again = (predictions_of(stored, "paper", CLASSES) for _ in range(2))
    eval_mode = predictions_of(stored, "eval_mode", CLASSES)
    assert np.array_equal(paper.probabilities, again.probabilities)  # drawn from fold and seed
    assert not np.allclose(paper.probabilities, eval_mode.probabilities)
    assert paper.epoch == 3
    assert paper.probabilities.sum(1) == pytest.approx(np.ones(6), abs=1e-6)


def test_classifier_of_other_classes_is_refused(stored: Path) -> None:
    with pytest.raises(ClassifierError) as raised:
        predictions_of(stored, "paper", ["cat", "rain"])
    assert str(raised.value) == f"{stored}: trained for other classes than the data's. Run its train stage again."


def test_classifier_of_another_shape_is_refused(stored: Path) -> None:
    with pytest.raises(ClassifierError) as raised:
        predictions_of(stored, "paper", CLASSES, frames=99)
    assert str(raised.value).startswith(
        f"{stored}: not a conv1d for windows of 8 bands x 99 frames. Error(s) in loading"
    )


def test_an_absent_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError) as raised:
        predictions_of(tmp_path / "absent.safetensors", "paper", CLASSES)
    assert str(raised.value) == f"{tmp_path}/absent.safetensors: no such file. Run the cell's train stage."
