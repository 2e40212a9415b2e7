"""What `dvc repro` would take for every cell, by arithmetic on counts and calibrated rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.estimate.cells import STAGES, Cell, Recipe, recipe_of
from benchmarks.estimate.counts import Counts
from beyond_spectrograms.estimates.forecasts import Forecast, Rate, Seconds, amount
from beyond_spectrograms.estimates.pilot_training import Pilot, curriculum_steps, foretell_training
from beyond_spectrograms.report.table import Row, Table, text

if TYPE_CHECKING:
    from beyond_spectrograms.params import Params, Protocol

Shape = tuple[int, int]  # bands, frames


@dataclass(frozen=True)
class Encoded:
    """A representation, calibrated: `shape` of a window and seconds a window; no `rate` where it could not be run."""

    shape: Shape
    rate: Rate | None
    memory_bytes: int | None


@dataclass(frozen=True)
class Trained:
    """A classifier on windows of one shape: training, and memory of a process."""

    pilot: Pilot
    memory_bytes: int | None


@dataclass(frozen=True)
class Calibration:
    """What was measured here and now.

    Attributes:
        start_s: seconds each stage's process takes to start, by stage.
        resample, split: seconds a second of sound takes.
        clip_bytes_per_s: bytes of stored clips for a second of sound.
        encoded: by representation.
        trained: by recipe.
        memory_bytes: of resample and split.
        cores: processes that train side by side.
    """

    start_s: Mapping[str, float]
    resample: Rate
    split: Rate
    clip_bytes_per_s: float
    encoded: Mapping[str, Encoded] = field(default_factory=dict)
    trained: Mapping[Recipe, Trained] = field(default_factory=dict)
    memory_bytes: int | None = None
    cores: int = 1


@dataclass(frozen=True)
class Foretold:
    """A cell; `forecast` is None where nothing can be told before the data is here."""

    cell: Cell
    forecast: Forecast | None


def foretell_grid(
    params: Params,
    cells: Iterable[Cell],
    counts: Mapping[str, Counts | None],
    measured: Calibration,
) -> Iterator[Foretold]:
    """Foretell cells; `counts` are by data set."""
    for cell in cells:
        known = counts[cell.dataset]
        forecast = None if known is None else _foretell(params, measured, cell, known)
        yield Foretold(cell, forecast)


def _foretell(params: Params, measured: Calibration, cell: Cell, known: Counts) -> Forecast:
    if cell.stage in ("resample", "split"):
        return _of_sound(params, measured, cell.stage, known)
    if cell.stage == "featurize":
        return _featurize(params, measured, cell.axes[1], known)
    protocol, trained = params.protocols[cell.axes[2]], measured.trained[recipe_of(params, cell)]
    epochs = most_epochs(protocol, params.datasets[cell.dataset].max_epochs)
    return _train(params, measured, trained, protocol, known, epochs=epochs)


def most_epochs(protocol: Protocol, cap: int | None) -> int:
    """Say how many epochs a run takes at most: the protocol's, the data set's `cap`, or those of the curriculum."""
    limits, settings = [protocol.epochs, cap], protocol.prototypes
    if settings is not None and settings.step_epochs is not None:
        limits.append(settings.step_epochs * curriculum_steps(settings))
    return min(limit for limit in limits if limit)


def feature_bytes(windows: int, shape: Shape, itemsize: int) -> int:
    """Size of an array of features [windows, bands, frames] of numbers of `itemsize` bytes."""
    return windows * shape[0] * shape[1] * itemsize


def _of_sound(params: Params, measured: Calibration, stage: str, known: Counts) -> Forecast:
    """Foretell resample or split, which go through the clips once."""
    rate = measured.resample if stage == "resample" else measured.split
    seconds = _spread(rate.seconds(known.audio_s), known) + _start(stage, measured)
    disk = round(known.audio_s * measured.clip_bytes_per_s) if stage == "resample" else 0
    return Forecast(known.windows, known.windows * params.windows.length_s, seconds, disk, measured.memory_bytes)


def _featurize(params: Params, measured: Calibration, name: str, known: Counts) -> Forecast:
    encoded, sound = measured.encoded[name], known.windows * params.windows.length_s
    seconds = None
    if encoded.rate is not None:
        seconds = _spread(encoded.rate.seconds(known.windows), known) + _start("featurize", measured)
    size = feature_bytes(known.windows, encoded.shape, np.dtype(params.features.dtype).itemsize)
    return Forecast(known.windows, sound, seconds, size, encoded.memory_bytes)


def _train(
    params: Params, measured: Calibration, trained: Trained, protocol: Protocol, known: Counts, *, epochs: int
) -> Forecast:
    """Foretell all runs of a cell; its windows are those of all runs and epochs."""
    of_runs = [train for train, _, _ in known.splits[protocol.split]] * len(protocol.seeds)
    windows, side_by_side = sum(of_runs) * epochs, min(len(of_runs), measured.cores)
    seconds = foretell_training(trained.pilot.rate, of_runs, epochs, side_by_side)
    return Forecast(
        windows,
        windows * params.windows.length_s,
        _spread(seconds, known) + _start("train", measured),
        trained.pilot.model_bytes * len(of_runs),
        None if trained.memory_bytes is None else trained.memory_bytes * side_by_side,
    )


def _spread(seconds: Seconds, known: Counts) -> Seconds:
    """Widen the range by what is not known about the number of windows."""
    return Seconds(seconds.low * known.spread[0], seconds.high * known.spread[1])


def _start(stage: str, measured: Calibration) -> Seconds:
    return Rate(measured.start_s[stage], measured.start_s[stage]).seconds(1)


def total(cells: Iterable[Foretold]) -> Forecast:
    """Add up what is still to do; memory is that of the largest, since stages run one after the other."""
    todo = [one.forecast for one in cells if one.forecast is not None and not one.cell.done]
    told = [one.seconds for one in todo if one.seconds is not None]
    memory = [one.memory_bytes for one in todo if one.memory_bytes is not None]
    return Forecast(
        sum(one.windows or 0 for one in todo),
        sum(one.audio_s or 0.0 for one in todo),
        sum(told, Seconds(0, 0)) if told or not todo else None,
        sum(one.disk_bytes for one in todo),
        max(memory, default=None),
    )


def estimate_table(cells: Iterable[Foretold], counts: Mapping[str, Counts | None], each: bool) -> Table:
    """Lay out a row a stage and data set or, if `each`, a row a cell; and the total of what is still to do."""
    cells = list(cells)

    def place(one: Foretold) -> tuple[str, str, str]:
        return one.cell.dataset, one.cell.stage, "-".join(one.cell.axes) if each else ""

    order = {name: number for number, name in enumerate(dict.fromkeys(one.cell.dataset for one in cells))}
    ordered = sorted(cells, key=lambda one: (order[one.cell.dataset], STAGES.index(one.cell.stage)))
    rows = [
        _row(stage, name or dataset, list(group), counts[dataset])
        for (dataset, stage, name), group in groupby(ordered, place)
    ]
    rows.append(_row("all", "to do", cells, None))
    columns = {key: text(key) for key in rows[0]}
    return Table("What `dvc repro` would take", rows, columns)


def _row(stage: str, name: str, cells: list[Foretold], counts: Counts | None) -> Row:
    whole = total(cells)
    done = sum(one.cell.done for one in cells)
    unknown = sum(not one.cell.done and (one.forecast is None or one.forecast.seconds is None) for one in cells)
    told = len(cells) > done + unknown
    return {
        "stage": stage,
        "of": name,
        "cells": len(cells),
        "done": done,
        "windows": f"{whole.windows:,}",
        "seconds of sound": f"{whole.audio_s:,.0f}",
        "time": f"{whole.seconds}" if told and whole.seconds else "-",
        "time unknown of": unknown or None,
        "disk": amount(whole.disk_bytes),
        "memory": None if whole.memory_bytes is None else amount(whole.memory_bytes),
        "counted from": None if counts is None else counts.origin,
    }
