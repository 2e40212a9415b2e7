"""Shards of features that lie elsewhere: in the place of each is a stub, which has all of it but the rows.

A stub is the shard up to its rows, and then where it is, its size and its digest as JSON. There a shard is named by its
digest: what is written is never changed, and those of another run are left alone.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from beyond_spectrograms.data.windows import AGAIN
from beyond_spectrograms.params.study import SHARD_CACHE
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import digest_file, written_beside
from beyond_spectrograms.util.storage.place_cache import PlaceCache
from beyond_spectrograms.util.storage.places import ContentError, NotThereError, Place, place_at

STUB = ".elsewhere"  # how its name ends
CACHE_VARIABLE = "BEYOND_SPECTROGRAMS_SHARD_CACHE_GB"
CACHE_GB = 20.0


@dataclass(frozen=True)
class Note:
    """Where a shard is, and what it is known by: `size` in bytes."""

    at: str
    size: int
    sha256: str

    @property
    def place(self) -> Place:
        """The folder it is in."""
        return place_at(self.at)

    @property
    def name(self) -> str:
        """Its name there."""
        return f"{self.sha256}.safetensors"


def stub_of(path: Path) -> Path:
    """Name the stub of a shard."""
    return path.with_suffix(STUB)


def found_at(path: Path) -> Path:
    """Give the shard, or else its stub, which may not be there either."""
    return path if path.exists() else stub_of(path)


def read_note(path: Path, offset: int) -> Note:
    """Read where the shard of a stub is; its rows would begin at `offset`.

    Raises:
        ValueError: it is no stub, or damaged.
    """
    with path.open("rb") as file:
        file.seek(offset)
        told: Any = json.loads(file.read(2**16))
    note = Note(str(told["at"]), int(told["size"]), str(told["sha256"]))
    if asdict(note) != told or not re.fullmatch(r"[0-9a-f]{64}", note.sha256):  # it names files
        raise ValueError("is no stub of a shard")
    return note


def send_shard(path: Path, offset: int, at: str) -> None:
    """Write a whole shard to the folder `at`, and leave its stub here; one that is there already is not sent again.

    Raises:
        StorageError: the place does not take it.
    """
    note = Note(at, path.stat().st_size, digest_file(path))
    if not is_there(note):
        note.place.write(note.name, path)
    with written_beside(stub_of(path)) as beside, path.open("rb") as shard:
        beside.write_bytes(shard.read(offset) + json.dumps(asdict(note)).encode())
    path.unlink()


def is_there(note: Note) -> bool:
    """Say whether a shard is where its stub says, with as many bytes.

    Raises:
        StorageError: the place does not answer.
    """
    try:
        return note.place.size(note.name) == note.size
    except NotThereError:
        return False


@contextmanager
def held_shard(path: Path, offset: int) -> Iterator[Path]:
    """Give the path of a shard, or of a copy where it lies elsewhere; what is mapped in the block stays mapped.

    Raises:
        FileNotFoundError: there is neither it nor its stub.
        StorageError: the place does not give it, whole.
    """
    if path.exists():
        yield path
        return
    note = read_note(stub_of(path), offset)
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(shard_cache().held(note.place, note.name, size=note.size, sha256=note.sha256))
        except NotThereError:
            raise NotThereError(f"{note.place.tell(note.name)}: no such file. {AGAIN}") from None
        except ContentError as error:
            raise ContentError(f"{error} Remove it there. {AGAIN}") from None
        yield copy


def forget_copy(path: Path, offset: int) -> None:
    """Remove the copy of a shard that lies elsewhere: next it is fetched, and checked, anew."""
    (SHARD_CACHE / read_note(stub_of(path), offset).sha256).unlink(missing_ok=True)


def shard_cache() -> PlaceCache:
    """Give the folder of copies, which holds as many gigabytes as CACHE_VARIABLE says.

    Raises:
        ProjectError: that is no number.
    """
    told = os.environ.get(CACHE_VARIABLE, str(CACHE_GB))
    try:
        gigabytes = float(told)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < 1e9:
        raise ProjectError(f"{CACHE_VARIABLE} is {told!r}. Set it to gigabytes, such as 20, or unset it.")
    return PlaceCache(SHARD_CACHE, round(1e9 * gigabytes))
