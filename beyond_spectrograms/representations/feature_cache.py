"""The features of a data set and representation, computed clip by clip, resumable and incremental.

They are one array, or shards (shard_cache.py).
A clip's rows are known by a key: a digest of its sound, its windows and of all that decides the encoding. Rows whose
key is already stored (by a run that was killed, or by an earlier run on fewer clips) and whose bytes have the digest
stored with them are copied, all others computed. Clips of one key are encoded once.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.data.shard_files import read_clips
from beyond_spectrograms.data.shard_index import Listing, remove_others, write_codebooks, write_index
from beyond_spectrograms.data.windows import release
from beyond_spectrograms.params import Params
from beyond_spectrograms.representations import create_representation, shard_cache, stored_rows
from beyond_spectrograms.representations.base import Representation
from beyond_spectrograms.representations.recipes import Recipe, forget_maker, maker_of
from beyond_spectrograms.representations.stored_rows import DType, Record, Rounding, Rows, store, tell_damaged
from beyond_spectrograms.representations.window_encoder import ClipWindows, WindowEncoder
from beyond_spectrograms.util.cluster.pieces import run_pieces
from beyond_spectrograms.util.errors import require
from beyond_spectrograms.util.files import locked, put_back, replace_folder, write_sealed
from beyond_spectrograms.util.progress import track
from beyond_spectrograms.util.storage.places import place_at

FEATURE_VERSIONS = ("data", "representations")  # of versions.yaml: what rows hang on, beside packages


@dataclass(frozen=True)
class FeatureRequest:
    """Which windows to encode, and how."""

    representation: Representation
    table: pd.DataFrame  # a row a window (clip, start_s, ...); rows of a clip are adjacent
    clips: Path  # the folder of stored clips
    length_s: float  # of a window
    fingerprint: str  # digest of all that decides a window's features besides its sound
    dtype: DType = "float32"  # in which features are stored
    shard_bytes: float | None = None  # size of a shard; None: one array
    make: Callable[[], Representation] | None = None  # makes the representation in another process; shards need it
    shards_at: str | None = None  # a folder or URL where shards lie; None: in the place of the features

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the array: [windows, bands, frames]."""
        made = self.representation
        return len(self.table), made.bands, made.frames(round(self.length_s * made.form.sample_rate))

    @property
    def bytes(self) -> int:
        """Size of the features as they are stored."""
        if self.dtype != "codes":
            return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize
        encoder, entries, _ = self.representation.coded()
        return len(self.table) * encoder.bands * self.shape[2] * np.min_scalar_type(entries - 1).itemsize


@dataclass(frozen=True)
class Extraction:
    """What an extraction did: rows of `windows` windows stand, `computed` of them new, the others kept.

    For the new ones `encoded` windows were encoded: fewer, where some repeat or are silent. `rounding` is what storing
    all of them lost.
    """

    windows: int
    computed: int
    encoded: int
    rounding: Rounding


def fingerprint(
    representation: Representation,
    record: dict[str, Any],
    weights: Sequence[Path],
    length_s: float,
    versions: Mapping[str, int | str],
) -> str:
    """Digest all that decides a window's features besides its sound: params, weights, engine and versions.

    `versions` are those of FEATURE_VERSIONS; the versions of the representation's packages come beside them.
    """
    packages = {package: version(package) for package in representation.packages}
    decides = [record, length_s, representation.engine, dict(versions), packages]
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode())
    for path in [*representation.files, *weights]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def request_features(
    params: Params, name: str, weights: Sequence[Path], table: pd.DataFrame, clips: Path
) -> FeatureRequest:
    """Ask for the features of every window, rows in the order of `table` (clip, start_s, ...).

    `name` is the representation, `weights` are its files, `clips` is the folder of stored clips.
    """
    record, length_s = params.representations[name], params.windows.length_s
    representation = create_representation(name, record, weights)
    nouns = [noun for noun in record.packages if isinstance(params.versions[noun], int)]  # the others are packages
    versions = {noun: params.versions[noun] for noun in (*FEATURE_VERSIONS, *nouns)}
    decided = fingerprint(representation, record.model_dump(), weights, length_s, versions)
    megabytes = params.features.shards_mb
    return FeatureRequest(
        representation, table, clips, length_s, decided, params.features.dtype,
        shard_bytes=None if megabytes is None else 1e6 * megabytes,
        make=partial(create_representation, name, record, tuple(weights)), shards_at=params.features.shards_at,
    )  # fmt: skip


def extract(
    request: FeatureRequest, place: Path, work: Path, called: str = "", announce: Callable[[int], None] = lambda _: None
) -> Extraction:
    """Encode the windows of `request` into place/features.npy, or into shards.

    In memory are the clip whose windows are encoded, the next two that are decoded, and, where clips are short, as many
    as keep all cores busy. The array grows in `work`, which is renamed to `place` at the end. place/index.json holds
    the key of every clip's rows, what storing them lost, the digest of the rows of every key, and one of itself.
    Messages call all this `called`, or else `place`. `announce` is told beforehand how many windows will be computed.

    Raises:
        ProjectError: another run works in `work`.
        PrecisionError: a value does not fit the request's dtype.
    """
    called = called or str(place)
    if request.shard_bytes is not None:
        return _extract_shards(request, place, work, called, announce)
    name, dtype, starts = request.representation.name, request.dtype, request.table["start_s"].to_numpy()
    with locked(work):
        put_back(work, place)
        rows = list(_plan(request))
        work.mkdir(parents=True, exist_ok=True)
        array, journal = stored_rows.open_array(work / "features.npy", request.shape, dtype), work / "journal.jsonl"
        done = stored_rows.read_journal(journal, array, rows)
        todo = [part for part in rows if part not in done]
        stored = stored_rows.read_stored(place, request.shape, dtype, called)
        stored.drop_damaged(todo, called)
        records = stored.records | {part.key: record for part, record in done.items()}
        new = [part for part in todo if part.key not in stored.rows]
        announce(sum(part.count for part in new))
        first = {part.key: part for part in reversed(new)}
        encoder = WindowEncoder(request.representation, request.clips, request.length_s)
        encoded = encoder.encode_clips([ClipWindows(p.clip, starts[p.slice]) for p in new if first[p.key] == p])
        # Written, not mapped: a mapped page is first read from the file, and counts as this process's memory.
        with (work / "features.npy").open("r+b") as file, journal.open("a", encoding="utf-8") as log:
            for part in track(todo, name, len(rows), len(rows) - len(todo)):
                if part.key in stored.rows:  # under the digest that was checked: later damage is found next time
                    features = stored.array[stored.rows[part.key]]
                    records[part.key] = stored.records[part.key]
                elif first[part.key] == part:
                    features, rounding = store(next(encoded), dtype, name)
                    features = np.ascontiguousarray(features)
                    records[part.key] = Record(hashlib.sha256(features.data).hexdigest(), rounding)
                else:
                    features = np.array(array[first[part.key].slice])
                    release(array)
                file.seek(array.offset + part.first * features[0].nbytes)
                file.write(features.data)
                file.flush()
                sha256, rounding = records[part.key]
                entry = {"key": part.key, "first": part.first, "sha256": sha256, "lost": astuple(rounding)}
                log.write(json.dumps(entry) + "\n")
                log.flush()
        del array, stored
        clips = [[part.clip, part.first, part.count, part.key, *astuple(records[part.key].rounding)] for part in rows]
        digests = {part.key: records[part.key].sha256 for part in rows}
        write_sealed(work / "index.json", {"shape": request.shape, "clips": clips, "rows": digests})
        replace_folder(work, place, required=("features.npy", "index.json"))
        (place / journal.name).unlink()  # not before: a run killed while renaming needs it to go on
        rounding = sum((records[part.key].rounding for part in rows), Rounding())
        return Extraction(len(request.table), sum(part.count for part in new), encoder.encoded, rounding)


def _extract_shards(
    request: FeatureRequest, place: Path, work: Path, called: str, announce: Callable[[int], None]
) -> Extraction:
    """Encode the windows of `request` into place/shards, each shard a piece of work, and write place/index.parquet.

    The index is written last, and then what it does not name is removed: a killed run leaves whole shards, and readers
    have the old features until the new ones are whole.
    """
    require("pyarrow")  # before hours of work
    if request.shards_at is not None:
        place_at(request.shards_at)  # raises where it is none
    with locked(work):
        put_back(work, place)
        shutil.rmtree(work, ignore_errors=True)  # of a killed run that stored an array
        pieces = _pieces(request, place)
        todo, damaged = shard_cache.keep_stored(pieces)
        tell_damaged(damaged, called)
        computed = sum(piece.missing for piece in todo)
        announce(computed)
        names = [f"{called}, {piece.clips[0]} to {piece.clips[-1]}" for piece in todo]
        # In turn, since each keeps all cores busy.
        encoded = run_pieces(shard_cache.store_shard, todo, called=request.representation.name, names=names, here=True)
        codebooks = request.representation.coded().codebooks if request.dtype == "codes" else None
        books = None if codebooks is None else write_codebooks(place, codebooks)
        shards, rounding = [], Rounding()
        for piece in pieces:
            shard_cache.send(piece)  # one that was stored before the place was named
            _, clips = read_clips(piece.path)
            shards.append((piece.name, piece.first, piece.windows, clips.content))
            rounding += Rounding(float(clips.largest.max()), int(clips.vanished.sum()))
        (place / "features.json").unlink(missing_ok=True)  # the stage writes it last
        read_as, coded = ("float16" if request.dtype == "float16" else "float32"), request.dtype == "codes"
        write_index(
            place,
            Listing(request.shape, read_as, coded, books, shards),
            lambda number: list(pieces[number].clips),
            lambda number: read_clips(pieces[number].path)[1],
        )
        remove_others(place, [*(piece.name for piece in pieces), *([books] if books else [])])
        forget_maker()
        return Extraction(len(request.table), computed, sum(encoded), rounding)


def _pieces(request: FeatureRequest, place: Path) -> list[shard_cache.Piece]:
    """Work out which clips each shard has."""
    assert request.shard_bytes is not None  # extract sees to it
    assert request.make is not None  # request_features gives it
    recipe = Recipe(
        request.make, request.fingerprint, request.clips, request.length_s, request.dtype, request.shards_at
    )
    maker = maker_of(recipe, request.representation)
    bands, frames = maker.encoder.bands, request.shape[2]
    starts, pieces = request.table["start_s"].to_numpy(), []
    for run in shard_cache.cut_clips(_plan(request), bands * frames * maker.stored.itemsize, request.shard_bytes):
        first, end = run[0].first, run[-1].slice.stop
        clips, counts = tuple(part.clip for part in run), tuple(part.count for part in run)
        keys = b"".join(bytes.fromhex(part.key) for part in run)
        pieces.append(shard_cache.Piece(place, recipe, bands, frames, clips, counts, starts[first:end], keys, first))
    return pieces


def describe_features(request: FeatureRequest, extraction: Extraction) -> dict[str, Any]:
    """Say of features that were extracted what features.json holds."""
    windows, bands, frames = request.shape
    return {
        **{"windows": windows, "bands": bands, "frames": frames, "bytes": request.bytes},
        "frame_rate": request.representation.frame_rate,
        "engine": request.representation.engine,
        "dtype": request.dtype,
        "largest_rounding": extraction.rounding.largest,
        "values_stored_as_zero": extraction.rounding.vanished,
    }


def _plan(request: FeatureRequest) -> Iterator[Rows]:
    """Work out which rows belong to which clip, and their keys."""
    names, starts = (request.table[column].to_numpy() for column in ("clip", "start_s"))
    changes = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
    for first, end in zip(changes, np.append(changes[1:], len(names)), strict=True):
        sound = clip_path(request.clips, request.representation.form, names[first]).read_bytes()
        windows = list(map(float, starts[first:end]))
        content = [request.fingerprint, hashlib.sha256(sound).hexdigest(), windows, request.length_s]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        yield Rows(str(names[first]), int(first), int(end - first), key)
