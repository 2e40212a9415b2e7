"""Features in shards, read as one array is: by slices and rows, a few mapped files at a time."""

import mmap
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.shard_index import open_shard, read_codebooks, read_listing, shard_path
from beyond_spectrograms.data.shard_places import held_shard
from beyond_spectrograms.data.windows import AGAIN, FeaturesError

OPEN = 16  # shards mapped at once
IN_CACHE = 16  # windows dequantised at a time: what they take stays in a core's cache


def dequantize(codes: npt.NDArray[Any], codebooks: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    """Make features [windows, bands, frames] of codes [windows, codebooks, frames].

    Entries are summed in float32, one codebook after the other, as residual quantisers do. Without codebooks the
    numbers themselves are the features.

    Raises:
        IndexError: a code is none of the entries.
    """
    if codebooks is None:
        return codes.astype(np.float32)
    if codes.size and codes.max() >= codebooks.shape[1]:
        raise IndexError(f"code {codes.max()} is none of {codebooks.shape[1]} entries")
    features = np.empty((len(codes), codebooks.shape[2], codes.shape[2]), np.float32)
    for first in range(0, len(codes), IN_CACHE):
        block = codes[first : first + IN_CACHE]
        summed = np.zeros((len(block), codes.shape[2], codebooks.shape[2]), np.float32)
        entries = np.empty_like(summed)
        for number in range(codes.shape[1]):
            np.take(
                codebooks[number], block[:, number], axis=0, out=entries, mode="clip"
            )  # the quick way: all are there
            summed += entries
        features[first : first + IN_CACHE] = summed.transpose(0, 2, 1)
    return features


class Shards:
    """Stands in for a read-only array of features [windows, bands, frames].

    What is read is copied out of the mapped files: float16 as it is, codes as the float32 that they stand for.

    Raises:
        FeaturesError: from the call that meets a file that is damaged, missing or of another shape.
    """

    ndim = 3

    def __init__(self, folder: Path) -> None:
        self._folder, self._listing = folder, read_listing(folder)
        self.shape, self.dtype = self._listing.shape, np.dtype(self._listing.dtype)
        self._firsts = np.array([first for _, first, _, _ in self._listing.shards], np.int64)
        self._coded, books = self._listing.coded, self._listing.codebooks
        self._codebooks = None if books is None else read_codebooks(folder, books)
        self._mapped: OrderedDict[int, npt.NDArray[Any]] = OrderedDict()

    def __len__(self) -> int:
        """Count windows."""
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Size as it is read."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, asked: Any) -> npt.NDArray[Any]:
        """Read a window [bands, frames] by its number, or windows by a slice or an array of numbers [.., bands, ..]."""
        if isinstance(asked, slice):
            return self._read(np.arange(*asked.indices(len(self))))
        if isinstance(asked, tuple):  # of an array it would say bands and frames, too
            raise IndexError(f"{asked} is asked for, and shards are read by windows alone")
        wanted = np.asarray(asked)
        if wanted.dtype == bool:
            wanted = np.flatnonzero(wanted)
        if wanted.size and not -len(self) <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} are asked for, and there are {len(self)}")
        rows = np.where(wanted < 0, wanted + len(self), wanted).astype(np.int64)
        return self._read(rows.ravel()).reshape(*rows.shape, *self.shape[1:])

    def shards_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Tell by number which shard has each row [rows]."""
        return np.searchsorted(self._firsts, rows, side="right") - 1

    def release(self) -> None:
        """Release the pages of the mapped files, as windows.release does those of an array."""
        for mapped in self._mapped.values():
            if isinstance(mapped.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                mapped.base.madvise(mmap.MADV_DONTNEED)

    def _read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        numbers, found = self.shards_of(rows), np.empty((len(rows), *self.shape[1:]), self.dtype)
        for number in np.unique(numbers).tolist():
            places = np.flatnonzero(numbers == number)
            stored = self._map(number)[rows[places] - self._firsts[number]]
            found[places] = dequantize(stored, self._codebooks) if self._coded else stored
        return found

    def _map(self, number: int) -> npt.NDArray[Any]:
        """Map a shard; the one that was not read for longest gives way."""
        if number not in self._mapped:
            name, _, count, _ = self._listing.shards[number]
            path = shard_path(self._folder, name)
            layout = open_shard(path)
            bands = layout.shape[1] if self._coded else self.shape[1]
            if layout.shape != (count, bands, self.shape[2]) or (not self._coded and layout.dtype != self.dtype):
                raise FeaturesError(f"{path}: {layout.dtype} {list(layout.shape)}, not as its index says. {AGAIN}")
            while len(self._mapped) >= OPEN:
                self._mapped.popitem(last=False)
            with held_shard(path, layout.offset) as here:
                self._mapped[number] = np.memmap(here, layout.dtype, "r", layout.offset, layout.shape)
        self._mapped.move_to_end(number)
        return self._mapped[number]
