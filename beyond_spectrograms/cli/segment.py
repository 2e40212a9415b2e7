"""`segment FILE`: what is where in a file."""

import argparse
import sys
from pathlib import Path

from beyond_spectrograms.cli.common import add_model_options, check_writable, load, told_name
from beyond_spectrograms.util.errors import ProjectError

HELP = "what is where in a file"
DESCRIPTION = """
Find which class is where in a sound: windows slide over it, their probabilities are smoothed (viterbi: a hidden
Markov model in which a sound lasts 5 s on average; median: a running median over 2.5 s; none), and neighbours of one
class are merged. Any length: the file is read as a stream.
"""
LONG_S = 60  # of shorter sounds a bar would only flash by
FORMATS = ("table", "json", "csv", "audacity", "textgrid")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="an audio or .ecdc file, or - for standard input")
    add_model_options(parser)
    parser.add_argument("--hop", type=float, metavar="SECONDS", help="from window to window (default: half a window)")
    parser.add_argument("--smoothing", choices=["viterbi", "median", "none"], default="viterbi")
    parser.add_argument("--format", choices=FORMATS, default="table")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there, not to standard output")
    of_plot = "draw spectrogram (of .ecdc none), probabilities, segments"
    parser.add_argument("--plot", type=Path, metavar="PNG", help=of_plot)


def run(options: argparse.Namespace) -> int:
    """Segment; give the exit status."""
    from beyond_spectrograms.data.audio import BadAudioError
    from beyond_spectrograms.inference.batch import cut_file, prefetch
    from beyond_spectrograms.inference.formats import SEGMENT_FORMATS
    from beyond_spectrograms.inference.stream_windows import CutSound
    from beyond_spectrograms.inference.timeline import Spectrogram, draw_timeline
    from beyond_spectrograms.util.errors import require
    from beyond_spectrograms.util.files import write_text
    from beyond_spectrograms.util.progress import counting

    _check_places(options.file, options.out, options.plot)
    if options.plot:
        require("matplotlib")
    model = load(options)
    try:
        hop_s = model.check_segmenting(options.hop, options.smoothing)
    except ValueError as error:
        print(f"--hop: {error}", file=sys.stderr)
        return 2
    picture = None
    try:
        with cut_file(model, options.file, hop_s) as sound:
            if options.plot and isinstance(sound, CutSound):
                picture = Spectrogram(model.representation.form.sample_rate, hop_s)
            batches = prefetch(picture.watch(sound) if picture else sound)
            judged = ((batch, model.judge(batch)) for batch in batches)
            seconds = None if sound.promised_s is None else round(sound.promised_s)
            with counting("segment (seconds)", seconds, lambda: int(sound.seconds), least=LONG_S):
                found = model.conclude(sound, judged, options.smoothing)
    except BadAudioError as error:
        print(f"{told_name(options.file)}: {error}", file=sys.stderr)
        return 1
    text = SEGMENT_FORMATS[options.format](found, options.file)
    if options.out:
        write_text(options.out, text)
    else:
        print(text, end="")
    if options.plot:
        draw_timeline(found, picture, options.plot)
    return 0


def _check_places(file: Path, out: Path | None, plot: Path | None) -> None:
    """Check that no result replaces the sound or another result, and that --plot names a PNG.

    Raises:
        ProjectError: one does, it does not, or a place cannot be written.
    """
    if plot and plot.suffix.lower() != ".png":
        raise ProjectError(f"--plot is {plot}; a timeline is a PNG. Choose a name that ends in .png.")
    places = [place for place in (out, plot) if place]
    if len({place.resolve() for place in (file, *places)}) <= len(places):
        named = ", ".join(map(str, (file, *places)))
        raise ProjectError(f"{named}: two of these are the same file. Choose another name.")
    for place in places:
        check_writable(place)
