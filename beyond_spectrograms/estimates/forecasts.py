"""What a piece of work will take, told before it begins, and what it did take, for its metrics."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# Calibration sees seconds of the work on the machine as it is now: the range it gives is widened by this share either
# way for what it cannot see (other work on the cores, caches, a processor that slows down as it warms).
MARGIN = 0.25
_KIBIBYTE = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, man 2 getrusage


@dataclass(frozen=True)
class Rate:
    """Seconds a unit of work takes: in the quickest and in the slowest piece of a calibration."""

    quickest: float
    slowest: float

    def seconds(self, units: float) -> Seconds:
        """Foretell `units` of the work, with the MARGIN."""
        return Seconds(units * self.quickest / (1 + MARGIN), units * self.slowest * (1 + MARGIN))


@dataclass(frozen=True)
class Seconds:
    """Between `low` and `high` seconds of wall time."""

    low: float
    high: float

    def __add__(self, other: Seconds) -> Seconds:
        """Add ends to ends: all may be at their worst at once, since what slows one slows the other."""
        return Seconds(self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Seconds:
        """Scale both ends."""
        return Seconds(factor * self.low, factor * self.high)

    def __str__(self) -> str:
        return f"{roughly(self.low)} to {roughly(self.high)}"


@dataclass(frozen=True)
class Forecast:
    """What a piece of work will take.

    Attributes:
        windows: how many it goes through; None before a data set is cut.
        audio_s: seconds of sound they are; None before it is decoded.
        seconds: wall time; None where nothing could be calibrated.
        disk_bytes: what it writes and leaves.
        memory_bytes: what its processes hold at most, mapped files apart; None where that cannot be measured.
    """

    windows: int | None
    audio_s: float | None
    seconds: Seconds | None
    disk_bytes: int
    memory_bytes: int | None

    def __str__(self) -> str:
        memory = "" if self.memory_bytes is None else f", {amount(self.memory_bytes)} of memory"
        foretold = f"foretold: {self.seconds or 'time unknown'}, {amount(self.disk_bytes)} of disk{memory}"
        if self.windows is None or self.audio_s is None:
            return foretold
        return f"{self.windows:,} windows, {self.audio_s:,.0f} s of sound; {foretold}"

    def record(self) -> dict[str, Any]:
        """Lay out for metrics."""
        seconds = None if self.seconds is None else [self.seconds.low, self.seconds.high]
        return {"seconds": seconds, "disk_bytes": self.disk_bytes, "memory_bytes": self.memory_bytes}


def calibrate(pieces: Iterable[Callable[[], float]]) -> Rate:
    """Time pieces of the work; each does some of it and returns how many units that was."""
    rates = []
    for piece in pieces:
        began = time.perf_counter()
        units = piece()
        rates.append((time.perf_counter() - began) / units)
    return Rate(min(rates), max(rates))


@contextmanager
def spending() -> Iterator[dict[str, float]]:
    """Measure what the block takes; filled in when it ends.

    wall_seconds; processor_seconds of this process and of those it started and that have ended; peak_memory_bytes of
    the largest of them, mapped pages of files included (`ru_maxrss`, which counts from the start of each).
    """
    spent: dict[str, float] = {}
    began, before = time.perf_counter(), _processor_seconds()
    yield spent
    spent["wall_seconds"] = time.perf_counter() - began
    spent["processor_seconds"] = _processor_seconds() - before
    used = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    spent["peak_memory_bytes"] = _KIBIBYTE * max(used)


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def compare(spent: Mapping[str, float], foretold: Forecast) -> str:
    """Say in a line how what was spent stands to what was foretold."""
    seconds, wall = foretold.seconds, spent["wall_seconds"]
    where = ""
    if seconds is not None:
        below, above = wall < seconds.low, wall > seconds.high
        where = f", {'less than' if below else 'more than' if above else 'within'} what was foretold ({seconds})"
    processor, memory = roughly(spent["processor_seconds"]), amount(spent["peak_memory_bytes"])
    return f"took {roughly(wall)}{where}; {processor} of processor time, {memory} in its largest process"


def roughly(seconds: float) -> str:
    """Two figures of it, in the unit a person would choose: 0.43 s, 12 s, 4.1 min, 2.3 h, 11 days."""
    for unit, size, limit in (("s", 1.0, 99.5), ("min", 60.0, 99.5), ("h", 3600.0, 47.5)):
        if seconds / size < limit:
            return f"{_two_figures(seconds / size)} {unit}"
    return f"{_two_figures(seconds / 86_400)} days"


def amount(size: float) -> str:
    """Bytes in the unit a person would choose, 1 GB being 10^9 bytes."""
    for unit, factor in (("kB", 1e3), ("MB", 1e6)):
        if size < 999.5 * factor:
            return f"{math.ceil(size / factor)} {unit}"
    return f"{size / 1e9:.1f} GB"


def _two_figures(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"
