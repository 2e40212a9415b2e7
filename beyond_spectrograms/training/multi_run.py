"""All runs of a cell trained at once on one device, each with its own order of batches and its own rows.

**Never run on a GPU**: none was at hand. There a step is captured once as a graph and replayed (the few lines under
`device.type == "cuda"`). All else here and in stacked_weights.py is tested on the CPU, against each run trained alone.
"""

import math
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized

import numpy as np
import torch
from torch import Tensor

from beyond_spectrograms.data.windows import map_features
from beyond_spectrograms.training import run
from beyond_spectrograms.training.epoch import Outcome, Rows, keep_near
from beyond_spectrograms.training.run import Checkpoint, RunConfig, TrainingState, rows_of
from beyond_spectrograms.training.stacked_weights import StackedWeights
from beyond_spectrograms.util.machine import compute_alike

SHARE_OF_MEMORY = 0.5  # of the GPU's free memory that the features may take; beyond, batches are read from the file


def free_bytes(device: torch.device) -> float:
    """Free memory of a GPU; on the CPU, where the file's map is shared by all anyway, no limit is set."""
    return torch.cuda.mem_get_info()[0] if device.type == "cuda" else math.inf


class Data:
    """Features on the device as they are stored, where they fit, else read from the mapped file batch by batch."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self.stored = map_features(config.features)
        self._device = device
        self._held: Tensor | None = None
        if self.stored.nbytes <= SHARE_OF_MEMORY * free_bytes(device):
            held = torch.empty(self.stored.shape, dtype=torch.from_numpy(self.stored[:1].copy()).dtype, device=device)
            for first in range(0, len(held), 1024):
                held[first : first + 1024] = torch.from_numpy(self.stored[first : first + 1024].copy())
            self._held = held
        else:
            print(f"{config.features}: {self.stored.nbytes} bytes do not fit on {device}; read batch by batch")

    def keep_near(self, order: Tensor, rows: Rows) -> Tensor:
        """Change an order of `rows` where they are read from shards, as epoch.keep_near does."""
        return order if self._held is not None else keep_near(order, rows, self.stored)

    def windows(self, rows: Tensor) -> Tensor:
        """Give the windows of rows [runs, batch] as [runs, batch, bands, frames]."""
        if self._held is not None:
            return self._held[rows]
        return torch.from_numpy(self.stored[rows.cpu().numpy()]).to(self._device)


class Pass:
    """One way through a part for all runs: batches of equal size, padded; on a GPU its step is a captured graph."""

    def __init__(
        self, stacked: StackedWeights, data: Data, configs: list[RunConfig], rows: list[Rows], *, learn: bool
    ) -> None:
        device = stacked.device
        self._stacked, self._data, self._learn = stacked, data, learn
        self._counts = torch.tensor([len(mine) for mine in rows])
        self._batch = min(configs[0].protocol.batch_size, int(self._counts.max()))
        self._rows = [torch.from_numpy(mine) for mine in rows]
        self._targets = torch.from_numpy(np.stack([config.targets for config in configs])).to(device)
        self._training = learn or configs[0].protocol.dropout_at_evaluation
        self._totals = torch.zeros(len(configs), 2, dtype=torch.float64, device=device)
        self._captured: tuple[list[Tensor], Callable[[], None]] | None = None

    def run(self, orders: list[Tensor], running: list[bool]) -> list[Outcome]:
        """Go over orders [runs][windows] of the rows; gives accuracy and loss of each run. Others than running rest."""
        longest, device = int(self._counts.max()), self._stacked.device
        places = torch.zeros(len(orders), -(-longest // self._batch) * self._batch, dtype=torch.long)
        counted = torch.zeros(places.shape)
        for number, order in enumerate(orders):
            places[number, : len(order)] = self._rows[number][order]
            counted[number, : len(order)] = float(running[number])
        places, counted = places.to(device), counted.to(device)
        self._stacked.module.train(self._training)
        self._totals.zero_()
        for rows, count in zip(places.split(self._batch, 1), counted.split(self._batch, 1), strict=True):  # type: ignore[no-untyped-call]
            self._step((self._data.windows(rows), self._targets.gather(1, rows), count))
        sums = self._totals.cpu() / self._counts[:, None]
        return [(right, loss) for loss, right in sums.tolist()]

    def _step(self, batch: tuple[Tensor, Tensor, Tensor]) -> None:
        if self._stacked.device.type == "cuda":
            self._captured = self._captured or self._capture(batch)
            inputs, replay = self._captured
            for mine, value in zip(inputs, batch, strict=True):
                mine.copy_(value)
            replay()
        else:
            self._stacked.run_step(*batch, self._totals, learn=self._learn)

    def _capture(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[list[Tensor], Callable[[], None]]:
        """Capture the step as a CUDA graph on copies of the batch; warmed up by steps that count no window.

        As https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs asks: warm up on another stream first.
        """
        windows, targets, counted = (value.clone() for value in batch)
        stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        nothing = torch.zeros_like(counted)
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._stacked.run_step(windows, targets, nothing, self._totals, learn=self._learn)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph):
            self._stacked.run_step(windows, targets, counted, self._totals, learn=self._learn)
        return [windows, targets, counted], graph.replay


def train_multi_run(configs: list[RunConfig], epochs_done: "Synchronized[int] | None" = None) -> None:
    """Train runs of one cell at once on their device, from a checkpoint if there is one, and write their results."""
    device, rows = torch.device(configs[0].device), [rows_of(config) for config in configs]
    fingerprints = [config.fingerprint() for config in configs]
    compute_alike(device.type)
    data = Data(configs[0], device)
    networks, orders = [], []
    for config, mine in zip(configs, rows, strict=True):
        networks.append(run.seeded_network(config, data.stored, mine["train"]))
        orders.append(torch.Generator().set_state(torch.get_rng_state()))  # as the run alone would go on drawing
    weights = [run.class_weights_of(config, mine["train"]) for config, mine in zip(configs, rows, strict=True)]
    ones = torch.ones(len(configs[0].classes))  # change no loss by a bit
    stacked = StackedWeights(networks, configs[0], torch.stack([ones if mine is None else mine for mine in weights]))
    checkpoint = Checkpoint(configs[0].work / "multi_run.checkpoint.pt", fingerprints)
    states = [TrainingState() for _ in configs]
    if saved := checkpoint.load():
        learned, states = saved
        stacked.load(learned["stacked"])
        for generator, order in zip(orders, learned["orders"], strict=True):
            generator.set_state(order)
    training, validation = (
        Pass(stacked, data, configs, [mine[part] for mine in rows], learn=part == "train")
        for part in ("train", "validation")
    )
    straight = [torch.arange(len(mine["validation"])) for mine in rows]
    shuffle, began = configs[0].protocol.shuffle_each_epoch, time.perf_counter()
    while not all(over := [state.is_over(config) for state, config in zip(states, configs, strict=True)]):
        running = [not ended for ended in over]
        shuffled = [
            data.keep_near(
                torch.randperm(len(mine["train"]), generator=each) if shuffle else torch.arange(len(mine["train"])),
                mine["train"],
            )
            for mine, each in zip(rows, orders, strict=True)
        ]
        results = zip(training.run(shuffled, running), validation.run(straight, running), strict=True)
        outcomes = list(zip(configs, states, running, results, strict=True))
        chosen = [state.note(config, *result) if runs else False for config, state, runs, result in outcomes]
        going = [runs and state.diverged_at_epoch is None for _, state, runs, _ in outcomes]
        stacked.keep(chosen, going)
        now = time.perf_counter()
        for state, runs in zip(states, running, strict=True):
            state.seconds += (now - began) / sum(running) if runs else 0.0
        began = now
        count(epochs_done, sum(running))
        if checkpoint.is_due():
            learned = {"stacked": stacked.state(), "orders": [generator.get_state() for generator in orders]}
            checkpoint.save(learned, states)
            began = time.perf_counter()
    for number, (config, state, fingerprint) in enumerate(zip(configs, states, fingerprints, strict=True)):
        best, last = (stacked.result_of(number, weights) for weights in (stacked.best, stacked.last))
        run.write_result(config, state, best, fingerprint, (), last=last)
    checkpoint.remove()


def count(epochs_done: "Synchronized[int] | None", epochs: int) -> None:
    """Add to the number of epochs that all processes have done, where somebody asks for it."""
    if epochs_done is not None:
        with epochs_done.get_lock():
            epochs_done.value += epochs
