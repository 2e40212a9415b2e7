"""Pieces of work for tests of engines: each writes a file, and notes that it was computed."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from beyond_spectrograms.util.cluster.pieces import note_progress
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import PARTIAL, write_text


@dataclass(frozen=True)
class Sum:
    """A piece: the sum of the whole numbers below `number`, in folder/<number>.txt, after so many seconds."""

    folder: Path
    number: int
    seconds: float = 0.0


def write_sum(piece: Sum) -> int:
    """Compute and write, or read what was written; leave a file for each time that it was computed."""
    path = piece.folder / f"{piece.number}.txt"
    if path.exists():
        return int(path.read_text())
    begun = piece.folder / "begun"
    begun.mkdir(parents=True, exist_ok=True)
    (begun / f"{piece.number}-{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(piece.seconds)
    total = sum(range(piece.number))
    write_text(path, str(total))
    return total


def times_begun(folder: Path) -> dict[int, int]:
    """Count how often each piece was computed."""
    counts: dict[int, int] = {}
    for path in (folder / "begun").iterdir():
        number = int(path.name.split("-")[0])
        counts[number] = counts.get(number, 0) + 1
    return counts


def written(folder: Path) -> dict[str, bytes]:
    """Read what pieces wrote; a worker that is killed may leave a partial file, which is none of it."""
    whole = (path for path in folder.iterdir() if path.is_file() and not PARTIAL.fullmatch(path.name))
    return {path.name: path.read_bytes() for path in whole}


def die_of_thirteen(piece: Sum) -> int:
    """Do as write_sum, but be killed by 13."""
    if piece.number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return write_sum(piece)


def hang_once(piece: Sum) -> int:
    """Do as write_sum, but wait for ever when 13 is computed for the first time."""
    if piece.number == 13 and not (first := piece.folder / "first").exists():
        first.touch()
        time.sleep(3600)
    return write_sum(piece)


def eat_at_thirteen(piece: Sum) -> int:
    """Do as write_sum, but let 13 take memory without end."""
    eaten = []
    while piece.number == 13:
        eaten.append(b"x" * 2**24)
        time.sleep(0.02)
    return write_sum(piece)


def refuse_thirteen(piece: Sum) -> int:
    if piece.number == 13:
        raise ProjectError("thirteen: is refused")
    return write_sum(piece)


def process_of(_: int) -> int:
    return os.getpid()


def say(text: str) -> str:
    print(text)
    return text


def go_on(piece: Sum) -> int:
    """Do as write_sum, and say in between that it is getting on."""
    until = time.monotonic() + piece.seconds
    while time.monotonic() < until:
        time.sleep(0.2)
        note_progress()
    return write_sum(Sum(piece.folder, piece.number))


def refuse_memory(piece: Sum) -> int:
    if piece.number == 13:
        raise MemoryError
    return write_sum(piece)
