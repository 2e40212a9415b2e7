"""A few steps of a training, by the loop that does the whole of it, to foretell the rest."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.estimates.forecasts import MARGIN, Forecast, Rate, Seconds
from beyond_spectrograms.training.loop import train_all
from beyond_spectrograms.training.run import RunConfig, read_history, read_outcome
from beyond_spectrograms.util.memory import memory_can_be_measured, peak_bytes
from beyond_spectrograms.util.progress import quiet

if TYPE_CHECKING:
    from beyond_spectrograms.params import PrototypeSettings

STEPS = 2  # batches of training in an epoch of the pilot
PIECES = 2
PIECE_S = 0.4  # seconds of training a piece should take


@dataclass(frozen=True)
class Pilot:
    """What a pilot measured: one run alone on one core.

    Attributes:
        rate: seconds a window takes that is trained on for one epoch, with its share of validation.
        model_bytes: size of the weights a run leaves.
    """

    rate: Rate
    model_bytes: int


def pilot_training(config: RunConfig) -> Pilot:
    """Train on STEPS batches of the run's windows and their share of validation, and measure what an epoch takes.

    A first training, untimed, pays for imports and first calls. The learning rate is next to nothing, so that no loss
    grows without limit; it changes no time.
    """
    rows = {part: np.flatnonzero(config.parts == part) for part in ("train", "validation")}
    steps = min(len(rows["train"]), STEPS * config.protocol.batch_size)
    share = steps / len(rows["train"])
    parts = np.full(len(config.parts), "", dtype=config.parts.dtype)
    for part, of_part in rows.items():
        parts[_spread(of_part, max(1, round(share * len(of_part))))] = part
    protocol, least = config.protocol.model_copy(update={"learning_rate": 1e-12, "patience": None}), 1
    if protocol.prototypes is not None:  # later steps of the curriculum take longer: one epoch of each
        curriculum = protocol.prototypes.model_copy(update={"step_epochs": 1, "warm_up": 0})
        protocol, least = protocol.model_copy(update={"prototypes": curriculum}), curriculum_steps(curriculum)
    with tempfile.TemporaryDirectory() as folder, quiet(), contextlib.redirect_stdout(io.StringIO()):

        def train(number: int, epochs: int) -> RunConfig:
            work = Path(folder, str(number))
            pilot = replace(config, parts=parts, protocol=protocol, epochs=epochs, work=work)
            work.mkdir(parents=True, exist_ok=True)
            train_all([pilot])
            return pilot

        def rate(pilot: RunConfig) -> float:
            return read_outcome(pilot)[0] / (len(read_history(pilot)) * steps)

        first = train(0, least)
        epochs = max(least, round(PIECE_S / (rate(first) * steps)))
        rates = [rate(train(number, epochs)) for number in range(1, 1 + PIECES)]
        return Pilot(Rate(min(rates), max(rates)), (first.work / f"{first.name}.safetensors").stat().st_size)


def foretell_runs(configs: Sequence[RunConfig], side_by_side: int, length_s: float) -> Forecast:
    """Foretell all epochs of runs that are to be trained; those of one network are calibrated by one pilot."""
    pilots: dict[tuple[object, ...], Pilot] = {}
    seconds, windows, size = Seconds(0, 0), 0, 0
    for protocol, of_protocol in groupby(configs, lambda config: config.protocol):
        mine = list(of_protocol)
        key = (protocol.classifier, repr(protocol.prototypes), protocol.optimizer, mine[0].precision)
        if key not in pilots:
            pilots[key] = pilot_training(mine[0])
        of_runs = [int((config.parts == "train").sum()) for config in mine]
        seconds += foretell_training(pilots[key].rate, of_runs, mine[0].epochs, min(len(mine), side_by_side))
        windows += sum(of_runs) * mine[0].epochs
        size += pilots[key].model_bytes * len(mine)
    memory = peak_bytes() * side_by_side if memory_can_be_measured() else None
    return Forecast(windows, windows * length_s, seconds, size, memory)


def curriculum_steps(settings: PrototypeSettings) -> int:
    """Count the steps in which prototypes are learned (prototypes/learning.py), each of `step_epochs` at most."""
    temperature = settings.supervised and settings.cross_entropy > 0
    return 2 + len(settings.transformations) + temperature  # the raw prototypes first, and last a lower rate


def foretell_training(pilot: Rate, windows: Sequence[int], epochs: int, side_by_side: int) -> Seconds:
    """Foretell the wall time of runs of `epochs` over so many training `windows` each, `side_by_side` at a time.

    Runs side by side share caches and memory: the range reaches from no hindrance to MARGIN more, beside its own.
    """
    ends = [0.0] * side_by_side
    for run in sorted(windows, reverse=True):
        ends[ends.index(min(ends))] += run * epochs
    seconds = pilot.seconds(max(ends))
    return Seconds(seconds.low, seconds.high * (1 + MARGIN if min(side_by_side, len(windows)) > 1 else 1))


def _spread(rows: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Choose `count` of the rows, evenly."""
    chosen: npt.NDArray[np.int64] = rows[np.linspace(0, len(rows) - 1, count).astype(int)]
    return chosen
