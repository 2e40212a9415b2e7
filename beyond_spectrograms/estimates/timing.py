"""Saying what a piece of work will take before it begins, and what it took when it ends."""

import math
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_KIBIBYTE = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, man 2 getrusage


@dataclass(frozen=True)
class Estimate:
    """What a piece of work will take.

    Attributes:
        seconds: wall time.
        disk_bytes: what it writes and leaves; 0 where that is not known.
        memory_bytes: the most its processes hold together; 0 where that is not known.
        at_most: the work may end sooner.
    """

    seconds: float
    disk_bytes: int = 0
    memory_bytes: int = 0
    at_most: bool = False

    def __str__(self) -> str:
        disk = f", {amount(self.disk_bytes)} of disk" if self.disk_bytes else ""
        memory = f", {amount(self.memory_bytes)} of memory" if self.memory_bytes else ""
        return f"will take {'at most ' if self.at_most else ''}about {roughly(self.seconds)}{disk}{memory}"


@dataclass
class Taken:
    """What a piece of work took; filled in when it ends.

    Attributes:
        wall_s: wall seconds.
        processor_s: processor seconds of this process and of those it started and that have ended.
        memory_bytes: the most the largest of them held, mapped files included, counted from the start of each.
    """

    wall_s: float = 0.0
    processor_s: float = 0.0
    memory_bytes: int = 0


@contextmanager
def timed(work: str, estimate: Estimate) -> Iterator[Taken]:
    """Print the estimate of the block, named by `work`, and when the block ends what it took."""
    print(f"{work}; {estimate}", flush=True)
    taken, began, before = Taken(), time.perf_counter(), _processor_seconds()
    yield taken
    taken.wall_s = time.perf_counter() - began
    taken.processor_s = _processor_seconds() - before
    used = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    taken.memory_bytes = _KIBIBYTE * max(used)
    print(
        f"took {roughly(taken.wall_s)} (estimate: {roughly(estimate.seconds)}); {roughly(taken.processor_s)} of "
        f"processor time, {amount(taken.memory_bytes)} in its largest process",
        flush=True,
    )


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


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
