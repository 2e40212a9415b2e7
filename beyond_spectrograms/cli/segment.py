"""`segment FILE`: what is where in a file, or in many, as clips to hear and label anew."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from beyond_spectrograms.cli.common import add_model_options, check_free, check_writable, list_files, load, told_name
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import real, write_text
from beyond_spectrograms.util.text import printable

if TYPE_CHECKING:
    from beyond_spectrograms.inference import Model
    from beyond_spectrograms.inference.results import Segmentation
    from beyond_spectrograms.inference.timeline import Spectrogram

HELP = "what is where in a file"
DESCRIPTION = """
Find which class is where in a sound: windows slide over it, their probabilities are smoothed (viterbi: a hidden
Markov model in which a sound lasts 5 s on average; median: a running median over 2.5 s; none), and neighbours of one
class are merged. Any length: the file is read as a stream. With --export the segments of one file or many become WAV
files, with a table of them that `train --labels` takes.
"""
LONG_S = 60  # of shorter sounds a bar would only flash by
FORMATS = ("table", "json", "csv", "audacity", "textgrid")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    of_files = "an audio or .ecdc file, or - for standard input; with --export files, folders and glob patterns"
    parser.add_argument("files", nargs="+", metavar="FILE", help=of_files)
    add_model_options(parser)
    parser.add_argument("--hop", type=float, metavar="SECONDS", help="from window to window (default: half a window)")
    parser.add_argument("--smoothing", choices=["viterbi", "median", "none"], default="viterbi")
    parser.add_argument("--format", choices=FORMATS, help="default: table")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there, not to standard output")
    of_plot = "draw spectrogram (of .ecdc none), probabilities, segments"
    parser.add_argument("--plot", type=Path, metavar="PNG", help=of_plot)
    of_export = "write every segment of a class as a WAV file there, and segments.csv; must not exist"
    parser.add_argument("--export", type=Path, metavar="FOLDER", help=of_export)


def run(options: argparse.Namespace) -> int:
    """Segment; give the exit status."""
    from beyond_spectrograms.codec.ecdc import SUFFIX as ECDC
    from beyond_spectrograms.data.audio import BadAudioError
    from beyond_spectrograms.inference.formats import SEGMENT_FORMATS
    from beyond_spectrograms.inference.timeline import Spectrogram, draw_timeline
    from beyond_spectrograms.util.errors import require

    file = Path(options.files[0])
    if options.export:
        if alone := [name for name in ("format", "out", "plot") if getattr(options, name)]:
            wrong = f"--{alone[0]} does not go with --export, which writes a table of its own"
            raise ProjectError(f"{wrong}. Leave one out.")
        check_free(options.export)
    elif len(options.files) > 1:
        raise ProjectError(f"{len(options.files)} files: `segment` takes one, and several with --export FOLDER alone.")
    _check_places(file, options.out, options.plot)
    if options.plot:
        require("matplotlib")
    model = load(options)
    if model.card.multi_label is not None and (options.export or options.plot):
        option = "--export" if options.export else "--plot"
        raise ProjectError(f"{option} is for one label at a time, and {options.model} gives several. Leave it out.")
    try:
        hop_s = model.check_segmenting(options.hop, options.smoothing)
    except ValueError as error:
        print(f"--hop: {error}", file=sys.stderr)
        return 2
    if options.export:
        return _export(model, options, hop_s)
    picture = None
    if options.plot and file.suffix.lower() != ECDC:
        picture = Spectrogram(model.representation.form.sample_rate, hop_s)
    try:
        found = _find(model, file, hop_s, options.smoothing, picture)
    except BadAudioError as error:
        print(f"{told_name(file)}: {printable(str(error))}", file=sys.stderr)
        return 1
    text = SEGMENT_FORMATS[options.format or "table"](found, file)
    if options.out:
        write_text(options.out, text)
    else:
        print(text, end="")
    if options.plot:
        draw_timeline(found, picture, options.plot)
    return 0


def _find(model: Model, file: Path, hop_s: float, smoothing: str, picture: Spectrogram | None = None) -> Segmentation:
    from beyond_spectrograms.inference.batch import REFUSALS, cut_file, prefetch
    from beyond_spectrograms.util.progress import counting

    with cut_file(model, file, hop_s) as sound:
        batches = prefetch(picture.watch(sound) if picture else sound)
        judged = ((batch, model.judge(batch)) for batch in batches)
        seconds = None if sound.promised_s is None else round(sound.promised_s)
        with counting("segment (seconds)", seconds, lambda: int(sound.seconds), least=LONG_S):
            try:
                return model.conclude(sound, judged, smoothing)
            except REFUSALS:
                for _ in batches:  # what reads ahead must not read on from a file that is closed
                    pass
                raise


def _export(model: Model, options: argparse.Namespace, hop_s: float) -> int:
    from beyond_spectrograms.codec.ecdc import SUFFIX as ECDC
    from beyond_spectrograms.data.audio import BadAudioError
    from beyond_spectrograms.data.sound_files import STDIN
    from beyond_spectrograms.inference import cut_clips
    from beyond_spectrograms.inference.batch import REFUSALS
    from beyond_spectrograms.inference.folder import new_folder
    from beyond_spectrograms.inference.formats import csv_text

    files, wrong = list_files(options.files)
    paths = list(dict.fromkeys(files))
    rows, bad = [], 0
    with new_folder(options.export) as folder:
        for path, name in zip(paths, cut_clips.names_of(paths), strict=True):
            try:
                if path == STDIN or path.suffix.lower() == ECDC:
                    raise BadAudioError("--export cuts files of sound, which are read twice")
                rows += cut_clips.write_segments(path, name, _find(model, path, hop_s, options.smoothing), folder)
            except REFUSALS as error:
                bad += 1
                print(f"{told_name(path)}: {printable(str(error))}", file=sys.stderr)
        if not rows:
            raise ProjectError(f"{', '.join(options.files)}: no segment of a class in {len(paths) - bad} files")
        write_text(folder / cut_clips.TABLE, csv_text(cut_clips.EXPORT_COLUMNS, rows, header=True, exact=True))
    print(f"{options.export}: {len(rows)} clips of {len(paths) - bad} files, and {cut_clips.TABLE}, which names them")
    return int(wrong or bad > 0)


def _check_places(file: Path, out: Path | None, plot: Path | None) -> None:
    """Check that no result replaces the sound or another result, and that --plot names a PNG.

    Raises:
        ProjectError: one does, it does not, or a place cannot be written.
    """
    if plot and plot.suffix.lower() != ".png":
        raise ProjectError(f"--plot is {plot}; a timeline is a PNG. Choose a name that ends in .png.")
    places = [place for place in (out, plot) if place]
    if len({real(place) for place in (file, *places)}) <= len(places):
        named = ", ".join(map(str, (file, *places)))
        raise ProjectError(f"{named}: two of these are the same file. Choose another name.")
    for place in places:
        check_writable(place)
