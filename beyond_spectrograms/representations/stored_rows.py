"""Rows of features as they are stored, as float32 or float16, and read back, each proved by its digest.

float16 is half the disk: refused where a value does not fit, and what is lost is measured.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.windows import BROKEN, FeaturesError, digest_rows, read_index
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import write_text

NAMED = 3  # damaged clips that a message names
DType = Literal["float32", "float16", "codes"]
Stored = npt.NDArray[Any]


class PrecisionError(ProjectError):
    """Features hold values that the type they are to be stored in cannot; the message names the largest."""


@dataclass(frozen=True)
class Rounding:
    """What storing lost."""

    largest: float = 0.0  # largest difference between a value and what is stored, over its window's largest magnitude
    vanished: int = 0  # values that are not 0 and were stored as 0, being below half of float16's smallest, 6e-8

    def __add__(self, other: "Rounding") -> "Rounding":
        """Join what two blocks of windows lost."""
        return Rounding(max(self.largest, other.largest), self.vanished + other.vanished)


def store(features: npt.NDArray[np.float32], dtype: DType, name: str) -> tuple[Stored, Rounding]:
    """Convert features [windows, bands, frames] to `dtype`, and say what that lost.

    Raises:
        PrecisionError: a value is beyond the range of float16. It would become infinite.
    """
    if dtype == "float32" or not features.size:
        return features.astype(dtype, copy=False), Rounding()
    peaks = np.abs(features).max(axis=(1, 2))
    # Halfway from the largest float16 to the next, values round to infinity (IEEE 754-2019, 4.3.1).
    with np.errstate(over="ignore"):
        stored = features.astype(np.float16)
    if not np.isfinite(stored).all():
        raise PrecisionError(
            f"{name}: its largest value is {peaks.max():g}, and float16 holds {np.finfo(np.float16).max:g} at most. "
            "Set features.dtype to float32 in params.yaml (mel power needs it; decibels and latents do not)."
        )
    off = np.abs(stored.astype(np.float32) - features).max(axis=(1, 2))
    largest = float((off[peaks > 0] / peaks[peaks > 0]).max(initial=0.0))
    return stored, Rounding(largest, int(np.count_nonzero((stored == 0) & (features != 0))))


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
        tell_damaged([part.clip for part in wanted if part.key in damaged], called)


def tell_damaged(clips: list[str], called: str) -> None:
    """Print of which clips of `called` rows were damaged, where there are any."""
    if clips:
        named = ", ".join(clips[:NAMED]) + (f" and {len(clips) - NAMED} more" if len(clips) > NAMED else "")
        count = "1 clip" if len(clips) == 1 else f"{len(clips)} clips"
        print(f"{called}: rows of {count} were damaged and are computed again: {named}", flush=True)


def read_stored(place: Path, shape: tuple[int, ...], dtype: DType, called: str) -> StoredRows:
    """Read an earlier, finished extraction; nothing is kept of one that is damaged or has another shape or type."""
    nothing = StoredRows(np.empty(0), {}, {})
    if not (place / "index.json").exists():
        return nothing
    stored = _open_stored(place)
    if isinstance(stored, str):
        print(f"{called}: {stored}; all is computed again", flush=True)
        return nothing
    same = stored.array.shape[1:] == shape[1:] and stored.array.dtype == np.dtype(dtype)
    return stored if same else nothing


def _open_stored(place: Path) -> StoredRows | str:
    """Open an extraction's array and index; or say why nothing can be kept of them."""
    rows, records = {}, {}
    try:
        index = read_index(place)
        shape = tuple(index["shape"])
        for clip, first, count, key, *lost in index["clips"]:
            rows[key] = Rows(clip, first, count, key).slice
            records[key] = Record(index["rows"][key], Rounding(*lost))
    except (FeaturesError, ValueError, TypeError, LookupError):
        return f"{place / 'index.json'} is damaged, or of an earlier version"
    path = place / "features.npy"
    try:
        array: Stored = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        return f"{path} is missing"
    except BROKEN:
        return f"{path} is cut short or damaged"
    if not array.flags.c_contiguous:  # as none is stored
        return f"{path} is cut short or damaged"
    if array.shape != shape:
        return f"{path} is {list(array.shape)}, and {list(shape)} by its index"
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
