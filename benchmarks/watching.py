"""Running a command and measuring what it takes: wall and processor time, memory of all its processes. Linux."""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beyond_spectrograms.util.errors import ProjectError

_POLL_S = 0.02


@dataclass(frozen=True)
class Watched:
    """What a command took.

    Attributes:
        status: its exit status.
        own_bytes: most memory its processes held together that is theirs alone (RssAnon), seen 50 times a second.
        peak_bytes: most memory one of them held, mapped pages of files included, which the system may take back.
    """

    status: int
    wall_seconds: float
    processor_seconds: float
    own_bytes: int
    peak_bytes: int


def watch(command: Sequence[str], log: Path, folder: Path | None = None, **environment: str) -> Watched:
    """Run a command in `folder`, its output to `log`, and measure it."""
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(  # noqa: S603  our own arguments
            command, cwd=folder, stdout=output, stderr=output, env={**os.environ, **environment}
        )
        most, ended = [0], threading.Event()
        watcher = threading.Thread(target=_follow, args=(process.pid, most, ended), daemon=True)
        watcher.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        watcher.join()
    return Watched(process.returncode, wall, used.ru_utime + used.ru_stime, most[0], 1024 * used.ru_maxrss)


def watch_well(
    command: Sequence[str], log: Path, failure: str, folder: Path | None = None, **environment: str
) -> Watched:
    """Watch a command that has to end well.

    Raises:
        ProjectError: it does not; the message is `failure` and the end of its output.
    """
    watched = watch(command, log, folder, **environment)
    if watched.status:
        raise ProjectError(f"{failure}:\n{log.read_text(encoding='utf-8')[-2000:]}")
    return watched


def _follow(pid: int, most: list[int], ended: threading.Event) -> None:
    """Keep in most[0] the most memory of its own that process `pid` and all it started held together."""
    while not ended.wait(_POLL_S):
        most[0] = max(most[0], sum(map(_own_bytes, _family(pid))))


def _family(pid: int) -> list[int]:
    """List a process and all that descend from it; none where it has ended."""
    try:
        children = [path.read_text(encoding="ascii").split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [pid, *(member for group in children for child in group for member in _family(int(child)))]


def _own_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # it has ended
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)
