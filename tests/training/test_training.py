"""The loop: seeds, folds, selection, resuming, and that the test part stays unread."""

import json
import os
import pickle
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from beyond_spectrograms.evaluation.predict import answer_test_part
from beyond_spectrograms.training import loop, run
from beyond_spectrograms.training.loop import train, train_all
from beyond_spectrograms.training.run import RunConfig, TrainingError, is_finished, read_history
from beyond_spectrograms.util.files import read_sealed, take_up, write_checkpoint, write_sealed
from support.common import flip, refusal
from support.numeric import assert_rounded
from support.protocol import PROTOCOL, write_run
from support.repository import Capture, Patch, Start
from support.stopping import interrupt_after, kill_training_in, results_of


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Two classes that differ in level, 60 windows [8 bands, 49 frames]: 36 train, 12 validate, 12 test."""
    rng = np.random.default_rng(0)
    targets = np.arange(60) % 2
    features = rng.standard_normal((60, 8, 49)).astype(np.float32) + targets[:, None, None].astype(np.float32)
    return write_run(tmp_path, features, targets, ["train"] * 36 + ["validation"] * 12 + ["test"] * 12)


@pytest.mark.numeric
def test_balanced_class_weights_are_those_of_scikit_learn_for_the_training_part(config: RunConfig) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    assert run.class_weights_of(config, np.arange(36)) is None
    balanced = config.protocol.model_copy(update={"class_weights": "balanced"})
    rows = np.array([0, 2, 4, 6, 8, 1])
    weights = run.class_weights_of(replace(config, protocol=balanced), rows)
    expected = compute_class_weight("balanced", classes=np.arange(2), y=config.targets[rows])
    assert weights is not None
    assert_rounded(weights, expected, roundings=1)  # computed in float64
    third = replace(config, protocol=balanced, classes=("a", "b", "untrained"))
    assert run.class_weights_of(third, rows).tolist() == [*weights.tolist(), 0.0]


@pytest.mark.numeric
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_seed_gives_the_same_bytes_and_another_others(config: RunConfig, tmp_path: Path, precision: str) -> None:
    config = replace(config, precision=precision)
    again, other = replace(config, work=tmp_path / "again"), replace(config, seed=1, work=tmp_path / "other")
    for each in (config, again, other):
        train(each)
    first, same, others = results_of(config, again, other)
    assert first == same != others
    assert read_history(config) == read_history(again)


def test_jobs_side_by_side_give_what_each_gives_alone(config: RunConfig, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folds = [replace(config, fold=fold) for fold in (1, 2, 3)]
    alone = [replace(each, work=tmp_path / "alone") for each in folds]
    train_all(folds)
    for each in alone:
        train(each)
    torch.set_num_threads(threads)
    assert results_of(*folds) == results_of(*alone)


def test_history_has_a_row_an_epoch_with_means_over_whole_epochs(config: RunConfig) -> None:
    train(config)
    history = read_history(config)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert list(history[0]) == [
        "fold", "seed", "epoch", "training_accuracy", "training_loss", "validation_accuracy", "validation_loss",
    ]  # fmt: skip
    assert all(row["training_accuracy"] * 36 == pytest.approx(round(row["training_accuracy"] * 36)) for row in history)
    assert history[-1]["validation_accuracy"] > 0.9  # the classes are easy to tell apart


def test_each_rule_of_selection_keeps_its_epoch_and_beside_it_the_last(config: RunConfig, tmp_path: Path) -> None:
    hasty = PROTOCOL.model_copy(update={"learning_rate": 0.05})  # overshoots, so that the last epoch is not the best
    rules = ("best_validation_loss", "best_validation_accuracy", "last")
    epochs, weights = [], []
    for rule in rules:
        recipe = hasty.model_copy(update={"select": rule})
        train(each := replace(config, protocol=recipe, epochs=12, work=tmp_path / rule))
        with safe_open(each.work / f"{each.name}.safetensors", framework="pt") as stored:
            epochs.append(json.loads(stored.metadata()["notes"])["epoch"])
        weights.append(load_file(each.work / f"{each.name}.safetensors"))
    history = read_history(each)
    by_loss = min(history, key=lambda row: row["validation_loss"])
    by_accuracy = min(history, key=lambda row: (-row["validation_accuracy"], row["validation_loss"]))
    assert epochs == [by_loss["epoch"], by_accuracy["epoch"], 12]
    assert epochs[0] < 12
    *selected, ended = weights
    for each in selected:
        assert {key.removeprefix("last.") for key in each} == set(ended)
        assert all(torch.equal(each[f"last.{key}"], value) for key, value in ended.items())
    assert not all(torch.equal(selected[0][key], value) for key, value in ended.items())


def test_result_without_weights_of_the_last_epoch_is_trained_anew(config: RunConfig) -> None:
    train(config)
    assert is_finished(config)
    weights, record, _ = config.result_files
    with safe_open(weights, framework="pt") as stored:
        notes = stored.metadata()
    save_file({key: value for key, value in load_file(weights).items() if key[:5] != "last."}, weights, notes)
    write_sealed(record, {**read_sealed(record), "weights_sha256": config.weights_sha256()})
    assert not is_finished(config)


def test_patience_stops_after_that_many_epochs_without_a_better_loss(config: RunConfig) -> None:
    hasty = PROTOCOL.model_copy(update={"learning_rate": 0.05, "patience": 3})
    patient = replace(config, protocol=hasty, epochs=200)
    train(patient)
    losses = [row["validation_loss"] for row in read_history(patient)]
    assert len(losses) == losses.index(min(losses)) + 1 + 3 < 200


def test_dropout_stays_active_at_validation_where_the_protocol_says_so(config: RunConfig, tmp_path: Path) -> None:
    still = PROTOCOL.model_copy(update={"learning_rate": 1e-12, "optimizer": "sgd", "shuffle_each_epoch": False})
    paper = replace(config, protocol=still.model_copy(update={"dropout_at_evaluation": True}))
    clean = replace(config, protocol=still, work=tmp_path / "clean")
    for each in (paper, clean):
        train(each)
    spread = [np.ptp([row["validation_loss"] for row in read_history(each)]) for each in (paper, clean)]
    assert spread[0] > 1e-3
    assert spread[1] < 1e-6  # weights hardly move: only dropout can change the loss


def test_killed_run_continues_and_ends_with_the_same_bytes(config: RunConfig, tmp_path: Path) -> None:
    undisturbed = replace(config, epochs=8, work=tmp_path / "undisturbed")
    train(undisturbed)
    killed = replace(config, epochs=8)
    # Killed after one more epoch, which no checkpoint holds.
    note = "beyond_spectrograms.training.loop:TrainingState.note"
    kill_training_in(note, 4, "training.loop.train", killed, tmp_path)
    checkpoint = killed.work / f"{killed.name}.checkpoint.pt"
    assert len(torch.load(checkpoint, weights_only=True)["states"][0]["history"]) == 3
    assert not is_finished(killed)
    train(killed)
    assert results_of(killed) == results_of(undisturbed)
    assert read_history(killed) == read_history(undisturbed)
    assert not checkpoint.exists()


@pytest.mark.long
def test_training_ends_with_the_process_that_started_it(config: RunConfig, tmp_path: Path, start_python: Start) -> None:
    endless = [replace(config, epochs=1_000_000, fold=fold) for fold in (1, 2)]
    (tmp_path / "configs.pickle").write_bytes(pickle.dumps(endless))
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, pickle, sys, threading, time\n"
        "from beyond_spectrograms.training import loop\n"
        "def tell():\n"
        "    while len(multiprocessing.active_children()) < 2:\n"
        "        time.sleep(0.01)\n"
        "    print(*[child.pid for child in multiprocessing.active_children()], flush=True)\n"
        "if __name__ == '__main__':\n"
        "    threading.Thread(target=tell).start()\n"
        "    loop.train_all(pickle.load(open(sys.argv[1], 'rb')))\n"
    )
    process = start_python(str(script), str(tmp_path / "configs.pickle"))
    assert process.stdout is not None
    workers = process.stdout.readline().split()
    assert len(workers) == 2
    while not all("features.npy" in Path(f"/proc/{pid}/maps").read_text() for pid in workers):
        time.sleep(0.05)  # until they train
    process.kill()
    process.communicate(timeout=300)  # till the last of them that could print has ended


def test_a_result_of_another_training_is_refused(config: RunConfig, monkeypatch: Patch) -> None:
    other = replace(config, epochs=2)
    original = loop.train

    def meddle(mine: RunConfig) -> None:
        original(mine)
        original(replace(other, work=mine.work))

    monkeypatch.setattr(loop, "train", meddle)
    assert refusal(TrainingError, train_all, [config]) == (
        f"{config.work}: fold_1-seed_0 belongs to other params or versions than this run's: another training wrote "
        "there meanwhile. Run the stage again."
    )


@pytest.mark.parametrize("content", [b"junk", pickle.dumps(os.getcwd, protocol=2)])
def test_a_file_that_is_no_checkpoint_is_not_taken_up(
    config: RunConfig, monkeypatch: Patch, capsys: Capture, content: bytes
) -> None:
    checkpoint = interrupt_after(config, 4, monkeypatch)
    checkpoint.write_bytes(content)
    train(config)
    told = f"{checkpoint}: damaged, or not a checkpoint of a training. The run starts anew.\n"
    assert capsys.readouterr().out == told
    assert not checkpoint.exists()
    undisturbed = replace(config, work=config.work.with_name("undisturbed"))
    train(undisturbed)
    assert (results_of(config), read_history(config)) == (results_of(undisturbed), read_history(undisturbed))


def test_no_flipped_byte_of_a_checkpoint_is_overlooked(tmp_path: Path, capsys: Capture) -> None:
    checkpoint, values = tmp_path / "a.checkpoint.pt", {"weights": torch.arange(5.0), "epochs": [1, 2]}
    write_checkpoint(checkpoint, values)
    whole = checkpoint.read_bytes()
    saved = take_up(checkpoint)
    assert saved is not None
    assert (saved["weights"].tolist(), saved["epochs"]) == ([0.0, 1.0, 2.0, 3.0, 4.0], [1, 2])
    assert take_up(tmp_path / "none") is None
    assert capsys.readouterr().out == ""
    for offset in range(0, len(whole), 5):
        flip(checkpoint, offset)
        assert take_up(checkpoint) is None
        checkpoint.write_bytes(whole[:offset])
        assert take_up(checkpoint) is None
        checkpoint.write_bytes(whole)
    told = f"{checkpoint}: damaged, or not a checkpoint of a training. The run starts anew.\n"
    assert capsys.readouterr().out == 2 * len(range(0, len(whole), 5)) * told


@pytest.mark.parametrize("end", ["safetensors", "json"])
def test_a_finished_run_with_a_flipped_byte_is_trained_anew(config: RunConfig, capsys: Capture, end: str) -> None:
    train_all([config])
    [weights], history, record = results_of(config), read_history(config), config.work / f"{config.name}.json"
    train_all([config])
    assert capsys.readouterr().out == ""
    offset = len(weights) - 3
    if end == "json":  # a digit of a loss: the record reads as before
        loss = repr(history[3]["validation_loss"])
        offset = record.read_text().index(loss) + len(loss) - 1
        offset -= offset % 8  # so that the lowest bit is flipped
        assert chr(record.read_bytes()[offset]).isdigit()
    flip(config.work / f"{config.name}.{end}", offset)
    assert not is_finished(config)
    train_all([config])
    told = f"{record}: damaged, or not of the weights beside it. The run starts anew.\n"
    assert capsys.readouterr().out == told
    assert (results_of(config), read_history(config)) == ([weights], history)


BROKEN = (b"", b"{", b"[]", b'{"mark": 1}', b"\xff")


def test_a_run_is_finished_only_while_its_files_params_and_features_are_the_same(config: RunConfig) -> None:
    train(config)
    assert is_finished(config)
    batches = PROTOCOL.model_copy(update={"batch_size": 8})
    others = {"epochs": 7, "codebook_size": 16, "precision": "bf16", "versions": {"training": 2}, "protocol": batches}
    others |= {"classes": ("a", "renamed")}
    assert not any(is_finished(replace(config, **{name: other})) for name, other in others.items())
    index, (weights, record, _) = config.features / "index.json", config.result_files
    for path, content in ((index, b'{"sha256": {"key": "other"}}'), (weights, b""), *((record, bad) for bad in BROKEN)):
        whole = path.read_bytes()
        path.write_bytes(content)
        assert not is_finished(config)
        path.write_bytes(whole)
    assert is_finished(config)
    config.result_files[0].unlink()
    assert not is_finished(config)


@pytest.mark.parametrize(("learning_rate", "batch_size"), [(1e30, 16), (1e38, 36)])
@pytest.mark.parametrize("select", ["last", "best_validation_loss"])
def test_a_diverging_run_ends_with_the_last_finite_weights_and_says_so(
    config: RunConfig, capsys: Capture, select: str, learning_rate: float, batch_size: int
) -> None:
    # With one batch an epoch the training loss is that of the weights before the step that blows them up.
    changes = {"optimizer": "sgd", "learning_rate": learning_rate, "batch_size": batch_size, "select": select}
    wild = replace(config, protocol=PROTOCOL.model_copy(update=changes))
    train(wild)
    printed = capsys.readouterr().out
    assert printed.startswith("fold_1-seed_0: diverged at epoch 1 (training loss ")
    assert printed.endswith(", validation loss nan); keeps epoch 0\n")
    assert (run.read_outcome(wild)[1], read_history(wild)) == (1, [])
    assert all(torch.isfinite(weight).all() for weight in load_file(wild.result_files[0]).values())


def test_batches_mix_the_classes_of_a_sorted_table_in_an_order_of_each_seed_and_fold(config: RunConfig) -> None:
    parts = np.where(np.arange(60) % 5 < 3, "train", "validation")
    mixed = replace(config, targets=np.sort(config.targets), parts=parts)
    orders = [run.rows_of(each)["train"] for each in (mixed, replace(mixed, fold=2), replace(mixed, seed=1))]
    for order in orders:
        assert np.array_equal(np.sort(order), np.flatnonzero(parts == "train"))
        assert all(set(mixed.targets[batch]) == {0, 1} for batch in np.split(order, 4))
    assert len({order.tobytes() for order in orders}) == 3


def test_answers_to_other_sounds_are_not_kept_though_the_weights_trained_anew_are_the_same(
    config: RunConfig, tmp_path: Path
) -> None:
    weights, _, answers = config.result_files
    train(config)
    answer_test_part([config], np.load(config.features / "features.npy"))
    before = weights.read_bytes(), answers.read_bytes()
    features = np.load(config.features / "features.npy")
    features[48:] += 3  # of the test part alone
    changed = write_run(tmp_path / "changed", features, config.targets, config.parts.tolist())
    (changed.features / "index.json").write_text('{"sha256": "of other rows"}')
    changed = replace(changed, work=config.work)
    assert not is_finished(changed)
    train(changed)
    answer_test_part([changed], features)
    assert weights.read_bytes() == before[0]
    assert answers.read_bytes() != before[1]
    elsewhere = replace(changed, work=tmp_path / "elsewhere")
    elsewhere.work.mkdir()
    elsewhere.result_files[2].write_bytes(before[1])
    answers.unlink()
    run.keep_finished([elsewhere], changed.work)  # one that was killed before it answered
    assert is_finished(elsewhere)
    assert not elsewhere.result_files[2].exists()
