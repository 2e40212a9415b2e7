"""Shards of codes of any number of windows, written, checked and read, to see how time and memory grow with it.

Codes are drawn at random: no sound is encoded, since what an encoder takes is told elsewhere. All else is as featurize,
`make check` and training do it: clips are cut into shards by their keys, rows are proved by digests, batches are
dequantised and let go of. Each step is a process of its own. `python -m benchmarks.shards` writes metrics/shards.json
and .md, and a figure.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.results import publish
from benchmarks.scale import CHECKOUT, FIGURES, growth_figure, make_on_a_disk_with_room
from benchmarks.watching import Watched, watch_well
from beyond_spectrograms.data.feature_shards import Shards
from beyond_spectrograms.data.shard_files import Clips, Layout, StoredClip, read_clips, write_shard
from beyond_spectrograms.data.shard_index import (
    SHARDS,
    Listing,
    check_shards,
    shard_path,
    write_codebooks,
    write_index,
)
from beyond_spectrograms.data.windows import release
from beyond_spectrograms.estimates.timing import amount, roughly
from beyond_spectrograms.report.table import Row, Table, texts
from beyond_spectrograms.representations.shard_cache import cut_clips
from beyond_spectrograms.representations.stored_rows import Rows
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.machine import processor_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# EnCodec at 24 kHz and 6 kbit/s: codebooks, frames of a second, entries, bands.
CODEBOOKS, FRAMES, ENTRIES, BANDS = 8, 75, 1024, 128
CODES = np.dtype(np.uint16)
ROW_BYTES = CODEBOOKS * FRAMES * CODES.itemsize
WINDOWS_PER_CLIP = 10
SHARD_BYTES = 100e6
BATCH = 256
MOST_SHUFFLED = 100_000  # windows that are read in training's order, of more
SIZES = (10_000, 100_000, 1_000_000)
RESULTS = Path("metrics/shards.json")


@dataclass(frozen=True)
class Step:
    """What a step took on so many windows: seconds of the work itself, of which imports are no part."""

    step: str
    windows: int
    seconds: float
    stored_bytes: int  # that it wrote or read
    watched: Watched


def clips_of(windows: int) -> Iterator[Rows]:
    """Give made clips, whose keys are digests of their numbers."""
    for number, first in enumerate(range(0, windows, WINDOWS_PER_CLIP)):
        key = hashlib.sha256(f"{number}".encode()).hexdigest()
        yield Rows(f"{number:08d}.wav", first, min(WINDOWS_PER_CLIP, windows - first), key)


def write(folder: Path, windows: int) -> int:
    """Write shards of codes, codebooks and index; give how many windows."""
    random = np.random.default_rng(0)
    drawn = random.integers(0, ENTRIES, (4096, CODEBOOKS, FRAMES)).astype(CODES)
    books = write_codebooks(folder, random.standard_normal((CODEBOOKS, ENTRIES, BANDS)).astype(np.float32))
    listed: list[tuple[str, int, int, str]] = []
    for cut in cut_clips(clips_of(windows), ROW_BYTES, SHARD_BYTES):
        keys, counts = b"".join(bytes.fromhex(part.key) for part in cut), [part.count for part in cut]
        name, path = hashlib.sha256(keys).hexdigest(), shard_path(folder, hashlib.sha256(keys).hexdigest())
        layout = Layout(CODES, (sum(counts), CODEBOOKS, FRAMES), 0)
        write_shard(path, Clips.empty(keys, counts), layout, (store(drawn, part) for part in cut))
        listed.append((name, cut[0].first, sum(counts), read_clips(path)[1].content))

    def names(number: int) -> list[str]:
        _, first, count, _ = listed[number]
        return [f"{clip:08d}.wav" for clip in range(first // WINDOWS_PER_CLIP, -(-(first + count) // WINDOWS_PER_CLIP))]

    listing = Listing((windows, BANDS, FRAMES), "float32", True, books, listed)
    write_index(folder, listing, names, lambda number: read_clips(shard_path(folder, listed[number][0]))[1])
    return windows


def store(drawn: np.ndarray, part: Rows) -> StoredClip:
    """Make the rows of a clip: some of those that were drawn."""
    first = int(part.key[:8], 16) % (len(drawn) - part.count)
    rows = drawn[first : first + part.count]
    return StoredClip(rows, hashlib.sha256(rows.data).digest(), 0.0, 0)


def check(folder: Path, windows: int) -> int:
    """Hold every clip's rows against their digest; give how many windows."""
    check_shards(folder, "made")
    return windows


def read(folder: Path, windows: int) -> int:
    """Read all windows in order, batch by batch; give how many."""
    features = Shards(folder)
    for first in range(0, windows, BATCH):
        features[first : first + BATCH]
        release(features)  # type: ignore[arg-type]  # stands in for an array
    return windows


def shuffle(folder: Path, windows: int) -> int:
    """Read windows in the order of an epoch that does not hold them, batch by batch; give how many."""
    import torch

    from beyond_spectrograms.training.epoch import keep_near

    features, rows = Shards(folder), np.random.default_rng(0).permutation(windows)
    order = keep_near(torch.randperm(windows), rows, features)  # type: ignore[arg-type]  # stands in for an array
    wanted = rows[order.numpy()[:MOST_SHUFFLED]]
    for first in range(0, len(wanted), BATCH):
        features[wanted[first : first + BATCH]]
        release(features)  # type: ignore[arg-type]
    return len(wanted)


def import_what(step: str) -> None:
    """Import what a step needs, before it is timed."""
    if step == "shuffle":  # torch is no part of the others' memory
        importlib.import_module("beyond_spectrograms.training.epoch")
    elif step in ("write", "check"):
        importlib.import_module("pyarrow.parquet")


STEPS = {each.__name__: each for each in (write, check, read, shuffle)}


def take(step: str, folder: Path, windows: int) -> Step:
    """Take a step in a process of its own and measure it.

    Raises:
        ProjectError: it failed; the message is its own.
    """
    command = [sys.executable, "-m", "benchmarks.shards", "--step", step, str(folder.absolute()), str(windows)]
    log = folder.with_suffix(".log")
    watched = watch_well(command, log, f"{step} failed on {windows} windows", CHECKOUT)
    taken = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    return Step(step, windows, taken["seconds"], taken["windows"] * ROW_BYTES, watched)


def describe(steps: Sequence[Step]) -> dict[str, Any]:
    """Lay out metrics/shards.json."""
    return {
        "processor": processor_name(),
        "window": {"codebooks": CODEBOOKS, "frames": FRAMES, "bytes": ROW_BYTES, "bytes_read": 4 * BANDS * FRAMES},
        "shard_bytes": SHARD_BYTES,
        "steps": [asdict(step) for step in steps],
    }


def table_of(steps: Sequence[Step]) -> Table:
    """Lay out a row a step and size."""
    rows: list[Row] = [
        {
            "step": step.step,
            "windows": f"{step.windows:,}",
            "time": roughly(step.seconds),
            "MB of codes a second": f"{step.stored_bytes / step.seconds / 1e6:,.0f}",
            "memory of its own": amount(step.watched.own_bytes),
            "with mapped files": amount(step.watched.peak_bytes),
        }
        for step in sorted(steps, key=lambda step: (list(STEPS).index(step.step), step.windows))
    ]
    notes = [
        f"Codes drawn at random, {CODEBOOKS} codebooks x {FRAMES} frames a window, in shards of {amount(SHARD_BYTES)}; "
        f"a window that is read is {BANDS} bands x {FRAMES} frames of float32, {4 * BANDS * FRAMES / ROW_BYTES:g} "
        "times as many bytes.",
        f"shuffle reads {MOST_SHUFFLED:,} windows at most, in the order of an epoch that does not hold them.",
    ]
    return Table("Shards of codes: the same steps on more windows", rows, texts(*rows[0]), notes)


def shards_figure(steps: Sequence[Step]) -> Figure:
    """Draw time and memory against the number of windows, a line a step."""
    lines = {
        name: sorted((step.windows, step.seconds, step.watched.own_bytes) for step in steps if step.step == name)
        for name in STEPS
    }
    return growth_figure(lines, "time, s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shards", description=__doc__)
    parser.add_argument("--windows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        step, folder, windows = asked.step
        import_what(step)
        began = time.perf_counter()
        done = STEPS[step](Path(folder), int(windows))
        print(json.dumps({"seconds": time.perf_counter() - began, "windows": done}))
        return
    work, sizes = Path("data/partial/shards"), sorted(asked.windows)
    make_on_a_disk_with_room(work, max(sizes) * (ROW_BYTES + 2 * 100))
    steps: list[Step] = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            place = Path(folder, "made")
            (place / SHARDS).mkdir(parents=True)
            for step in STEPS:
                steps.append(take(step, place, size))
                told = f"{roughly(steps[-1].seconds)}, {amount(steps[-1].watched.own_bytes)}"
                print(f"{step}, {size:,} windows: {told}", flush=True)
    publish(RESULTS, describe(steps), table_of(steps))
    from beyond_spectrograms.report.figures import save

    save(shards_figure(steps), FIGURES, "shards")


if __name__ == "__main__":
    run(main)
