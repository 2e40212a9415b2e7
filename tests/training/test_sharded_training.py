"""Training on features in shards: the same weights as on one array while they are held, in another order beyond."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from beyond_spectrograms.data.feature_shards import OPEN, Shards
from beyond_spectrograms.data.windows import map_features, open_features
from beyond_spectrograms.integrity import contents
from beyond_spectrograms.training import epoch
from beyond_spectrograms.training.epoch import BUFFER, band_statistics, keep_near
from beyond_spectrograms.training.loop import train
from beyond_spectrograms.training.multi_run import train_multi_run
from beyond_spectrograms.training.run import RunConfig, read_history
from support import separable
from support.cells import edit_params, put_features, study_in
from support.common import flip
from support.protocol import PROTOCOL, write_run
from support.repository import Patch
from support.sharded import put_shards
from support.stopping import interrupt_after, results_of

CLASSIFIERS = ("conv1d", "mean_linear", "probe_mean", "knn_cosine", "kmeans")


@pytest.fixture(autouse=True)
def torch_stays_as_it_was(torch_as_it_was: None) -> None:
    """Trainings hold torch to one thread."""


def both(folder: Path, rows: int = 9, **changes: Any) -> tuple[RunConfig, RunConfig]:
    """Lay out one run twice: on an array, and on shards of so many rows."""
    rng, targets = np.random.default_rng(0), np.arange(120) % 2
    features = rng.standard_normal((120, 8, 49)).astype(np.float32) + targets[:, None, None].astype(np.float32)
    parts = ["train"] * 72 + ["validation"] * 24 + ["test"] * 24
    protocol = PROTOCOL.model_copy(update={"epochs": 3} | changes)
    array, shards = (write_run(folder / kind, features, targets, parts, protocol) for kind in ("array", "shards"))
    put_shards(shards.features, features, rows)
    return array, shards


@pytest.mark.numeric
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_weights_are_those_of_one_array_where_windows_are_held(tmp_path: Path, classifier: str) -> None:
    configs = both(tmp_path, classifier=classifier)
    for config in configs:
        train(config)
    array, shards = results_of(*configs)
    assert array == shards


@pytest.mark.numeric
def test_runs_that_are_trained_at_once_are_those_of_one_array(tmp_path: Path) -> None:
    for config in (configs := both(tmp_path)):
        train_multi_run([config, replace(config, seed=1)])
    array, shards = results_of(*configs)
    assert array == shards


@pytest.mark.numeric
def test_beyond_memory_the_order_is_another_and_follows_the_seed(tmp_path: Path, monkeypatch: Patch) -> None:
    array, shards = both(tmp_path, rows=4)
    monkeypatch.setattr(epoch, "HELD_BYTES", 0)
    again, other = replace(shards, work=tmp_path / "again"), replace(shards, work=tmp_path / "other", seed=1)
    for config in (array, shards, again, other):
        train(config)
    of_array, first, same, others = results_of(array, shards, again, other)
    assert first == same
    assert len({of_array, first, others}) == 3
    assert [row["training_loss"] for row in read_history(shards)] == sorted(
        (row["training_loss"] for row in read_history(shards)), reverse=True
    )  # it learns
    killed = replace(shards, work=tmp_path / "killed")
    interrupt_after(killed, 2, monkeypatch)
    train(killed)
    assert results_of(killed) == [first]


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_order_keeps_to_a_buffer_of_shards_and_leaves_no_window_out(tmp_path: Path, shuffle: bool) -> None:
    values = np.arange(400, dtype=np.float32).reshape(400, 1, 1)
    put_shards(tmp_path, values, 10)
    features, rows = map_features(tmp_path), np.random.default_rng(0).permutation(400)[:350]
    assert isinstance(features, Shards)
    order = torch.randperm(350, generator=torch.Generator().manual_seed(3)) if shuffle else torch.arange(350)
    near = keep_near(order, rows, features)
    assert sorted(near.tolist()) == list(range(350))
    assert torch.equal(keep_near(order, rows, values), order)  # of an array
    shards = features.shards_of(rows[near.numpy()])
    met = list(dict.fromkeys(shards.tolist()))
    assert len(met) == 40
    for number in range(0, 40, BUFFER):
        buffer = met[number : number + BUFFER]
        places = np.flatnonzero(np.isin(shards, buffer))
        assert places[-1] - places[0] + 1 == len(places)  # one after the other
        assert (shards[places[:-1]] != shards[places[1:]]).mean() > 0.7  # and mixed among each other
    assert met != sorted(met)
    features[rows[near.numpy()]]
    assert len(features._mapped) == OPEN


def test_statistics_of_bands_are_those_of_one_array(tmp_path: Path, monkeypatch: Patch) -> None:
    array, shards = (map_features(config.features) for config in both(tmp_path))
    rows = np.random.default_rng(0).permutation(120)
    for mine, wanted in zip(band_statistics(shards, rows), band_statistics(array, rows), strict=True):
        np.testing.assert_array_equal(mine, wanted)
    monkeypatch.setattr(epoch, "HELD_BYTES", 0)
    for mine, wanted in zip(band_statistics(shards, rows), band_statistics(array, np.sort(rows)), strict=True):
        np.testing.assert_array_equal(mine, wanted)


def cells_of(folder: Path) -> Any:
    scores = json.loads((folder / "metrics/demo/scores.json").read_text(encoding="utf-8"))
    for cell in scores["cells"].values():
        del cell["provenance"]  # features.shards_mb is part of it
        del cell["training"]["seconds_by_run"]
    return scores


@pytest.mark.parametrize("protocol", ["fair", "probe_mean"])
def test_a_study_in_shards_scores_as_one_array_and_make_check_knows_it(
    tmp_path: Path, monkeypatch: Patch, protocol: str
) -> None:
    scores = {}
    for kind in ("array", "shards"):
        folder = tmp_path / kind
        separable.write(folder, epochs=3)
        monkeypatch.chdir(folder)
        place = study_in(folder).features("demo", "mel")
        values, told = np.load(place / "features.npy"), json.loads((place / "features.json").read_text())
        if kind == "shards":
            edit_params(folder, lambda params: params["features"].update(shards_mb=0.1))
            sizes = ("windows", "bands", "frames", "bytes", "provenance")
            known = {key: value for key, value in told.items() if key not in sizes}
            provenance = study_in(folder).feature_provenance("demo", "mel")
            assert provenance != told["provenance"]
            put_features(place, values, **known, provenance=provenance)
            put_shards(place, values, 30)
            assert not (place / "features.npy").exists()
            assert isinstance(open_features(place, len(values)), Shards)
        separable.run_stages(protocol, "train", "evaluate")
        scores[kind] = cells_of(folder)
    assert scores["array"] == scores["shards"]
    study = study_in(folder)
    assert list(contents.check_features(study, "demo", "mel")) == []
    [shard, *_] = sorted((place / "shards").iterdir())
    flip(shard, shard.stat().st_size - 1)
    [damage] = contents.check_features(study, "demo", "mel")
    assert str(damage).startswith(f"{place}: rows of 1 clips of demo as mel are not what was written, clip ")
    assert str(damage).endswith(" first. Run again: dvc repro -f -s featurize@demo-mel")
