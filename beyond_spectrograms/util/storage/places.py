"""A place that holds files: a folder of this machine, or one in an object store, by its URL.

What is written is there whole or not at all. What is read has the size that the store tells, and the size and digest
that the caller knows. A call that fails by chance is made again, after growing waits. Credentials and a store's address
come from where the stores' own programs take them (AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL,
GOOGLE_APPLICATION_CREDENTIALS), never from params.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from beyond_spectrograms.util.errors import ProjectError, require
from beyond_spectrograms.util.files import PARTIAL, digest_file, written_beside

HERE = ("", "file", "local")
# What fsspec reads and we take; the first ones' puts are whole or not at all.
OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
PLACES = (*OBJECT_STORES, "ftp", "hdfs", "sftp", "smb", "ssh", "webhdfs")


class StorageError(ProjectError):
    """A place does not give or take a file. The message names it, what was answered and what to do."""


class NotThereError(StorageError):
    """There is no such file."""


class ContentError(StorageError):
    """A file is not what it is known to be: written by half, damaged, or another."""


@dataclass(frozen=True)
class Entry:
    """A file in a place: `size` in bytes; `mark` changes when the file does (an ETag, or when it was written)."""

    name: str
    size: int
    mark: str


@dataclass(frozen=True)
class Place(ABC):
    """A folder, here or elsewhere. Names are relative to it, with `/` between parts. May be pickled."""

    url: str

    @abstractmethod
    def entries(self, prefix: str = "") -> list[Entry]:
        """List the files whose names begin with `prefix`, in folders below too, by name; none where there is no folder.

        Raises:
            StorageError: the place cannot be listed.
        """

    @abstractmethod
    def size(self, name: str) -> int:
        """Ask how many bytes a file has.

        Raises:
            NotThereError: it is not there.
            StorageError: the place does not answer.
        """

    @abstractmethod
    def read_into(
        self, name: str, path: Path, *, size: int | None = None, sha256: str | None = None, flushed: bool = True
    ) -> None:
        """Copy a file to `path` on this machine, whole or not at all.

        `size` (bytes) and `sha256` are what the file is known to be. `flushed=False` is as in util.files.

        Raises:
            NotThereError: it is not there.
            ContentError: it is not of this size or digest.
            StorageError: the place does not answer.
        """

    @abstractmethod
    def write(self, name: str, path: Path) -> None:
        """Copy the file `path` of this machine there, whole or not at all; over one of that name.

        Raises:
            StorageError: the place does not take it.
        """

    def read(self, name: str, *, size: int | None = None) -> bytes:
        """Read a file; as `read_into`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "file")
            self.read_into(name, path, size=size, flushed=False)
            return path.read_bytes()

    def tell(self, name: str = "") -> str:
        """Write where a file is."""
        return f"{self.url}/{name}" if name else self.url


def place_at(url: str | Path) -> Place:
    """Give the place at a path of this machine, where ~ is the home folder, or at a URL that fsspec reads.

    Raises:
        StorageError: the URL is of no place, or has a password in it.
        MissingPackageError: what reads such URLs is not installed.
    """
    if "://" not in str(url):
        return Folder(str(Path(url).expanduser()))
    try:
        parts = urlsplit(str(url))
    except ValueError as error:
        raise StorageError(f"{url}: is no URL: {error}.") from None
    if parts.scheme in HERE:
        if parts.netloc:
            raise StorageError(
                f"{url}: names no path of this machine. Write {parts.scheme}:///folder, or the path alone."
            )
        return Folder(parts.path)
    if parts.password is not None:
        told = f"{parts.scheme}://...@{parts.netloc.rpartition('@')[2]}"
        raise StorageError(f"{told}: a URL may hold no password. Leave it to the environment, or a profile.")
    if parts.scheme not in PLACES:
        raise StorageError(
            f"{url}: {parts.scheme}:// is no place for files. Choose a path, or {'://, '.join(PLACES)}://."
        )
    if not parts.netloc:
        raise StorageError(f"{url}: names no bucket. Write {parts.scheme}://bucket/folder.")
    require("fsspec")
    from beyond_spectrograms.util.storage.object_stores import (
        Store,  # not before it is needed: it is built on this module
    )

    return Store(str(url).rstrip("/"))


def is_elsewhere(url: str | Path) -> bool:
    """Say whether a path is a URL of another place than this machine."""
    scheme, found, _ = str(url).partition("://")
    return bool(found) and scheme.lower() not in HERE


def check_name(place: Place, name: str) -> str:
    """See that a name leads nowhere else.

    Raises:
        StorageError: it does.
    """
    parts = name.split("/")
    if name.startswith("/") or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise StorageError(f"{place.url}: {name!r} is no name of a file in it.")
    return name


def check_size(what: str, found: int, size: int | None) -> None:
    """Compare how many bytes a file has with what is known of it.

    Raises:
        ContentError: it is another.
    """
    if size not in (None, found):
        raise ContentError(f"{what}: has {found} bytes, expected {size}: written by half, or another file.")


def check_content(what: str, path: Path, size: int | None, sha256: str | None) -> None:
    """Compare what came of a file, the copy at `path`, with what is known of it.

    Raises:
        ContentError: it is another.
    """
    check_size(what, path.stat().st_size, size)
    if sha256 is not None and (actual := digest_file(path)) != sha256:
        raise ContentError(f"{what}: has sha256 {actual}, expected {sha256}: damaged, or another file.")


class Folder(Place):
    """A folder of this machine. It goes straight to the file system."""

    def _path(self, name: str) -> Path:
        return Path(self.url, check_name(self, name))

    def entries(self, prefix: str = "") -> list[Entry]:
        """As Place.entries."""
        folder, _, begins = prefix.rpartition("/")
        top, found = Path(self.url, folder), []

        def fail(error: OSError) -> None:  # which a folder that cannot be listed is; else it would be left out
            raise error

        for root, folders, names in os.walk(top, onerror=fail) if top.is_dir() else ():
            if Path(root) == top:
                folders[:] = [name for name in folders if name.startswith(begins)]
            for path in (Path(root, name) for name in names):
                name = path.relative_to(self.url).as_posix()
                if name.startswith(prefix) and path.is_file() and not PARTIAL.fullmatch(path.name):
                    told = path.stat()
                    found.append(Entry(name, told.st_size, str(told.st_mtime_ns)))
        return sorted(found, key=lambda entry: entry.name)

    def size(self, name: str) -> int:
        """As Place.size."""
        if not (path := self._path(name)).is_file():
            raise NotThereError(f"{path}: no such file. Make it, or correct the path.")
        return path.stat().st_size

    def read_into(
        self, name: str, path: Path, *, size: int | None = None, sha256: str | None = None, flushed: bool = True
    ) -> None:
        """As Place.read_into."""
        self.size(name)
        with written_beside(path, flushed=flushed) as beside:
            shutil.copyfile(self._path(name), beside)
            check_content(self.tell(name), beside, size, sha256)

    def read(self, name: str, *, size: int | None = None) -> bytes:
        """As Place.read."""
        check_size(self.tell(name), self.size(name), size)
        return self._path(name).read_bytes()

    def write(self, name: str, path: Path) -> None:
        """As Place.write."""
        with written_beside(self._path(name)) as beside:
            shutil.copyfile(path, beside)
