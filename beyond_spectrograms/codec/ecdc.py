"""EnCodec's compressed files, .ecdc, of its own codecs and of ours: codes and what stands before them, no sound.

Source: encodec 0.1.1, encodec/compress.py and encodec/binary.py. A file is `ECDC`, a version byte (0), the length of a
JSON header (32 bits, big-endian), the header - model `m`, audio length in samples `al`, number of codebooks `nc`,
whether a language model codes the rest `lm` - and the codes, frame by frame and codebook by codebook: each in as many
bits as it takes, the lowest first, or arithmetically coded by what the language model expects. A codec that divides
sound by its level has segments of a second; before the codes of each stands its level, as a 32-bit float, big-endian.
Nothing in it is a checksum: a flipped bit among the codes is another code, and cannot be found.

Files of our codecs have another model's name and `codec`, the first digits of the SHA-256 of the codec's file: codes
are of use to that codec alone. `coder` are those of its language model's file, where one was used.

As many frames are read as the encoder makes of so many samples. The encodec program computes their number with floats,
and at lengths such as 6720 samples of 24 kHz asks for one more than its own encoder has written.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.codec.entropy import (
    EndError,
    LanguageModel,
    UnfitError,
    decode_arithmetically,
    encode_arithmetically,
)
from beyond_spectrograms.data.audio import HIGHEST_PEAK, BadAudioError
from beyond_spectrograms.params.codecs import CodecNetwork
from beyond_spectrograms.util.files import written_beside
from beyond_spectrograms.util.text import quoted

if TYPE_CHECKING:
    from encodec.model import LMModel

SUFFIX = ".ecdc"
Codes = npt.NDArray[np.int16]
DAY_S = 86_400  # a header may promise, and a file be, of any length
BEGINNING = 1 << 20  # bytes of a file in which its header has to end
RANGE_BITS = 24  # of encodec's arithmetic coder: as many as a code takes at most
SEGMENT_S, OVERLAP = 1.0, 0.01  # of a codec that divides by level: encodec/model.py
DIGITS = 16  # of the SHA-256 of a codec's or a language model's file, by which a header names it
LEVEL = struct.Struct("!f")
PACKED = 1 << 18  # codes packed at a time, a multiple of 8, which fill whole bytes


@dataclass(frozen=True)
class Layout:
    """How the codes of one codec lie in a file.

    Attributes:
        name, digest: of the codec; EnCodec's own have no digest.
        sample_rate: Hz.
        hop_length: samples of a frame.
        bits: of a code.
        codebooks: at most.
        by_level: whether sound is cut into segments, each divided by its level.
    """

    name: str
    digest: str
    sample_rate: int
    hop_length: int
    bits: int
    codebooks: int
    by_level: bool

    @property
    def most_samples(self) -> int:
        """Samples of a day."""
        return DAY_S * self.sample_rate

    def most_bytes(self, *, arithmetic: bool) -> int:
        """Bytes that a file of a day has at most."""
        bits, level = self.codebooks * (RANGE_BITS if arithmetic else self.bits), LEVEL.size * self.by_level
        segments = self.segments(self.most_samples)
        return BEGINNING + sum(level + math.ceil(self.frames(samples) * bits / 8) for _, samples in segments)

    @property
    def segment_length(self) -> int:
        """Samples of a segment."""
        return int(SEGMENT_S * self.sample_rate)

    @property
    def segment_stride(self) -> int:
        """Samples from the beginning of a segment to that of the next."""
        return max(1, int((1 - OVERLAP) * self.segment_length))

    def segments(self, samples: int) -> Iterator[tuple[int, int]]:
        """Give the first sample of each segment of a sound, and how many samples it has."""
        if not self.by_level:
            yield 0, samples
            return
        for first in range(0, samples, self.segment_stride):
            yield first, min(self.segment_length, samples - first)

    def frames(self, samples: int) -> int:
        """Count the frames of so many samples, the last of which may be partial."""
        return -(-samples // self.hop_length)


def layout_of(network: CodecNetwork, name: str, digest: str = "") -> Layout:
    """Give the layout of a network's codes."""
    bits = network.entries.bit_length() - 1
    return Layout(
        name, digest, network.sample_rate, network.hop_length, bits, network.codebooks, by_level=network.by_level
    )


class Header(NamedTuple):
    """What stands before the codes: it ends at byte `end`. `arithmetic`: the language model is needed to read on."""

    model: str
    digest: str
    samples: int
    codebooks: int
    arithmetic: bool
    end: int
    coder: str = ""


class Coded(NamedTuple):
    """A coded sound of `samples` samples: codes [codebooks, frames] of each segment, and its level where it has one."""

    samples: int
    codes: Sequence[Codes]
    levels: Sequence[float]


def read_beginning(path: Path, most: int = BEGINNING) -> bytes:
    """Read the first bytes of a file, those that have its header.

    Raises:
        BadAudioError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise BadAudioError((error.strerror or str(error)).lower()) from None


def read_content(path: Path, header: Header, layout: Layout) -> bytes:
    """Read a file whole, if it is no larger than a day of the codec that wrote it.

    Raises:
        BadAudioError: it is, or it cannot be read.
    """
    most = layout.most_bytes(arithmetic=header.arithmetic)
    content = read_beginning(path, most + 1)
    if len(content) > most:
        raise BadAudioError(f"larger than {most} bytes, more than a day of {layout.name} takes")
    return content


def read_header(content: bytes) -> Header:
    """Read the header of a file.

    Raises:
        BadAudioError: it is not one, or not whole.
    """
    if not content:
        raise BadAudioError("empty file (0 bytes)")
    if content[:4] != b"ECDC"[: len(content)]:
        raise BadAudioError(f"not an .ecdc file: it begins with {content[:4]!r}, not b'ECDC'")
    if len(content) < 9 or len(content) < (end := 9 + int.from_bytes(content[5:9])):
        raise BadAudioError(f"truncated: its header is not whole after {len(content)} bytes")
    if content[4] != 0:
        raise BadAudioError(f"version {content[4]} of .ecdc; this program reads 0")
    try:
        told: Any = json.loads(content[9:end])
    except (ValueError, RecursionError):  # broken UTF-8 and nesting without end included
        raise BadAudioError(f"damaged: its header is no JSON: {content[9:end][:60]!r}") from None
    kinds = {"m": str, "al": int, "nc": int, "lm": bool}
    if (
        not isinstance(told, dict)
        or {key: type(told.get(key)) for key in kinds} != kinds
        or not all(isinstance(told.get(key, ""), str) for key in ("codec", "coder"))
    ):
        raise BadAudioError(
            f"damaged: its header is {quoted(told)}; expected m (text), al, nc (numbers) and lm (true or false)"
        )
    return Header(told["m"], told.get("codec", ""), told["al"], told["nc"], told["lm"], end, told.get("coder", ""))


def check_lengths(header: Header, layout: Layout) -> None:
    """Check that a codec can have made what a header promises.

    Raises:
        BadAudioError: it cannot.
    """
    if not 1 <= header.codebooks <= layout.codebooks:
        told = f"its header says {header.codebooks} codebooks; {layout.name} has 1 to {layout.codebooks}"
        raise BadAudioError(f"damaged: {told}")
    if header.samples < 1:
        raise BadAudioError(f"empty: its header says {header.samples} samples")
    if header.samples > layout.most_samples:
        told = f"its header says {header.samples} samples, more than the {layout.most_samples} of a day"
        raise BadAudioError(f"damaged: {told}")


def read_codes(content: bytes, header: Header, layout: Layout, load_lm: Callable[[], LMModel]) -> Coded:
    """Read the codes behind a header that `check_lengths` let pass.

    Args:
        content: the whole file.
        header: its header.
        layout: of the codec that wrote it.
        load_lm: gives its language model, where the file is coded by it. Its arithmetic must be that of the machine
            that wrote the file, up to the 1e-8 to which encodec rounds probabilities.

    Raises:
        BadAudioError: the file is truncated, or damaged where that shows.
    """
    lm = load_lm() if header.arithmetic else None
    place, codes, levels = header.end, list[Codes](), list[float]()
    for first, samples in layout.segments(header.samples):
        if layout.by_level:
            if len(content) < place + LEVEL.size:
                raise _truncated(header, layout, first, 0)
            levels.append(LEVEL.unpack_from(content, place)[0])
            if not 0 <= levels[-1] <= HIGHEST_PEAK:
                told = f"the level of the sound at {first / layout.sample_rate:.3f} s is {levels[-1]:g}"
                raise BadAudioError(f"damaged: {told}; expected 0 to {HIGHEST_PEAK:g}")
            place += LEVEL.size
        shape = (header.codebooks, layout.frames(samples))
        try:
            if lm is None:
                found, place = _unpack(content, place, shape, layout.bits)
            else:
                found, place = decode_arithmetically(content, place, shape, lm)
        except UnfitError as end:
            at = (first + end.frames * layout.hop_length) / layout.sample_rate
            raise BadAudioError(f"damaged: no code fits at {at:.3f} s") from None
        except EndError as end:
            raise _truncated(header, layout, first, end.frames) from None
        codes.append(found)
    if len(content) > place:
        raise BadAudioError(f"damaged: the codes end at byte {place}, the file at byte {len(content)}")
    return Coded(header.samples, codes, levels)


def write_ecdc(path: Path, coded: Coded, layout: Layout, by: LanguageModel | None = None) -> int:
    """Write a file as encodec.compress does, with a language model if given; give its size in bytes."""
    told = {"m": layout.name, "al": coded.samples, "nc": len(coded.codes[0]), "lm": by is not None}
    if layout.digest:
        told["codec"] = layout.digest
    if by is not None and by.digest:
        told["coder"] = by.digest
    header = json.dumps(told).encode()
    with written_beside(path) as beside, beside.open("wb") as file:
        file.write(b"ECDC\0" + len(header).to_bytes(4) + header)
        for number, codes in enumerate(coded.codes):
            if layout.by_level:
                file.write(LEVEL.pack(coded.levels[number]))
            if by is not None:
                encode_arithmetically(codes, file, by.lm)
                continue
            values = codes.T.reshape(-1).astype("<u2")
            for first in range(0, len(values), PACKED):
                pairs = values[first : first + PACKED].view(np.uint8).reshape(-1, 2)
                bits = np.unpackbits(pairs, axis=1, bitorder="little")[:, : layout.bits]
                file.write(np.packbits(bits, bitorder="little").tobytes())
        return file.tell()


def _unpack(content: bytes, place: int, shape: tuple[int, int], bits: int) -> tuple[Codes, int]:
    """Read codes of a `shape` [codebooks, frames] from byte `place` on; give the byte behind them too."""
    count = shape[0] * shape[1]
    end = place + math.ceil(count * bits / 8)
    if len(content) < end:
        raise EndError((len(content) - place) * 8 // bits // shape[0])
    packed, codes = np.frombuffer(content, np.uint8, end - place, place), np.empty(count, "<i2")
    for first in range(0, count, PACKED):
        some = min(PACKED, count - first)
        mine = packed[first * bits // 8 :][: math.ceil(some * bits / 8)]
        padded = np.zeros((some, 16), np.uint8)
        padded[:, :bits] = np.unpackbits(mine, count=some * bits, bitorder="little").reshape(some, bits)
        codes[first : first + some] = np.packbits(padded, axis=1, bitorder="little").view("<i2")[:, 0]
    return np.ascontiguousarray(codes.reshape(shape[::-1]).T, dtype=np.int16), end


def _truncated(header: Header, layout: Layout, first: int, frames: int) -> BadAudioError:
    end = (first + frames * layout.hop_length) / layout.sample_rate
    return BadAudioError(
        f"truncated: the header promises {header.samples / layout.sample_rate:.3f} s, the codes end after {end:.3f} s"
    )
