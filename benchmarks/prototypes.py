"""Training of prototypes that can be heard, in the last step of the curriculum, beside the plain way."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from joblib import cpu_count

from benchmarks.harness import SEEDS, Spent, TimedPath, Way, now
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.util.machine import compute_alike

if TYPE_CHECKING:
    from beyond_spectrograms.params import Params
    from beyond_spectrograms.training.trainers.prototypes import PrototypeTrainer

SHAPE = (128, 32)  # bands, frames of log_mel_16khz
TRAINING, VALIDATION = 256, 64  # windows: two batches, and what a run validates beside them


class PrototypeTraining(TimedPath):
    """An epoch of two runs of supervised prototypes, with all their transformations.

    Ours train side by side, a thread each, as `train_all` lets them; the plain way one after the other on all cores.
    """

    unit = "windows trained on"

    def __init__(self, prototypes: int, params: Params, folder: Path) -> None:
        """Make both ways ready, of `prototypes` classes with a prototype each."""
        import torch

        from benchmarks.plain_prototypes import PlainPrototypeTraining, plain_copy

        self.units = float(TRAINING * len(SEEDS))
        windows = TRAINING + VALIDATION
        folder = folder / f"prototypes_{prototypes}"
        folder.mkdir()
        # Decibels as of sound: how long the arithmetic takes hardly depends on values.
        features = np.random.default_rng(0).normal(-30, 20, (windows, *SHAPE)).astype(np.float32)
        np.save(folder / "features.npy", features)
        targets = np.arange(windows) % prototypes
        parts = np.array(["train"] * TRAINING + ["validation"] * VALIDATION)
        recipe = params.protocols["prototypes"]
        assert recipe.prototypes is not None  # of all protocols, it names them
        endless = recipe.prototypes.model_copy(update={"warm_up": 10**9})  # so that the last step does not end
        protocol = recipe.model_copy(update={"prototypes": endless})
        classes = tuple(str(number) for number in range(prototypes))
        settings = (folder, targets, parts, classes, None, protocol, 1, 1)
        configs = [RunConfig(*settings, seed, "cpu", folder, versions={}) for seed in SEEDS]
        spawn = get_context("spawn")
        self._workers = [ProcessPoolExecutor(1, spawn, _begin, (config,)) for config in configs]
        networks = [plain_copy(make_trainer(config).layer, SHAPE[0]) for config in configs]
        self._plain = [PlainPrototypeTraining(protocol, network) for network in networks]
        both = torch.from_numpy(features), torch.from_numpy(targets)
        self._training, self._validation = (
            (both[0][rows], both[1][rows]) for rows in (slice(TRAINING), slice(TRAINING, windows))
        )

    def run(self, way: Way) -> Spent:
        """Train every run for an epoch."""
        import torch

        began, elsewhere = now(), 0.0
        if way == "ours":
            elsewhere = sum(future.result() for future in [worker.submit(_epoch) for worker in self._workers])
        else:
            # What another path may have set in this process.
            torch.set_num_threads(cpu_count())
            torch.use_deterministic_algorithms(False)
            for plain in self._plain:
                plain.epoch(self._training, self._validation)
        spent = now() - began
        return Spent(spent.wall, spent.processor + elsewhere)


def make_trainer(config: RunConfig) -> PrototypeTrainer:
    """Make a run ready that stands in the last step of the curriculum, where all is learned."""
    from beyond_spectrograms.training.trainers.prototypes import PrototypeTrainer

    trainer = PrototypeTrainer(config, np.load(config.features / "features.npy"))
    trainer.load({**trainer.state(), "curriculum": (len(trainer.steps) - 1, 0, 0, 0, float("inf"))})
    return trainer


_trainers: list[PrototypeTrainer] = []  # of a worker


def _begin(config: RunConfig) -> None:
    """Get ready as `training.train` does."""
    compute_alike("cpu")
    _trainers.append(make_trainer(config))


def _epoch() -> float:
    """Train for an epoch; gives processor seconds."""
    began = time.process_time()
    _trainers[0].epoch()
    return time.process_time() - began
