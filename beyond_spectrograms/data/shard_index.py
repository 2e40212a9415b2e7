"""The index of features in shards: which there are, in order, and what is known of every clip's rows.

<folder>/index.parquet has a row a clip: clip, key, first, count, shard, row (of the shard), sha256 (of its rows),
largest_rounding and values_stored_as_zero. Its schema's metadata lists the shards in order: shards/<name>.safetensors.
Where these hold codes, the codebooks of which they are numbers are beside them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.shard_files import Clips, Layout, ShardError, find_damaged, find_rows, read_clips
from beyond_spectrograms.data.shard_places import stub_of
from beyond_spectrograms.data.windows import AGAIN, SHARDED, FeaturesError, name_damaged
from beyond_spectrograms.util.errors import require
from beyond_spectrograms.util.files import digest_record, written_beside
from beyond_spectrograms.util.tensor_file import read_head

SHARDS, SUFFIX = "shards", ".safetensors"  # the folder of the files, and how their names end
LISTED = b"shards"  # key of the schema's metadata

T = TypeVar("T")


@dataclass(frozen=True)
class Listing:
    """What the index says of all shards.

    `shape` and `dtype` are those of the features as they are read, [windows, bands, frames].
    """

    shape: tuple[int, int, int]
    dtype: str
    coded: bool  # whether codes are stored
    codebooks: str | None  # name of the file of codebooks; None: numbers of codes are the features
    shards: list[tuple[str, int, int, str]]  # name, its first row of all, rows, and Clips.content


def shard_path(folder: Path, name: str) -> Path:
    """Find a shard, or a file of codebooks, by name."""
    return folder / SHARDS / f"{name}{SUFFIX}"


def read_listing(folder: Path) -> Listing:
    """Read which shards there are.

    Raises:
        FeaturesError: the index is damaged.
    """
    require("pyarrow")
    from pyarrow import ArrowException, parquet

    try:
        told = json.loads(parquet.read_schema(folder / SHARDED).metadata[LISTED])
        if told.pop("sha256") == digest_record(told):
            shards = [(name, first, count, content) for name, first, count, content in told.pop("shards")]
            return Listing(tuple(told.pop("shape")), **told, shards=shards)
    except (ArrowException, OSError, ValueError, TypeError, LookupError) as error:
        if isinstance(error, FileNotFoundError):
            raise
    raise FeaturesError(f"{folder / SHARDED}: damaged. {AGAIN}")


def write_index(
    folder: Path, listing: Listing, clips_of: Callable[[int], list[str]], tables_of: Callable[[int], Clips]
) -> None:
    """Write the index, a row group a shard: `clips_of` names the clips of the n-th shard, `tables_of` has the rest."""
    require("pyarrow")
    import pyarrow
    from pyarrow import parquet

    told = {**asdict(listing), "shards": [list(shard) for shard in listing.shards]}
    told["shape"] = list(listing.shape)
    schema = _schema().with_metadata({LISTED: json.dumps(told | {"sha256": digest_record(told)})})
    with (
        written_beside(folder / SHARDED) as beside,
        parquet.ParquetWriter(beside, schema, write_page_checksum=True) as writer,
    ):
        for number, (name, first, _, _) in enumerate(listing.shards):
            columns = _columns(name, first, clips_of(number), tables_of(number))
            rows = pyarrow.table(columns, schema)
            writer.write_table(rows, row_group_size=len(rows))


def _columns(shard: str, first: int, names: Sequence[str], clips: Clips) -> dict[str, Any]:
    import pyarrow

    return {
        "clip": names,
        "key": [key.tobytes() for key in clips.keys],
        "first": first + clips.firsts,
        "count": clips.counts,
        "shard": pyarrow.array([shard] * len(names)).dictionary_encode(),
        "row": clips.firsts,
        "sha256": [digest.tobytes() for digest in clips.sha256],
        "largest_rounding": clips.largest,
        "values_stored_as_zero": clips.vanished,
    }


def _schema() -> Any:
    import pyarrow

    digest, rows = pyarrow.binary(32), pyarrow.int64()
    return pyarrow.schema(
        [
            *(("clip", pyarrow.string()), ("key", digest), ("first", rows), ("count", rows)),
            *(("shard", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())), ("row", rows), ("sha256", digest)),
            *(("largest_rounding", pyarrow.float64()), ("values_stored_as_zero", rows)),
        ]
    )


def write_codebooks(folder: Path, codebooks: npt.NDArray[np.float32]) -> str:
    """Store codebooks [codebooks, entries, bands] beside the shards, under the digest of their file; give that name."""
    from safetensors.numpy import save

    content = save({"codebooks": codebooks})
    name = f"codebooks-{hashlib.sha256(content).hexdigest()}"
    with written_beside(shard_path(folder, name)) as beside:
        beside.write_bytes(content)
    return name


def read_codebooks(folder: Path, name: str) -> npt.NDArray[np.float32]:
    """Read what `write_codebooks` stored under this name.

    Raises:
        FeaturesError: it is missing or damaged.
    """
    path = shard_path(folder, name)
    if not path.exists():
        raise FeaturesError(f"{path}: missing. {AGAIN}")
    content = path.read_bytes()
    if name != f"codebooks-{hashlib.sha256(content).hexdigest()}":
        raise FeaturesError(f"{path}: damaged. {AGAIN}")
    told, begin = read_head(path, ["F32"])
    found = told["codebooks"]
    return np.frombuffer(content, "<f4", offset=begin + found["data_offsets"][0]).reshape(found["shape"])


def open_shard(path: Path) -> Layout:
    """Read where a shard's rows are.

    Raises:
        FeaturesError: it is missing or damaged.
    """
    return _read_shard(find_rows, path)


def _read_shard(read: Callable[[Path], T], path: Path) -> T:
    try:
        return read(path)
    except FileNotFoundError:
        raise FeaturesError(f"{path}: missing. {AGAIN}") from None
    except ShardError as error:
        raise FeaturesError(f"{path}: {error}. {AGAIN}") from None


def content_of_shards(folder: Path) -> bytes:
    """Return what identifies features in shards: the digests of their rows, and how they lie.

    Where the rows lie decides the order of a training that cannot hold them.
    """
    listing = read_listing(folder)
    rows = [[first, count, content] for _, first, count, content in listing.shards]
    return json.dumps([listing.dtype, listing.coded, listing.codebooks, rows]).encode()


def check_shards(folder: Path, called: str) -> None:
    """Check that shards and index are as they were written.

    Raises:
        FeaturesError: they are not; the message names the first damaged clip, or the file.
    """
    listing = read_listing(folder)
    if listing.codebooks is not None:
        read_codebooks(folder, listing.codebooks)
    damaged: list[str] = []
    for number, (name, first, _, content) in enumerate(listing.shards):
        path = shard_path(folder, name)
        layout, clips = _read_shard(read_clips, path)
        if clips.content != content:
            raise FeaturesError(f"{path}: has other rows than its index says. {AGAIN}")
        names = _names_of(folder, number, name, first, clips)
        damaged += [names[clip] for clip in find_damaged(path, layout, clips)]
    name_damaged(folder, damaged, called)


def _names_of(folder: Path, number: int, shard: str, first: int, clips: Clips) -> list[str]:
    """Read the clips of the n-th shard, and hold all else that the index says of them against the shard."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(folder / SHARDED, page_checksum_verification=True) as file:
            told = file.read_row_group(number)
        names = told["clip"].to_pylist()
        known = pyarrow.table(_columns(shard, first, names, clips), _schema())
        if told.cast(_schema()).equals(known):
            return list(map(str, names))
    except (pyarrow.ArrowException, OSError, ValueError, LookupError):
        pass
    raise FeaturesError(f"{folder / SHARDED}: damaged. {AGAIN}")


def remove_others(folder: Path, names: Iterable[str]) -> None:
    """Remove what is beside index and shards of these names: shards no longer wanted, and an array of before."""
    shards = [shard_path(folder, name) for name in names]
    kept = {folder / SHARDED, *shards, *map(stub_of, shards)}
    for path in [*folder.iterdir(), *(folder / SHARDS).iterdir()]:
        if path not in kept and path.is_file():
            path.unlink(missing_ok=True)
