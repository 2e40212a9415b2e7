"""Time `classify` beside what a competent user would write with librosa and torch (plain_classifying.py).

Both classify the same files of noise, in turn: one file of 10 s in a new process and in a warm one, many files of 5 s,
and on one core 60 s and many small files, of 1 s; beside these how much more memory ten times as many took.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import cpu_count

from benchmarks.harness import WAYS, Round, Run, Spent, Way, describe, now, run_rounds, show
from beyond_spectrograms.cli.common import check_writable, count
from beyond_spectrograms.report.table import Row, Table, number, text, to_markdown
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import write_json
from beyond_spectrograms.util.machine import forget_peak, memory_can_be_measured, peak_bytes, processor_name

if TYPE_CHECKING:
    from benchmarks.plain_classifying import PlainClassifier
    from beyond_spectrograms.inference import Model

ONE_S, EACH_S, LONG_S, SMALL_S = (
    10.0,
    5.0,
    60.0,
    1.0,
)  # of the one file, each of the many, the one core's long and small
DISTINCT = 20  # files among the many: all of them lie in the system's cache
SAMPLE_RATE = 44_100


@dataclass(frozen=True)
class Sounds:
    """Files of noise, 16-bit WAV at 44.1 kHz: how long the arithmetic takes does not depend on values."""

    one: Path
    many: list[Path]
    long: Path
    small: list[Path]


def make_sounds(folder: Path, files: int) -> Sounds:
    """Write the files; the many are DISTINCT ones again and again."""
    import soundfile

    rng = np.random.default_rng(0)

    def write(name: str, seconds: float) -> Path:
        noise = rng.normal(0, 0.1, round(seconds * SAMPLE_RATE))
        soundfile.write(folder / name, noise, SAMPLE_RATE, subtype="PCM_16")
        return folder / name

    def write_many(name: str, seconds: float) -> list[Path]:
        several = [write(f"{name}-{index}.wav", seconds) for index in range(min(DISTINCT, files))]
        return [several[index % len(several)] for index in range(files)]

    return Sounds(
        write("one.wav", ONE_S), write_many("many", EACH_S), write("long.wav", LONG_S), write_many("small", SMALL_S)
    )


class BothWays:
    """A model loaded by `load_model`, and by hand."""

    def __init__(self, folder: Path) -> None:
        from benchmarks.plain_classifying import PlainClassifier
        from beyond_spectrograms.inference import load_model

        self.ours: Model = load_model(folder, device="cpu")
        self.plain: PlainClassifier = PlainClassifier(folder)

    def classify(self, way: Way, paths: Sequence[Path]) -> Spent:
        """Classify files one way."""
        from beyond_spectrograms.inference.batch import classify_files

        began = now()
        if way == "ours":
            for named in classify_files(self.ours, paths):
                if named.found is None:
                    raise ProjectError(f"{named.path}: {named.reason}")
        else:
            for path in paths:
                self.plain.classify(path)
        return now() - began


_alone: list[BothWays] = []  # of the process that has one core


def _begin_alone(core: int, folder: Path) -> None:
    """Keep to one core, with the threads that NumPy has started already, of which one is enough."""
    from threadpoolctl import threadpool_limits

    for task in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})
    threadpool_limits(1)
    _alone.append(BothWays(folder))


def _classify_alone(way: Way, paths: Sequence[Path]) -> Spent:
    return _alone[0].classify(way, paths)


def _growth_alone(way: Way, paths: Sequence[Path]) -> int:
    """Say by how many bytes the peak of all files exceeds that of a tenth of them."""
    peaks = []
    for some in (paths[: -(-len(paths) // 10)], paths):
        forget_peak()
        _alone[0].classify(way, some)
        peaks.append(peak_bytes())
    return peaks[1] - peaks[0]


def _classify_cold(way: Way, folder: Path, path: Path) -> Spent:
    """Classify a file in a new process, imports and loading included."""
    ours = ["beyond_spectrograms", "classify", "--model", str(folder), "--device", "cpu", str(path)]
    plain = ["benchmarks.plain_classifying", str(folder), str(path)]
    began = now()
    finished = subprocess.run(  # noqa: S603  our own arguments
        [sys.executable, "-m", *(ours if way == "ours" else plain)], capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise ProjectError(f"{way}, cold: failed:\n{finished.stderr[-2000:]}")
    return now() - began


@dataclass(frozen=True)
class Tasks:
    """What is timed: by name, the seconds of sound and what classifies them one way; `growth` is in bytes."""

    timed: dict[str, tuple[float, Run]]
    growth: Callable[[Way], int]


@contextmanager
def make_tasks(folder: Path, sounds: Sounds) -> Iterator[Tasks]:
    """Get ready what is timed."""
    both = BothWays(folder)
    core = min(os.sched_getaffinity(0))
    with ProcessPoolExecutor(1, get_context("spawn"), _begin_alone, (core, folder)) as alone:
        timed: dict[str, tuple[float, Run]] = {
            "one file, cold": (ONE_S, lambda way: _classify_cold(way, folder, sounds.one)),
            "one file, warm": (ONE_S, lambda way: both.classify(way, [sounds.one])),
            f"{len(sounds.many)} files": (EACH_S * len(sounds.many), lambda way: both.classify(way, sounds.many)),
            "one core": (LONG_S, lambda way: alone.submit(_classify_alone, way, [sounds.long]).result()),
            f"{len(sounds.small)} small files, one core": (
                SMALL_S * len(sounds.small),
                lambda way: alone.submit(_classify_alone, way, sounds.small).result(),
            ),
        }
        yield Tasks(timed, lambda way: alone.submit(_growth_alone, way, sounds.small).result())


def summarise(sound_s: float, rounds: Sequence[Round]) -> dict[str, Any]:
    """Lay out a task's rounds. The real-time factor is seconds of work for a second of sound."""
    described = describe(rounds)
    factors = {way: median(described["seconds"]["wall"][way]) / sound_s for way in WAYS}
    return {"sound_s": sound_s, **described, "real_time_factor": factors}


def classifying_table(results: Mapping[str, Any]) -> Table:
    """Lay the results out for people."""
    rows: list[Row] = [
        {
            "task": name,
            "sound_s": one["sound_s"],
            **{way: median(one["seconds"]["wall"][way]) for way in WAYS},
            "ratio": show(one["ratio"]["wall"]),
            **{f"{way}_factor": one["real_time_factor"][way] for way in WAYS},
        }
        for name, one in results["tasks"].items()
    ]
    columns = {
        "classify": text("task"),
        "sound, s": number("sound_s", 0),
        "plain, s": number("plain", 3),
        "ours, s": number("ours", 3),
        "times as fast": text("ratio"),
        "real-time factor, plain": number("plain_factor", 5),
        "ours": number("ours_factor", 5),
    }
    title = f"{results['model']}: {results['processor']}, {results['cores']} cores"
    return Table(title, rows, columns, list(results["notes"]))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifying", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="a model, as `export` writes it")
    parser.add_argument("--files", type=count, default=1000, metavar="N", help="how many are many (default: 1000)")
    parser.add_argument("--rounds", type=count, default=5, metavar="N", help="default: 5, after an untimed one")
    parser.add_argument("--out", type=Path, metavar="JSON", help="write all figures there too")
    options = parser.parse_args(arguments)
    if options.out:
        check_writable(options.out)
    load = os.getloadavg()[0]
    print(
        f"{options.rounds} rounds after an untimed one, in each {options.files} files of {EACH_S:g} s both ways: some "
        f"minutes, tens of them for EnCodec. {cpu_count()} cores, load {load:.1f}.",
        file=sys.stderr,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        make_tasks(options.model, make_sounds(Path(folder), options.files)) as tasks,
    ):
        rounds: dict[str, list[Round]] = {name: [] for name in tasks.timed}
        for name, one in run_rounds({name: task for name, (_, task) in tasks.timed.items()}, options.rounds):
            rounds[name].append(one)
        summary = {name: summarise(seconds, rounds[name]) for name, (seconds, _) in tasks.timed.items()}
        growth = {way: tasks.growth(way) for way in WAYS} if memory_can_be_measured() else {}
    results = {
        "model": options.model.name,
        "processor": processor_name(),
        "cores": cpu_count(),
        "load_before": load,
        "rounds": options.rounds,
        "tasks": summary,
        "growth_bytes": growth,
        "notes": [
            "Seconds: wall time, median of the rounds. Times as fast: the plain way's over ours, median and range.",
            "Real-time factor: seconds of work for a second of sound. Cold: a new process, imports included.",
            *(f"{way}: {size / 1e6:.1f} MB more for ten times as many small files." for way, size in growth.items()),
            f"Load before: {load:.1f}.",
        ],
    }
    if options.out:
        write_json(options.out, results)
    print(to_markdown(classifying_table(results)), end="")


if __name__ == "__main__":
    run(main)
