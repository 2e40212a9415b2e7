"""The runs of a protocol, and one training loop for all: a protocol is data (params.yaml), never a branch of code.

On the CPU each run is trained on one thread, so that its result does not depend on how many cores there are, and as
many runs side by side as there are cores, or workers of a cluster. On a GPU runs of a protocol are trained at once
(multi_run.py), or one after another where their classifier has a trainer of its own that moves them there. All others
are trained on the CPU.
"""

import time
from contextlib import nullcontext
from itertools import groupby
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.classifiers.zero_shot import class_vectors
from beyond_spectrograms.data.windows import columns_of, deal_labels, map_features, parts_of_run
from beyond_spectrograms.params import Params, Protocol
from beyond_spectrograms.params.protocols import SEVERAL
from beyond_spectrograms.params.study import WEIGHTS, WEIGHTS_BY
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.training import run
from beyond_spectrograms.training.epoch import Network, choose_precision
from beyond_spectrograms.training.multi_run import count, train_multi_run
from beyond_spectrograms.training.run import RunConfig, TrainingError, TrainingState
from beyond_spectrograms.training.trainers import TRAINERS
from beyond_spectrograms.training.trainers.base import Trainer
from beyond_spectrograms.util.cluster.pieces import note_progress, on_cluster, run_pieces
from beyond_spectrograms.util.machine import choose_device, compute_alike
from beyond_spectrograms.util.progress import counting

WORTH_A_POOL = 4000  # windows over all epochs: a pool of processes takes about as long to start


def targets_of(labels: npt.NDArray[np.str_], protocol: Protocol) -> tuple[tuple[str, ...], run.Targets]:
    """List the classes of labels [windows], and give every window's target.

    That is its class's index [windows]; of several labels 1 for each class that it has, else 0 [windows, classes].
    """
    if protocol.loss is None:
        classes, indices = np.unique(labels, return_inverse=True)
        return tuple(classes.tolist()), indices.astype(np.int64)
    each_class = pd.Series(labels).str.get_dummies(SEVERAL)
    return tuple(each_class.columns), each_class.to_numpy(np.float32)


def are_trained_at_once(protocol: Protocol) -> bool:
    """Say whether a GPU trains a protocol's runs at once (multi_run.py)."""
    return TRAINERS[protocol.classifier] is Trainer and protocol.augment is None and protocol.loss is None


def runs_of_protocol(
    params: Params,
    cell: tuple[str, str, str],
    *,
    features: Path,
    table: pd.DataFrame,
    parts: pd.DataFrame,
    max_epochs: int | None,
    work: Path,
    data: Path = WEIGHTS.parent,
) -> list[RunConfig]:
    """List the runs of a cell: data set, representation and protocol (Params.runs_of).

    `features` is the folder of features, `work` where results go. `table` has a row a window with its `label`,
    `parts` a column a split and fold. Without `max_epochs` the protocol alone decides. `data` holds the weights of the
    representation, whose text tower a protocol with prompts asks for class vectors.

    Raises:
        RepresentationError: the representation has no text tower.
    """
    _, representation, name = cell
    protocol, device = params.protocols[name], choose_device(params.device)
    if not are_trained_at_once(protocol) and not TRAINERS[protocol.classifier].moves:
        device = "cpu"
    record = params.representations[representation]
    codebook_size, stacked = record.codebook_size, record.stacked
    labels = deal_labels(table, protocol.deal_labels)["label"].to_numpy(dtype=str)
    classes, every_target = targets_of(labels, protocol)
    _, bands, frames = map_features(features).shape
    vectors = None
    if protocol.prompts is not None:
        from beyond_spectrograms.data.weights import fetch_encoder  # requests and pooch: no other protocol needs them

        tower = create_representation(representation, record, fetch_encoder(params, representation, data))
        vectors = class_vectors(tower, classes, protocol.prompts)
    network = build_network(protocol, bands, frames, len(classes), codebook_size, stacked=stacked)
    precision = choose_precision(params.training_precision, device)
    if not len(Network.split(network, precision).body):
        precision = "fp32"  # there is no convolution
    runs = params.runs_of(*cell, len(columns_of(protocol.split, parts)))
    dealt = {each: parts_of_run(protocol, parts, table, *each) for each in runs}

    def targets_in(part: npt.NDArray[np.str_], seed: int) -> run.Targets:
        targets = every_target
        if protocol.shuffle_labels:
            targets = run.shuffle_labels(targets, part, seed)
        if protocol.loss is not None:
            return np.where(part[:, None] == "test", np.float32(np.nan), targets)
        return np.where(part == "test", -1, targets)

    return [
        RunConfig(
            features=features,
            targets=targets_in(part, seed),
            parts=part,
            classes=classes,
            codebook_size=codebook_size,
            protocol=protocol,
            epochs=min(protocol.epochs, max_epochs or protocol.epochs),
            fold=fold,
            seed=seed,
            device=device,
            work=work,
            precision=precision,
            versions={noun: params.versions[noun] for noun in WEIGHTS_BY},
            stacked=stacked,
            class_vectors=vectors,
        )
        for (fold, seed), part in dealt.items()
    ]


def train_all(configs: list[RunConfig]) -> None:
    """Train every run not finished yet, of one protocol or of several; results are its first two `result_files`.

    Raises:
        TrainingError: a result is not this run's.
    """
    todo = [config for config in configs if not run.is_finished(config, report_damage=True)]
    total = sum(config.epochs for config in configs)
    finished = total - sum(config.epochs for config in todo)
    epochs_done: Synchronized[int] = get_context("spawn").Value("i", finished)
    # Read without its lock, which a process that is ended may hold.
    following = counting("train, epochs", total, lambda: int(epochs_done.get_obj().value))
    with nullcontext() if on_cluster() else following:
        on_gpu, others = ([config for config in todo if (config.device == "cuda") is gpu] for gpu in (True, False))
        for protocol, of_protocol in groupby(on_gpu, lambda config: config.protocol):
            if are_trained_at_once(protocol):
                train_multi_run(list(of_protocol), epochs_done)
            else:
                for config in of_protocol:
                    train(config, epochs_done)
        run_pieces(
            train,
            others,
            called="train",
            names=["/".join([*config.work.parts[-2:], config.name]) for config in others],
            here=sum(config.epochs * (config.parts == "train").sum() for config in others) < WORTH_A_POOL,
            bar=False,
            begin=_take_counter,
            given=(epochs_done,),
        )
    if strange := [config.name for config in configs if not run.is_finished(config)]:
        raise TrainingError(
            f"{configs[0].work}: {', '.join(strange)} belongs to other params or versions than this run's: another "
            "training wrote there meanwhile. Run the stage again."
        )


_counter: "Synchronized[int] | None" = None


def _take_counter(counter: "Synchronized[int]") -> None:
    global _counter  # noqa: PLW0603  how multiprocessing hands shared memory to its workers
    _counter = counter


def train(config: RunConfig, epochs_done: "Synchronized[int] | None" = None) -> None:
    """Train one run by itself, from its checkpoint if there is one, and write its result."""
    compute_alike(config.device)
    features = map_features(config.features)
    fingerprint, began = config.fingerprint(), time.perf_counter()
    checkpoint = run.Checkpoint(config.work / f"{config.name}.checkpoint.pt", [fingerprint])
    trainer = TRAINERS[config.protocol.classifier](config, features)
    best = last = _copy_weights(trainer.network)
    state = TrainingState()
    if saved := checkpoint.load():
        learned, (state,) = saved
        trainer.load(learned["trainer"])
        best, last = learned["best"], _copy_weights(trainer.network)
    while not state.is_over(config) and not trainer.is_over():
        keep = state.note(config, *trainer.epoch())
        if state.diverged_at_epoch is None:
            last = _copy_weights(trainer.network)
        best = last if keep else best
        state.seconds += time.perf_counter() - began
        began = time.perf_counter()
        count(epochs_done or _counter, 1)
        note_progress()
        if checkpoint.is_due() and state.diverged_at_epoch is None:
            checkpoint.save({"trainer": trainer.state(), "best": best}, [state])
            began = time.perf_counter()
    run.write_result(config, state, best, fingerprint, trainer.columns, last=last)
    checkpoint.remove()


def _copy_weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    layout = torch.contiguous_format  # safetensors stores no other
    return {key: value.detach().clone(memory_format=layout) for key, value in network.state_dict().items()}
