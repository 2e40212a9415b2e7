"""Shuffled labels score chance where the same training on true labels is nearly always right."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from beyond_spectrograms.training.run import shuffle_labels
from support import separable


def scored(protocol: str) -> tuple[dict[str, Any], pd.DataFrame]:
    separable.run_stages(protocol, "train", "evaluate")
    return separable.cell_of(f"mel-{protocol}")


def test_shuffled_labels_score_chance_and_true_ones_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    separable.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    (true, _), (shuffled, recordings) = (scored(protocol) for protocol in ("fair", "shuffled_labels"))
    assert true["window_accuracy"] > 0.95
    # Windows of a class look alike, so that all are given one label: a class is one trial.
    counts = np.array(shuffled["confusion"]["counts"])
    right = int((counts.diagonal() > counts.sum(1) / 2).sum())
    chance = binomtest(right, separable.CLASSES).proportion_ci(0.95)
    assert chance.low <= 1 / separable.CLASSES <= chance.high
    assert shuffled["window_accuracy"] < 0.25
    # Tested on the labels as they are.
    windows = pd.read_csv("data/splits/demo/windows.csv", dtype=str)
    tested = windows[pd.read_csv("data/splits/demo/parts.csv")["source_1"] == "test"]
    labels = tested.drop_duplicates("clip").set_index("clip")["label"]
    assert recordings.set_index("clip")["label"].to_dict() == labels.to_dict()


PARTED = np.array(["train"] * 50 + ["validation"] * 20 + ["test"] * 20 + [""] * 10)
LABELS = np.arange(100) % 5


def test_only_labels_of_training_and_validation_are_dealt_anew_and_each_class_keeps_its_count() -> None:
    given = LABELS.copy()
    shuffled = shuffle_labels(given, PARTED, seed=3)
    np.testing.assert_array_equal(given, LABELS)  # what was given is left alone
    np.testing.assert_array_equal(shuffled[70:], LABELS[70:])
    np.testing.assert_array_equal(np.bincount(shuffled[:70]), np.bincount(LABELS[:70]))
    moved = (shuffled[:70] != LABELS[:70]).mean()
    assert moved == pytest.approx(0.8, abs=0.15)  # four of five get another class's label


def test_labels_are_dealt_by_their_seed_and_not_by_the_test_part() -> None:
    once = shuffle_labels(LABELS, PARTED, seed=3)
    np.testing.assert_array_equal(once, shuffle_labels(LABELS, PARTED, seed=3))
    assert (once != shuffle_labels(LABELS, PARTED, seed=4)).any()
    poisoned = np.where(PARTED == "test", 4 - LABELS, LABELS)
    np.testing.assert_array_equal(once[:70], shuffle_labels(poisoned, PARTED, seed=3)[:70])
