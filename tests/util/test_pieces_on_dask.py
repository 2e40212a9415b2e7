"""Pieces of work on real clusters of Dask: in whatever way workers end, the same bytes come out in the end."""

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import soundfile
from distributed import Future

from beyond_spectrograms.data.audio import FORMATS
from beyond_spectrograms.data.clips import prepare_clips
from beyond_spectrograms.util.cluster import dask_client, dask_engine, worker
from beyond_spectrograms.util.cluster.dask_client import ClusterError
from beyond_spectrograms.util.cluster.dask_engine import DaskEngine, pieces_done_by
from beyond_spectrograms.util.cluster.engine import Engine
from beyond_spectrograms.util.cluster.pieces import on_cluster, pieces_go_to, run_in_groups, run_pieces, side_by_side
from beyond_spectrograms.util.cluster.worker import MismatchError
from beyond_spectrograms.util.errors import ProjectError
from support import pieces as work
from support.common import contents, noise
from support.dask_clusters import Cluster, cluster_in, killing, spawned_below
from support.pieces import Sum, times_begun, write_sum, written
from support.repository import REPOSITORY

pytestmark = pytest.mark.long
PACKAGES = ["numpy", "torch"]
KILLS, PIECES = 10, 200


@contextlib.contextmanager
def local(workers: int, **settings: float) -> Iterator[DaskEngine]:
    engine = Engine(engine="dask", cluster="local", workers=workers, **settings)
    with pieces_done_by(engine, PACKAGES) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskEngine]:
    """Start two workers, for all tests that leave them as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("pair"))
        with local(2, patience_s=5, worker_memory_gb=0.7) as cluster:
            yield cluster


def sums(folder: Path, count: int, seconds: float = 0.0) -> list[Sum]:
    return [Sum(folder, number, seconds) for number in range(count)]


def undisturbed(folder: Path, count: int) -> dict[str, bytes]:
    run_pieces(write_sum, sums(folder, count), called="sums", here=True)
    return written(folder)


@pytest.mark.usefixtures("pair")
def test_results_come_in_order_and_what_pieces_print_comes_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert on_cluster()
    assert side_by_side() == 2
    assert run_pieces(write_sum, sums(tmp_path, 20), called="sums") == [sum(range(number)) for number in range(20)]
    assert set(times_begun(tmp_path).values()) == {1}
    capsys.readouterr()
    assert run_pieces(work.say, ["a", "b"], called="words") == ["a", "b"]
    assert sorted(capsys.readouterr().out.split()) == ["a", "b"]
    assert list(Path().iterdir()) == []  # the file by which workers know the folder is gone


@pytest.mark.usefixtures("pair")
def test_an_error_is_raised_as_it_was_and_no_further_piece_begun(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as raised:
        run_pieces(work.refuse_thirteen, sums(tmp_path, 200), called="sums")
    assert str(raised.value) == "thirteen: is refused"
    assert len(times_begun(tmp_path)) < 20


@pytest.mark.parametrize("workers", [2, 4])
def test_ten_workers_killed_leave_the_same_bytes(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = undisturbed(tmp_path / "undisturbed", PIECES)
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "killed"
    with local(workers) as cluster:
        run_pieces(write_sum, sums(tmp_path / "first", workers), called="to begin with")
        with killing(KILLS, every_s=0.8 * workers / 2, seed=workers) as killed:
            results = run_pieces(write_sum, sums(place, PIECES, 0.1 * workers), called="sums")
        summary = cluster.summary()
    assert len(killed) == KILLS
    assert results == [sum(range(number)) for number in range(PIECES)]
    assert written(place) == expected
    begun = times_begun(place)
    assert set(begun) == set(range(PIECES))
    assert sum(begun.values()) <= PIECES + KILLS  # only what a killed worker was at work on
    assert summary is not None
    assert summary | {"retried": 0, "workers": 0} == {
        **{"engine": "dask", "pieces": PIECES + workers, "done": PIECES + workers, "retried": 0, "failed": 0},
        "workers": 0,
    }
    assert sum(begun.values()) - PIECES <= summary["retried"] <= KILLS
    assert summary["workers"] > workers


def test_workers_that_a_cluster_gives_up_are_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(dask_client.STARTED, "distributed.deploy.lost-worker-timeout", "10ms")
    # So soon given up, workers end more often than a piece may be begun.
    monkeypatch.setitem(dask_client.STARTED, "distributed.scheduler.allowed-failures", 100)
    monkeypatch.setattr(dask_engine, "REFILL_S", 1.0)
    with local(2) as cluster:
        run_pieces(write_sum, sums(tmp_path / "first", 2), called="to begin with")
        for worker_process in spawned_below(os.getpid()):
            worker_process.kill()
        assert run_pieces(write_sum, sums(tmp_path / "then", 20), called="sums")[19] == 171
        assert cluster.width() >= 1


@pytest.mark.usefixtures("pair")
def test_a_piece_that_hangs_is_begun_anew(tmp_path: Path) -> None:
    assert run_pieces(work.hang_once, sums(tmp_path, 20), called="sums")[13] == 78
    assert times_begun(tmp_path) == dict.fromkeys(range(20), 1)


def test_a_piece_that_somebody_cancels_is_named(tmp_path: Path, pair: DaskEngine) -> None:
    client = pair.client()

    def cancel() -> None:
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        keys = [key for key in client.futures if key.startswith("sum 0-")]
        client.cancel([Future(key, client) for key in keys])

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(ClusterError) as raised:
        run_pieces(write_sum, sums(tmp_path, 4, 3.0), called="sums", names=[f"sum {number}" for number in range(4)])
    canceller.join()
    assert str(raised.value) == (
        f"sum 0: cancelled by somebody else at {client.scheduler.address}, reason unknown. What is done is kept: run "
        "the same command again."
    )


@pytest.mark.usefixtures("pair")
def test_progress_keeps_a_long_piece_alive(tmp_path: Path) -> None:
    assert run_pieces(work.go_on, [Sum(tmp_path, 3, 8.0)], called="slow sums") == [3]  # of 5 s patience


def test_a_piece_that_takes_all_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"clip {number}" for number in range(15)]
    with local(2, worker_memory_gb=0.7), pytest.raises(ClusterError) as raised:
        run_pieces(work.eat_at_thirteen, sums(tmp_path / "sums", 15), called="sums", names=names)
    assert str(raised.value) == (
        "sums: 1 of 15 not done: clip 13 (3 workers ended while they were at work on it: out of memory). The others "
        "are kept; run the same command again for these."
    )
    assert set(times_begun(tmp_path / "sums")) == set(range(15)) - {13}


def test_a_piece_that_kills_is_set_aside_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with local(2, patience_s=90):
        results = run_pieces(
            work.die_of_thirteen, sums(tmp_path / "sums", 20), called="sums",
            set_aside=lambda piece, why: f"{piece.number}: {why}",
        )  # fmt: skip
    reason = "13: 3 workers ended while they were at work on it: killed, or without progress for 90 s"
    assert results == [reason if number == 13 else sum(range(number)) for number in range(20)]


@pytest.mark.usefixtures("pair")
def test_a_memory_error_is_tried_again_and_then_named(tmp_path: Path) -> None:
    results = run_pieces(work.refuse_memory, sums(tmp_path, 15), called="sums", set_aside=lambda _, why: why)
    assert results[13] == "out of memory 3 times"
    assert results[14] == 91


def test_after_the_scheduler_was_killed_the_second_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = undisturbed(tmp_path / "undisturbed", 60)
    place = tmp_path / "killed"
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    with cluster_in(tmp_path, 2) as cluster:
        engine = Engine(engine="dask", scheduler=str(cluster.file))

        def kill_scheduler() -> None:
            while len(list(place.glob("*.txt"))) < 20:
                time.sleep(0.05)
            os.kill(scheduler_pid(cluster.file), signal.SIGKILL)

        killer = threading.Thread(target=kill_scheduler)
        killer.start()
        with pytest.raises(ClusterError) as raised, pieces_done_by(engine, PACKAGES):
            run_pieces(write_sum, sums(place, 60, 0.1), called="sums")
        killer.join()
        done = len(list(place.glob("*.txt")))
        told = str(raised.value)
        assert told.startswith("the scheduler at tcp://127.0.0.1:")
        assert told.endswith("of 60 pieces done. They are kept: start it, and run the same command again.")
        assert 20 <= done < 60
        cluster.start_scheduler()
        cluster.start("worker", "--nworkers", "2", "--nthreads", "1")
        with pieces_done_by(engine, PACKAGES):
            assert run_pieces(write_sum, sums(place, 60, 0.1), called="sums") == [sum(range(n)) for n in range(60)]
    assert written(place) == expected
    assert sum(times_begun(place).values()) <= 60 + 2


def address_in(file: Path) -> str:
    """Read the address in a scheduler's file."""
    return str(json.loads(file.read_text())["address"])


def scheduler_pid(file: Path) -> int:
    """Find the process that listens there."""
    port = int(address_in(file).rpartition(":")[2])
    listening = (one for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.laddr.port == port)
    return next(one.pid for one in listening if one.pid is not None)


def test_workers_that_are_not_fit_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    described = worker.place_here

    def refusal(**changes: object) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(worker, "place_here", lambda *given: replace(described(*given), **changes))
            with pytest.raises(MismatchError) as raised:
                run_pieces(work.process_of, [1], called="asked")
        return re.sub(r"^worker tcp://127.0.0.1:\d+: ", "", str(raised.value))

    with (
        cluster_in(tmp_path, 1) as cluster,
        pieces_done_by(Engine(engine="dask", scheduler=str(cluster.file)), ["numpy"]),
    ):
        assert run_pieces(work.process_of, [1], called="asked") != [os.getpid()]
        here = described(Path(), None, ["numpy"]).packages
        assert refusal(packages={**here, "numpy": "1.0"}) == (
            f"numpy {here['numpy']} is there, 1.0 here. Install the same on all machines."
        )
        assert refusal(code="0") == (
            f"the code in {REPOSITORY / 'beyond_spectrograms'} is not that of this process. Have the same "
            "checkout on all machines."
        )
        assert refusal(mark="gone") == (
            f"{Path.cwd()} is not there, or is another folder of that name. Workers need the project's own, by the "
            "same path: on a disk that all machines share."
        )


def test_a_worker_of_several_threads_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with cluster_in(tmp_path, 1, threads=2) as cluster:
        engine = Engine(engine="dask", scheduler=str(cluster.file))
        with pytest.raises(MismatchError) as raised, pieces_done_by(engine, []):
            run_pieces(work.process_of, [1], called="asked")
    assert re.sub(r"\d{4,5}", "PORT", str(raised.value)) == (
        "worker tcp://127.0.0.1:PORT: has 2 threads, and a piece takes a process of its own. Start it with "
        "--nthreads 1, and as many workers (--nworkers) as there are cores."
    )


def test_no_scheduler_and_no_worker_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cluster = Cluster(tmp_path)
    try:
        cluster.start_scheduler()
        engine = Engine(engine="dask", scheduler=str(cluster.file), patience_s=1.0)
        with pytest.raises(ClusterError) as raised, pieces_done_by(engine, []):
            run_pieces(work.process_of, [1], called="asked")
        assert str(raised.value) == (
            f"no worker at {address_in(cluster.file)} for 1 s. What is done is kept: start workers (dask worker), and "
            "run the same command again."
        )
    finally:
        cluster.end()


@pytest.mark.usefixtures("pair")
def test_of_a_group_that_kills_one_alone_is_set_aside(tmp_path: Path) -> None:
    results = run_in_groups(
        work.die_of_thirteen, sums(tmp_path, 30), 8, called="sums", set_aside=lambda piece, _: -piece.number
    )
    assert results == [-13 if number == 13 else sum(range(number)) for number in range(30)]
    assert set(times_begun(tmp_path)) == set(range(30)) - {13}


@pytest.mark.usefixtures("pair")
def test_clips_are_resampled_to_the_bytes_of_this_machine(tmp_path: Path) -> None:
    raw, works = tmp_path / "raw", (tmp_path / "here", tmp_path / "there")
    for number in range(40):
        (folder := raw / f"{number % 3}").mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{number:02d}.wav", 0.5 * noise(1.0, 22_050, seed=number), 22_050)
    (raw / "0/broken.wav").write_bytes(b"RIFF")
    with pieces_go_to(None):
        here = prepare_clips(raw, works[0], (0.5, 600.0))
    there = prepare_clips(raw, works[1], (0.5, 600.0))
    assert there == here
    assert [outcome.clip for outcome in there if outcome.reason] == ["0/broken.wav"]
    assert contents(works[1]) == contents(works[0])
    assert len(contents(works[1] / "finished")) == 40 * len(FORMATS)
