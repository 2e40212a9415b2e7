"""What a piece of work will take, said before it begins by the rates of earlier runs, and what it took.

Stages read data/rates.json when they begin and add to it at the end. Two may end at once: the file is read again before
it is written, and is replaced as a whole. At worst the rate of one of them is lost until it runs again.
"""

import math
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, TypeAdapter

from beyond_spectrograms.util.files import remove_leftovers, write_json

RATES = Path("data/rates.json")
MUCH_LESS = 10  # a run of so many times fewer units than the recorded one tells less: its start counts too much
_KIBIBYTE = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, man 2 getrusage


class Rate(BaseModel):
    """What some work of one kind took."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    units: PositiveFloat  # how much work it was: seconds of sound, or windows trained on times epochs
    seconds: PositiveFloat  # wall time; of training, that of all its runs added up
    disk_bytes: NonNegativeInt = 0  # what it left on disk
    memory_bytes: NonNegativeInt = 0  # the most that one of its processes held, mapped files included
    shape: tuple[int, int] | None = None  # bands and frames of a window, of features


def read_rates() -> dict[str, Rate]:
    """Read the rates by kind of work; a file that is damaged is ignored, and a line says so."""
    if RATES.parent.is_dir():
        remove_leftovers(RATES.parent.absolute())  # a stage that finds all its work done writes no rates
    try:
        return TypeAdapter(dict[str, Rate]).validate_json(RATES.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        print(f"{RATES}: damaged and ignored. It is written anew when this ends.", flush=True)
        return {}


def record_rates(new: Mapping[str, Rate]) -> None:
    """Put `new` rates in the place of older ones, but for those of MUCH_LESS work; does nothing outside a project."""
    if not RATES.parent.is_dir():
        return
    rates = read_rates()
    for key, rate in new.items():
        if key not in rates or rate.units * MUCH_LESS >= rates[key].units:
            rates[key] = rate
    write_json(RATES, {key: rates[key].model_dump(exclude_defaults=True) for key in sorted(rates)})


@dataclass(frozen=True)
class Estimate:
    """What a piece of work will take; 0 where that is not known."""

    seconds: float  # wall time
    disk_bytes: int = 0  # what it writes and leaves
    memory_bytes: int = 0  # the most its processes hold together
    at_most: bool = False  # the work may end sooner

    def __str__(self) -> str:
        disk = f", {amount(self.disk_bytes)} of disk" if self.disk_bytes else ""
        memory = f", {amount(self.memory_bytes)} of memory" if self.memory_bytes else ""
        return f"will take {'at most ' if self.at_most else ''}about {roughly(self.seconds)}{disk}{memory}"


@dataclass
class Taken:
    """What a piece of work took; filled in when it ends."""

    wall_s: float = 0.0
    processor_s: float = 0.0  # of this process and of those it started and that have ended
    memory_bytes: int = 0  # the most the largest of them held, mapped files included, counted from the start of each


@contextmanager
def timed(work: str, estimate: Estimate) -> Iterator[Taken]:
    """Print the estimate of the block, named by `work`, and when the block ends what it took."""
    print(f"{work}; {estimate}", flush=True)
    taken, began, (before, _) = Taken(), time.perf_counter(), _used()
    yield taken
    taken.wall_s = time.perf_counter() - began
    after, taken.memory_bytes = _used()
    taken.processor_s = after - before
    print(
        f"took {roughly(taken.wall_s)} (estimate: {roughly(estimate.seconds)}); {roughly(taken.processor_s)} of "
        f"processor time, {amount(taken.memory_bytes)} in its largest process",
        flush=True,
    )


def _used() -> tuple[float, int]:
    """Give processor seconds, and the bytes of the largest process, of this one and of those it started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used), _KIBIBYTE * max(one.ru_maxrss for one in used)


def roughly(seconds: float) -> str:
    """Two figures of it, in the unit a person would choose: 0.43 s, 12 s, 4.1 min, 2.3 h, 11 days."""
    units = (("s", 1.0, 99.5), ("min", 60.0, 99.5), ("h", 3600.0, 47.5), ("days", 86_400, math.inf))
    unit, value = next((unit, seconds / size) for unit, size, limit in units if seconds / size < limit)
    return f"{value:.{0 if value >= 9.95 else 1 if value >= 0.95 else 2}f} {unit}"


def amount(size: float) -> str:
    """Bytes in the unit a person would choose, 1 GB being 10^9 bytes."""
    for unit, factor in (("kB", 1e3), ("MB", 1e6)):
        if size < 999.5 * factor:
            return f"{math.ceil(size / factor)} {unit}"
    return f"{size / 1e9:.1f} GB" if size < 999.5e9 else f"{size / 1e12:.1f} TB"
