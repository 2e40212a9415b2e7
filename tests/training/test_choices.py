"""The test part stays unread until evaluate and chooses nothing, and shuffled labels score chance."""

import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.stats import binomtest

from beyond_spectrograms.evaluation.result_files import Evaluation
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.params.study import Study
from beyond_spectrograms.report import tables
from beyond_spectrograms.report.page.excerpts import best_cell
from beyond_spectrograms.training.run import shuffle_labels
from support import separable
from support.cells import CLASSES, MakeCell, make_cell, read, read_back, write_dataset
from support.common import contents

NAMES, PROTOCOLS = ["mel", "log_mel", "soundstream", "encodec_24khz_untrained"], ["paper", "source_split", "fair"]


def trained(protocol: str) -> tuple[bytes, object]:
    """Train, and read the weights and their learning curve."""
    separable.run_stages(protocol, "train")
    found = contents(Path("data/models/paper/demo/mel", protocol))
    run = [f"fold_1-seed_0.{suffix}" for suffix in ("json", "predictions.safetensors", "safetensors")]
    assert sorted(found) == [*run, "provenance.json"]
    return found[run[2]], json.loads(found[run[0]])["history"]


def store(place: Path, features: npt.NDArray[np.float32]) -> None:
    """Put other features in place; runs are not kept, since their index is another."""
    np.save(place, features)
    place.with_name("index.json").write_text(json.dumps({"sha256": hashlib.sha256(features.tobytes()).hexdigest()}))


@pytest.mark.parametrize("protocol", ["paper", "fair", "shuffled_labels", "probe_mean", "dealt_source"])
def test_train_is_blind_to_the_test_part(protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    separable.write(tmp_path, epochs=2)
    monkeypatch.chdir(tmp_path)
    honest = trained(protocol)

    tested = (pd.read_csv("data/splits/demo/parts.csv")["source_1"] == "test").to_numpy()
    place = Path("data/features/paper/demo/mel/features.npy")
    features = np.load(place)
    features[tested] = np.nan
    store(place, features)
    windows = pd.read_csv("data/splits/demo/windows.csv", dtype={"label": str})
    windows.loc[tested, "label"] = windows.loc[tested, "label"].to_numpy()[::-1]
    windows.to_csv("data/splits/demo/windows.csv", index=False)
    assert trained(protocol) == honest

    features[np.flatnonzero(~tested)[0], 0] += 1  # what is trained on does count
    store(place, features)
    assert trained(protocol) != honest


def turned(study: Study, dataset: str, name: str, protocol: str) -> Evaluation:
    """Make a cell in which every figure of the test part is turned around: what was right is wrong, and the reverse."""
    made = make_cell(study, dataset, name, protocol)
    [(cell, scores)], [rows] = made.scores.items(), made.predictions.values()
    for section in (scores, scores["without_silent"], *scores["by_fold"]):
        for key in ("window_accuracy", "recording_accuracy", "class_accuracy"):
            section[key] = 1 - section[key]
    scores["confusion"] = scores["confusion"] | {"counts": np.roll(scores["confusion"]["counts"], 1, 1).tolist()}
    answers = [
        label if label != predicted else CLASSES[(CLASSES.index(label) + 1) % 3]
        for label, predicted in zip(rows["label"], rows["predicted"], strict=True)
    ]
    rows = rows.assign(predicted=answers, predicted_by_seeds=answers)
    rows["windows_right"] = [str(3 - int(right)) for right in rows["windows_right"]]
    return Evaluation(made.scores, made.features, {cell: rows}, made.curves)


def badly_validated(study: Study, dataset: str, name: str, protocol: str) -> Evaluation:
    """Make a cell whose validation accuracies are turned around."""
    made = make_cell(study, dataset, name, protocol)
    for history in made.curves.values():
        history["validation_accuracy"] = [str(1 - float(accuracy)) for accuracy in history["validation_accuracy"]]
    return made


def read_again(folder: Path, make: MakeCell) -> Results:
    write_dataset(folder, "esc10", NAMES, PROTOCOLS, make=make)
    return read_back(folder, "esc10")


def choices(known: Results) -> dict[str, object]:
    """Name all that tables, figures and page choose between."""
    heard = best_cell(known)
    winners = {protocol: tables.best_of(known, protocol) for protocol in PROTOCOLS}
    return {
        "page": heard and (heard.representation, heard.protocol),
        "figures": {protocol: best and best[0] for protocol, best in winners.items()},
        "table 2": [(row["source"], row["system"]) for row in tables.table_2(known).rows],
        "order": [row["representation"] for row in tables.summary(known, []).rows],
    }


def test_turning_the_test_accuracies_upside_down_changes_no_choice(tmp_path: Path) -> None:
    known = read(tmp_path, "esc10", NAMES, PROTOCOLS)
    before, figures = choices(known), tables.table_2(known).rows
    after = read_again(tmp_path, turned)
    assert choices(after) == before
    assert tables.table_2(after).rows != figures  # what is told of the chosen did change
    told = [each.cell("soundstream", "fair").window_interval for each in (known, after)]
    assert [interval and interval.value for interval in told] == [0.75, 0.25]


def test_turning_the_validation_accuracies_upside_down_does_change_the_choices(tmp_path: Path) -> None:
    known = read(tmp_path, "esc10", NAMES, PROTOCOLS)
    before = choices(known)
    after = choices(read_again(tmp_path, badly_validated))
    assert [key for key in before if after[key] != before[key]] == ["page", "figures", "table 2"]


def test_shuffled_labels_score_chance_and_true_ones_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    separable.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    separable.run_stages("fair", "train", "evaluate")
    assert separable.cell_of("mel-fair")[0]["window_accuracy"] > 0.95
    separable.run_stages("shuffled_labels", "train", "evaluate")
    shuffled, recordings = separable.cell_of("mel-shuffled_labels")
    # Windows of a class look alike, so that all are given one label: a class is one trial.
    counts = np.array(shuffled["confusion"]["counts"])
    right = int((counts.diagonal() > counts.sum(1) / 2).sum())
    chance = binomtest(right, separable.CLASSES).proportion_ci(0.95)
    assert chance.low <= 1 / separable.CLASSES <= chance.high
    assert shuffled["window_accuracy"] < 0.25
    # SeedAnswers on the labels as they are.
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
