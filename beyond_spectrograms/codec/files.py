"""Codecs by their files, and sounds coded from file to file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
import torch

from beyond_spectrograms.codec.card import CODEC
from beyond_spectrograms.codec.ecdc import (
    DIGITS,
    Header,
    Layout,
    check_lengths,
    layout_of,
    read_codes,
)
from beyond_spectrograms.codec.entropy import LanguageModel
from beyond_spectrograms.codec.network import Codec, CodecFileError, load_codec, state_of_package
from beyond_spectrograms.codec.streaming import Streamer
from beyond_spectrograms.data.audio import BadAudioError, Waveform, check_peak, check_rate
from beyond_spectrograms.data.sound_files import OpenSound
from beyond_spectrograms.params.codecs import CodecNetwork
from beyond_spectrograms.util.errors import one_line
from beyond_spectrograms.util.files import UnreadableError, digest_file, read_checkpoint, written_beside
from beyond_spectrograms.util.machine import one_thread
from beyond_spectrograms.util.text import quoted

SHIPPED = Path(__file__).parent / "shipped" / CODEC
OURS = "beyond-spectrograms"  # begins the name of a codec of ours in a file
USUAL = 6000  # bits/s, where the encodec program is not told otherwise
LARGEST = 2**32 - 2**16  # bytes that a WAV file can say it has, less its header; of more it is an RF64 file
_SIZES = {"filters": 32, "strides": [8, 5, 4, 2], "dimension": 128, "lstm": 2, "entries": 1024}
ENCODEC = {  # encodec/model.py
    "encodec_24khz": CodecNetwork.model_validate(
        {
            **_SIZES,
            **{"sample_rate": 24_000, "channels": 1, "causal": True, "norm": "weight_norm", "by_level": False},
            **{"codebooks": 32, "bitrates": [1_500, 3_000, 6_000, 12_000, 24_000]},
        }
    ),
    "encodec_48khz": CodecNetwork.model_validate(
        {
            **_SIZES,
            **{"sample_rate": 48_000, "channels": 2, "causal": False, "norm": "time_group_norm", "by_level": True},
            **{"codebooks": 16, "bitrates": [3_000, 6_000, 12_000, 24_000]},
        }
    ),
}


class OpenCodec(NamedTuple):
    """A codec, and how its codes lie in files, with its name."""

    codec: Codec
    layout: Layout


def codec_file(path: Path) -> Path:
    """Give the file of a codec: that in a folder, where `path` is one that `codec train` wrote."""
    return path / CODEC if path.is_dir() else path


def open_codec(path: Path) -> OpenCodec:
    """Open a codec of ours.

    Raises:
        CodecFileError: there is none at `path`.
    """
    path = codec_file(path)
    if not path.is_file():
        raise CodecFileError(f"{path}: no such file. --codec takes a codec's file, {' or '.join(ENCODEC)}.")
    codec, notes = load_codec(path)
    name = f"{OURS}/{notes.get('name', 'codec')}"
    return OpenCodec(codec, layout_of(codec.network, name, digest_file(path)[:DIGITS]))


def open_encodec(name: str, weights: Path) -> OpenCodec:
    """Make EnCodec's codec of a `name` in ENCODEC, whose published checkpoint is `weights`.

    Raises:
        CodecFileError: it is no such checkpoint.
    """
    with torch.random.fork_rng(devices=[]):
        codec = Codec(ENCODEC[name])
    try:
        codec.load_state_dict(state_of_package(read_checkpoint(weights)), strict=False)
    except (UnreadableError, RuntimeError, TypeError, AttributeError) as error:
        raise CodecFileError(f"{weights}: not the weights of {name}. {one_line(error)}") from None
    return OpenCodec(codec.eval(), layout_of(codec.network, name))


def choose_bitrate(network: CodecNetwork) -> int:
    """Choose the bitrate of a codec: that of the encodec program where it has it, else its highest."""
    return USUAL if USUAL in network.bitrates else max(network.bitrates)


class SoundBlocks:
    """An open sound in blocks [channels, samples] at a codec's rate and channels (soxr, HQ), of which `seconds` came.

    Two channels stay two where the codec has two. Of all other numbers the mean is taken.
    """

    def __init__(self, sound: OpenSound, network: CodecNetwork) -> None:
        check_rate(sound.sample_rate)
        self._sound, self._network, self._heard = sound, network, 0

    @property
    def seconds(self) -> float:
        """Length of what was read so far."""
        return self._heard / self._sound.sample_rate

    def __iter__(self) -> Iterator[Waveform]:
        """Yield the blocks.

        Raises:
            BadAudioError: the sound cannot be decoded, or has samples that are not finite or far above full scale.
        """
        rate = self._network.sample_rate
        channels = 2 if self._network.channels == self._sound.channels == 2 else 1
        copies = self._network.channels // channels
        stream = soxr.ResampleStream(self._sound.sample_rate, rate, channels, dtype="float32", quality="HQ")
        for block in self._sound.blocks():
            mixed = self._check(block)
            if channels == 1:
                mixed = mixed.mean(axis=1, keepdims=True, dtype=np.float32)
            made = mixed if rate == self._sound.sample_rate else stream.resample_chunk(np.ascontiguousarray(mixed))
            yield np.repeat(made.T, copies, axis=0)
        if self._heard and rate != self._sound.sample_rate:
            made = stream.resample_chunk(np.empty((0, channels), np.float32), last=True)
            yield np.repeat(made.T, copies, axis=0)

    def _check(self, block: Waveform) -> Waveform:
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            place = (self._heard + int(np.flatnonzero(~finite)[0])) / self._sound.sample_rate
            raise BadAudioError(f"a sample that is not finite (NaN or infinite) at {place:.3f} s")
        check_peak(float(np.abs(block).max(initial=0)))
        self._heard += len(block)
        return block


def decode_file(
    content: bytes, header: Header, by: OpenCodec, place: Path, language: LanguageModel | None = None
) -> int:
    """Decode a file's content, and write it as WAV of 16 bits to `place`; give how many samples had to be limited.

    Raises:
        BadAudioError: another codec wrote it, or it is damaged where that shows.
    """
    layout = by.layout
    if header.model != layout.name:
        told = f"coded by {quoted(header.model)}, not by {layout.name}"
        raise BadAudioError(f"{told}. Name the codec that coded it by --codec.")
    if header.digest != layout.digest:
        told = f"coded by another {layout.name}, of weights whose SHA-256 begins with {quoted(header.digest)}"
        raise BadAudioError(f"{told}, not with {layout.digest!r}. Name the codec that coded it by --codec.")
    check_lengths(header, layout)
    if header.arithmetic and language is None:
        raise BadAudioError("coded by what a language model expects. Name that one by --lm.")
    if header.arithmetic and language is not None and header.coder != language.digest:
        told = f"coded by another language model, whose file's SHA-256 begins with {quoted(header.coder)}"
        raise BadAudioError(f"{told}, not with {language.digest!r}. Name that one by --lm.")
    with one_thread():  # as it was written
        coded = read_codes(content, header, layout, lambda: language.lm)  # type: ignore[union-attr]
    channels, limited = by.codec.network.channels, 0
    form = "RF64" if 2 * channels * coded.samples > LARGEST else "WAV"
    with (
        written_beside(place) as beside,
        soundfile.SoundFile(beside, "w", layout.sample_rate, channels, format=form, subtype="PCM_16") as file,
    ):
        for block in Streamer(*by).decode(coded):
            limited += int((np.abs(block) > 1).sum())
            file.write(np.clip(block.T, -1, 1))
    return limited
