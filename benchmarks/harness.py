"""The round loop of all benchmarks: our way and the plain way of every task, in turn, and what the rounds say."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from beyond_spectrograms.evaluation.costs import order_of_round
from beyond_spectrograms.util.progress import quiet

Way = Literal["ours", "plain"]
WAYS: tuple[Way, Way] = ("ours", "plain")
CLOCKS = ("wall", "processor")
SEED = 0


@dataclass(frozen=True)
class Spent:
    """Wall and processor seconds, of this process and of those it started."""

    wall: float
    processor: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.wall - other.wall, self.processor - other.processor)


Round = Mapping[Way, Spent]
Run = Callable[[Way], Spent]  # does all of a task one way


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
