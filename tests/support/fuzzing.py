"""Fuzzing in processes of their own: `make fuzz` tries mutants of every target and says what broke.

A mutant is survived where it is read, or refused by an error of ours of one line. Whoever started the process watches
it: no mutant may take longer than PATIENCE_S, kill the process, or make it take more than MEMORY.
"""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from beyond_spectrograms.data.audio import BadAudioError
from beyond_spectrograms.util.errors import ProjectError
from support.mutation import mutant
from support.repository import WITH_TESTS

PATIENCE_S = 60.0  # of one mutant, in a process that others may slow down
MEMORY = 2**30  # bytes, beyond what the imports took
LONGEST_LINE = 4000


@dataclass(frozen=True)
class Target:
    """What is fuzzed: files as their writers make them, and what reads one, given it and a folder to work in.

    `lines`: whether an error may have a line for each problem, each a whole one.
    """

    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[bytes, Path], object]
    lines: bool = False
    kinds: tuple[type[Exception], ...] = field(default=(ProjectError, BadAudioError))


def broken(target: Target, content: bytes, folder: Path) -> str:
    """Give what reading made of a mutant; empty where it was survived."""
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        try:
            target.read(content, folder)
        except target.kinds as error:
            told = str(error)
            if not target.lines and "\n" in told:
                return f"more than a line: {told[:LONGEST_LINE]!r}"
            return f"a line of {len(told)} signs" if max(map(len, told.split("\n"))) > LONGEST_LINE else ""
        except MemoryError:
            return f"more than {MEMORY} bytes of memory"
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            return f"{type(error).__name__} at {place.filename}:{place.lineno}: {str(error)[:200]!r}"
    return ""


def try_all(target: Target, numbers: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Try mutants; yield the number of each, before it is tried and after, with what broke."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = target.seeds()
        for seed in seeds:
            if told := broken(target, seed, Path(folder)):
                yield -1, f"not even an undamaged file is read: {told}"
        limit = _memory() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for number in numbers:
            yield number, ""
            if told := broken(target, mutant(seeds, number), Path(folder)):
                yield number, told


def _memory() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def fuzz(name: str, count: int, first: int = 0) -> list[str]:
    """Try so many mutants of a target in a process of its own, or another where one ends it; give what broke."""
    found, following, began = list[str](), first, time.monotonic()
    while following < first + count:
        told, following = _in_a_process(name, following, first + count)
        found += told
    print(f"{name}: {count} mutants, {len(found)} not survived, {time.monotonic() - began:.1f} s", flush=True)
    for told in found:
        print(f"  {told}", flush=True)
    return found


def _in_a_process(name: str, first: int, end: int) -> tuple[list[str], int]:
    """Try mutants until a process ends or is killed; give what broke, and the number to go on with."""
    command = [sys.executable, "-m", "support.fuzzing", name, str(end - first), str(first)]
    environment = {**os.environ, "PYTHONPATH": WITH_TESTS, "OMP_NUM_THREADS": "1"}
    found, last = list[str](), "-1"
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process,
    ):
        assert process.stdout is not None
        timer = threading.Timer(PATIENCE_S, process.kill)
        timer.start()
        for line in process.stdout:
            timer.cancel()
            timer = threading.Timer(PATIENCE_S, process.kill)
            timer.start()
            last, _, told = line.rstrip("\n").partition(" ")
            found += [f"{name} {last}: {told}"] * bool(told)
        timer.cancel()
        if last == "end":
            return found, end
        process.wait()
        errors.seek(0)
        ending = "took too long" if process.returncode == -9 else f"ended the process by {process.returncode}"
        found.append(f"{name} {last}: {ending}: {errors.read()[-500:]}")
    return found, end if last == "-1" else int(last) + 1


def main() -> None:
    """Try mutants of a target here: its name, how many, and the number of the first; of `all`, each in a process."""
    from support.fuzz_targets import TARGETS

    name, count, first = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if name == "all":
        found = [told for each in TARGETS for told in fuzz(each, count, first)]
        sys.exit(f"{len(found)} mutants were not survived." if found else 0)
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)  # libraries in C print what they wonder at
        for number, told in try_all(TARGETS[name], range(first, first + count)):
            print(f"{number} {told}".rstrip(), file=output, flush=True)
        print("end", file=output, flush=True)


if __name__ == "__main__":
    main()
