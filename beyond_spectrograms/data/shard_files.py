"""A shard: the features of some clips in one safetensors file, and what proves each clip's rows.

Beside `rows` [windows, bands, frames] the file has for every clip the key and the digest of its rows, how many they are
and what storing them lost. It is written in one pass and read in parts: neither holds a shard.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.shard_places import forget_copy, found_at, held_shard, is_there, read_note
from beyond_spectrograms.util.files import written_beside
from beyond_spectrograms.util.tensor_file import read_head

DIGEST = 32  # bytes of a SHA-256
TYPES = {"F32": "<f4", "F16": "<f2", "U8": "|u1", "U16": "<u2", "I64": "<i8", "F64": "<f8"}
NAMES = {np.dtype(numpy): name for name, numpy in TYPES.items()}
AT_ONCE = 1 << 24  # bytes of rows that are read to be digested


class ShardError(ValueError):
    """A file is no whole shard; the message says why, and the caller which."""


class StoredClip(NamedTuple):
    """A clip's rows as they are to be stored, their digest, and what that lost (Clips.largest and vanished)."""

    rows: npt.NDArray[Any]
    sha256: bytes
    largest: float
    vanished: int


@dataclass(frozen=True)
class Clips:
    """What a shard says of its clips, an entry a clip."""

    counts: npt.NDArray[np.int64]  # windows
    largest: npt.NDArray[np.float64]  # difference that storing made, over its window's largest magnitude
    vanished: npt.NDArray[np.int64]  # values that storing made zero
    keys: npt.NDArray[np.uint8]  # [clips, DIGEST]
    sha256: npt.NDArray[np.uint8]  # of its rows [clips, DIGEST]

    @classmethod
    def empty(cls, keys: bytes, counts: Iterable[int]) -> "Clips":
        """Begin with clips of which nothing is stored yet."""
        known = np.frombuffer(keys, np.uint8).reshape(-1, DIGEST)
        clips = len(known)
        rows = np.fromiter(counts, np.int64, clips)
        return cls(rows, np.zeros(clips), np.zeros(clips, np.int64), known, np.zeros((clips, DIGEST), np.uint8))

    @property
    def firsts(self) -> npt.NDArray[np.int64]:
        """Row of the shard at which each clip begins."""
        return np.cumsum(self.counts) - self.counts

    @property
    def content(self) -> str:
        """Digest the digests of all rows."""
        return hashlib.sha256(self.counts.tobytes() + self.sha256.tobytes()).hexdigest()


class Layout(NamedTuple):
    """Where the rows of a shard are: of which type and shape [windows, bands, frames], from which byte on."""

    dtype: np.dtype[Any]
    shape: tuple[int, int, int]
    offset: int

    @property
    def row_bytes(self) -> int:
        """Size of a window."""
        return self.shape[1] * self.shape[2] * self.dtype.itemsize


def write_shard(path: Path, clips: Clips, layout: Layout, stored: Iterable[StoredClip]) -> None:
    """Write rows clip by clip beside `path`, then what is known of the clips, and rename it into place."""
    tables = vars(clips)
    sizes = [(name, NAMES[table.dtype], table.shape, table.nbytes) for name, table in tables.items()]
    sizes.append(("seal", "U8", (DIGEST,), DIGEST))
    sizes.append(("rows", NAMES[layout.dtype], layout.shape, layout.row_bytes * layout.shape[0]))
    told, end = {}, 0
    for name, kind, shape, size in sizes:
        told[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(told, separators=(",", ":")).encode()
    head = text + b" " * (-len(text) % 8)  # so that all numbers lie at multiples of their size
    head = len(head).to_bytes(8, "little") + head
    with written_beside(path) as beside, beside.open("wb") as file:
        file.write(head)
        file.write(bytes(sum(table.nbytes for table in tables.values()) + DIGEST))
        for number, part in enumerate(stored):
            clips.sha256[number] = np.frombuffer(part.sha256, np.uint8)
            clips.largest[number], clips.vanished[number] = part.largest, part.vanished
            file.write(part.rows.data)
        file.seek(len(head))
        known = b"".join(table.tobytes() for table in tables.values())
        file.write(known + _seal(head, known))


def _seal(head: bytes, tables: bytes) -> bytes:
    return hashlib.sha256(head + tables).digest()


def find_rows(path: Path) -> Layout:
    """Read where a shard's rows are.

    Raises:
        ShardError: it is no shard, or has not all its bytes.
        FileNotFoundError: it is not there.
    """
    return _lay_out(path)[0]


def _lay_out(path: Path) -> tuple[Layout, int]:
    try:
        told, begin = read_head(found := found_at(path), TYPES)
        rows, seal = told["rows"], told["seal"]
        layout = Layout(np.dtype(TYPES[rows["dtype"]]), tuple(rows["shape"]), begin + rows["data_offsets"][0])
        sealed = begin + seal["data_offsets"][0]
        whole = len(layout.shape) == 3 and sealed + DIGEST == layout.offset
        size = path.stat().st_size if found == path else read_note(found, layout.offset).size
        whole &= size == layout.offset + layout.shape[0] * layout.row_bytes
    except (ValueError, LookupError, TypeError) as error:
        raise ShardError(f"is no shard: {error}") from None
    if not whole:
        raise ShardError("is cut short or damaged")
    return layout, begin


def read_clips(path: Path) -> tuple[Layout, Clips]:
    """Read what a shard says of its clips, whose rows are not read.

    Raises:
        ShardError: it is no shard, or that is not as it was written.
        FileNotFoundError: it is not there.
    """
    layout, begin = _lay_out(path)
    with found_at(path).open("rb") as file:
        head, tables, seal = file.read(begin), file.read(layout.offset - DIGEST - begin), file.read(DIGEST)
    if seal != _seal(head, tables):
        raise ShardError("is cut short or damaged")
    told, _ = read_head(found_at(path), TYPES)  # as it was written: the seal says so
    found = {
        name: np.frombuffer(tables[slice(*told[name]["data_offsets"])], TYPES[told[name]["dtype"]]).reshape(
            told[name]["shape"]
        )
        for name in Clips.__dataclass_fields__
    }
    return layout, Clips(**found)


def find_damaged(path: Path, layout: Layout, clips: Clips) -> list[int]:
    """List by number the clips of a shard whose rows are not those that were written.

    Raises:
        StorageError: it lies elsewhere, and the place does not give it, whole.
    """
    damaged = _compare_rows(path, layout, clips)
    if damaged and not path.exists():  # its copy is, which was whole when it was fetched
        forget_copy(path, layout.offset)
        damaged = _compare_rows(path, layout, clips)
    return damaged


def _compare_rows(path: Path, layout: Layout, clips: Clips) -> list[int]:
    damaged = []
    with held_shard(path, layout.offset) as here, here.open("rb") as file:
        file.seek(layout.offset)
        for number, count in enumerate(clips.counts.tolist()):
            digest = hashlib.sha256()
            for block in _blocks(count * layout.row_bytes):
                digest.update(file.read(block))
            if digest.digest() != clips.sha256[number].tobytes():
                damaged.append(number)
    return damaged


def is_kept(path: Path, layout: Layout) -> bool:
    """Say whether a shard that lies elsewhere is still there, by its size alone; False where it is here."""
    return not path.exists() and is_there(read_note(found_at(path), layout.offset))


def _blocks(size: int) -> Iterator[int]:
    for first in range(0, size, AT_ONCE):
        yield min(AT_ONCE, size - first)


def read_rows(path: Path, layout: Layout, first: int, count: int) -> npt.NDArray[Any]:
    """Read some rows of a shard, [count, bands, frames]."""
    with held_shard(path, layout.offset) as here, here.open("rb") as file:
        file.seek(layout.offset + first * layout.row_bytes)
        content = file.read(count * layout.row_bytes)
    return np.frombuffer(content, layout.dtype).reshape(count, *layout.shape[1:])
