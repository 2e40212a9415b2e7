"""Whether a file holds all the sound it promises: libsndfile reads one that broke off as if it were whole.

Judged is the chunk that holds the samples, by the bytes its header promises and the bytes that are there, and of Ogg
the numbers of its pages. What else a header says - the size of the whole file, bytes per second, chunks behind the
samples - is wrong in many files that are whole.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from beyond_spectrograms.data.audio import BadAudioError

UNKNOWN_BYTES = 0x7FFF_EC00  # a size of about 2^31 or 2^32 in a header is what writers to a pipe put for "not known"
AU_HEADER = ">II"  # where the samples begin, and how many bytes they are
DS64 = "<QQ"  # RF64's sizes of 64 bits: of the file, of the samples


@dataclass(frozen=True)
class Chunks:
    """How a container lays out its chunks.

    `first` is the byte at which they begin, `header` how name and size of one are written, `samples` the name of the
    one that holds the samples, `step` what the places of chunks are multiples of. Where sizes are `inclusive`, they
    count the header.
    """

    first: int
    header: str
    samples: bytes
    step: int = 2
    inclusive: bool = False


# By their first bytes. Sources: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" (RIFF); EBU
# Tech 3306 (RF64); Sony, "Sound Forge Wave 64 format"; Apple, "AIFF 1.3" and "Core Audio Format Specification 1.0".
CONTAINERS = {
    b"RIFF": Chunks(12, "<4sI", b"data"),
    b"RIFX": Chunks(12, ">4sI", b"data"),
    b"RF64": Chunks(12, "<4sI", b"data"),
    b"BW64": Chunks(12, "<4sI", b"data"),
    b"FORM": Chunks(12, ">4sI", b"SSND"),
    b"caff": Chunks(8, ">4sq", b"data", step=1),
    b"riff": Chunks(40, "<16sQ", b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a"), step=8, inclusive=True),
}


def check_whole(file: IO[bytes]) -> None:
    """Refuse a file that broke off. Formats without a promise pass, and so does what is no sound at all.

    Raises:
        BadAudioError: bytes of samples, or pages of Ogg, are missing.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(4)
    if start == b"OggS":
        _check_pages(file)
        return
    promised, present = 0, 0
    if start == b".snd":
        first, promised = _unpack(file, AU_HEADER) or (size, 0)
        present = size - first
    elif start in CONTAINERS:
        promised, present = _samples(file, CONTAINERS[start], size)
    if present < promised < UNKNOWN_BYTES or (start in (b"RF64", b"BW64", b"riff") and present < promised):
        raise BadAudioError(f"truncated: the header promises {promised} bytes of samples, {max(present, 0)} are there")


def _samples(file: IO[bytes], chunks: Chunks, size: int) -> tuple[int, int]:
    """Give the bytes of samples that are promised and present; 0 of each where no chunk holds any."""
    place, long = chunks.first, None
    while place < size:  # a size may lead to where no file is
        file.seek(place)
        if (header := _unpack(file, chunks.header)) is None:
            break
        name, length = header
        behind = place + struct.calcsize(chunks.header)
        if name == b"ds64":
            long = (_unpack(file, DS64) or (0, 0))[1]
        if name == chunks.samples:
            if chunks.inclusive:
                length -= behind - place
            if long is not None and length == 0xFFFF_FFFF:
                length = long
            return length, size - behind
        end = place + length if chunks.inclusive else behind + length
        if end <= place:
            break
        place = end + -end % chunks.step
    return 0, 0


def _unpack(file: IO[bytes], form: str) -> Any:
    """Read values; None where the file ends before."""
    told = file.read(struct.calcsize(form))
    return struct.unpack(form, told) if len(told) == struct.calcsize(form) else None


def _check_pages(file: IO[bytes]) -> None:
    """Refuse an Ogg stream without its end mark, or of which pages are missing. Source: RFC 3533, section 6."""
    expected: dict[int, int] = {}  # number of the next page of each stream that has not ended
    for flags, stream, number, whole in _pages(file):
        if number != expected.get(stream, number):
            due = expected[stream]
            raise BadAudioError(f"damaged: the Ogg stream goes on with page {number} where {due} is due")
        expected[stream] = number + 1
        if flags & 4 and whole:
            del expected[stream]
    if expected:
        raise BadAudioError(f"truncated: the Ogg stream has no end mark after {max(expected.values())} pages")


def _pages(file: IO[bytes]) -> Iterator[tuple[int, int, int, bool]]:
    """Yield of every page its flags, its stream, its number, and whether all of it is there."""
    place, size = 0, file.seek(0, os.SEEK_END)
    while file.seek(place) < size and (header := file.read(27))[:4] == b"OggS" and len(header) == 27:
        _, flags, _, stream, number, _, segments = struct.unpack("<BBqIIIB", header[4:])
        place += 27 + segments + sum(file.read(segments))
        yield flags, stream, number, place <= size
