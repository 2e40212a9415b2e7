"""Stages and commands as processes that need no time to start: forked from one that has imported what they need.

Each is a process of its own, ends as Python ends, and may be given a fault at its n-th point. A point is a place of its
folder that Python is about to open for writing, to make or to rename; what libraries in C write lies between two.
"""

import ctypes
import errno
import fcntl
import gc
import importlib
import json
import multiprocessing
import os
import resource
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from support.repository import WITH_TESTS

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: orphans of those we start become our children
GRACE_S = 20.0  # that whatever a process started may outlive it


@dataclass(frozen=True)
class Fault:
    """What happens from the point `at` on (0: the first), or when a module is imported, or others work for it.

    full: the kernel lets no file grow (RLIMIT_FSIZE), which libraries in C meet too. refused: nothing new is opened for
    writing, made or renamed: no space left. SIGINT: comes to the process and all it started, as from a terminal.
    SIGTERM: comes to the process alone.
    """

    what: Literal["full", "refused", "SIGINT", "SIGTERM"]
    at: int | None = None
    importing: str | None = None
    after: float | None = None  # seconds from when the first of its processes was started


@dataclass(frozen=True)
class Ended:
    """How a process that ran in `folder` ended: `left` counts processes it left behind, it came by `points`.

    `order` tells of its renames and flushes: "rename <place>", "rename <place> unflushed" where what is renamed was not
    on disk by then, "flush <file or folder>", and "flush" of everything.
    """

    folder: Path
    status: int
    output: str
    errors: str
    points: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    left: int = 0


class Warmed:
    """The process that forks."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, folder: Path, module: str, *arguments: str, fault: Fault | None = None) -> Ended:
        """Run `python -m module arguments` in a folder."""
        return self.run_all(folder, [(module, *arguments)], fault)[0]

    def run_all(self, folder: Path, commands: Sequence[Sequence[str]], fault: Fault | None = None) -> list[Ended]:
        """Run several at once; the fault is each one's."""
        asked = {"folder": str(folder), "commands": list(commands), "fault": asdict(fault) if fault else None}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return [Ended(folder=folder, **each) for each in json.loads(self._process.stdout.readline())]


@contextmanager
def warmed(*modules: str) -> Iterator[Warmed]:
    """Start a process that has imported what these modules import."""
    environment = {**os.environ, "PYTHONPATH": WITH_TESTS, "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with subprocess.Popen(
        [sys.executable, "-m", "support.warmed", *modules],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        yield Warmed(process)


def _serve(modules: Sequence[str]) -> None:
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    for module in modules:
        importlib.import_module(module)
    for module in [name for name in sys.modules if name.partition(".")[0] == "stages"]:
        del sys.modules[module]  # they are imported anew, as by `python -m`
    answer = os.fdopen(fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 64), "w")  # above what children take
    gc.freeze()
    while line := sys.stdin.readline():
        asked = json.loads(line)
        begun = []
        for command in asked["commands"]:
            if (started := _fork()) is None:
                _become(asked["folder"], command, asked["fault"])
                return  # as the program it has been: Python ends here
            begun.append(started)
        ended = [_wait(*each) for each in begun]
        left = _left()
        print(json.dumps([each | {"left": left} for each in ended]), file=answer, flush=True)


def _fork() -> tuple[int, list[int]] | None:
    """Fork; gives the child's number and the reading ends of its output, errors and points. In the child None."""
    pipes = [os.pipe() for _ in range(3)]
    if child := os.fork():
        for _, write in pipes:
            os.close(write)
        return child, [read for read, _ in pipes]
    null = os.open(os.devnull, os.O_RDONLY)
    for place, opened in enumerate((null, *(write for _, write in pipes))):
        os.dup2(opened, place)  # points go to 3
    return None


def _become(folder: str, command: Sequence[str], fault: dict[str, Any] | None) -> None:
    os.chdir(folder)
    os.setpgid(0, 0)
    module, *arguments = command
    sys.argv = ["-m", *arguments]
    with os.fdopen(os.dup(3), "w") as told:
        points = _Points(folder, Fault(**fault) if fault else None, told.fileno())
        os.fsync, os.sync = points.note_fsync(os.fsync), points.note_sync(os.sync)
        sys.addaudithook(points)
        if fault and fault["after"] is not None:
            threading.Thread(target=_stop_later, args=(fault["what"], fault["after"]), daemon=True).start()
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _stop(name: str) -> None:
    (os.killpg if name == "SIGINT" else os.kill)(os.getpid(), signal.Signals[name])


def _stop_later(name: str, seconds: float) -> None:
    while not multiprocessing.active_children():
        time.sleep(0.01)
    time.sleep(seconds)
    _stop(name)


class _Points:
    """Counts the points of a process, and lets the fault happen."""

    def __init__(self, folder: str, fault: Fault | None, told: int) -> None:
        self._folder, self._fault, self._told = folder + os.sep, fault, told
        self._count, self._lock = 0, threading.Lock()
        self._flushed: dict[int, tuple[int, int]] = {}  # by inode, size and time of the last write
        self._synced = 0  # when everything was flushed

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at an event that Python announces."""
        if event == "open":
            path, _, flags = arguments
            if not flags & WRITES:
                return
        elif event == "import" and self._fault is not None and arguments[0] == self._fault.importing:
            _stop(self._fault.what)
            return
        elif event in ("os.mkdir", "os.rename", "os.link", "os.symlink"):
            path = arguments[event != "os.mkdir"]
        else:
            return
        path = os.fsdecode(path) if isinstance(path, str | bytes) else ""
        if path and os.path.abspath(path).startswith(self._folder):  # noqa: PTH100  pathlib would be an event too
            self._come_by(event, path)
            if event == "os.rename":
                self._tell_order(f"rename {path}{'' if self._is_flushed(os.fsdecode(arguments[0])) else ' unflushed'}")

    def note_fsync(self, fsync: Callable[[int], None]) -> Callable[[int], None]:
        """Wrap os.fsync."""

        def noted(opened: int) -> None:
            fsync(opened)
            found = os.fstat(opened)
            self._flushed[found.st_ino] = found.st_size, found.st_mtime_ns
            path = Path(f"/proc/self/fd/{opened}").readlink()
            self._tell_order(f"flush {os.path.relpath(path, self._folder)}")

        return noted

    def note_sync(self, sync: Callable[[], None]) -> Callable[[], None]:
        """Wrap os.sync."""

        def noted() -> None:
            sync()
            self._synced = time.time_ns()
            self._tell_order("flush")

        return noted

    def _tell_order(self, line: str) -> None:
        os.write(self._told, f"- {line}\n".encode())

    def _is_flushed(self, path: str) -> bool:
        """Say whether a file, or all files of a folder, were flushed after they were last written to."""
        inside = (each for each in (Path(path), *Path(path).rglob("*")) if each.is_file())
        states = [each.stat() for each in inside]
        flushed = (self._flushed.get(each.st_ino) == (each.st_size, each.st_mtime_ns) for each in states)
        return all(known or each.st_mtime_ns < self._synced for known, each in zip(flushed, states, strict=True))

    def _come_by(self, event: str, path: str) -> None:
        with self._lock:
            number, self._count = self._count, self._count + 1
        os.write(self._told, f"{event} {path}\n".encode())
        if self._fault is None or self._fault.at is None or number < self._fault.at:
            return
        if self._fault.what == "refused":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if number == self._fault.at and self._fault.what == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        elif number == self._fault.at:
            _stop(self._fault.what)


def _wait(child: int, reading: Sequence[int]) -> dict[str, Any]:
    texts = [""] * len(reading)

    def read(place: int) -> None:
        with os.fdopen(reading[place], encoding="utf-8") as pipe:
            texts[place] = pipe.read()

    readers = [threading.Thread(target=read, args=(place,)) for place in range(len(reading))]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    _, status = os.waitpid(child, 0)
    output, errors, told = texts
    lines = told.splitlines()
    points, order = ([line for line in lines if line.startswith("- ") is of_order] for of_order in (False, True))
    return {
        "status": os.waitstatus_to_exitcode(status), "output": output, "errors": errors, "points": points,
        "order": [line.removeprefix("- ") for line in order],
    }  # fmt: skip


def _left() -> int:
    """Count the processes that those which ended left behind; they are killed."""
    end = time.monotonic() + GRACE_S
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)
        except ChildProcessError:
            return 0
    mine = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if path.read_text().rpartition(")")[2].split()[1] == str(os.getpid())
    ]
    for child in mine:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(mine)


if __name__ == "__main__":
    _serve(sys.argv[1:])
