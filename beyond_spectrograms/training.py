"""One training loop for every protocol: a protocol is data (params.yaml), never a branch of code elsewhere.

Each fold and seed is one `Job`, trained on one thread so that its result does not depend on how many cores there are;
on the CPU as many jobs run side by side as there are cores.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import numpy.typing as npt

from beyond_spectrograms.checkpoints import UnreadableError, read_checkpoint
from beyond_spectrograms.classifiers import build_network
from beyond_spectrograms.epochs import Network, Part, band_statistics, run_epoch
from beyond_spectrograms.errors import ProjectError
from beyond_spectrograms.files import write_json, written_beside
from beyond_spectrograms.progress import counting

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

    import torch

    from beyond_spectrograms.params import Protocol
    from beyond_spectrograms.representations.base import Features

CHECKPOINT_SECONDS = 30.0  # what a killed run loses at most, per job
CODE = ("classifiers.py", "epochs.py", "training.py")  # what decides a result, of this package
HISTORY_COLUMNS = ("epoch", "training_accuracy", "training_loss", "validation_accuracy", "validation_loss")


class TrainingError(ProjectError):
    """What a killed run left cannot be used, or another run meddled; the message says what to do."""


@dataclass(frozen=True)
class Job:
    """One classifier to train.

    Attributes:
        features: folder with features.npy [windows, bands, frames].
        targets: class index of every window [windows].
        parts: part of every window [windows]: train, validation, test or empty. Test rows are never read here.
        classes: labels by class index.
        codebook_size: entries of a codebook where the features are a codec's codes, else None.
        precision: of the convolutions, fp32 or bf16; weights, optimizer and loss are always fp32.
        work: folder for this job's checkpoint and result.
    """

    features: Path
    targets: npt.NDArray[np.int64]
    parts: npt.NDArray[np.str_]
    classes: tuple[str, ...]
    codebook_size: int | None
    protocol: Protocol
    epochs: int
    fold: int
    seed: int
    device: str
    work: Path
    precision: str = "fp32"

    @property
    def name(self) -> str:
        """File name of its result, without suffix."""
        return f"fold_{self.fold}-seed_{self.seed}"

    def mark(self) -> str:
        """Digest all that decides the result: what a killed run left is only continued under the same mark."""
        import torch

        code = [(Path(__file__).parent / name).read_bytes() for name in CODE]
        digest = hashlib.sha256(b"".join(code) + (self.features / "index.json").read_bytes())
        used = np.where(self.parts == "test", "", self.parts)
        digest.update(self.targets.tobytes() + "\n".join(used).encode())
        run = (self.codebook_size, self.epochs, self.fold, self.seed, self.device, self.precision, torch.__version__)
        digest.update(repr((self.protocol.model_dump(), run)).encode())
        return digest.hexdigest()


@dataclass
class State:
    """Where a job stands; all of it is in the checkpoint but `diverged_at_epoch`, after which there is none."""

    network: torch.nn.Sequential
    optimizer: torch.optim.Optimizer
    best: dict[str, torch.Tensor]
    best_epoch: int = 0
    best_loss: float = math.inf
    history: list[list[float]] = field(default_factory=list)
    seconds: float = 0.0
    diverged_at_epoch: int | None = None


def train_all(jobs: list[Job]) -> None:
    """Train every job not finished yet; results lie in job.work/<job.name>.safetensors and .json.

    Raises:
        TrainingError: a checkpoint cannot be used, or a result is not this run's.
    """
    todo = [job for job in jobs if not is_finished(job)]
    total = sum(job.epochs for job in jobs)
    finished = total - sum(job.epochs for job in todo)
    context = get_context("spawn")
    epochs_done: Synchronized[int] = context.Value("i", finished)
    if jobs[0].device == "cuda" or len(todo) < 2:  # a pool of processes takes seconds to start
        with counting("train, epochs", total, lambda: epochs_done.value):
            for job in todo:
                train(job, epochs_done)
    else:
        workers = min(len(todo), joblib.cpu_count())
        with (
            counting("train, epochs", total, lambda: epochs_done.value),
            ProcessPoolExecutor(workers, context, initializer=_begin_worker, initargs=(epochs_done,)) as pool,
        ):
            futures = [pool.submit(_train_in_worker, job) for job in todo]
            done, pending = wait(futures, return_when=FIRST_EXCEPTION)
            for future in pending:
                future.cancel()
            for future in done:
                future.result()
    if strange := [job.name for job in jobs if not is_finished(job)]:
        raise TrainingError(
            f"{jobs[0].work}: {', '.join(strange)} belongs to other params or code than this run's: another training "
            "wrote there meanwhile. Run the stage again."
        )


_counter: Synchronized[int] | None = None


def _begin_worker(counter: Synchronized[int]) -> None:
    global _counter  # noqa: PLW0603  how multiprocessing hands shared memory to its workers
    _counter = counter
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it was killed: nobody would take its results."""
    parent = parent_process()
    assert parent is not None  # only workers come here
    connection.wait([parent.sentinel])
    os._exit(1)


def _train_in_worker(job: Job) -> None:
    train(job, _counter)


def is_finished(job: Job) -> bool:
    """Say whether the job's result is there, made from the same data, params and code."""
    record = job.work / f"{job.name}.json"
    return record.exists() and json.loads(record.read_text(encoding="utf-8"))["mark"] == job.mark()


def train(job: Job, epochs_done: Synchronized[int] | None = None) -> None:
    """Train one job, continuing from its checkpoint if there is one, and write its result."""
    import torch
    from safetensors.torch import save_file

    torch.use_deterministic_algorithms(job.device == "cpu")
    torch.set_num_threads(1)  # the last bits of a sum depend on how many threads share it
    features: Features = np.load(job.features / "features.npy", mmap_mode="r")
    rows = {part: np.flatnonzero(job.parts == part) for part in ("train", "validation")}
    # The table is sorted by class: without an order of its own, a protocol that does not shuffle each epoch would train
    # on batches of one or two classes.
    rows["train"] = np.random.default_rng([job.seed, job.fold]).permutation(rows["train"])
    mark = job.mark()
    state = _begin(job, features, rows["train"], mark)
    began = time.perf_counter()
    network = Network.split(state.network, job.precision)
    train_part, validation_part = (Part(network, features, job.targets, rows[part]) for part in rows)
    state.seconds += time.perf_counter() - began
    saved = time.perf_counter()
    for epoch in range(len(state.history) + 1, job.epochs + 1):
        if job.protocol.patience is not None and epoch - 1 - state.best_epoch >= job.protocol.patience:
            break
        began = time.perf_counter()
        shuffle = torch.randperm if job.protocol.shuffle_each_epoch else torch.arange
        state.network.train()
        training = run_epoch(network, train_part, shuffle(len(train_part)), job.protocol.batch_size, state.optimizer)
        state.network.train(job.protocol.dropout_at_evaluation)
        validation = run_epoch(
            network, validation_part, torch.arange(len(validation_part)), job.protocol.batch_size, None
        )
        if not math.isfinite(training[1]) or not math.isfinite(validation[1]):
            # A finding about the recipe, not a fault: the run ends here with the last weights that were selected.
            losses = f"training loss {training[1]}, validation loss {validation[1]}"
            print(f"{job.name}: diverged at epoch {epoch} ({losses}); keeps epoch {state.best_epoch}")
            state.diverged_at_epoch = epoch
            break
        state.history.append([epoch, *training, *validation])
        if job.protocol.select == "last" or validation[1] < state.best_loss:
            state.best_loss, state.best_epoch = validation[1], epoch
            state.best = _copy_weights(state.network)
        state.seconds += time.perf_counter() - began
        if epochs_done is not None:
            with epochs_done.get_lock():
                epochs_done.value += 1
        if time.perf_counter() - saved > CHECKPOINT_SECONDS:
            _save_checkpoint(job, state, mark)
            saved = time.perf_counter()
    diverged = state.diverged_at_epoch
    notes = {"epoch": state.best_epoch, "diverged_at_epoch": diverged, "classes": job.classes}
    with written_beside(job.work / f"{job.name}.safetensors") as beside:
        save_file(state.best, beside, metadata={"notes": json.dumps(notes)})  # several keys would come in any order
    record = {"mark": mark, "seconds": state.seconds, "diverged_at_epoch": diverged, "history": state.history}
    write_json(job.work / f"{job.name}.json", record)
    _checkpoint(job).unlink(missing_ok=True)


def _begin(job: Job, features: Features, train_rows: npt.NDArray[np.int64], mark: str) -> State:
    """Seeded start, or the checkpoint of a killed run with the same mark."""
    import torch

    torch.manual_seed(job.seed * 1000 + job.fold)
    bands, frames = features.shape[1:]
    network = build_network(job.protocol, bands, frames, len(job.classes), job.codebook_size)
    if job.protocol.standardize and job.codebook_size is None:
        network[0].mean, network[0].deviation = map(torch.from_numpy, band_statistics(features, train_rows))
    network.to(job.device)
    optimizers: dict[str, Callable[..., torch.optim.Optimizer]] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    optimizer = optimizers[job.protocol.optimizer](network.parameters(), lr=job.protocol.learning_rate, fused=True)
    state = State(network, optimizer, _copy_weights(network))
    if _checkpoint(job).exists():
        try:
            saved = read_checkpoint(_checkpoint(job), job.device)
        except UnreadableError:
            raise TrainingError(
                f"{_checkpoint(job)}: not a checkpoint of a training. Delete it and run the stage again."
            ) from None
        if saved["mark"] == mark:
            network.load_state_dict(saved["network"])
            optimizer.load_state_dict(saved["optimizer"])
            torch.set_rng_state(saved["random"].cpu())
            if job.device == "cuda":
                torch.cuda.set_rng_state(saved["cuda_random"].cpu())
            state.best, state.best_epoch, state.best_loss = saved["best"], saved["best_epoch"], saved["best_loss"]
            state.history, state.seconds = saved["history"], saved["seconds"]
    return state


def _copy_weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    import torch

    return {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in network.state_dict().items()
    }


def _checkpoint(job: Job) -> Path:
    return job.work / f"{job.name}.checkpoint.pt"


def _save_checkpoint(job: Job, state: State, mark: str) -> None:
    import torch

    values = {
        "mark": mark,
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state() if job.device == "cuda" else None,
        "best": state.best,
        "best_epoch": state.best_epoch,
        "best_loss": state.best_loss,
        "history": state.history,
        "seconds": state.seconds,
    }
    with written_beside(_checkpoint(job)) as beside:
        torch.save(values, beside)


def shuffle_labels(targets: npt.NDArray[np.int64], parts: npt.NDArray[np.str_], seed: int) -> npt.NDArray[np.int64]:
    """Deal the labels [windows] of training and validation anew among themselves: a control that must score chance."""
    shuffled, rows = targets.copy(), np.flatnonzero((parts == "train") | (parts == "validation"))
    shuffled[rows] = np.random.default_rng(seed).permutation(targets[rows])
    return shuffled


def read_history(job: Job) -> list[dict[str, Any]]:
    """Read the finished job's learning curve: fold, seed and HISTORY_COLUMNS, one row an epoch."""
    history = json.loads((job.work / f"{job.name}.json").read_text(encoding="utf-8"))["history"]
    rows = (dict(zip(HISTORY_COLUMNS, (int(row[0]), *row[1:]), strict=True)) for row in history)
    return [{"fold": job.fold, "seed": job.seed, **row} for row in rows]


def read_outcome(job: Job) -> tuple[float, int | None]:
    """Read how many seconds the finished job trained, restarts included, and at which epoch it diverged, if it did."""
    record = json.loads((job.work / f"{job.name}.json").read_text(encoding="utf-8"))
    return record["seconds"], record["diverged_at_epoch"]
