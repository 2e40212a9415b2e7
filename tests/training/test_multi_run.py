"""Runs trained together learn what each learns alone, whatever their sizes; killed and continued; no GPU needed."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from beyond_spectrograms.training import multi_run
from beyond_spectrograms.training.loop import train
from beyond_spectrograms.training.multi_run import train_multi_run
from beyond_spectrograms.training.run import RunConfig, is_finished, read_history, read_outcome
from support.numeric import assert_rounded, assert_same, distance, in_float64
from support.protocol import PLAIN, write_run
from support.protocol import PROTOCOL as SIX_EPOCHS
from support.stopping import kill_training_in

PROTOCOL = SIX_EPOCHS.model_copy(update={"epochs": 4})
# Terms of a value of conv1d's second convolution, the longest sum of these networks. It covers what the joint training
# loses beside: Adam's 1 - 0.999^step in fp32 is off by 1000 roundings in the first step, its root by 500.
LONGEST_SUM = 128 * 5
STATISTICS = {"0.mean", "0.deviation"}  # of the bands, which are fp32 in any training


@pytest.fixture
def configs(tmp_path: Path) -> list[RunConfig]:
    """Three runs on 90 windows [12 bands, 49 frames] of two classes; the third has two batches fewer than the first."""
    rng = np.random.default_rng(0)
    targets = np.arange(90) % 2
    features = rng.standard_normal((90, 12, 49)).astype(np.float32)
    features[:, 3] += targets[:, None]
    runs = [
        np.roll(np.repeat(["train", "validation", "test"], [train, other, 90 - train - other]), 10 * fold)
        for fold, (train, other) in enumerate(((58, 20), (50, 14), (25, 33)), start=1)
    ]
    first = write_run(tmp_path, features, targets, runs[0], PROTOCOL)
    return [replace(first, parts=parts, fold=fold, seed=fold % 2) for fold, parts in enumerate(runs, 1)]


@pytest.fixture
def without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Dropout, "__init__", lambda self, *_: (nn.Module.__init__(self), setattr(self, "p", 0.0))[0])
    monkeypatch.setattr(nn.Dropout, "forward", lambda _, windows: windows)


def alone_and_together(configs: list[RunConfig], work: Path) -> list[tuple[RunConfig, RunConfig]]:
    """Train both ways; pairs of a run alone and the same together with the others."""
    alone, multi_run = ([replace(config, work=work / way) for config in configs] for way in ("alone", "together"))
    for config in alone:
        train(config)
    train_multi_run(multi_run)
    return list(zip(alone, multi_run, strict=True))


def weights(config: RunConfig) -> dict[str, torch.Tensor]:
    return load_file(config.work / f"{config.name}.safetensors")


def all_weights(config: RunConfig) -> torch.Tensor:
    return torch.cat([value.ravel() for name, value in sorted(weights(config).items()) if name not in STATISTICS])


def curve(config: RunConfig, what: str) -> np.ndarray:
    """Give a column of the learning curve, training and validation, [2, epochs]."""
    return np.array([[row[f"{part}_{what}"] for row in read_history(config)] for part in ("training", "validation")])


def assert_the_same_is_learnt(configs: list[RunConfig], work: Path) -> None:
    """Train both ways in float64, where they must agree, and in fp32, where rounding alone may tell them apart.

    For two epochs, in the second of which what the first left takes part. As `numeric` says. Accuracies are compared in
    float64 alone: in fp32 a window may be the other side of a tie.
    """
    configs = [replace(config, epochs=2) for config in configs]
    with in_float64():
        exact = alone_and_together(configs, work / "exact")
    with in_float64(shaken=LONGEST_SUM):
        shaken = [replace(config, work=work / "shaken") for config in configs]
        for config in shaken:
            train(config)
    for one, same in exact:
        assert weights(one).keys() == weights(same).keys()
        assert_same(all_weights(same), all_weights(one))
        for name in weights(one).keys() & STATISTICS:
            assert torch.equal(weights(same)[name], weights(one)[name])
        assert_same(curve(same, "loss"), curve(one, "loss"))
        assert np.array_equal(curve(same, "accuracy"), curve(one, "accuracy"))
    for (reference, _), near, rounded in zip(exact, shaken, alone_and_together(configs, work / "fp32"), strict=True):
        for config, way in zip(rounded, ("alone", "together"), strict=True):
            steps = config.epochs * -(-int((config.parts == "train").sum()) // config.protocol.batch_size)
            for values in (all_weights, partial(curve, what="loss")):
                told, expected = f"{config.name} {way}", values(reference)
                lost = distance(values(near), expected)
                assert_rounded(values(config), expected, roundings=steps, lost=lost, what=told)


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("classifier", "optimizer", "class_weights"),
    [
        *((name, "adam", "none") for name in (*PLAIN, "temporal_cnn", "attention_pooling")),
        ("conv1d", "sgd", "balanced"),  # how steps are taken does not depend on the network
    ],
)
@pytest.mark.usefixtures("without_dropout")
def test_runs_trained_together_learn_what_each_learns_alone(
    configs: list[RunConfig], tmp_path: Path, classifier: str, optimizer: str, class_weights: str
) -> None:
    changes = {"classifier": classifier, "optimizer": optimizer, "class_weights": class_weights}
    protocol = PROTOCOL.model_copy(update=changes)
    targets = np.where(np.arange(90) % 5 == 0, 0, configs[0].targets)  # unequal classes
    assert_the_same_is_learnt([replace(config, targets=targets, protocol=protocol) for config in configs], tmp_path)


@pytest.mark.numeric
@pytest.mark.usefixtures("without_dropout")
def test_codes_are_learnt_together_as_alone(configs: list[RunConfig], tmp_path: Path) -> None:
    codes = np.random.default_rng(1).integers(0, 16, (90, 12, 49)).astype(np.float32)
    np.save(configs[0].features / "features.npy", codes)
    assert_the_same_is_learnt([replace(config, codebook_size=16) for config in configs], tmp_path)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_with_dropout_they_come_to_the_same_accuracy(configs: list[RunConfig], tmp_path: Path, precision: str) -> None:
    seeds = [replace(configs[0], seed=seed, epochs=12, precision=precision) for seed in range(4)]
    pairs = alone_and_together(seeds, tmp_path)
    alone, same = (
        np.array([[row["validation_accuracy"] for row in read_history(pair[side])[-4:]] for pair in pairs]).mean(1)
        for side in (0, 1)
    )
    spread = alone.std(ddof=1) + same.std(ddof=1)
    assert abs(alone.mean() - same.mean()) <= max(spread, 0.05)
    assert same.mean() > 0.8


@pytest.mark.numeric
def test_a_run_stands_still_in_steps_that_hold_none_of_its_windows(configs: list[RunConfig], tmp_path: Path) -> None:
    still = PROTOCOL.model_copy(update={"select": "last", "shuffle_each_epoch": False, "classifier": "mean_linear"})
    few = replace(configs[2], protocol=still, epochs=1)
    beside_many = [replace(config, protocol=still, epochs=1, work=tmp_path / "many") for config in configs]
    with in_float64():
        train_multi_run([few])
        train_multi_run(beside_many)
    assert_same(all_weights(beside_many[2]), all_weights(few))


def test_a_diverging_run_and_one_out_of_patience_end_and_the_others_go_on(
    configs: list[RunConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = np.load(configs[0].features / "features.npy")
    features[configs[1].parts == "train"] *= np.float32(1e30)  # of no other run's validation alone
    wild = replace(configs[1], features=tmp_path / "wild")
    raw = PROTOCOL.model_copy(update={"standardize": False, "optimizer": "sgd", "learning_rate": 0.01})
    poisoned = replace(configs[0], parts=np.where(configs[1].parts == "train", "test", configs[0].parts))
    wild.features.mkdir()
    np.save(wild.features / "features.npy", features)
    (wild.features / "index.json").write_text("{}")
    both = [replace(config, features=wild.features, protocol=raw) for config in (wild, poisoned)]
    train_multi_run(both)
    assert "fold_2-seed_0: diverged at epoch 1 (" in capsys.readouterr().out
    assert (read_outcome(both[0])[1], read_history(both[0])) == (1, [])
    assert (read_outcome(both[1])[1], len(read_history(both[1]))) == (None, 4)
    assert all(torch.isfinite(value).all() for config in both for value in weights(config).values())
    hasty = PROTOCOL.model_copy(update={"classifier": "mean_linear", "learning_rate": 0.5, "patience": 2})
    patient = [replace(config, protocol=hasty, epochs=200, work=tmp_path / "patient") for config in configs]
    train_multi_run(patient)
    for config in patient:
        losses = [row["validation_loss"] for row in read_history(config)]
        assert len(losses) == losses.index(min(losses)) + 1 + 2


@pytest.mark.numeric
def test_features_too_large_for_the_device_are_read_batch_by_batch_with_the_same_result(
    configs: list[RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train_multi_run(configs)
    monkeypatch.setattr(multi_run, "SHARE_OF_MEMORY", 0.0)
    monkeypatch.setattr(multi_run, "free_bytes", lambda _: 1.0)
    streamed = [replace(config, work=tmp_path / "streamed") for config in configs]
    train_multi_run(streamed)
    assert capsys.readouterr().out == f"{configs[0].features}: 211680 bytes do not fit on cpu; read batch by batch\n"
    for config, same in zip(configs, streamed, strict=True):
        assert read_history(config) == read_history(same)


def test_killed_training_continues_and_ends_with_the_same_bytes(configs: list[RunConfig], tmp_path: Path) -> None:
    undisturbed = [replace(config, epochs=8, work=tmp_path / "undisturbed") for config in configs]
    train_multi_run(undisturbed)
    killed = [replace(config, epochs=8) for config in configs]
    # Killed in the fourth epoch, when the first of three runs has it noted.
    note = "beyond_spectrograms.training.multi_run:TrainingState.note"
    kill_training_in(note, 10, "training.multi_run.train_multi_run", killed, tmp_path)
    checkpoint = killed[0].work / "multi_run.checkpoint.pt"
    assert len(torch.load(checkpoint, weights_only=True)["states"][0]["history"]) == 3
    assert not any(is_finished(config) for config in killed)
    train_multi_run(killed)
    for config, same in zip(killed, undisturbed, strict=True):
        assert read_history(config) == read_history(same)
        assert all(torch.equal(value, weights(same)[name]) for name, value in weights(config).items())
    assert not checkpoint.exists()
