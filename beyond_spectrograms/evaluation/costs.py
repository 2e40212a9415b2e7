"""What classifying costs, as metrics/<dataset>/costs.json holds it by representation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from beyond_spectrograms.evaluation.records import Record, read_record

FLOAT32 = 4  # bytes of a cached value
TRAINING = "training_s_per_window"
TIMES = ("cached_s_per_s", "file_s_per_s", "encoding_s_per_s", TRAINING)

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]  # 0: the clock ticks too seldom to see the work
Bytes = Annotated[int, Field(ge=0)]
BytesPerSecond = Seconds


class RepresentationCosts(Record):
    """What one representation costs. Lists hold one value a round; the rounds of all representations are paired.

    `cached` is classifying from cached features, as the paper counts, `file` from the audio file on. Memory is None
    where the system cannot tell, and for baselines, whose own files have it.
    """

    cached_s_per_s: list[Seconds]  # to classify one second of sound
    file_s_per_s: list[Seconds]  # decode, resample, cut, encode, classify
    encoding_s_per_s: list[Seconds]  # the representation's share of it
    training_s_per_window: list[Seconds]  # one training step, by window of its batch; empty where one is fitted at once
    cached_peak_bytes: Bytes | None  # above what imports and weights hold
    file_peak_bytes: Bytes | None
    cached_total_bytes: Bytes | None  # all memory of the process at its peak
    file_total_bytes: Bytes | None
    cached_bytes_per_s: BytesPerSecond  # features of one second of sound
    raw_bytes_per_s: BytesPerSecond  # the audio files as they are on disk
    coded_bytes_per_s: BytesPerSecond | None  # the codec's own bit stream; None where nothing is quantised
    parameters: Bytes  # trainable numbers of the classifier


class Costs(Record):
    """What `measure` writes for one representation of a data set, and in the same rounds for the baselines.

    Times are processor time on `threads` threads of `processor`. What was measured is kept while `mark`, the digest of
    all that decides it, is the same.
    """

    mark: str
    dataset: str
    representation: str
    clips: int
    seconds_of_sound: float
    rounds: Annotated[int, Field(ge=1)]
    threads: int
    processor: str
    representations: Annotated[dict[str, RepresentationCosts], Field(min_length=1)]

    @model_validator(mode="after")
    def _whole_rounds(self) -> Costs:
        if self.representation not in self.representations:
            raise ValueError(f"representations has no {self.representation}, the one measured")
        for name, costs in self.representations.items():
            for key in TIMES:
                if (found := len(getattr(costs, key))) != self.rounds and (found or key != TRAINING):
                    raise ValueError(f"representations.{name}.{key} has {found} values for {self.rounds} rounds")
        return self


def cached_bytes_per_second(bands: int, frames: int, length_s: float, itemsize: int = FLOAT32) -> float:
    """Size of the cached features [windows, bands, frames] of one second of sound, in windows that do not overlap."""
    return bands * frames * itemsize / length_s


def coded_bytes_per_second(bitrate: int | None) -> float | None:
    """Size of a codec's bit stream of `bitrate` bits per second."""
    return None if bitrate is None else bitrate / 8


class CostsFile(Record):
    """costs.json."""

    representations: dict[str, Costs]


def read_costs(path: Path) -> dict[str, Costs]:
    """Read what classifying costs, by representation; nothing where nothing was measured.

    Raises:
        ResultError: a key is missing or out of range, or a representation lacks a round.
    """
    return read_record(path, CostsFile).representations if path.exists() else {}


def order_of_round(names: Iterable[str], number: int, seed: int) -> list[str]:
    """Shuffle the names for one round: whatever drifts within a round then hits all alike."""
    return [str(name) for name in np.random.default_rng([seed, number]).permutation(list(names))]


def paired_ratios(costs: Costs, baseline: str, key: str) -> list[float]:
    """Divide the representation's time by the baseline's, round by round: [rounds]."""
    ours, theirs = (getattr(costs.representations[name], key) for name in (costs.representation, baseline))
    return [one / other for one, other in zip(ours, theirs, strict=True)]
