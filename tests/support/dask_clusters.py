"""Real clusters of Dask on 127.0.0.1, and faults that come to their workers."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from support.repository import WITH_TESTS

SPAWNED = "spawn_main"  # in the command line of a process that a pool or a nanny starts


def spawned_below(pid: int) -> list[psutil.Process]:
    """List the workers among what a process started."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        try:
            if any(SPAWNED in word for word in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


@contextmanager
def killing(times: int, every_s: float, seed: int) -> Iterator[list[int]]:
    """Kill a worker drawn by `seed` so many times, from when the block begins; give whom, as it comes to it."""
    draw, killed, stop = random.Random(seed), list[int](), threading.Event()

    def kill() -> None:
        while len(killed) < times and not stop.wait(every_s * draw.uniform(0.5, 1.5)):
            if workers := sorted(spawned_below(os.getpid()), key=lambda worker: worker.pid):
                worker = draw.choice(workers)
                if worker.pid not in killed:
                    os.kill(worker.pid, signal.SIGKILL)
                    killed.append(worker.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        stop.set()
        killer.join()


class Cluster:
    """A scheduler and its workers as a user starts them; whatever runs of it ends with the block."""

    def __init__(self, folder: Path) -> None:
        self.file, self._folder = folder / "scheduler.json", folder
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        """Start `dask scheduler` or `dask worker` in an empty folder, where this project is installed."""
        elsewhere = self._folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": WITH_TESTS}
        command = [sys.executable, "-m", "dask", what, "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
        command += ["--scheduler-file", str(self.file), *options]
        with (self._folder / f"{what}.log").open("ab") as log:
            self._started.append(subprocess.Popen(command, cwd=elsewhere, env=environment, stdout=log, stderr=log))
        return self._started[-1]

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        self.file.unlink(missing_ok=True)
        scheduler = self.start("scheduler", "--port", "0")
        while not self.file.exists():
            assert scheduler.poll() is None
            time.sleep(0.05)
        return scheduler

    def end(self) -> None:
        for process in reversed(self._started):
            if process.poll() is None:
                left = psutil.Process(process.pid).children(recursive=True)
                process.kill()
                process.wait()
                for child in left:
                    if child.is_running():
                        child.kill()


@contextmanager
def cluster_in(folder: Path, workers: int, threads: int = 1) -> Iterator[Cluster]:
    """Start a scheduler and workers."""
    cluster = Cluster(folder)
    try:
        cluster.start_scheduler()
        cluster.start("worker", "--nworkers", str(workers), "--nthreads", str(threads))
        yield cluster
    finally:
        cluster.end()
