"""`bench`: what classifying with a model takes, cold, warm, of many files and on one core, beside the plain way."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from beyond_spectrograms.cli.common import Commands, check_writable, count

DESCRIPTION = """
Time `classify` beside what a competent user would write with librosa and torch, on the same files of noise, in turn:
one file of 10 s in a new process and in a warm one, many files of 5 s, and 60 s on one core. Prints a table.
"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("bench", help="what classifying takes, beside the plain way", description=DESCRIPTION)
    parser.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="a model, as `export` writes it")
    parser.add_argument("--files", type=count, default=1000, metavar="N", help="how many are many (default: 1000)")
    parser.add_argument("--rounds", type=count, default=5, metavar="N", help="default: 5, after an untimed one")
    parser.add_argument("--out", type=Path, metavar="JSON", help="write all figures there too")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Time; give the exit status."""
    import tempfile

    from joblib import cpu_count

    from benchmarks.classifying import EACH_S, classifying_table, make_sounds, make_tasks, run_rounds, summarise
    from beyond_spectrograms.report.table import to_markdown
    from beyond_spectrograms.util.files import write_json
    from beyond_spectrograms.util.processor import processor_name
    from beyond_spectrograms.util.progress import track

    if options.out:
        check_writable(options.out)
    load = os.getloadavg()[0]
    print(
        f"{options.rounds} rounds after an untimed one, in each {options.files} files of {EACH_S:g} s both ways: some "
        f"minutes, tens of them for EnCodec. {cpu_count()} cores, load {load:.1f}.",
        file=sys.stderr,
    )
    with tempfile.TemporaryDirectory() as folder:
        sounds = make_sounds(Path(folder), options.files)
        with make_tasks(options.model, sounds) as tasks:
            rounds: dict[str, list[dict[str, float]]] = {name: [] for name in tasks}
            for name, seconds in track(run_rounds(tasks, options.rounds), "bench", len(tasks) * options.rounds):
                rounds[name].append(seconds)
            summary = {name: summarise(tasks[name][0], rounds[name]) for name in tasks}
    results = {
        "model": options.model.name,
        "processor": processor_name(),
        "cores": cpu_count(),
        "load_before": load,
        "rounds": options.rounds,
        "tasks": summary,
        "notes": [
            "Seconds: wall time, median of the rounds. Times as fast: the plain way's over ours, median and range.",
            "Real-time factor: seconds of work for a second of sound. Cold: a new process, imports included.",
            f"Load before: {load:.1f}.",
        ],
    }
    if options.out:
        write_json(options.out, results)
    print(to_markdown(classifying_table(results)), end="")
    return 0
