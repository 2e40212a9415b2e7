"""The round loop of all benchmarks: our way and the plain way of every task, in turn, and what the rounds say."""

from __future__ import annotations

import resource
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from beyond_spectrograms.evaluation.costs import order_of_round
from beyond_spectrograms.util.progress import quiet

if TYPE_CHECKING:
    from beyond_spectrograms.representations.encodec import Precision

Way = Literal["ours", "plain"]
WAYS: tuple[Way, Way] = ("ours", "plain")
CLOCKS = ("wall", "processor")
SEED = 0
SEEDS = (0, 1)  # of trainings that are timed


@dataclass(frozen=True)
class Spent:
    """Wall and processor seconds, of this process and of those it started."""

    wall: float
    processor: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.wall - other.wall, self.processor - other.processor)


Round = Mapping[Way, Spent]
Run = Callable[[Way], Spent]  # does all of a task one way


class TimedPath(ABC):
    """One of our paths and its plain way, made ready.

    Attributes:
        unit, units: what a run goes through: so many seconds of sound, or windows trained on.
        flop: floating-point operations of a run, where they are counted.
        precision: what ours multiplies in.
    """

    unit: str
    units: float
    flop: float | None = None
    precision: Precision = "fp32"

    @abstractmethod
    def run(self, way: Way) -> Spent:
        """Go through all units in our way or in the plain one."""


def now() -> Spent:
    """Read both clocks; processes that still run are not in."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Spent(time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used))


def run_rounds(tasks: Mapping[str, Run], rounds: int) -> Iterator[tuple[str, Round]]:
    """Run every task both ways once a round, in an order of its own each time; a first round is not counted.

    Gives the name of a task and what a round of it took.
    """
    with quiet():
        for number in range(rounds + 1):
            for name in order_of_round(tasks, number, SEED):
                first, second = sorted(WAYS, key=order_of_round(WAYS, number, SEED + 1).index)
                spent = {first: tasks[name](first), second: tasks[name](second)}
                if number:
                    yield name, spent


def describe(rounds: Sequence[Round]) -> dict[str, Any]:
    """Lay out the seconds of each clock and way, and the ratios of the plain way to ours: above 1 is in our favour."""
    seconds: dict[str, dict[str, list[float]]] = {
        clock: {way: [getattr(one[way], clock) for one in rounds] for way in WAYS} for clock in CLOCKS
    }
    ratio = {clock: spread(of["plain"], of["ours"]) for clock, of in seconds.items()}
    return {"seconds": seconds, "ratio": ratio}


def spread(plain: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """Give the median and the range of the rounds' ratios."""
    ratios = [one / other for one, other in zip(plain, ours, strict=True)]
    return {"median": median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def show(ratio: Mapping[str, float]) -> str:
    """Write a ratio with its range for a table."""
    return f"{ratio['median']:.2f} [{ratio['lowest']:.2f}, {ratio['highest']:.2f}]"
