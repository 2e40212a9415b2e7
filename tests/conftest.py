"""Sounds, the mirror of real weights, and stages started as a user starts them."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from filelock import FileLock
from playwright.sync_api import Browser, sync_playwright

from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.util.storage import object_stores
from support.cells import read_back, write_params, write_record
from support.clones import DEMO, commit, dvc, run, tiny
from support.page_files import write_project
from support.repository import REPOSITORY, Start
from support.servers import Server, running_server

if TYPE_CHECKING:
    from support.stores import Relay

# Whoever starts the tests may ignore Ctrl+C, as a shell's & does; all that tests start would ignore it as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

IN_MEMORY = Path("/dev/shm")  # Linux's
ROOM = 12e9  # bytes of memory to spare


def pytest_configure() -> None:
    """Keep the tests' folders in memory where that has room: they write gigabytes, and flush them file by file."""
    if not IN_MEMORY.is_dir():
        return
    room = [psutil.virtual_memory().available, psutil.disk_usage(str(IN_MEMORY)).free]
    with suppress(OSError, ValueError):  # else nobody bounds the memory of this container
        room.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    if min(room) > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))


@pytest.fixture(scope="session")
def page_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out two data sets as the stages before the page leave them. Read-only: copy it to change it."""
    folder = tmp_path_factory.mktemp("page") / "project"
    write_project(folder, "demo", "esc10")
    return folder


@pytest.fixture(scope="session")
def page_results(page_project: Path) -> Results:
    return read_back(page_project, "esc10")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model that tells high sounds from low ones. Read-only."""
    from support.models import write_model

    return write_model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with all that decides the paper's experiment, in which `pets` is a folder of the user's."""
    folder = tmp_path / "project"
    write_params(folder)
    source = {"path": "~/pets", "seconds": [1, 600], "folds": 3, "fold_seed": 0}
    write_record(folder, "pets", source)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def start_python() -> Iterator[Start]:
    """Start Python in the folder we are in; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        running.append(subprocess.Popen([sys.executable, *arguments], env=environment, text=True, **pipes))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a web server on this machine."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[int]:
    """Run an S3 server on this machine; gives its port."""
    from support.stores import running_s3

    with running_s3() as port:
        yield port


@pytest.fixture
def relay(s3: int, monkeypatch: pytest.MonkeyPatch) -> Iterator["Relay"]:
    """Stand before an empty S3 server, and let everything through."""
    from support.stores import forget, relayed, use

    forget(s3)
    monkeypatch.setattr(object_stores, "PAUSE_S", 0.001)
    with relayed(s3) as relay:
        use(monkeypatch, relay.url)
        yield relay


@pytest.fixture
def start_stage(project: Path, start_python: Start) -> Start:
    """Start a stage as a process of its own in `project`, where we are."""
    assert Path.cwd() == project
    return lambda stage, *arguments: start_python("-m", f"stages.{stage}", *arguments)


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a tiny demo once, whatever the number of processes that test. Read-only: copy it to change it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, running = shared / "finished_demo", shared / "running_demo"
    with FileLock(shared / "finished_demo.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")  # joblib's: further processes take longer to start than to work
        if not folder.exists():
            running.mkdir()
            tiny(running)
            run(running, sys.executable, "-m", "beyond_spectrograms.report.dvc_plots_page")
            dvc(running, "repro", "-q", DEMO)
            commit(running, "results")
            running.rename(folder)
    return folder


@pytest.fixture
def finished(finished_demo: Path, tmp_path: Path) -> Path:
    """Copy that: a clone of this project in which the demo, 6 x 4 clips of 2.5 s, is finished and committed."""
    return Path(shutil.copytree(finished_demo, tmp_path / "project"))


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Find the folder of real files: the one the variable names, or the one beside the checkout."""
    named = os.environ.get(MIRROR_VARIABLE)
    folder = Path(named).expanduser() if named else REPOSITORY.parent / "shared" / "mirror"
    if not folder.is_dir():
        pytest.skip(f"no real weights: {MIRROR_VARIABLE} is not set and there is no ../shared/mirror")
    return folder


@pytest.fixture
def torch_as_it_was() -> Iterator[None]:
    """Leave torch as it was: trainings of codecs hold it to one thread and to what is deterministic."""
    import torch

    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: the last bits of a convolution depend on how many share it."""
    from beyond_spectrograms.util import machine

    with machine.one_thread():
        yield


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start Debian's Chromium: its microphone hears 4 kHz, and it reaches nothing but this machine."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium to open the page with; CI has one")
    import soundfile

    heard = tmp_path_factory.mktemp("microphone") / "heard.wav"
    soundfile.write(heard, 0.5 * np.sin(2 * np.pi * 4000 * np.arange(48_000) / 48_000), 48_000)
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-gpu"]
    quiet += ["--no-sandbox", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    microphone.append(f"--use-file-for-fake-audio-capture={heard}")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=[*quiet, *microphone])
        yield started
        started.close()
