"""`bench-ecdc FILE...`: what is saved by not decoding."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from beyond_spectrograms.cli.common import Commands, add_model_options, count, load

DESCRIPTION = """
Measure what classifying EnCodec's compressed files costs: from their codes, and the usual way, by decoding them to
sound, taking its mel spectrogram and classifying that.
"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("bench-ecdc", help="what is saved by not decoding", description=DESCRIPTION)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".ecdc files")
    add_model_options(parser)
    parser.add_argument("--against", type=Path, required=True, metavar="FOLDER", help="a model on a mel spectrogram")
    parser.add_argument("--rounds", type=count, default=5, help="each file is classified so often (default: 5)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure; give the exit status."""
    from benchmarks.ecdc import bench_ecdc
    from beyond_spectrograms.data.audio import BadAudioError
    from beyond_spectrograms.inference import load_model

    model, mel = load(options), load_model(options.against, device=options.device)
    for path in options.files:
        try:
            model.ecdc.cut(path)
        except BadAudioError as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 1
    print(bench_ecdc(model, mel, options.files, options.rounds))
    return 0
