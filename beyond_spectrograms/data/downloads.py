"""Files from the network: several mirrors in order, checked, kept. A local folder is looked at first."""

import glob
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Generic, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import pooch
import requests

from beyond_spectrograms.data.members import is_archive
from beyond_spectrograms.params import HubFile
from beyond_spectrograms.params.datasets import Archive, File
from beyond_spectrograms.params.weights import OF_PACKAGE
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import (
    digest_file,
    write_text,
    written_beside,
)

MIRROR_VARIABLE = "BEYOND_SPECTROGRAMS_MIRROR"
PACKAGE = Path(__file__).parents[1]
WHOLE = 64  # digits of a sha256
ATTEMPTS = 3
PAUSE_S = 2.0
TIMEOUT_S = 30  # without a byte; pooch's own default
MOST_BYTES = 20 * 2**30  # of a file whose size is not known


class DownloadError(ProjectError):
    """A file could not be had. The message names it, every place tried and what to do."""


class _FaultError(Exception):
    """Why one place did not deliver. `transient`: another attempt may."""

    def __init__(self, reason: str, transient: bool = False):
        super().__init__(reason)
        self.transient = transient


R = TypeVar("R", bound=File)


@dataclass(frozen=True)
class Found(Generic[R]):
    """A file that passed the checks of `record`, with its size and whole digest as found.

    `mirrored`: it was found in the mirror folder, by its name alone.
    """

    record: R
    path: Path
    bytes: int
    sha256: str
    mirrored: bool = False


def fetch(what: str, records: Sequence[R], keep: Path) -> Found[R]:
    """Get the first file to be had that is what one of `records` says, and say beforehand where from.

    One that the package carries is taken from there. Else looked at in this order: the folder named by
    BEYOND_SPECTROGRAMS_MIRROR (a file named as the last part of the URL's path, or one of the hub as
    <owner>/<model>/<file>), the folder `keep` of earlier downloads, then each record's URL. All pass the same checks. A
    transfer that breaks off is started again; what was transferred stays in `keep`.
    `records` are the mirrors, best first; they may differ in their bytes. `what` says in messages what the file is.

    Where a record fixes no whole sha256, the one found first is trusted: it is shown, and noted beside the file in
    `keep` as <name>.sha256; other bytes are refused from then on.

    Raises:
        DownloadError: the mirror folder does not exist or holds a wrong file, or no URL delivered.
    """
    if carried := [record for record in records if record.url.startswith(OF_PACKAGE)]:
        return _of_package(what, carried[0])
    if mirror := os.environ.get(MIRROR_VARIABLE):
        if not Path(mirror).expanduser().is_dir():
            raise DownloadError(
                f"{MIRROR_VARIABLE} is {mirror!r}, which is not a folder. "
                "Set it to a folder that holds files named as the last part of their URLs, or unset it."
            )
        found = _look_in(Path(mirror).expanduser(), what, records, _mirrored_name)
        if isinstance(found, Found):
            return replace(found, mirrored=True)
        if found:
            faults = "".join(f"\n  {fault}" for fault in found)
            raise DownloadError(f"{what}: {MIRROR_VARIABLE} holds a wrong file.{faults}\nReplace it or take it away.")
    kept = _look_in(keep, what, records, lambda record: _kept_name(record.url), check=_check_noted)
    if isinstance(kept, Found):
        return kept
    for fault in kept:
        print(f"{what}: {fault}")
    reasons = []
    for record in records:
        print(f"{what}: downloading {record.url} ({_size(record)})")
        try:
            return _transferred(record, keep / _kept_name(record.url))
        except _FaultError as fault:
            reasons.append(str(fault))
    raise DownloadError(_explain(what, records, reasons))


def _of_package(what: str, record: R) -> Found[R]:
    path = PACKAGE / record.url.removeprefix(OF_PACKAGE)
    try:
        return _verified(path, record)
    except (OSError, _FaultError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else fault
        raise DownloadError(f"{what}: {path}: {str(reason).lower()}. Install the package again.") from None


def file_name(url: str) -> str:
    """Return the last part of the URL's path."""
    return unquote(urlsplit(url).path).rsplit("/", 1)[-1]


def _mirrored_name(record: File) -> str:
    return record.place if isinstance(record, HubFile) else file_name(record.url)


def _look_in(
    folder: Path,
    what: str,
    records: Sequence[R],
    name: Callable[[R], str],
    check: Callable[[Found[R]], None] = lambda _: None,
) -> Found[R] | list[str]:
    """Find the first whole file in a folder or one below it, where each stands under its `name`; or say what is wrong.

    Files of one name are told apart by their size and digest.
    """
    faults = []
    for record in records:
        for path in (folder / name(record), *sorted(folder.glob(f"*/{glob.escape(name(record))}"))):
            if path.is_file():
                try:
                    check(found := _verified(path, record))
                except _FaultError as fault:
                    faults.append(f"{path} is not {record.url}: {fault}")
                else:
                    print(f"{what}: using {path} ({found.bytes} bytes)")
                    return found
    return faults


def _kept_name(url: str) -> str:
    """Return the whole URL as a file name: two mirrors' files of the same name lie side by side."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", url.split("://", 1)[-1])


def _transferred(record: R, place: Path) -> Found[R]:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with written_beside(place) as beside:
                _transfer(record, beside)
                found = replace(_verified(beside, record), path=place)
                _check_noted(found)
                return found
        except _FaultError as fault:
            if not fault.transient:
                raise
            if attempt == ATTEMPTS:
                raise _FaultError(f"{fault} ({ATTEMPTS} attempts)") from None
            print(f"{record.url}: {fault}; trying again")
            time.sleep(PAUSE_S)
    raise AssertionError("the last attempt returns or raises")


class _Bounded:
    """A file being written, which takes no byte more than it should have."""

    def __init__(self, file: IO[bytes], record: File) -> None:
        self._file, self._record, self._left = file, record, record.bytes or MOST_BYTES

    def write(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left < 0 and self._record.bytes is not None:
            raise _FaultError(f"goes on behind byte {self._record.bytes}, where it should end")
        if self._left < 0:
            raise _FaultError(f"is larger than {MOST_BYTES} bytes; to have it, its record needs its size as `bytes`")
        self._file.write(chunk)

    def flush(self) -> None:
        self._file.flush()


def _transfer(record: File, place: Path) -> None:
    _refuse_insecure(record.url)
    download = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=2**20,
        timeout=TIMEOUT_S,
        headers={"Accept-Encoding": "identity"},
        hooks={"response": _check_response},
    )
    try:
        with place.open("wb") as file:
            download(record.url, _Bounded(file, record), None)
    except requests.HTTPError as error:
        response = error.response
        assert response is not None  # raise_for_status hands itself over
        reason = f"HTTP {response.status_code} {response.reason}"
        raise _FaultError(reason, transient=response.status_code >= 500) from None
    except requests.Timeout:
        raise _FaultError(f"no answer within {TIMEOUT_S} s", transient=True) from None
    except requests.exceptions.ChunkedEncodingError:
        raise _FaultError("broke off midway", transient=True) from None
    except requests.ConnectionError as error:
        # requests wraps urllib3's error, which wraps the system's reason behind the names of objects.
        reason = str(getattr(error.args[0], "reason", error)).rsplit(": ", 1)[-1]
        raise _FaultError(f"no connection: {reason}", transient=True) from None
    except requests.RequestException as error:
        raise _FaultError(f"{type(error).__name__}: {error}") from None


def _check_response(response: requests.Response, **_: object) -> None:
    """Refuse a redirect to http before it is followed, and take the body as it is sent."""
    # Some servers call the compression of a .tar.gz an encoding of the transfer; requests would undo it.
    response.raw.headers.pop("Content-Encoding", None)
    try:
        _refuse_insecure(urljoin(response.url, response.headers.get("Location", "")))
    except _FaultError:
        response.close()
        raise


def _refuse_insecure(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme, parts.hostname) != ("http", "127.0.0.1"):
        raise _FaultError(f"refused {url}: only https is used")


def _verified(path: Path, record: R) -> Found[R]:
    size = path.stat().st_size
    if record.bytes is not None and size != record.bytes:
        # A server that names no length and breaks off looks like one that has finished.
        raise _FaultError(f"has {size} bytes, expected {record.bytes}", transient=size < record.bytes)
    sha256 = digest_file(path)
    if record.sha256 is not None and not sha256.startswith(record.sha256):
        raise _FaultError(f"has sha256 {sha256}, expected {_digest(record)}")
    if record.md5 is not None and (md5 := digest_file(path, "md5")) != record.md5:
        raise _FaultError(f"has md5 {md5}, expected md5 {record.md5}")
    if record.sha256 is None and isinstance(record, Archive) and not is_archive(path):
        raise _FaultError("is not a zip or tar archive")
    return Found(record, path, size, sha256)


def _check_noted(found: Found[R]) -> None:
    """Compare a file whose record fixes no whole sha256 with what was found when it was first fetched, or note it."""
    if len(found.record.sha256 or "") == WHOLE:
        return
    note = _note_of(found.path)
    known = note.read_text(encoding="utf-8").split(" ")[0] if note.exists() else None
    if known is None:
        write_text(note, f"{found.sha256}  {found.path.name}\n")  # as `sha256sum --check` reads it
        print(f"{found.record.url}: its record fixes no sha256. Found {found.sha256}, noted in {note}")
    elif known != found.sha256:
        reason = f"has sha256 {found.sha256}, and had {known} when it was first fetched"
        raise _FaultError(f"{reason}. If its publisher changed it, remove {note}")


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def check_kept(keep: Path, records: Sequence[File]) -> dict[Path, str]:
    """Say what is wrong with each file of `records` in `keep`, nothing if it is whole; files without a digest apart."""
    told = {}
    for record in records:
        path = keep / _kept_name(record.url)
        if path.is_file() and (record.sha256 or record.md5 or _note_of(path).exists()):
            try:
                _check_noted(_verified(path, record))
                told[path] = ""
            except _FaultError as fault:
                told[path] = str(fault)
    return told


def _explain(what: str, records: Sequence[R], reasons: list[str]) -> str:
    lines = [f"{what}: no URL delivered the file."]
    for record, reason in zip(records, reasons, strict=True):
        lines.append(f"  {record.url}")
        lines.append(f"    file: {file_name(record.url)}, {_size(record)}, {_digest(record)}")
        lines.append(f"    failed: {reason}")
        if isinstance(record, HubFile) and reason.startswith("HTTP 404") and record.url.endswith(".safetensors"):
            lines.append("    The model may have a pickle alone: docs/adding-a-model.md says how it is converted.")
    lines.append("If you have the file, put it under that name into a folder of your own, set the environment variable")
    lines.append(f"{MIRROR_VARIABLE} to that folder, and run again.")
    return "\n".join(lines)


def _size(record: File) -> str:
    return "size not fixed" if record.bytes is None else f"{record.bytes} bytes"


def _digest(record: File) -> str:
    if record.sha256 is None:
        return "sha256 not fixed" if record.md5 is None else f"md5 {record.md5}"
    return f"sha256 {record.sha256}" if len(record.sha256) == WHOLE else f"sha256 beginning {record.sha256}"
