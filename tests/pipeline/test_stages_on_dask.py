"""Stages whose pieces workers of Dask do: the bytes are those of a run on this machine, whoever is killed."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from support import cells, separable
from support.common import contents
from support.dask_clusters import spawned_below
from support.repository import Start

pytestmark = pytest.mark.long
MODELS = Path("data/models/paper/demo/mel")
TRIALS = {"learning_rate": [1e-6, 0.003], "standardize": [True, False]}
ENGINE = {"engine": "dask", "cluster": "local", "workers": 2}

TRAIN = ("-m", "stages.train", "demo", "mel")
ENGINE_TOLD = "engine: dask at tcp://127.0.0.1:PORT, dashboard http://127.0.0.1:PORT/status\n"


def finish(stage: subprocess.Popen[str]) -> str:
    _, errors = stage.communicate(timeout=300)
    assert stage.returncode == 0
    return errors


def results(folder: Path) -> dict[str, Any]:
    """Read what a stage left, but for how long it took."""
    found: dict[str, Any] = contents(folder)
    for name in [name for name in found if "/fold_" in name and name.endswith(".json")]:
        record = json.loads(found[name])
        del record["seconds"], record["sha256"]  # a digest of the record
        found[name] = record
    return found


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_python: Start) -> dict[str, Any]:
    """Go to features for which two protocols are trained by a cluster, of which `tuned` tries four recipes.

    Give what a training without one left.
    """
    separable.write(tmp_path, epochs=4)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    grid = cells.grid("demo", ["mel"], ["clean", "tuned"])
    cells.edit_params(Path(), lambda params: params.update(grid=grid))
    for name, values in (("tuned", {"trials": TRIALS}), ("clean", {})):
        cells.edit_params(Path(), lambda params: params["protocols"][name].update(values, seeds=[0, 1]))  # noqa: B023
    finish(start_python(*TRAIN))
    found = results(MODELS)
    shutil.rmtree("data/models")
    Path("engine.yaml").write_text(yaml.safe_dump(ENGINE))
    return found


def test_a_grid_with_tuned_recipes_has_the_same_bytes_when_workers_are_killed(
    expected: dict[str, Any], start_python: Start
) -> None:
    stage, killed = start_python(*TRAIN), set[int]()
    while stage.poll() is None and len(killed) < 2:  # a third could be of the same run, which is then given to none
        for worker in [one for one in spawned_below(stage.pid) if trains(one)][:1]:
            os.kill(worker.pid, signal.SIGKILL)
            killed.add(worker.pid)
        time.sleep(0.2)
    errors = finish(stage)
    assert len(killed) == 2
    assert results(MODELS) == expected
    assert re.sub(r"\d{4,5}", "PORT", errors) == ENGINE_TOLD
    told = json.loads(Path("data/durations/paper/train-demo-mel.json").read_text())["engine"]
    assert told["pieces"] == told["done"] == 4 + 3  # the chosen trial is a run of its fold
    assert told["retried"] == 2
    assert told["failed"] == 0


def test_a_stage_that_is_stopped_leaves_no_worker_and_the_second_run_goes_on(
    expected: dict[str, Any], start_python: Start
) -> None:
    for kind in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        stage = start_python(*TRAIN)
        while not any(map(trains, spawned_below(stage.pid))):
            time.sleep(0.05)
            assert stage.poll() is None
        workers = spawned_below(stage.pid)
        stage.send_signal(kind)
        _, errors = stage.communicate(timeout=60)
        if kind == signal.SIGKILL:
            assert stage.returncode == -kind
        else:
            assert (stage.returncode, re.sub(r"\d{4,5}", "PORT", errors)) == (
                128 + kind,
                f"{ENGINE_TOLD}stopped by {kind.name}\n",
            )
        psutil.wait_procs(workers, timeout=30)
        assert [worker for worker in workers if worker.is_running()] == []
    finish(start_python(*TRAIN))
    assert results(MODELS) == expected


def trains(worker: psutil.Process) -> bool:
    try:
        return any("features.npy" in each.path for each in worker.memory_maps())
    except psutil.NoSuchProcess:
        return False
