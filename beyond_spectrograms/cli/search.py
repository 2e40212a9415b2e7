"""`search QUERY FOLDER`: where in a folder something sounds like a given sound."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from beyond_spectrograms.cli.common import add_module_option, check_known, count, list_files, load, told_name
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.text import printable

if TYPE_CHECKING:
    from beyond_spectrograms.inference.search import Match, Summarizer

HELP = "where in a folder something sounds like a given sound"
DESCRIPTION = """
Find the windows of recordings that are most like a sound. Each window is the mean and deviation over time of what a
representation gives of it, standardised over all windows searched; how alike two are is the cosine of the angle between
them, 1 at most. Every window is compared but silent ones. A query longer than a window is the mean of its windows. What
was computed of a recording is kept, and not computed again. No labels and no training are needed.
"""
COLUMNS = ("file", "start_seconds", "similarity")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("query", type=Path, metavar="QUERY", help="a sound file")
    sounds = "files, folders (all audio in them), glob patterns; the query itself is left out"
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help=sounds)
    by = parser.add_mutually_exclusive_group(required=True)
    by.add_argument("--representation", metavar="NAME", help="its name in params.yaml")
    by.add_argument("--model", type=Path, metavar="FOLDER", help="or a model, of which that is taken")
    of_weights = "where the model's encoder's weights are, if not in the model"
    parser.add_argument("--weights", type=Path, metavar="FOLDER", help=of_weights)
    add_module_option(parser)
    parser.add_argument("--hop", type=float, metavar="SECONDS", help="from window to window (default: half a window)")
    parser.add_argument("--count", type=count, default=10, metavar="K", help="windows to list (default: 10)")
    parser.add_argument("--format", choices=["text", "csv", "json"], default="text")
    parser.set_defaults(device="cpu")


def run(options: argparse.Namespace) -> int:
    """Search; give the exit status."""
    from beyond_spectrograms.data.audio import BadAudioError
    from beyond_spectrograms.inference.search import search, without
    from beyond_spectrograms.util.progress import track

    if options.weights and not options.model:
        raise ProjectError("--weights goes with --model; those of a representation are found by its name")
    if not options.query.is_file():
        raise ProjectError(f"{told_name(options.query)}: no such file")
    by = _summarizer(options)
    try:
        query = by.read_or_compute(options.query)
    except BadAudioError as error:
        raise ProjectError(f"{told_name(options.query)}: {error}") from None
    files, wrong = list_files(options.folders)
    paths, recordings = without(options.query, files), []
    for path in track(paths, "summarize", len(paths)):
        try:
            recordings.append(by.read_or_compute(path))
        except BadAudioError as error:
            print(f"{told_name(path)}: {printable(str(error))}", file=sys.stderr)
    if not recordings:
        raise ProjectError(f"{', '.join(options.folders)}: no sound to search in")
    windows, new = (sum(getattr(each, key) for each in recordings) for key in ("windows", "computed"))
    told = f"{windows} windows of {len(recordings)} recordings, {new} of them computed now"
    print(f"{by.cache}: {told}", file=sys.stderr)
    print(_tell(search(query, recordings, by.hop_s, options.count), options.format), end="")
    return int(wrong or len(recordings) < len(paths))


def _summarizer(options: argparse.Namespace) -> Summarizer:
    """Make a summarizer of the representation or the model that the options name.

    Raises:
        ProjectError: there is none, it gives codes, or the hop is longer than a window.
    """
    from beyond_spectrograms.data.weights import fetch_encoder
    from beyond_spectrograms.inference.folder import data_folder
    from beyond_spectrograms.inference.search import Summarizer
    from beyond_spectrograms.params import load_all_params
    from beyond_spectrograms.representations import create_representation
    from beyond_spectrograms.representations.base import check_hears_windows
    from beyond_spectrograms.representations.feature_cache import FEATURE_VERSIONS, fingerprint

    params = load_all_params()
    name, length_s = options.representation, params.windows.length_s
    if name:
        check_known("representation", name, params.representations)
        record = params.representations[name]
    else:
        model = load(options)
        name, length_s = model.representation.name, model.card.windows.length_s
        record = model.card.representation.record
    if record.codebook_size is not None:
        raise ProjectError(f"{name}: gives the numbers of codes, whose mean says nothing. Choose its latents instead.")
    check_hears_windows(name, record)
    hop_s = length_s / 2 if options.hop is None else options.hop
    if not 0.01 * length_s <= hop_s <= length_s:
        raise ProjectError(f"--hop is {hop_s:g} s; it must be {0.01 * length_s:g} to {length_s:g} s, a window's length")
    weights = model.encoder_files if options.model else fetch_encoder(params, name, data_folder())
    made = model.representation if options.model else create_representation(name, record, weights)
    versions = {noun: params.versions[noun] for noun in FEATURE_VERSIONS}
    decided = fingerprint(made, record.model_dump(), weights, length_s, versions)
    return Summarizer(made, length_s, hop_s, decided, data_folder() / "search" / name)


def _tell(matches: list[Match], form: str) -> str:
    from beyond_spectrograms.inference.formats import clock, csv_text, file_name, json_text

    rows = [
        dict(zip(COLUMNS, (file_name(match.path), round(match.start_s, 6), round(match.similarity, 6)), strict=True))
        for match in matches
    ]
    if form == "csv":
        return csv_text(COLUMNS, rows, header=True)
    if form == "json":
        return json_text(rows)
    lines = [f"{'similarity':>10}  {'start':>12}  file"]
    lines += [f"{match.similarity:>10.4f}  {clock(match.start_s):>12}  {printable(match.path)}" for match in matches]
    return "".join(f"{line}\n" for line in lines)
