"""Pieces of work on this machine, and what engine.yaml may say."""

import multiprocessing
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.util.cluster.dask_client import ClusterError, open_client
from beyond_spectrograms.util.cluster.engine import Engine, EngineError, load_engine
from beyond_spectrograms.util.cluster.pieces import on_cluster, run_pieces
from beyond_spectrograms.util.errors import ProjectError
from support.common import refusal
from support.pieces import Sum, process_of, refuse_thirteen, times_begun, write_sum, written
from support.repository import REPOSITORY


def test_results_come_in_the_order_of_the_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [Sum(tmp_path, number, 0.05 * (3 - number)) for number in (3, 1, 2)]
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    assert run_pieces(write_sum, pieces, called="sums") == [3, 0, 1]
    assert written(tmp_path) == {"1.txt": b"0", "2.txt": b"1", "3.txt": b"3"}
    assert run_pieces(write_sum, pieces, called="sums", here=True) == [3, 0, 1]
    assert times_begun(tmp_path) == {1: 1, 2: 1, 3: 1}


def test_pieces_are_done_in_processes_unless_there_is_too_little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    own = multiprocessing.current_process().pid
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    assert own not in run_pieces(process_of, [1, 2], called="asked")
    assert run_pieces(process_of, [1, 2], called="asked", here=True) == [own, own]
    assert run_pieces(process_of, [1], called="asked") == [own]
    assert run_pieces(process_of, [], called="asked") == []
    assert not on_cluster()


def test_where_one_fails_no_further_one_is_begun(tmp_path: Path) -> None:
    pieces = [Sum(tmp_path, number) for number in (12, 13, 14)]
    told = refusal(ProjectError, run_pieces, refuse_thirteen, pieces, called="sums", here=True)
    assert told == "thirteen: is refused"
    assert times_begun(tmp_path) == {12: 1}


def test_the_shipped_engine_and_none_are_this_machine(tmp_path: Path) -> None:
    assert load_engine(REPOSITORY / "engine.yaml") == load_engine(tmp_path / "engine.yaml") == Engine()


CHOICES = "Known keys: engine, scheduler, cluster, workers, worker_memory_gb, patience_s."
ONE_OF = "engine: dask takes one of scheduler and cluster"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("engine: spark", "engine: Input should be 'local' or 'dask', not 'spark'"),
        ("engine: dask", ONE_OF),
        ("{engine: dask, scheduler: 'tcp://a:1', cluster: local}", ONE_OF),
        ("{engine: dask, cluster: local}", "cluster: local takes the number of workers"),
        ("{engine: dask, cluster: local, workers: 0}", "workers: Input should be greater than 0, not 0"),
        (
            "{engine: dask, scheduler: 'tcp://a:1', workers: 2}",
            "workers is for a cluster that is started, and scheduler is one that runs",
        ),
        (
            "{engine: dask, cluster: slurm, workers: 2, worker_memory_gb: 4}",
            "worker_memory_gb is for cluster: local; for others Dask's own files say it",
        ),
        ("workers: 2", "workers is for engine: dask"),
        ("patience_s: soon", "patience_s: Input should be a valid number, not 'soon'"),
        ("patience_s: 1.0e+300", "patience_s: Input should be less than or equal to 100000000, not 1e+300"),
        ("scheduler: ''", "scheduler: String should have at least 1 character, not ''"),
        ("wrokers: 2", f"unknown key 'wrokers'. {CHOICES}"),
        ("- dask", "a mapping is expected, not ['dask']."),
    ],
)
def test_a_wrong_engine_is_one_line(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "engine.yaml"
    path.write_text(text)
    assert refusal(EngineError, load_engine, path) == f"{path}: {told}"


def not_opened(**engine: Any) -> str:
    """Open a client of an engine that has no scheduler, and give what is said."""
    return refusal(ClusterError, open_client, Engine.model_validate({"engine": "dask", **engine}))


def test_a_scheduler_file_that_is_not_there_is_one_line() -> None:
    assert not_opened(scheduler="here/scheduler.json") == (
        "engine.yaml: here/scheduler.json: no such file. A scheduler writes it: "
        "dask scheduler --scheduler-file here/scheduler.json."
    )


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"address": 5}'])
def test_a_scheduler_file_without_an_address_is_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    path.write_text(content)
    assert not_opened(scheduler=str(path)) == (
        f"engine.yaml: {path}: has no address of a scheduler, which writes it: dask scheduler --scheduler-file {path}."
    )


def test_tls_without_certificates_is_one_line() -> None:
    assert not_opened(scheduler="tls://127.0.0.1:1") == (
        "engine.yaml: no scheduler answers at tls://127.0.0.1:1: TLS expects a `ssl_context` argument of type "
        "ssl.SSLContext (perhaps check your TLS configuration?) Instead got None. Start one there (dask scheduler), or "
        "name another."
    )


SCRIPT = """
from beyond_spectrograms.util.cluster import dask_client
from beyond_spectrograms.util.cluster.engine import Engine
from beyond_spectrograms.util.commands import run

dask_client.ANSWER_S = 0.5
run(lambda: dask_client.open_client(Engine(engine="dask", scheduler="127.0.0.1")))
"""


def test_what_reaches_no_scheduler_ends_with_one_line() -> None:
    ended = subprocess.run([sys.executable, "-c", SCRIPT], check=False, cwd=REPOSITORY, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (
        1,
        "engine.yaml: no scheduler answers at 127.0.0.1: missing port number in address '127.0.0.1'. Start one there "
        "(dask scheduler), or name another.\n",
    )


@pytest.mark.parametrize(("kind", "package"), [("slurm", "dask-jobqueue"), ("kubernetes", "dask-kubernetes")])
def test_a_package_that_starts_clusters_and_is_missing_is_named(kind: str, package: str) -> None:
    if find_spec(package.replace("-", "_")):
        pytest.skip(f"{package} is installed")
    told = f"engine.yaml: cluster: {kind} takes {package}. Run pip install {package}."
    assert not_opened(cluster=kind, workers=2) == told
