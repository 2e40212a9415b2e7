"""The files in an archive, or in a folder laid out like one; an archive made to harm is refused, within limits of ours.

Tar archives are read here and not by tarfile, whose faults depend on the version of Python: sizes below zero that never
end, headers of any length, damage taken for the end. Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax
Header Block"; GNU tar manual, "Basic Tar Format", for types L and K and sizes in base 256.
"""

import bz2
import gzip
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, NoReturn

from beyond_spectrograms.data.folders import DamagedError, RawDataError, walk
from beyond_spectrograms.util.text import shorten_value

# Bounds what an archive made to fill the disk can do. Sounds shrink to a half or so, digital silence to a thousandth.
LARGEST_RATIO = 100
FREE_BYTES = 2**20  # that any archive may unpack to: tar fills up small ones with zeros
MOST_MEMBERS = 500_000
MOST_DIRECTORY_BYTES = 2**28  # of a zip's list of members, which is read at once
MOST_HEADER_BYTES = 2**16  # of a member's long name, or of its further records
LONGEST_PATH = 4096  # bytes
TOLD = 200  # characters of a member's name that a message shows

BLOCK = 512  # bytes, of which tar archives are made
ZEROS = bytes(BLOCK)  # two such blocks are the end mark
CHUNK = 2**20
# By their first bytes.
COMPRESSED: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
# Kinds of members.
PLAIN, FOLDER, LINKS, SPARSE = b"0\0" + b"7", b"5", b"12", b"S"
OF_NEXT, OF_ALL, LONG_NAME, LONG_LINK = b"xX", b"g", b"L", b"K"  # headers that say more of a member


@dataclass(frozen=True)
class Member:
    """A plain file inside an archive; `size` in bytes as declared, and `chunks` never gives more.

    Those of a tar archive are there only until the next member is asked for.
    """

    name: str
    size: int
    chunks: Callable[[], Iterator[bytes]]


def members_of(archive: Path) -> Iterator[Member]:
    """Yield the files of an archive in its order, or those of a folder by name; linked folders are not followed.

    Raises:
        RawDataError: the archive does not read; a member, wanted or not, has an absolute or parent path or one that
            no file can have, or is no plain file; there are too many, or they unpack to suspiciously much.
    """
    if archive.is_dir():
        for path in sorted(walk(archive, Counter())):
            if path.is_file():
                name, size = path.relative_to(archive).as_posix(), path.stat().st_size
                yield Member(name, size, partial(_read_on, archive, partial(path.open, "rb")))
        return
    with _readable(archive):
        for number, member in enumerate(_in_tar(archive) if _is_tar(archive) else _in_zip(archive)):
            if number == MOST_MEMBERS:
                raise RawDataError(f"{archive}: has over {MOST_MEMBERS} members. Nothing of this archive is used.")
            yield member


def is_archive(path: Path) -> bool:
    """Say whether a file begins like a tar archive, compressed or not, or ends like a zip."""
    try:
        return _is_tar(path) or zipfile.is_zipfile(path)
    except (*DAMAGE, OSError):
        return False


def refuse(archive: Path, name: str, reason: str) -> NoReturn:
    """Refuse an archive, or a folder laid out like one, for one of its members.

    Raises:
        RawDataError: always.
    """
    what = "folder" if archive.is_dir() else "archive"
    told = name if len(name) <= TOLD else f"{name[:TOLD]}..."
    raise RawDataError(f"{archive}: member {told!r} {reason}. Nothing of this {what} is used.")


# Whatever zipfile and the decompressors raise. RuntimeError: a password, or a compression zipfile does not know.
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, LookupError),
    *(struct.error, OverflowError, MemoryError),
)


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Turn what is raised while an archive is read into one error; not what whoever writes its files meets."""
    try:
        yield
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:  # the archive itself cannot be opened
            raise
        reason = shorten_value(" ".join(str(error).split()) or type(error).__name__)
        raise DamagedError(archive, reason) from error


def _read_on(archive: Path, open_member: Callable[[], Any]) -> Iterator[bytes]:
    with _readable(archive), open_member() as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _check_path(archive: Path, name: str) -> None:
    path = PureWindowsPath(name)  # takes / and \ for separators and knows drives: the strictest reading
    if path.anchor or ".." in path.parts:
        refuse(archive, name, "has an absolute or parent path")
    if "\0" in name or len(name.encode("utf-8", "surrogateescape")) > LONGEST_PATH:
        refuse(archive, name, f"has a path with a NUL or of over {LONGEST_PATH} bytes")


def _in_zip(archive: Path) -> Iterator[Member]:
    with archive.open("rb") as file:
        if (directory := _directory_bytes(file)) > MOST_DIRECTORY_BYTES:
            told = f"its list of members has {directory} bytes; at most {MOST_DIRECTORY_BYTES} are read"
            raise RawDataError(f"{archive}: {told}. Nothing of this archive is used.")
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            _check_path(archive, info.filename)
            if stat.S_ISLNK(info.external_attr >> 16):
                refuse(archive, info.filename, "is a link")
            if not info.is_dir():
                chunks = partial(_read_on, archive, partial(packed.open, info))
                yield Member(str(PurePosixPath(info.filename)), info.file_size, chunks)


def _directory_bytes(file: IO[bytes]) -> int:
    """Find how many bytes a zip's list of members has, from the record at its end; 0 where there is no such record.

    Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.14 to 4.3.16.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - 2**16 - 22 - 76))  # a comment, the record, and that of zip64 with what points to it
    end = file.read()
    place = end.rfind(b"PK\5\6")
    if place < 0 or len(end) < place + 22:
        return 0
    if place >= 76 and end[place - 76 : place - 72] == b"PK\6\6":
        return int(struct.unpack_from("<Q", end, place - 76 + 40)[0])
    return int(struct.unpack_from("<I", end, place + 12)[0])


@contextmanager
def _decompressed(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        start = file.read(max(map(len, COMPRESSED)))
    opens = (opens for first, opens in COMPRESSED.items() if start.startswith(first))
    opened: Callable[[Path], Any] = next(opens, partial(Path.open, mode="rb"))
    with opened(path) as file:
        yield file


def _is_tar(path: Path) -> bool:
    with _decompressed(path) as file:
        block = file.read(BLOCK)
    return len(block) == BLOCK and (block == ZEROS or _is_header(block))


class _TarStream:
    """The bytes of a tar archive, from its start to its end, decompressed and counted."""

    def __init__(self, archive: Path, file: IO[bytes]) -> None:
        self._archive, self._file = archive, file
        self._left = LARGEST_RATIO * archive.stat().st_size + FREE_BYTES

    def some(self, most: int) -> bytes:
        """Read up to so many bytes; none at the end."""
        chunk = self._file.read(min(most, CHUNK))
        self._left -= len(chunk)
        if self._left < 0:
            told = f"unpacks to over {LARGEST_RATIO} times its size"
            raise RawDataError(f"{self._archive}: {told}. Nothing of this archive is used.")
        return chunk

    def exactly(self, size: int) -> Iterator[bytes]:
        """Yield so many bytes."""
        while size:
            if not (chunk := self.some(size)):
                raise EOFError("it ends before its end mark")
            size -= len(chunk)
            yield chunk

    def block(self) -> bytes:
        """Read a block."""
        return b"".join(self.exactly(BLOCK))


class _Content:
    """A member's bytes, read once; what is not read is skipped."""

    def __init__(self, stream: _TarStream, size: int) -> None:
        self._chunks, self._padding = stream.exactly(size), stream.exactly(-size % BLOCK)

    def chunks(self, archive: Path) -> Iterator[bytes]:
        with _readable(archive):
            yield from self._chunks

    def skip(self) -> None:
        for chunks in (self._chunks, self._padding):
            for _ in chunks:
                pass


def _in_tar(archive: Path) -> Iterator[Member]:
    with _decompressed(archive) as file:
        stream = _TarStream(archive, file)
        told, told_of_all = dict[str, bytes](), dict[str, bytes]()  # by further headers
        while (header := stream.block()) != ZEROS:
            if not _is_header(header):
                raise ValueError("a header is damaged")
            kind, size, name = header[156:157], _number(header[124:136]), _name(header)
            if kind in OF_NEXT + OF_ALL + LONG_NAME + LONG_LINK:
                if size > MOST_HEADER_BYTES:
                    refuse(archive, _text(name), f"has a header of {size} bytes; at most {MOST_HEADER_BYTES} are read")
                content = b"".join(stream.exactly(size + -size % BLOCK))[:size]
                if kind in LONG_NAME:
                    told["path"] = content.partition(b"\0")[0]
                elif kind not in LONG_LINK:
                    (told_of_all if kind in OF_ALL else told).update(_records(content))
                continue
            known = told_of_all | told
            told = {}
            path = _text(known.get("path", name))
            _check_path(archive, path)
            if kind in LINKS:
                refuse(archive, path, "is a link")
            if kind not in PLAIN + FOLDER or any(key.startswith("GNU.sparse.") for key in known):
                refuse(archive, path, "is a sparse file" if kind in PLAIN + SPARSE else "is a device")
            if kind in FOLDER or path.endswith("/"):
                continue
            if "size" in known:
                size = _decimal(known["size"])
            content_of = _Content(stream, size)
            yield Member(str(PurePosixPath(path)), size, partial(content_of.chunks, archive))
            content_of.skip()
        while chunk := stream.some(CHUNK):  # to the very end: only there does gzip find damage
            if chunk.strip(b"\0"):
                raise ValueError("it goes on behind its end mark")


def _is_header(block: bytes) -> bool:
    """Say whether a block's checksum, of its bytes with or without sign, is right."""
    stored = block[148:156].strip(b"\0 ")
    if not re.fullmatch(b"[0-7]{1,8}", stored):
        return False
    summed = block[:148] + b" " * 8 + block[156:]
    difference = sum(summed) - int(stored, 8)
    return difference == 0 or difference == 256 * sum(byte > 127 for byte in summed)


def _name(header: bytes) -> bytes:
    name, _, _ = header[:100].partition(b"\0")
    folder, _, _ = header[345:500].partition(b"\0")
    return folder + b"/" + name if header[257:263] == b"ustar\0" and folder else name


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    """Read a size: octal digits, or from a first byte of 0x80 on in base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    digits = field.strip(b"\0 ")
    if not re.fullmatch(b"[0-7]*", digits):
        raise ValueError(f"a header has the size {digits!r}")
    return int(digits or b"0", 8)


def _decimal(digits: bytes) -> int:
    if not re.fullmatch(b"[0-9]{1,19}", digits):
        raise ValueError(f"a header has the size {digits[:TOLD]!r}")
    return int(digits)


def _records(content: bytes) -> dict[str, bytes]:
    """Read records `<length> <key>=<value>`, each with its line end; the length counts all of it."""
    records, place = dict[str, bytes](), 0
    while place < len(content):
        digits = content[place : place + 8].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        record = content[place : place + length]
        key, sign, value = record[len(digits) + 1 : -1].partition(b"=")
        if not length or len(record) < length or not sign or record[-1:] != b"\n":
            raise ValueError("a header's records are damaged")
        records[_text(key)] = value
        place += length
    return records
