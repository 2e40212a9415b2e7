"""Files of a place, copied to this machine when they are asked for, within so many bytes; the longest unused go."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from beyond_spectrograms.util.files import PARTIAL
from beyond_spectrograms.util.storage.places import Place

if sys.platform != "win32":
    import fcntl

LOCKS = "locks"  # the folder of files that say who fetches


@dataclass(frozen=True)
class PlaceCache:
    """A folder of copies, at most `most_bytes` of them beside those in use. Several processes may use it at once."""

    folder: Path
    most_bytes: int

    @contextmanager
    def held(self, place: Place, name: str, *, size: int, sha256: str) -> Iterator[Path]:
        """Give the path of a copy, which is not removed inside the block; what is mapped in it stays mapped after it.

        A file is known by its digest, which is checked when it is fetched.

        Raises:
            NotThereError: the place has no such file.
            ContentError: it is not of this size or digest.
            StorageError: the place does not answer.
        """
        path = self.folder / sha256
        file = _open_held(path, size)
        while file is None:
            with self._fetching(sha256):
                if (file := _open_held(path, size)) is None:  # else another was quicker
                    place.read_into(name, path, size=size, sha256=sha256, flushed=False)
                    file = _open_held(path, size)
            self._make_room()
        with file:
            os.utime(path)  # it was used now
            yield path

    @contextmanager
    def _fetching(self, sha256: str) -> Iterator[None]:
        """Let one process, and one thread of it, fetch a file; the others wait for it."""
        lock = self.folder / LOCKS / hashlib.sha256(sha256.encode()).hexdigest()[:2]  # 256 of them
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("ab") as file:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make_room(self) -> None:
        """Remove copies that nobody holds, the longest unused first, until there are few enough bytes."""
        found = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another process was quicker
                if path.is_file() and not PARTIAL.fullmatch(path.name):
                    told = path.stat()
                    found.append((told.st_mtime_ns, path, told.st_size))
        bytes_here = sum(size for _, _, size in found)
        for _, path, size in sorted(found):
            if bytes_here <= self.most_bytes:
                break
            if _remove_unheld(path):
                bytes_here -= size


def _open_held(path: Path, size: int) -> IO[bytes] | None:
    """Open a copy so that none removes it until it is closed; None where there is none, or half of one."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_SH)
    told = os.fstat(file.fileno())
    if told.st_size == size and told.st_nlink:  # else it was removed before it was held
        return file
    file.close()
    return None


def _remove_unheld(path: Path) -> bool:
    with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    return False
