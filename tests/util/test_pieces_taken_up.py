"""A second run at a scheduler where workers still do pieces of a first one."""

import contextlib
import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from beyond_spectrograms.util.cluster import worker
from beyond_spectrograms.util.cluster.dask_engine import DaskEngine
from beyond_spectrograms.util.cluster.engine import Engine
from beyond_spectrograms.util.cluster.worker import MismatchError
from support.dask_clusters import cluster_in
from support.pieces import Sum, write_sum
from support.repository import REPOSITORY

pytestmark = pytest.mark.long


def test_what_a_worker_still_does_by_other_code_is_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    described, given = worker.place_here, (write_sum, [Sum(tmp_path / "sums", 7, 3.0)], ["seven"], "sums", None)
    with cluster_in(tmp_path, 1) as cluster:
        engine, results = Engine(engine="dask", scheduler=str(cluster.file)), list[int]()
        with contextlib.closing(DaskEngine(engine, [])) as one, contextlib.closing(DaskEngine(engine, [])) as other:
            before = threading.Thread(target=lambda: results.extend(one.run(*given)))
            before.start()
            while not (tmp_path / "sums/begun").exists():
                time.sleep(0.05)
            monkeypatch.setattr(worker, "place_here", lambda *of: replace(described(*of), code="0"))
            with pytest.raises(MismatchError) as raised:
                other.run(*given)
            before.join()
    assert results == [21]
    assert re.sub(r"\d{4,5}", "PORT", str(raised.value)) == (
        f"worker tcp://127.0.0.1:PORT: the code in {REPOSITORY / 'beyond_spectrograms'} is not that of this process. "
        "Have the same checkout on all machines."
    )
