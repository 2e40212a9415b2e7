"""Recipes chosen in every fold by its own validation part, and training on a share of the recordings."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from beyond_spectrograms.data.windows import keep_share, read_parts, read_windows
from beyond_spectrograms.params import load_params
from beyond_spectrograms.training.tuning import recipe_of
from support import separable
from support.cells import edit_params
from support.common import contents
from support.repository import REPOSITORY

MODELS = Path("data/models/paper/demo/mel")
TRIALS = {"learning_rate": [1e-6, 0.003], "standardize": [True, False]}


@pytest.fixture
def in_separable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to features of classes that are easy to tell apart, where `tuned` tries four recipes."""
    separable.write(tmp_path, epochs=2)
    monkeypatch.chdir(tmp_path)
    change("tuned", trials=TRIALS, seeds=[0, 1])


def change(protocol: str, **values: Any) -> None:
    edit_params(Path(), lambda params: params["protocols"][protocol].update(values))


def curve(run: Path) -> list[list[float]]:
    history: list[list[float]] = json.loads(run.with_suffix(".json").read_text(encoding="utf-8"))["history"]
    return history


def weights(protocol: str, seed: int = 0) -> dict[str, np.ndarray]:
    return load_file(MODELS / protocol / f"fold_1-seed_{seed}.safetensors")


@pytest.mark.usefixtures("in_separable")
def test_the_recipe_of_the_highest_validation_accuracy_trains_every_seed_of_the_fold() -> None:
    separable.run_stages("tuned", "train", "evaluate")
    tried = {number: curve(MODELS / f"tuned/trial_{number}/fold_1-seed_0") for number in range(1, 5)}
    best = max(tried, key=lambda number: max((row[3], -row[4]) for row in tried[number]))  # accuracy, minus loss
    trials = separable.cell_of("mel-tuned")[0]["trials"]
    assert [trial["chosen"] for trial in trials] == [number == best for number in range(1, 5)]
    for trial, (number, rows) in zip(trials, tried.items(), strict=True):
        assert trial["trial"] == f"trial_{number}"
        assert trial["validation_accuracy"] == max(row[3] for row in rows)
    assert {trial["learning_rate"] for trial in trials if trial["chosen"]} == {0.003}  # the other learns nothing

    chosen = next(trial for trial in trials if trial["chosen"])
    change("clean", learning_rate=chosen["learning_rate"], standardize=chosen["standardize"], seeds=[0, 1])
    tuned = weights("tuned", 0), weights("tuned", 1)
    separable.run_stages("clean", "train")
    for seed in (0, 1):
        plain = weights("clean", seed)
        assert plain.keys() == tuned[seed].keys()
        assert all(np.array_equal(plain[key], tuned[seed][key]) for key in plain)


@pytest.mark.usefixtures("in_separable")
def test_trials_that_were_trained_are_kept_when_a_seed_is_added(capsys: pytest.CaptureFixture[str]) -> None:
    separable.run_stages("tuned", "train")
    before = contents(MODELS / "tuned/trial_1")
    assert "demo, mel, trials of recipes: 4 runs of 4 protocols, 0 kept" in capsys.readouterr().out
    change("tuned", seeds=[0, 1, 2])
    separable.run_stages("tuned", "train")
    printed = capsys.readouterr().out
    assert "demo, mel, trials of recipes: 4 runs of 4 protocols, 4 kept" in printed
    assert "demo, mel: 3 runs of 1 protocol, 2 kept" in printed
    assert contents(MODELS / "tuned/trial_1") == before


@pytest.mark.usefixtures("in_separable")
def test_the_test_part_has_no_say_in_the_recipe() -> None:
    separable.run_stages("tuned", "train")
    honest = contents(MODELS / "tuned")
    tested = (pd.read_csv("data/splits/demo/parts.csv")["source_1"] == "test").to_numpy()
    windows = pd.read_csv("data/splits/demo/windows.csv", dtype={"label": str})
    windows.loc[tested, "label"] = windows.loc[tested, "label"].to_numpy()[::-1]
    windows.to_csv("data/splits/demo/windows.csv", index=False)
    separable.run_stages("tuned", "train")
    assert contents(MODELS / "tuned") == honest


@pytest.mark.usefixtures("in_separable")
def test_trials_that_all_diverge_leave_the_first_and_a_run_that_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    change("tuned", trials={"learning_rate": [1e30, 1e35]}, optimizer="sgd", seeds=[0])
    separable.run_stages("tuned", "train", "evaluate")
    assert "fold_1-seed_0: diverged at epoch 1" in capfd.readouterr().out
    scores, _ = separable.cell_of("mel-tuned")
    assert scores["diverged_runs"] == 1
    assert [(trial["validation_accuracy"], trial["chosen"]) for trial in scores["trials"]] == [
        (None, True),
        (None, False),
    ]


def test_every_combination_is_a_recipe_in_the_order_of_the_params(tmp_path: Path) -> None:
    tuned = load_params(Path("studies/clean"), REPOSITORY).protocols["tuned"]
    clean = load_params(Path("studies/clean"), REPOSITORY).protocols["clean"]
    recipes = tuned.recipes()
    assert len(recipes) == 8
    assert [(each.learning_rate, each.standardize, each.dropout) for each in recipes[:3]] == [
        (0.001, True, 0.5),
        (0.001, True, 0.2),
        (0.001, False, 0.5),
    ]
    assert recipes[0] == clean.model_copy(update={"dropout": 0.5})  # the recipe that is not tuned is among them
    assert clean.recipes() == [clean]
    (tmp_path / "trials.json").write_text(
        json.dumps([{"fold": 2, "trial": "trial_1", "chosen": False}, {"fold": 2, "trial": "trial_3", "chosen": True}])
    )
    assert recipe_of(tuned, tmp_path, 2) == recipes[2]
    assert recipe_of(clean, tmp_path, 2) == clean


TABLE = pd.DataFrame({"clip": np.repeat([f"{number}.wav" for number in range(60)], 3), "label": list("aab") * 60})
TABLE["label"] = np.repeat(["a"] * 40 + ["b"] * 20, 3)
PARTS = np.repeat(["train"] * 35 + ["validation"] * 5 + ["train"] * 13 + ["test"] * 7, 3)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 1.0])
def test_a_share_is_of_each_classs_training_recordings_and_leaves_the_other_parts_whole(share: float) -> None:
    kept = keep_share(PARTS, TABLE, share, seed=0)
    np.testing.assert_array_equal(kept[PARTS != "train"], PARTS[PARTS != "train"])
    trained = TABLE[kept == "train"]
    assert (trained.groupby("clip").size() == 3).all()  # whole recordings
    counts = trained.groupby("label")["clip"].nunique().to_dict()
    assert counts == {"a": max(1, round(share * 35)), "b": max(1, round(share * 13))}


def test_a_smaller_share_lies_within_a_larger_one_and_another_seed_takes_others() -> None:
    few, many = (set(TABLE["clip"][keep_share(PARTS, TABLE, share, 0) == "train"]) for share in (0.25, 0.5))
    assert few < many
    assert few != set(TABLE["clip"][keep_share(PARTS, TABLE, 0.25, 1) == "train"])
    shuffled = TABLE.sample(frac=1, random_state=0)
    again = keep_share(PARTS[shuffled.index], shuffled, 0.25, 0)
    assert set(shuffled["clip"][again == "train"]) == few


@pytest.mark.usefixtures("in_separable")
def test_a_run_trains_on_its_share_and_is_tested_on_all() -> None:
    separable.run_stages("clean", "train")
    deviation = weights("clean")["0.deviation"]
    separable.run_stages("clean_50_percent", "train", "evaluate")
    table, parts = read_windows(Path("data/splits/demo")), read_parts(Path("data/splits/demo"))
    tested = int((parts["source_1"] == "test").sum())
    scores, _ = separable.cell_of("mel-clean_50_percent")
    assert scores["windows"] == tested
    of_half = weights("clean_50_percent")["0.deviation"]
    assert not np.array_equal(deviation, of_half)
    mine = keep_share(parts["source_1"].to_numpy(dtype=str), table, 0.5, 0) == "train"
    features = np.load("data/features/paper/demo/mel/features.npy")[mine]
    np.testing.assert_allclose(of_half, features.std(axis=(0, 2)), rtol=1e-4)
    assert math.isclose(mine.sum() / (parts["source_1"] == "train").sum(), 0.4)  # round(0.5 * 5) of 5 recordings
