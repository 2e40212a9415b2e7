"""Features in shards: of clips of noise, and laid out without any."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from beyond_spectrograms.data.shard_files import Clips, Layout, StoredClip, read_clips, write_shard
from beyond_spectrograms.data.shard_index import Listing, remove_others, shard_path, write_index
from beyond_spectrograms.representations.feature_cache import Extraction
from support.envelope import run, windows_of

ALL = tuple(range(24))  # clips of three seconds, whose windows have 360 bytes
MEAN = 1500.0  # bytes of a shard


def put_shards(place: Path, values: np.ndarray, rows: int) -> None:
    """Store features [windows, bands, frames] in shards of so many rows, a clip each, in place of an array."""
    blocks = [values[first : first + rows] for first in range(0, len(values), rows)]
    listed = []
    for number, block in enumerate(blocks):
        keys = hashlib.sha256(f"{number}".encode()).digest()
        name, layout = hashlib.sha256(keys).hexdigest(), Layout(block.dtype, block.shape, 0)
        part = StoredClip(np.ascontiguousarray(block), hashlib.sha256(block.tobytes()).digest(), 0.0, 0)
        write_shard(shard_path(place, name), Clips.empty(keys, [len(block)]), layout, [part])
        listed.append((name, number * rows, len(block), read_clips(shard_path(place, name))[1].content))
    names = [name for name, *_ in listed]
    listing = Listing(values.shape, values.dtype.name, False, None, listed)
    tables = [read_clips(shard_path(place, name))[1] for name in names]
    write_index(place, listing, lambda number: [f"clip {number}"], tables.__getitem__)
    kept = (place / "features.json").read_bytes() if (place / "features.json").exists() else None
    remove_others(place, names)
    if kept is not None:
        (place / "features.json").write_bytes(kept)


def store(folder: Path, *numbers: int, place: str = "place", mean: float = MEAN, **options: Any) -> Extraction:
    """Extract some of the clips in folder/clips, or ALL, into shards of about `mean` bytes in folder/<place>."""
    return run(folder, windows_of(*(numbers or ALL)), place, shard_bytes=mean, **options)


def names_in(place: Path) -> set[str]:
    """Name the files of shards."""
    return {path.name for path in (place / "shards").iterdir()}
