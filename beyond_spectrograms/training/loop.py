"""One training loop for every protocol: a protocol is data (params.yaml), never a branch of code elsewhere.

On the CPU each run is trained on one thread so that its result does not depend on how many cores there are; as many run
side by side as there are cores. On a GPU all runs train together (together.py), those of a family one after another.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from itertools import groupby
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np

from beyond_spectrograms.classifiers.base import family_of
from beyond_spectrograms.training.multi_run import train_together
from beyond_spectrograms.training.run import (
    CHECKPOINT_SECONDS,
    Course,
    Job,
    TrainingError,
    is_finished,
    tell_damage,
    write_result,
)
from beyond_spectrograms.training.trainers.base import Learner, create_learner
from beyond_spectrograms.util.checkpoints import take_up, write_checkpoint
from beyond_spectrograms.util.progress import counting

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

    import torch

    from beyond_spectrograms.representations.base import Features


@dataclass
class State:
    """Where a run stands; all of it is in the checkpoint."""

    learner: Learner
    best: dict[str, torch.Tensor]
    course: Course


def train_all(jobs: list[Job]) -> None:
    """Train every job not finished yet, of one protocol or of several; results are its first two `result_files`.

    Raises:
        TrainingError: a result is not this run's.
    """
    todo = [job for job in jobs if not is_finished(job)]
    for job in todo:
        tell_damage(job)
    total = sum(job.epochs for job in jobs)
    finished = total - sum(job.epochs for job in todo)
    context = get_context("spawn")
    epochs_done: Synchronized[int] = context.Value("i", finished)
    if jobs[0].device == "cuda":
        with counting("train, epochs", total, lambda: epochs_done.value):
            for protocol, of_protocol in groupby(todo, lambda job: job.protocol):
                if family_of(protocol.classifier) is None:
                    train_together(list(of_protocol), epochs_done)
                else:
                    for job in of_protocol:
                        train(job, epochs_done)
    elif len(todo) < 2:  # a pool of processes takes seconds to start
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
            f"{jobs[0].work}: {', '.join(strange)} belongs to other params or versions than this run's: another "
            "training wrote there meanwhile. Run the stage again."
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


def train(job: Job, epochs_done: Synchronized[int] | None = None) -> None:
    """Train one run by itself, continuing from its checkpoint if there is one, and write its result."""
    import torch

    torch.use_deterministic_algorithms(job.device == "cpu")
    torch.set_num_threads(1)  # the last bits of a sum depend on how many threads share it
    features: Features = np.load(job.features / "features.npy", mmap_mode="r")
    mark, began = job.mark(), time.perf_counter()
    state = _begin(job, create_learner(job, features), mark)
    course, learner = state.course, state.learner
    saved = time.perf_counter()
    while not course.is_over(job) and not learner.is_over():
        if course.note(job, *learner.epoch()):
            state.best = _copy_weights(learner.network)
        course.seconds += time.perf_counter() - began
        began = time.perf_counter()
        if epochs_done is not None:
            with epochs_done.get_lock():
                epochs_done.value += 1
        if time.perf_counter() - saved > CHECKPOINT_SECONDS and course.diverged_at_epoch is None:
            _save_checkpoint(job, state, mark)
            saved = began = time.perf_counter()
    write_result(job, course, state.best, mark)
    _checkpoint(job).unlink(missing_ok=True)


def _begin(job: Job, learner: Learner, mark: str) -> State:
    """Start with the learner given, or from the checkpoint of a killed run with the same mark."""
    import torch

    state = State(learner, _copy_weights(learner.network), Course())
    saved = take_up(_checkpoint(job))
    if saved is not None and saved["mark"] == mark:
        learner.load(saved["learner"])
        torch.set_rng_state(saved["random"])
        state.best, state.course = saved["best"], Course(**saved["course"])
    return state


def _copy_weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    import torch

    layout = torch.contiguous_format  # safetensors stores no other
    return {key: value.detach().clone(memory_format=layout) for key, value in network.state_dict().items()}


def _checkpoint(job: Job) -> Path:
    return job.work / f"{job.name}.checkpoint.pt"


def _save_checkpoint(job: Job, state: State, mark: str) -> None:
    import torch

    values = {
        "mark": mark,
        "learner": state.learner.state(),
        "random": torch.get_rng_state(),
        "best": state.best,
        "course": asdict(state.course),
    }
    write_checkpoint(_checkpoint(job), values)
