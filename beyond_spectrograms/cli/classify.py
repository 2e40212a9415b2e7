"""`classify FILE...`: what is in each file."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beyond_spectrograms.cli.common import add_model_options, count, list_files, load, model_at, told_name
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.text import printable, printable_json

if TYPE_CHECKING:
    from beyond_spectrograms.inference.batch import Named
    from beyond_spectrograms.inference.model import Model

HELP = "what is in each file"
DESCRIPTION = """
Classify sounds: the most probable classes of each file, by the mean of the probabilities of its windows. A bad file is
reported on stderr and in the output, a folder without sounds on stderr; the rest is done, and the exit status is 1.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    sounds = "files, folders (all audio in them), glob patterns, - for standard input"
    parser.add_argument("files", nargs="+", metavar="FILE", help=sounds)
    add_model_options(parser)
    of_top = "labels a file (default: 3); a model that gives several names all that pass"
    parser.add_argument("--top", type=count, default=3, metavar="K", help=of_top)
    of_scheduler = "workers of Dask share the files (docs/scale.md): where their scheduler is, as tcp://10.0.0.1:8786"
    parser.add_argument("--scheduler", metavar="ADDRESS", help=of_scheduler)
    parser.add_argument("--format", choices=["table", "json", "jsonl", "csv"], default="table")


def run(options: argparse.Namespace) -> int:
    """Classify; give the exit status."""
    from beyond_spectrograms.inference import formats
    from beyond_spectrograms.util.progress import track

    model = load(options)
    paths, wrong = list_files(options.files)
    if not paths:
        return 1
    form, top, results = options.format, options.top, []
    if form == "csv":
        print(formats.csv_text(formats.CLASSIFY_COLUMNS, [], header=True), end="", flush=True)
    for named in track(_classify(options, model, paths), "classify", len(paths)):
        results.append(named)
        if form == "csv":
            rows = formats.classify_rows(named, top)
            print(formats.csv_text(formats.CLASSIFY_COLUMNS, rows, header=False), end="", flush=True)
        elif form == "jsonl":
            print(printable_json(formats.describe(named, top)), flush=True)
        if named.reason:
            print(f"{told_name(named.path)}: {printable(named.reason)}", file=sys.stderr)
    if form == "table":
        print(formats.classify_table(results, top), end="")
    elif form == "json":
        print(formats.json_text([formats.describe(named, top) for named in results]), end="")
    return int(wrong or any(named.reason for named in results))


def _classify(options: argparse.Namespace, model: "Model", paths: Sequence[Path]) -> Iterator["Named"]:
    from beyond_spectrograms.inference.batch import classify_files, classify_on_cluster

    if options.scheduler is None:
        yield from classify_files(model, paths)
        return
    from beyond_spectrograms.params.loading import load_all_params
    from beyond_spectrograms.util.cluster.dask_engine import pieces_done_by
    from beyond_spectrograms.util.cluster.engine import Engine

    if Path("-") in paths:
        raise ProjectError("-: standard input is here alone, and --scheduler takes files that all machines see.")
    packages = [name for name, version in load_all_params().versions.items() if isinstance(version, str)]
    engine = Engine(engine="dask", scheduler=options.scheduler)
    with pieces_done_by(engine, packages, source="--scheduler"):
        yield from classify_on_cluster(model_at(options), paths)
