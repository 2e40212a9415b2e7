"""Places at URLs, by fsspec: object stores such as S3, whose calls fail now and then, and other servers of files."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from beyond_spectrograms.util.errors import NO_ROOM, ProjectError, one_line
from beyond_spectrograms.util.files import PARTIAL, partial_beside, written_beside
from beyond_spectrograms.util.storage.places import (
    OBJECT_STORES,
    Entry,
    NotThereError,
    Place,
    StorageError,
    check_content,
    check_name,
    check_size,
)

ATTEMPTS = 7
PAUSE_S = 0.25  # before the second attempt, and twice as long before each further one: 16 s in all
CONNECT_S, READ_S = 10, 60  # without an answer
S3 = ("s3", "s3a")
PACKAGES = dict.fromkeys(S3, "s3fs") | dict.fromkeys(("gs", "gcs"), "gcsfs")
CLIENTS = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure", "urllib3")
# Errors of these clients that say nothing of the file, by the names of their classes; and such answers of S3.
BY_CHANCE = {
    *("HTTPClientError", "ConnectionError", "IncompleteReadError", "ResponseParserError"),
    *("ClientPayloadError", "ClientConnectionError", "TransportError", "ServiceRequestError"),
}
CODES_BY_CHANCE = ("BadDigest", "IncompleteBody", "NoSuchUpload", "RequestTimeout", "XAmzContentSHA256Mismatch")
FOR_GOOD = {
    *(errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ENAMETOOLONG, errno.EMSGSIZE, errno.ENOTDIR, errno.EISDIR),
    getattr(errno, "EREMCHG", errno.ENOENT),  # the bucket is in another region
}

# Where stores say it; the last two are those of FTP and WebHDFS.
MARKS = ("ETag", "etag", "generation", "mtime", "LastModified", "modify", "modificationTime")

T = TypeVar("T")


class _ShortError(Exception):
    """What came, or was written, is not as long as the store says."""


class Store(Place):
    """A folder at a URL."""

    @property
    def _scheme(self) -> str:
        return urlsplit(self.url).scheme

    def _open(self) -> Any:
        """Give fsspec's file system, which fsspec keeps, one a process."""
        import fsspec

        options: dict[str, Any] = {"use_listings_cache": False}
        if self._scheme in S3:
            # We try again ourselves: three layers that each do would make their product of attempts.
            once = {"retries": {"total_max_attempts": 1}, "connect_timeout": CONNECT_S, "read_timeout": READ_S}
            options["config_kwargs"] = once
        files, _ = fsspec.url_to_fs(self.url, **options)  # which takes a server's name from the URL
        if self._scheme in S3:
            files.retries = 1
        return files

    def _try(self, name: str, work: Callable[[Any, str], T], wanted: str = "file") -> T:
        """Do work with fsspec's file system and a file's path in it, again where it fails by chance."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                files = self._open()
                return work(files, f"{files._strip_protocol(self.url)}/{name}".rstrip("/"))
            except Exception as error:
                if not _is_of_store(error):
                    raise
                if attempt == ATTEMPTS or not _is_by_chance(error):
                    raise self._explain(name, error, attempt, wanted) from error
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def _explain(self, name: str, error: Exception, attempts: int, wanted: str) -> StorageError:
        where, kind, told = self.tell(name), type(error).__name__, one_line(error).rstrip(".")
        if isinstance(error, ImportError):
            package = PACKAGES.get(self._scheme)
            remedy = f"Run pip install {package}" if package else told
            return StorageError(f"{where}: what reads {self._scheme}:// is not installed. {remedy}.")
        if isinstance(error, FileNotFoundError):
            return NotThereError(f"{where}: no such {wanted}. Make it, or correct the path.")
        if isinstance(error, PermissionError):
            return StorageError(f"{where}: access denied: {told}. Check the credentials, and what they may do there.")
        if "Credential" in kind or kind == "ProfileNotFound":
            remedy = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            return StorageError(f"{where}: {told}. {remedy}; for a public bucket FSSPEC_S3_ANON=true.")
        often = f" ({attempts} attempts)" if attempts > 1 else ""
        return StorageError(f"{where}: {told}{often}. Run the same command again once the store answers.")

    def entries(self, prefix: str = "") -> list[Entry]:
        """As Place.entries."""

        def list_all(files: Any, path: str) -> list[Entry]:
            return [
                Entry(f"{below}{str(found)[len(path) + 1 :]}", int(told["size"]), _mark(told))
                for found, told in self._find(files, path, begins)
                if told["type"] == "file" and str(found).startswith(f"{path}/") and not str(found).endswith("/")
            ]

        folder, slash, begins = prefix.rpartition("/")
        below = folder + slash
        found = self._try(check_name(self, folder) if folder else "", list_all, "bucket or folder")
        found = [each for each in found if each.name.startswith(prefix) and not PARTIAL.fullmatch(each.name)]
        return sorted(found, key=lambda entry: entry.name)

    def _find(self, files: Any, path: str, begins: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if self._scheme in OBJECT_STORES:  # which list no more than asked for: a folder may have millions of objects
            yield from files.find(path, detail=True, prefix=begins).items()
            return
        folders = [path] if files.exists(path) else []
        while folders:  # not fsspec's find or walk, which leave out folders that fail
            folder = folders.pop()
            for told in files.ls(folder, detail=True):
                if told["type"] != "directory":
                    yield told["name"], told
                elif told["name"].rstrip("/") != folder:
                    folders.append(told["name"].rstrip("/"))

    def size(self, name: str) -> int:
        """As Place.size."""
        return self._try(check_name(self, name), _size)

    def read_into(
        self, name: str, path: Path, *, size: int | None = None, sha256: str | None = None, flushed: bool = True
    ) -> None:
        """As Place.read_into."""

        def copy(files: Any, where: str) -> None:
            files.get_file(where, str(beside))
            self._compare(name, beside.stat().st_size, size, files, where)

        with written_beside(path, flushed=flushed) as beside:
            self._try(check_name(self, name), copy)
            check_content(self.tell(name), beside, size, sha256)

    def _compare(self, name: str, came: int, known: int | None, files: Any, where: str) -> None:
        """See that all came that the store has; and that this is as much as it should have."""
        if came == known:
            return
        told = _size(files, where)
        check_size(self.tell(name), told, known)
        if came != told:
            raise _ShortError(f"{came} of {told} bytes came")

    def write(self, name: str, path: Path) -> None:
        """As Place.write."""
        size = path.stat().st_size

        def put(files: Any, where: str) -> None:
            whole = self._scheme in OBJECT_STORES  # else under another name, and renamed
            to = where if whole else str(partial_beside(Path(where)))
            if not whole:
                files.makedirs(where.rpartition("/")[0], exist_ok=True)
            files.put_file(str(path), to)
            if (told := _size(files, to)) != size:
                raise _ShortError(f"{told} of {size} bytes were written")
            if not whole:
                files.mv(to, where)

        self._try(check_name(self, name), put, "bucket")


def _size(files: Any, where: str) -> int:
    told = files.info(where)
    if told["type"] != "file":
        raise FileNotFoundError(errno.ENOENT, "is a folder", where)
    return int(told["size"])


def _mark(told: dict[str, Any]) -> str:
    """Give what a store says of a file that changes when the file does; nothing where it says no such thing."""
    return str(next((told[key] for key in MARKS if told.get(key)), ""))


def _is_of_store(error: Exception) -> bool:
    """Say whether an error is of the store, or of the way to it: not of ours, nor of this machine's full disk."""
    if isinstance(error, ProjectError) or (isinstance(error, OSError) and error.errno in NO_ROOM):
        return False
    return isinstance(error, OSError | ImportError | _ShortError) or type(error).__module__.split(".")[0] in CLIENTS


def _is_by_chance(error: Exception) -> bool:
    """Say whether another attempt may do."""
    response = getattr(error.__cause__ or error, "response", None)
    if isinstance(response, dict) and response.get("Error", {}).get("Code") in CODES_BY_CHANCE:
        return True
    if isinstance(error, _ShortError):
        return True
    if isinstance(error, FileNotFoundError | PermissionError | ImportError):
        return False
    if isinstance(error, OSError) and not type(error).__module__.startswith(CLIENTS):
        return error.errno not in FOR_GOOD
    if (code := getattr(error, "code", None)) is not None and str(code).isdecimal():  # of gcsfs: HTTP's
        return int(code) >= 500 or int(code) in (408, 429)
    return not BY_CHANCE.isdisjoint(base.__name__ for base in type(error).__mro__)
