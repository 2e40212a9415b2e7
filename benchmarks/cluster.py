"""The same pieces done in this machine's processes and by Dask's workers: metrics/cluster.json and .md.

For people, on an idle machine: `python -m benchmarks.cluster`. A piece is work of a core alone (key stretching, as
hashlib has it), so that what workers cost is all there is to see; what a piece costs that does nothing is told beside.
"""

import argparse
import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from joblib import cpu_count

from benchmarks.results import publish
from beyond_spectrograms.report.table import Row, Table, texts
from beyond_spectrograms.util.cluster.dask_engine import DaskEngine
from beyond_spectrograms.util.cluster.engine import Engine
from beyond_spectrograms.util.cluster.pieces import pieces_go_to, run_pieces
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.machine import processor_name

WORKERS = (1, 2, 4)
PIECES, ITERATIONS = 40, 2_000_000  # about a second each
EMPTY = 500
ROUNDS = 3
RESULTS = Path("metrics/cluster.json")


def stretch(number: int) -> bytes:
    """Work for one core."""
    return hashlib.pbkdf2_hmac("sha256", b"a sound", str(number).encode(), ITERATIONS)


def nothing(number: int) -> int:
    """Give the number back."""
    return number


def seconds_of(work: Callable[[int], Any], count: int) -> float:
    """Wall time of so many pieces; the first, which starts whoever does them, is not in it."""
    run_pieces(work, [-1, -2], called="start")
    began = time.perf_counter()
    run_pieces(work, range(count), called=f"{count} pieces")
    return time.perf_counter() - began


def measure(rounds: int) -> dict[str, Any]:
    """Lay out metrics/cluster.json: the quickest of some rounds of each way."""
    alone: list[float] = []
    for number in range(rounds):
        began = time.perf_counter()
        stretch(number)
        alone.append(time.perf_counter() - began)
    ways = {}
    for workers in WORKERS:
        engine = DaskEngine(Engine(engine="dask", cluster="local", workers=workers), ())
        with closing(engine), pieces_go_to(engine):
            busy = min(seconds_of(stretch, PIECES) for _ in range(rounds))
            empty = min(seconds_of(nothing, EMPTY) for _ in range(rounds))
        ways[f"dask, {workers}"] = {"workers": workers, "seconds": busy, "seconds_a_piece": empty / EMPTY}
    ways["local"] = {
        "workers": cpu_count(),
        "seconds": min(seconds_of(stretch, PIECES) for _ in range(rounds)),
        "seconds_a_piece": min(seconds_of(nothing, EMPTY) for _ in range(rounds)) / EMPTY,
    }
    for of in ways.values():
        of["efficiency"] = PIECES * min(alone) / of["seconds"] / min(of["workers"], cpu_count())
    told = {"processor": processor_name(), "cores": cpu_count(), "pieces": PIECES, "seconds_alone": min(alone)}
    return {**told, "empty_pieces": EMPTY, "ways": ways}


def cluster_table(measured: dict[str, Any]) -> Table:
    """Lay out a row for each way of doing the pieces."""
    rows: list[Row] = [
        {
            "engine, workers": name,
            "seconds": f"{of['seconds']:.1f}",
            "% of the cores' time": f"{100 * of['efficiency']:.0f}",
            "milliseconds of a piece that does nothing": f"{1000 * of['seconds_a_piece']:.1f}",
        }
        for name, of in sorted(measured["ways"].items())
    ]
    notes = [
        f"{measured['pieces']} pieces of {measured['seconds_alone']:.2f} s of one core each, on {measured['cores']} "
        f"cores of {measured['processor']}, the quickest of the rounds; four workers share the cores.",
        f"A piece that does nothing: the mean of {measured['empty_pieces']}.",
        "local starts its processes anew for each call, and that is in its seconds.",
    ]
    return Table("Pieces on workers", rows, texts(*rows[0]), notes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    measured = measure(parser.parse_args().rounds)
    publish(RESULTS, measured, cluster_table(measured))


if __name__ == "__main__":
    run(main)
