"""`classify FILE...`: what is in each file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from beyond_spectrograms.cli.common import Commands, add_model_options, count, load, told_name

if TYPE_CHECKING:
    from beyond_spectrograms.inference.batch import Named

DESCRIPTION = """
Classify sounds: the most probable classes of each file, by the mean of the probabilities of its windows. A bad file is
reported on stderr and in the output; the rest is done, and the exit status is 1.
"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("classify", help="what is in each file", description=DESCRIPTION)
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="files, folders (all audio in them), glob patterns, - for standard input",
    )
    add_model_options(parser)
    parser.add_argument("--top", type=count, default=3, metavar="K", help="labels a file (default: 3)")
    parser.add_argument("--format", choices=["table", "json", "jsonl", "csv"], default="table")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Classify; give the exit status."""
    from beyond_spectrograms.inference.batch import classify_files, find_files
    from beyond_spectrograms.util.progress import track

    model = load(options)
    paths = list(find_files(options.files))
    if not paths:
        print(f"{', '.join(options.files)}: no audio file", file=sys.stderr)
        return 1
    results = []
    told = track(classify_files(model, paths), "classify", len(paths))
    for named in _write_each(told, options.format, options.top):
        if named.reason:
            print(f"{told_name(named.path)}: {named.reason}", file=sys.stderr)
        results.append(named)
    _write_all(results, options.format, options.top)
    return int(any(named.reason for named in results))


def _write_each(results: Iterator[Named], form: str, top: int) -> Iterator[Named]:
    """Write those formats that need not wait for the last file."""
    import json

    from beyond_spectrograms.inference.formats import CLASSIFY_COLUMNS, classify_rows, csv_text, describe

    if form == "csv":
        print(csv_text(CLASSIFY_COLUMNS, [], header=True), end="", flush=True)
    for named in results:
        if form == "csv":
            print(csv_text(CLASSIFY_COLUMNS, classify_rows(named, top), header=False), end="", flush=True)
        elif form == "jsonl":
            print(json.dumps(describe(named, top), allow_nan=False, ensure_ascii=False), flush=True)
        yield named


def _write_all(results: list[Named], form: str, top: int) -> None:
    from beyond_spectrograms.inference.formats import classify_table, describe, json_text

    if form == "table":
        print(classify_table(results, top), end="")
    elif form == "json":
        print(json_text([describe(named, top) for named in results]), end="")
