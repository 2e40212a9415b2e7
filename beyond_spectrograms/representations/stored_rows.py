"""Rows of features that an earlier extraction left, finished or killed: read back, each proved by its digest."""

import json
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beyond_spectrograms.data.windows import digest_rows
from beyond_spectrograms.representations.storage import DType, Rounding, Stored
from beyond_spectrograms.util.files import write_text

BROKEN = (ValueError, EOFError, SyntaxError, tokenize.TokenError)  # what numpy raises of a damaged .npy
NAMED = 3  # damaged clips that a message names


@dataclass(frozen=True)
class Rows:
    """The rows of one clip: `first` to `first + count` of the array, under `key`."""

    clip: str
    first: int
    count: int
    key: str

    @property
    def slice(self) -> slice:
        """Where they are in the array."""
        return slice(self.first, self.first + self.count)


class Record(NamedTuple):
    """The digest of a clip's rows, and what storing them lost."""

    sha256: str
    rounding: Rounding


class UnusableError(ValueError):
    """Of an earlier extraction nothing can be kept."""


@dataclass(frozen=True)
class StoredRows:
    """The array of an earlier, finished extraction, and by key its rows and their records."""

    array: Stored
    rows: dict[str, slice]
    records: dict[str, Record]

    def drop_damaged(self, wanted: list[Rows], called: str) -> None:
        """Drop those of the rows `wanted` whose bytes are not those that were stored, and print their clips."""
        keys = {part.key for part in wanted if part.key in self.rows}
        damaged = {key for key in keys if digest_rows(self.array, self.rows[key]) != self.records[key].sha256}
        for key in damaged:
            del self.rows[key]
        if clips := [part.clip for part in wanted if part.key in damaged]:
            named = ", ".join(clips[:NAMED]) + (f" and {len(clips) - NAMED} more" if len(clips) > NAMED else "")
            count = "1 clip" if len(clips) == 1 else f"{len(clips)} clips"
            print(f"{called}: rows of {count} were damaged and are computed again: {named}", flush=True)


def read_stored(place: Path, shape: tuple[int, ...], dtype: DType, called: str) -> StoredRows:
    """Read an earlier, finished extraction; nothing is kept of one that is damaged or has another shape or type."""
    nothing = StoredRows(np.empty(0), {}, {})
    if not (place / "index.json").exists():
        return nothing
    try:
        stored = _open_stored(place)
    except UnusableError as error:
        print(f"{called}: {error}; all is computed again", flush=True)
        return nothing
    same = stored.array.shape[1:] == shape[1:] and stored.array.dtype == np.dtype(dtype)
    return stored if same else nothing


def _open_stored(place: Path) -> StoredRows:
    """Open an extraction's array and index.

    Raises:
        UnusableError: one of them is missing or cut, or they do not belong together.
    """
    rows, records = {}, {}
    try:
        index = json.loads((place / "index.json").read_text(encoding="utf-8"))
        shape = tuple(index["shape"])
        for clip, first, count, key, *lost in index["clips"]:
            rows[key] = Rows(clip, first, count, key).slice
            records[key] = Record(index["sha256"][key], Rounding(*lost))
    except (ValueError, TypeError, LookupError):
        raise UnusableError(f"{place / 'index.json'} is damaged, or of an earlier version") from None
    path = place / "features.npy"
    try:
        array: Stored = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise UnusableError(f"{path} is missing") from None
    except BROKEN:
        raise UnusableError(f"{path} is cut short or damaged") from None
    if not array.flags.c_contiguous:  # as none is stored
        raise UnusableError(f"{path} is cut short or damaged")
    if array.shape != shape:
        raise UnusableError(f"{path} is {list(array.shape)}, and {list(shape)} by its index")
    return StoredRows(array, rows, records)


def open_array(path: Path, shape: tuple[int, ...], dtype: DType) -> np.memmap[Any, np.dtype[Any]]:
    """Open the array a killed run left, or make a new one."""
    if path.exists():
        try:
            array = np.lib.format.open_memmap(path, mode="r+")
            if array.shape == shape and array.dtype == dtype and array.flags.c_contiguous:
                return array
            del array
        except BROKEN:  # killed while the file was being made
            pass
        path.unlink()
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def read_journal(path: Path, array: Stored, rows: list[Rows]) -> dict[Rows, Record]:
    """Read which clips a killed run finished, each proved by the digest of its rows; drop all other lines."""
    if not path.exists():
        return {}
    places = {(part.key, part.first): part for part in rows}  # two equal clips have one key
    done, kept = {}, []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # the line that was being written when the run was killed
            continue
        part = places.get((entry["key"], entry["first"]))
        if part and digest_rows(array, part.slice) == entry["sha256"]:
            done[part] = Record(entry["sha256"], Rounding(*entry["lost"]))
            kept.append(line)
    write_text(path, "".join(f"{line}\n" for line in kept))
    return done
