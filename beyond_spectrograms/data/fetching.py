"""Files at a place -> copies on this machine. A run that was stopped goes on with those that are missing."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from beyond_spectrograms.util.files import digest_file
from beyond_spectrograms.util.progress import track
from beyond_spectrograms.util.storage.places import Entry, Place

WORKERS = 8  # threads: most of the time of a small file is spent waiting for an answer
JOURNAL = "jsonl"  # beside the folder of copies: a line a whole copy

T = TypeVar("T")
R = TypeVar("R")


def fetch_files(place: Place, wanted: Sequence[tuple[Entry, str]], folder: Path) -> None:
    """Copy files of a place into `folder`, each to the path beside it, which is relative.

    What an earlier run copied from there is kept where it is whole, by its digest, and the place still has it of the
    same size and mark.

    Raises:
        StorageError: the place does not give one, or another number of bytes than it said.
    """
    noted = folder.with_name(f"{folder.name}.{JOURNAL}")
    noted.parent.mkdir(parents=True, exist_ok=True)
    known, lock = _read_journal(noted), threading.Lock()
    with noted.open("a", encoding="utf-8") as journal:

        def fetch(one: tuple[Entry, str]) -> None:
            entry, to = one
            told = {"to": to, "url": place.url, "name": entry.name, "size": entry.size, "mark": entry.mark}
            path = folder / to
            if entry.mark and (before := known.get(to)) and before == told | {"sha256": digest_if_there(path)}:
                return
            place.read_into(entry.name, path, size=entry.size, flushed=False)
            line = json.dumps(told | {"sha256": digest_file(path)})
            with lock:
                journal.write(f"{line}\n")
                journal.flush()

        for _ in track(at_once(fetch, wanted), "fetch", len(wanted)):
            pass


def _read_journal(path: Path) -> dict[str, Any]:
    """Read which copies were whole, by their paths; a line that a killed run left half-written counts for nothing."""
    told: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, TypeError, LookupError):
                record = json.loads(line)
                told[record["to"]] = record
        if not path.read_bytes().endswith(b"\n"):
            with path.open("ab") as file:
                file.write(b"\n")
    return told


def digest_if_there(path: Path) -> str:
    """Digest a file; nothing where there is none."""
    try:
        return digest_file(path)
    except FileNotFoundError:
        return ""


def at_once(work: Callable[[T], R], items: Iterable[T], workers: int = WORKERS) -> Iterator[R]:
    """Do work on items in threads; give results in their order. After an error none is begun that had not begun."""
    with ThreadPoolExecutor(workers) as pool:
        begun = [pool.submit(work, item) for item in items]
        try:
            yield from (each.result() for each in begun)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def lay_out(fetched: Path, audio: Path, places: Iterable[tuple[str, str]]) -> None:
    """Put copies into audio/<label>/<file>: pairs of that place and of the path in `fetched`, which keeps them.

    By hard links, which take no room, where the file system has them.
    """
    for clip, path in places:
        (audio / clip).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(fetched / path, audio / clip)
        except OSError:
            shutil.copyfile(fetched / path, audio / clip)
