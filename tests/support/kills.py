"""Work that is killed at points drawn by a seed, killed again, and done whole in the end: the same bytes must be left.

The work runs in a fork of this process, which has imported all it needs: a kill then costs what the work does until
then. The points are changes of the file system, of which the k-th is not made any more, bytes of a file, of which the
n-th is not written any more, and times.
"""

import fcntl
import json
import mmap
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from beyond_spectrograms.util import files

IN_A_ROW = 8  # kills before the work is done whole, at most
PATIENCE_S = 60.0  # until the processes that a work had started have ended
CHANGES = {
    *(f"os.{name}" for name in ("chmod", "link", "mkdir", "remove", "rename", "rmdir", "symlink", "truncate", "utime")),
    *("subprocess.Popen", "socket.__new__", "socket.bind"),
}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# What a killed run may leave until the next one: its work, the journal of what it has done, locks, and partial files.
UNFINISHED = re.compile(r"(^|/)data/partial/|\.partial(-training)?(/|$)|\.lock$|\.replaced(/|$)|/journal\.jsonl$")
TIMES = re.compile(r"^data/(durations/|rates\.json$)")  # of this machine alone


@dataclass(frozen=True)
class Kill:
    """Where a work is killed: `kind` is change (the `at`-th from now), byte (the `at`-th of a file) or time (in s)."""

    kind: str
    at: float


@dataclass(frozen=True)
class Attempt:
    """How an attempt at a work ended: `status` as os.waitpid gives it, what it said, and how far it came."""

    status: int
    said: str
    changes: int
    seconds: float

    @property
    def killed(self) -> bool:
        """Say whether a kill ended it; the kernel's own signal is that of a byte."""
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) in (signal.SIGKILL, signal.SIGXFSZ)


@dataclass(frozen=True)
class Work:
    """What is killed: `do` does it in the project's folder, also where an earlier attempt was killed.

    `kinds` are those of its kills, and `whole` the folders whose files may never be of two runs. Files are `compared`
    by name. `reach` is the share of the whole work that a kill comes after, at most, and `in_a_row` how many
    kills there are before the work is done whole, at most.
    """

    name: str
    do: Callable[[], object]
    kinds: tuple[str, ...] = ("change", "change", "byte", "time")
    whole: tuple[str, ...] = ()
    compared: Callable[[str], bool] = lambda _: True
    reach: float = 1.0
    in_a_row: int = IN_A_ROW


@dataclass
class Tally:
    """How many kills there were by kind, how many attempts came to their end before theirs, and what went wrong."""

    kills: dict[str, int] = field(default_factory=dict)
    ended_before: int = 0
    rounds: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(self.kills.values())


def attempt(do: Callable[[], object], folder: Path, kill: Kill | None = None) -> Attempt:
    """Do a work in a folder, in a process of its own with a group of its own, which is killed with it."""
    counter, (readable, writable), began = mmap.mmap(-1, 8), os.pipe(), time.monotonic()
    fcntl.fcntl(writable, fcntl.F_SETPIPE_SZ, 2**20)  # nobody reads before it has ended
    child = os.fork()
    if child == 0:
        _be_child(do, folder, kill, counter, writable)
    os.close(writable)
    timer = threading.Timer(kill.at, os.kill, (child, signal.SIGKILL)) if kill and kill.kind == "time" else None
    if timer:
        timer.start()
    _, status = os.waitpid(child, 0)
    seconds = time.monotonic() - began
    if timer:
        timer.cancel()
        timer.join()
    if os.WIFSIGNALED(status):
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    end = time.monotonic() + PATIENCE_S
    while (left := _running(child)) and time.monotonic() < end:
        time.sleep(0.005)
    assert not left, f"{PATIENCE_S} s after the end there still runs {left}"
    os.set_blocking(readable, False)
    with os.fdopen(readable, "rb") as pipe:
        said = (pipe.read() or b"").decode(errors="replace")
    return Attempt(status, said, int.from_bytes(counter[:8], "little"), seconds)


def _running(session: int) -> list[str]:
    """List the processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, of = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:4]
            if int(of) == session and state not in "ZX":
                found.append((path.parent / "cmdline").read_text(encoding="utf-8").replace("\0", " "))
    return found


def _be_child(do: Callable[[], object], folder: Path, kill: Kill | None, counter: mmap.mmap, writable: int) -> None:
    status = 1
    try:
        os.setsid()
        os.dup2(writable, 1)
        os.dup2(writable, 2)
        sys.stdout = sys.stderr = os.fdopen(writable, "w", buffering=1)  # pytest may have put others there
        os.chdir(folder)
        os.environ["TMPDIR"], tempfile.tempdir = str(folder.parent), None
        files.remove_leftovers.cache_clear()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if kill and kill.kind == "byte":
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which Python ignores
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(kill.at), int(kill.at)))
        _count_changes(counter, int(kill.at) if kill and kill.kind == "change" else 0)
        do()
        status = 0
    except SystemExit as error:
        status = 0 if error.code in (None, 0) else 1
        print(error.code)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _count_changes(counter: mmap.mmap, last: int) -> None:
    """Count the changes that this process makes to the file system, and kill its group in place of the `last`-th."""
    lock, count = threading.Lock(), 0

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            path, _, flags = arguments
            if not (flags or 0) & WRITES or str(path).startswith("/dev/"):
                return
        elif event not in CHANGES:
            return
        with lock:
            count += 1
            counter[:8] = count.to_bytes(8, "little")
            if count == last:
                os.killpg(0, signal.SIGKILL)

    sys.addaudithook(hear)


def without_times(name: str, content: bytes) -> bytes:
    """Take the seconds that a training took out of its record and its scores, and the digest of that record."""
    if re.search(r"fold_\d+-seed_\d+\.json$|(^|/)scores\.json$", name):
        return json.dumps(_drop(json.loads(content))).encode()
    return content


def _drop(value: Any) -> Any:
    if isinstance(value, dict):
        timed = {"seconds_by_run"} | ({"seconds", "sha256"} if "mark" in value else set())
        return {key: _drop(each) for key, each in value.items() if key not in timed}
    return [_drop(each) for each in value] if isinstance(value, list) else value


def left_in(folder: Path, compared: Callable[[str], bool] = lambda _: True) -> dict[str, bytes]:
    """Read what a work left in a project, by name; times are left out."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    names = [name for name in paths if not TIMES.match(name) and compared(name)]
    return {name: without_times(name, paths[name].read_bytes()) for name in names}


def half_written(work: Work, folder: Path, old: dict[str, bytes], new: dict[str, bytes]) -> list[str]:
    """List what stands in its place though it is neither all of the old nor all of the new."""
    try:
        now = {name: content for name, content in left_in(folder, work.compared).items() if not UNFINISHED.search(name)}
    except ValueError as error:  # JSON that is cut
        return [str(error)]
    wrong = [name for name, content in now.items() if content not in (old.get(name), new.get(name))]
    for place in work.whole:
        mine, *known = (
            {name: content for name, content in every.items() if name.startswith(f"{place}/")}
            for every in (now, old, new)
        )
        if mine and mine not in known:
            wrong.append(f"{place}: of two runs")
    for path in folder.glob("data/rates.json"):
        json.loads(path.read_text(encoding="utf-8"))
    return wrong


def age_partials(folder: Path) -> None:
    """Let what killed runs left half-written be old enough to count as left over."""
    then = time.time() - 2 * files.IDLE_S
    for path in folder.rglob("*.partial"):
        os.utime(path, (then, then))


def draw(random: np.random.Generator, work: Work, undisturbed: Attempt, sizes: Sequence[int]) -> Kill:
    """Draw a point that an undisturbed attempt, which wrote files of these sizes, passes."""
    kind = str(random.choice(work.kinds))
    if kind == "change":
        return Kill(kind, 1 + int(work.reach * random.integers(undisturbed.changes)))
    if kind == "byte":
        return Kill(kind, int(random.integers(max(1, int(random.choice(sizes))))))
    return Kill(kind, work.reach * random.uniform(0, undisturbed.seconds))


def kill_and_compare(
    work: Work, starts: Sequence[Path], finished: tuple[Attempt, Path], count: int, seed: int
) -> Tally:
    """Kill a work so many times, from each of the `starts` (folders) in turn, and compare what it leaves in the end.

    `finished` is an undisturbed attempt from the first of them, and the folder it was made in.
    """
    random, tally, place = np.random.default_rng([seed, *work.name.encode()]), Tally(), starts[0].parent / "project"
    undisturbed, new = finished[0], left_in(finished[1], work.compared)
    old = left_in(starts[0], work.compared)
    sizes = [len(content) for name, content in new.items() if old.get(name) != content] or [1]
    in_a_row = min(work.in_a_row, -(-count // len(starts)))  # so that every start has its turn
    while tally.count < count:
        tally.rounds += 1
        shutil.copytree(starts[tally.rounds % len(starts)], place, symlinks=True)
        old, kills, wrong = left_in(place, work.compared), list[Kill](), list[str]()
        for _ in range(min(int(random.integers(1, in_a_row + 1)), count - tally.count)):
            kills.append(draw(random, work, undisturbed, sizes))
            found = attempt(work.do, place, kills[-1])
            if not found.killed:
                tally.ended_before += 1
                wrong += [found.said] * (found.status != 0)
                continue
            tally.kills[kills[-1].kind] = tally.kills.get(kills[-1].kind, 0) + 1
            wrong += [f"after the kill {name} was half-written" for name in half_written(work, place, old, new)]
        age_partials(place)
        found = attempt(work.do, place)
        wrong += [found.said] * (found.status != 0)
        now = left_in(place, work.compared)
        wrong += [f"{name}: other bytes" for name in now.keys() & new.keys() if now[name] != new[name]]
        wrong += [f"{name}: left over" for name in now.keys() - new.keys()]
        wrong += [f"{name}: missing" for name in new.keys() - now.keys()]
        tally.wrong += [f"{work.name}, round {tally.rounds}, {kills}: {told}" for told in wrong]
        shutil.rmtree(place)
    return tally
