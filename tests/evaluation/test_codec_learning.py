"""Trainings of a codec put together as runs of one cell, and what is tested of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from beyond_spectrograms.evaluation.clip_results import pool
from beyond_spectrograms.evaluation.codec_learning import Learned, compare_learned, learned, twin_of
from beyond_spectrograms.evaluation.records import ResultError
from beyond_spectrograms.evaluation.uncertainty import window_interval
from support import cells, codecs
from support.codec_study import NAME, PROTOCOL, SPECTROGRAM, STEPS, write_probes
from support.common import refusal
from support.hands import FEW, cell, clustered


def read(folder: Path) -> Learned:
    found = learned(cells.read_back(folder, "demo", "codec"), {})
    assert found is not None
    return found


def test_each_training_is_a_run_over_all_folds() -> None:
    right = clustered(3, 60)
    pooled, whole = pool("mel-fair", [cell(each) for each in right]), cell(right, folds=1)
    assert pooled.runs == ((0, 0), (0, 1), (0, 2))
    for name in ("clips", "labels", "sources", "windows", "windows_right", "right"):
        np.testing.assert_array_equal(getattr(pooled, name), getattr(whole, name), name)
    few = FEW.model_copy(update={"minimum_runs": 3})
    assert window_interval(pooled, few) == window_interval(whole, few)
    assert window_interval(pooled, few).low is not None
    np.testing.assert_array_equal(pooled.right_by_seeds, np.mean(right > 2.5, axis=0) > 0.5)


def test_what_is_special_to_a_training_is_no_chance_of_each_fold() -> None:
    """Three trainings that differ in all folds alike: as runs of five folds they would seem fifteen that do."""
    right = np.clip(clustered(1, 60)[0] + np.array([[-1], [0], [1]]), 0, 5)
    few = FEW.model_copy(update={"minimum_runs": 3})
    widths = []
    for each in (cell(right), pool("mel-fair", [cell(mine) for mine in right])):
        interval = window_interval(each, few)
        assert interval.low is not None
        assert interval.high is not None
        widths.append(interval.high - interval.low)
    assert widths[1] > 2 * widths[0]


def test_cells_that_are_no_trainings_of_one_codec_are_refused() -> None:
    right = clustered(2, 60)
    told = refusal(ResultError, pool, "a", [cell(right, name="a_0-fair"), cell(right, name="a_1-fair")])
    assert told == "a_0-fair has several runs of a fold, and cannot stand for one training of a codec."
    one, other = cell(right[0], name="a_0-fair"), cell(right[1], name="a_1-fair")
    shorter = replace(other, windows=np.where(other.windows > 0, 4, 0))
    for wrong in (cell(right[1, :55], name="a_1-fair"), cell(right[1], folds=4, name="a_1-fair"), shorter):
        told = refusal(ResultError, pool, "a", [one, wrong])
        assert told == "a_0-fair and a_1-fair were tested on other windows. Evaluate both again."


def test_all_seeds_of_a_step_are_one_accuracy(tmp_path: Path) -> None:
    write_probes(tmp_path, by_seed=1)
    found = read(tmp_path)
    assert (found.dataset, found.protocol, found.seeds(NAME), found.seeds(SPECTROGRAM)) == ("demo", PROTOCOL, 3, 0)
    shares = {step: interval.value for step, interval in found.accuracy[NAME].items()}
    assert shares == pytest.approx({0: (3 * 3 + 6) / 36, 4: (3 * 5 + 6) / 36, 20: (3 * 7 + 6) / 36})
    assert found.accuracy[SPECTROGRAM][None].value == pytest.approx((3 * 6 + 6) / 36)


def test_a_seed_that_lacks_a_step_is_left_out(tmp_path: Path) -> None:
    write_probes(tmp_path, leave=["seed_1_4"])
    found = read(tmp_path)
    assert {step: list(by_seed) for step, by_seed in found.latents[NAME].items()} == {key: [0, 2] for key in STEPS}


def test_nothing_is_known_where_no_latents_were_probed(tmp_path: Path) -> None:
    write_probes(tmp_path, (0,), leave=[f"seed_0_{step}" for step in STEPS])
    assert learned(cells.read_back(tmp_path, "demo", "codec"), {}) is None


def test_the_last_step_is_tested_against_the_first_and_against_spectrograms(tmp_path: Path) -> None:
    study = write_probes(tmp_path, by_seed=1)
    found = read(tmp_path)
    beside = replace(found, dataset="other", others={"soundstream": found.others[SPECTROGRAM]})
    pairs = compare_learned(study.params, [found, beside])
    assert [(where, pair.first, pair.second) for where, pair in pairs] == [
        ("demo", "pilot after 20", "pilot after 0"),
        ("demo", "pilot after 20", SPECTROGRAM),
        ("other", "pilot after 20", "pilot after 0"),  # what other studies ran is drawn, and not tested
    ]
    gains = [pair.comparison.difference.value for _, pair in pairs]
    assert gains == pytest.approx([4 / 12, 1 / 12, 4 / 12])
    (_, gain), (_, against), _ = pairs
    assert gain.comparison.p is not None
    assert gain.p == pytest.approx(3 * gain.comparison.p)
    assert against.p == against.comparison.p
    assert gain.verdict(0.95) == "better"


def test_a_codec_that_tells_log_mel_is_tested_against_the_same_without(tmp_path: Path) -> None:
    study = write_probes(tmp_path)
    recipe = study.params.codecs[NAME]
    both = {NAME: recipe, "told": recipe.model_copy(update={"log_mel_weight": 1.0})}
    params = study.params.model_copy(update={"codecs": both})
    assert (twin_of(params, "told"), twin_of(params, NAME)) == (NAME, None)
    found = read(tmp_path)
    one = {seed: cell for seed, cell in found.latents[NAME][4].items() if seed == 1}
    known = replace(found, latents=found.latents | {"told": {20: one}})
    _, pair = compare_learned(params, [known])[-1]
    assert (pair.first, pair.second) == ("told after 20", "pilot after 20")
    difference = pair.comparison.difference  # of the seed that both have
    assert difference.value == pytest.approx(-1 / 6)
    assert (difference.low, difference.reason) == (None, "1 runs; 3 are needed for an interval.")
    other = codecs.recipe(log_mel_weight=1.0, learning_rate=0.1)
    assert twin_of(study.params.model_copy(update={"codecs": both | {"odd": other}}), "odd") is None
