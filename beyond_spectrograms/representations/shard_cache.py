"""Features as shards: which clips each has follows from the clips alone, and each shard is a piece of work of its own.

Clips are walked in the order of the table, and a shard ends where the key of a clip's rows says so, as rsync cuts files
(content-defined chunking): a clip more or less changes the shard it is in, seldom its neighbour, and the rows of the
others there are copied. A shard is named by the keys of its clips, so one that is there is never computed again.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.shard_files import (
    DIGEST,
    Clips,
    Layout,
    ShardError,
    StoredClip,
    find_damaged,
    find_rows,
    is_kept,
    read_clips,
    read_rows,
    write_shard,
)
from beyond_spectrograms.data.shard_index import SHARDS, SUFFIX, shard_path
from beyond_spectrograms.data.shard_places import STUB, send_shard
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.representations.recipes import Maker, Recipe, maker_of, store_codes
from beyond_spectrograms.representations.stored_rows import Rounding, Rows, store
from beyond_spectrograms.representations.window_encoder import ClipWindows, WindowEncoder
from beyond_spectrograms.util.cluster.pieces import note_progress

LEAST, LARGEST = 0.5, 2.0  # size of a shard, in the size wanted on average; a longer clip is a shard by itself


class Source(NamedTuple):
    """Where rows that are already stored are."""

    shard: str
    row: int


@dataclass(frozen=True)
class Piece:
    """A shard to be stored in <place>/shards: its clips, their keys, and where some of their rows already are."""

    place: Path
    recipe: Recipe
    bands: int  # as they are stored
    frames: int
    clips: tuple[str, ...]
    counts: tuple[int, ...]  # windows of each
    starts: npt.NDArray[np.float64]  # of all windows, seconds
    keys: bytes  # of the clips, DIGEST each
    first: int  # row of all at which it begins
    sources: tuple[Source | None, ...] = ()  # of each clip, where there are any

    @property
    def name(self) -> str:
        """Digest what decides its content: keys of rows, and how they are stored."""
        told = f"{self.recipe.dtype} {self.bands} {self.frames} ".encode()
        return hashlib.sha256(told + self.keys).hexdigest()

    @property
    def path(self) -> Path:
        """Where it is stored."""
        return shard_path(self.place, self.name)

    @property
    def windows(self) -> int:
        """Count its windows."""
        return len(self.starts)

    @property
    def missing(self) -> int:
        """Count the windows whose rows are nowhere stored."""
        sources = self.sources or (None,) * len(self.clips)
        return sum(count for count, source in zip(self.counts, sources, strict=True) if source is None)

    def key(self, number: int) -> bytes:
        """Give the key of its n-th clip."""
        return self.keys[DIGEST * number :][:DIGEST]


def cut_clips(rows: Iterable[Rows], row_bytes: int, mean_bytes: float) -> Iterator[list[Rows]]:
    """Cut clips into runs of about `mean_bytes`, each ended by a clip whose key falls below a threshold.

    The threshold grows with the clip, so that long and short clips give shards of the same size.
    """
    run: list[Rows] = []
    size = 0
    for part in rows:
        own = part.count * row_bytes
        if run and size + own > LARGEST * mean_bytes:
            yield run
            run, size = [], 0
        run.append(part)
        size += own
        drawn = int(part.key[:16], 16) / 2**64
        if size >= LEAST * mean_bytes and drawn < own / ((1 - LEAST) * mean_bytes):
            yield run
            run, size = [], 0
    if run:
        yield run


def keep_stored(pieces: Sequence[Piece]) -> tuple[list[Piece], list[str]]:
    """Leave out pieces whose shards are whole, and tell the others where rows of theirs are.

    Returns:
        the pieces left, and the clips whose rows stand in their shard and are damaged.
    """
    left, damaged = [], []
    for piece in pieces:
        if (found := _read_shard(piece.path)) is None or not _is_of(piece, *found):
            left.append(piece)
        elif bad := _find_damaged(piece.path, *found):
            damaged += [piece.clips[number] for number in bad]
            left.append(piece)
    files = (left[0].place / SHARDS).glob("*") if left else ()
    stored = sorted({path.with_suffix(SUFFIX) for path in files if path.suffix in (SUFFIX, STUB)})
    if not stored:
        return left, damaged
    wanted = {piece.key(number) for piece in left for number in range(len(piece.clips))}
    places: dict[bytes, Source] = {}
    for path in stored:
        places |= _places_in(path, wanted, left[0])
    filled = []
    for piece in left:
        keys = [piece.key(number) for number in range(len(piece.clips))]
        filled.append(replace(piece, sources=tuple(map(places.get, keys))))
    return filled, damaged


def _places_in(path: Path, wanted: set[bytes], piece: Piece) -> dict[bytes, Source]:
    """Find rows of wanted keys in a shard, stored as those of `piece`; damaged ones are left out."""
    found = _read_shard(path)
    if found is None or not _fits(piece, found[0]):
        return {}
    layout, clips = found
    keys = [key.tobytes() for key in clips.keys]
    if wanted.isdisjoint(keys):
        return {}
    bad = set(_find_damaged(path, layout, clips))
    rows = zip(keys, clips.firsts.tolist(), strict=True)
    name = path.name.removesuffix(SUFFIX)
    return {key: Source(name, row) for number, (key, row) in enumerate(rows) if key in wanted and number not in bad}


def _read_shard(path: Path) -> tuple[Layout, Clips] | None:
    try:
        return read_clips(path)
    except (FileNotFoundError, ShardError):
        return None


def _find_damaged(path: Path, layout: Layout, clips: Clips) -> list[int]:
    """List the clips whose rows are damaged; of a shard that lies elsewhere all, where it is not there any more."""
    if path.exists():
        return find_damaged(path, layout, clips)
    return [] if is_kept(path, layout) else list(range(len(clips.counts)))


def _fits(piece: Piece, layout: Layout) -> bool:
    return layout.shape[1:] == (piece.bands, piece.frames) and layout.dtype == maker_of(piece.recipe).stored


def _is_of(piece: Piece, layout: Layout, clips: Clips) -> bool:
    return _fits(piece, layout) and clips.keys.tobytes() == piece.keys


def store_shard(piece: Piece) -> int:
    """Store a shard beside its place and rename it there: rows that are stored are copied, the others computed.

    A shard that is there and whole is left as it is: the piece may be given to another process once more.

    Returns:
        how many windows were encoded.
    """
    found = _read_shard(piece.path)
    if found is not None and _is_of(piece, *found) and not _find_damaged(piece.path, *found):
        return 0
    recipe, maker = piece.recipe, maker_of(piece.recipe)
    numbers = range(len(piece.clips))
    sources = piece.sources or (None,) * len(numbers)
    first_of = {piece.key(number): number for number in reversed(numbers) if sources[number] is None}
    firsts = np.cumsum(piece.counts) - piece.counts
    new = sorted(first_of.values())  # clips of one key are encoded once
    starts = [piece.starts[firsts[number] :][: piece.counts[number]].tolist() for number in new]
    encoder = WindowEncoder(maker.encoder, recipe.clips, recipe.length_s)
    encoded = encoder.encode_clips(list(map(ClipWindows, (piece.clips[number] for number in new), starts)))
    repeats = Counter(piece.key(number) for number in numbers if sources[number] is None)

    def rows() -> Iterator[StoredClip]:
        again: dict[bytes, StoredClip] = {}  # of clips that come again
        tables: dict[str, tuple[Layout, Clips]] = {}
        for number, source in enumerate(sources):
            note_progress()
            key = piece.key(number)
            if source is not None:
                yield _copy(piece.place, source, piece.counts[number], tables)
            elif key in again:
                yield again[key]
            else:
                part = _convert(next(encoded), recipe, maker)
                if repeats[key] > 1:
                    again[key] = part
                yield part

    layout = Layout(maker.stored, (piece.windows, piece.bands, piece.frames), 0)
    write_shard(piece.path, Clips.empty(piece.keys, piece.counts), layout, rows())
    send(piece)
    return encoder.encoded


def send(piece: Piece) -> None:
    """Send a shard that is here to where those of its recipe lie.

    Raises:
        StorageError: the place does not take it.
    """
    if piece.recipe.at is not None and piece.path.exists():
        send_shard(piece.path, find_rows(piece.path).offset, piece.recipe.at)


def _copy(place: Path, source: Source, count: int, tables: dict[str, tuple[Layout, Clips]]) -> StoredClip:
    """Read stored rows under the digest they were checked by: later damage is found next time."""
    path = shard_path(place, source.shard)
    if source.shard not in tables:
        tables[source.shard] = read_clips(path)
    layout, clips = tables[source.shard]
    number = int(np.searchsorted(clips.firsts, source.row))
    told = clips.sha256[number].tobytes(), float(clips.largest[number]), int(clips.vanished[number])
    return StoredClip(read_rows(path, layout, source.row, count), *told)


def _convert(features: Features, recipe: Recipe, maker: Maker) -> StoredClip:
    if recipe.dtype == "codes":
        rows, rounding = store_codes(features, maker.stored, maker.encoder.name), Rounding()
    else:
        rows, rounding = store(features, recipe.dtype, maker.encoder.name)
    rows = np.ascontiguousarray(rows)
    return StoredClip(rows, hashlib.sha256(rows.data).digest(), rounding.largest, rounding.vanished)
