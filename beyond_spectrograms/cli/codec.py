"""`codec encode`, `codec decode` and `codec train`: sounds in few bits, by a codec of ours or EnCodec's."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from beyond_spectrograms.cli import codec_lm, codec_training
from beyond_spectrograms.cli.common import CODECS, check_free, check_name, check_writable, count, open_codec, told_name
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.text import printable

if TYPE_CHECKING:
    from beyond_spectrograms.codec.entropy import LanguageModel
    from beyond_spectrograms.codec.streaming import Streamer

HELP = "sounds in few bits, by a neural codec"
DESCRIPTION = """
Code sounds in few bits by a neural codec, one of this project or EnCodec's; decode them; train such a codec.
"""
ENCODE = """
Code a sound as .ecdc. Any format that can be read, of any rate: it is resampled to the codec's, and mixed to mono where
the codec is mono. Files of EnCodec's codecs are those of the encodec program, which can decode them. Memory is bounded,
however long the sound is.
"""
DECODE = """
Decode a .ecdc file to WAV of 16 bits, at the codec's rate: as many samples as were coded. A file that EnCodec's codecs
have coded is decoded by these, one of ours by the codec that has coded it and no other.
"""
LONG_S = 60  # of shorter sounds nothing is foretold


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the commands of the command."""
    commands = parser.add_subparsers(title="commands", required=True)

    def add(name: str, text: str, action: Callable[[argparse.Namespace], int], told: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=told, description=text)
        added.set_defaults(action=action, usage_error=added.error)
        return added

    encode = add("encode", ENCODE, _encode, "a sound as .ecdc")
    encode.add_argument("sound", type=Path, metavar="SOUND", help="a sound file, or - for standard input")
    of_bitrate = "one of the codec's (default: 6000, or its highest where it has no 6000)"
    encode.add_argument("--bitrate", type=count, metavar="BITS_PER_S", help=of_bitrate)
    decode = add("decode", DECODE, _decode, "a .ecdc file as WAV")
    decode.add_argument("file", type=Path, metavar="FILE", help="a .ecdc file")
    of_lm = "a language model of the codec's codes, as `codec train-lm` writes it, or EnCodec's: fewer bytes, slower"
    encode.add_argument("--lm", type=Path, metavar="FILE", help=of_lm)
    decode.add_argument("--lm", type=Path, metavar="FILE", help="the language model that the file was coded with")
    told = codec_lm.DESCRIPTION, codec_lm.run, codec_lm.HELP
    codec_lm.add_options(add("train-lm", *told))
    codec_training.add_options(add("train", codec_training.DESCRIPTION, codec_training.run, codec_training.HELP))
    for described, suffix in ((encode, "ecdc"), (decode, "wav")):
        which = "that of this package" if described is encode else "by what the file says"
        of_codec = f"a codec's file or folder, or {' or '.join(CODECS)} (default: {which})"
        described.add_argument("--codec", metavar="CODEC", help=of_codec)
        of_out = f"must not exist (default: beside the file given, with the suffix .{suffix})"
        described.add_argument("--out", type=Path, metavar="FILE", help=of_out)


def run(options: argparse.Namespace) -> int:
    """Do what was chosen; give the exit status."""
    action: Callable[[argparse.Namespace], int] = options.action
    return action(options)


def _encode(options: argparse.Namespace) -> int:
    from beyond_spectrograms.data.audio import BadAudioError
    from beyond_spectrograms.data.sound_files import STDIN, open_sound
    from beyond_spectrograms.util.machine import one_thread
    from beyond_spectrograms.util.progress import counting

    sound: Path = options.sound
    if sound == STDIN and options.out is None:
        raise ProjectError("standard input has no name for the file to have. Give one by --out.")
    check_name(sound)
    place = _place(options.out or sound.with_suffix(".ecdc"), ".ecdc")
    try:
        with open_sound(sound) as opened:
            by = open_codec(options.codec)
            from beyond_spectrograms.codec.ecdc import write_ecdc
            from beyond_spectrograms.codec.files import SoundBlocks, choose_bitrate
            from beyond_spectrograms.codec.language_model import open_lm
            from beyond_spectrograms.codec.streaming import Streamer

            network = by.codec.network
            bitrate = options.bitrate or choose_bitrate(network)
            if bitrate not in network.bitrates:
                known = ", ".join(map(str, network.bitrates))
                raise ProjectError(f"--bitrate is {bitrate}; {by.layout.name} has {known}")
            language = open_lm(options.lm, by.layout) if options.lm else None
            blocks, streamer = SoundBlocks(opened, network), Streamer(*by)
            promised = None if opened.promised is None else round(opened.promised / opened.sample_rate)
            if promised is not None and promised >= LONG_S:
                _foretell(streamer, bitrate, promised, language)
            with counting("encode (seconds)", promised, lambda: int(blocks.seconds), least=LONG_S):
                coded = streamer.encode(blocks, bitrate)
            with one_thread():  # what a language model expects must be the same when it is read
                size = write_ecdc(place, coded, by.layout, language)
    except BadAudioError as error:
        print(f"{told_name(sound)}: {printable(str(error))}", file=sys.stderr)
        return 1
    seconds = coded.samples / network.sample_rate
    told = f"{seconds:.3f} s at {bitrate} bits per second, {size} bytes"
    of = f"({coded.samples} samples of {network.sample_rate} Hz, by {by.layout.name})"
    print(printable(f"{place}: {told} {of}"))
    return 0


def _decode(options: argparse.Namespace) -> int:
    from beyond_spectrograms.data.audio import BadAudioError

    file: Path = options.file
    check_name(file)
    place = _place(options.out or file.with_suffix(".wav"), ".wav")
    from beyond_spectrograms.codec.ecdc import read_beginning, read_content, read_header
    from beyond_spectrograms.codec.files import decode_file
    from beyond_spectrograms.codec.language_model import open_lm

    try:
        header = read_header(read_beginning(file))
        by = open_codec(options.codec or (header.model if header.model in CODECS else None))
        language = open_lm(options.lm, by.layout) if options.lm and header.arithmetic else None
        content = read_content(file, header, by.layout)
        limited = decode_file(content, header, by, place, language)
    except BadAudioError as error:
        print(f"{told_name(file)}: {printable(str(error))}", file=sys.stderr)
        return 1
    network = by.codec.network
    told = f"{header.samples / network.sample_rate:.3f} s, {header.samples} samples of {network.sample_rate} Hz"
    loud = f"; {limited} above full scale were limited to it" if limited else ""
    print(f"{printable(place)}: {told}, {network.channels} channel{'s' * (network.channels > 1)}{loud}")
    return 0


def _place(place: Path, suffix: str) -> Path:
    """Check that a result can be written.

    Raises:
        ProjectError: something stands there, its name ends otherwise, or the place cannot be written to.
    """
    check_name(place)
    if place.suffix.lower() != suffix:
        raise ProjectError(f"--out is {place}; its name must end in {suffix}")
    check_free(place)
    check_writable(place)
    return place


def _foretell(streamer: Streamer, bitrate: int, seconds: int, language: LanguageModel | None) -> None:
    """Say beforehand what coding so many seconds will take, by a second of silence coded twice."""
    import numpy as np

    from beyond_spectrograms.codec.entropy import encode_arithmetically
    from beyond_spectrograms.util.machine import one_thread

    network = streamer.network
    for _ in range(2):  # the first call prepares much
        began = time.perf_counter()
        coded = streamer.encode([np.zeros((network.channels, network.sample_rate), np.float32)], bitrate)
        if language is not None:
            with one_thread():
                encode_arithmetically(coded.codes[0], BytesIO(), language.lm)
        took = time.perf_counter() - began
    told = f"about {max(1, round(took * seconds))} s of one core, and {bitrate * seconds // 8} bytes"
    print(f"{seconds} s of sound will take {told}", file=sys.stderr)
