"""A client of Dask's scheduler: of one that runs, or of a cluster that is started here and ends with us."""

import json
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from beyond_spectrograms.util.cluster.engine import ENGINE_FILE, Engine
from beyond_spectrograms.util.errors import ProjectError, one_line, require
from beyond_spectrograms.util.processes import unheard

DEATHS = 3  # of workers with the same piece, after which it is given to none; of a scheduler that runs it is its own
CLOSE_S = 20  # in which a cluster is to have ended; its processes end with this one in any case
ANSWER_S = 30  # in which a scheduler answers
STARTED = {  # Dask's settings of a cluster that is started here
    "distributed.scheduler.allowed-failures": DEATHS - 1,
    "distributed.deploy.lost-worker-timeout": "60s",  # a busy machine takes long to begin a process anew
    "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical",
}
# What a kind of cluster takes: the module, and its package.
STARTING = {"slurm": ("dask_jobqueue", "dask-jobqueue"), "kubernetes": ("dask_kubernetes", "dask-kubernetes")}


class ClusterError(ProjectError):
    """No cluster is had, it is lost, or pieces are not done by it; the message says what to do."""


@dataclass(frozen=True)
class Opened:
    """A client of Dask, what ends it and the cluster that was started, and what starts workers that are missing."""

    client: Any
    end: Callable[[], None]
    refill: Callable[[], None]


def open_client(engine: Engine, source: str = str(ENGINE_FILE)) -> Opened:
    """Connect to the scheduler of an engine, which is told by `source`, or start its cluster.

    Raises:
        MissingPackageError, ClusterError: packages are missing, there is no such scheduler, or no cluster starts.
    """
    require("distributed")
    import dask
    from distributed import Client

    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what there is to tell is told in a line of ours
    if engine.scheduler is not None:
        where = _address(engine.scheduler, source)
        client: Any = Client.__new__(Client)  # had also where it does not connect: it is then to be closed
        try:
            client.__init__(**where, timeout=ANSWER_S, set_as_default=False)
        except (OSError, ValueError, ImportError, TypeError) as error:  # the last of a tls:// without certificates
            with suppress(AttributeError, OSError, TimeoutError):  # else it waits for a minute when this process ends
                client.close(timeout=CLOSE_S)
            raise ClusterError(
                f"{source}: no scheduler answers at {engine.scheduler}: {one_line(error)}. Start one there (dask "
                "scheduler), or name another."
            ) from None
        return Opened(client, client.close, lambda: None)
    dask.config.set(STARTED)
    cluster = _start(engine, source)
    client = Client(cluster, set_as_default=False)

    def end() -> None:
        for each in (client, cluster):
            with suppress(OSError, TimeoutError):  # of one that was killed while it was begun anew
                each.close(timeout=CLOSE_S)

    # Of workers that ended, a cluster starts none itself where they were away for the lost-worker-timeout.
    return Opened(client, end, lambda: cluster.scale(engine.workers))


def _address(scheduler: str, source: str) -> dict[str, str]:
    if not scheduler.endswith(".json"):
        return {"address": scheduler}
    if not Path(scheduler).is_file():
        raise ClusterError(
            f"{source}: {scheduler}: no such file. A scheduler writes it: dask scheduler --scheduler-file {scheduler}."
        )
    try:
        told = json.loads(Path(scheduler).read_text(encoding="utf-8"))["address"]
    except (ValueError, LookupError, TypeError):
        told = None
    if not isinstance(told, str):
        raise ClusterError(
            f"{source}: {scheduler}: has no address of a scheduler, which writes it: "
            f"dask scheduler --scheduler-file {scheduler}."
        )
    return {"scheduler_file": scheduler}


def _start(engine: Engine, source: str) -> Any:
    """Start a cluster; those of Slurm and Kubernetes are as Dask's own configuration files say."""
    from distributed import LocalCluster

    if engine.cluster == "local":
        limit = "auto" if engine.worker_memory_gb is None else round(engine.worker_memory_gb * 1e9)
        with unheard(signal.SIGINT):  # Ctrl+C comes to this process, which ends the others
            return LocalCluster(
                n_workers=engine.workers,
                threads_per_worker=1,
                memory_limit=limit,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
            )
    assert engine.cluster is not None  # Engine sees to it
    module, package = STARTING[engine.cluster]
    if find_spec(module) is None:
        raise ClusterError(f"{source}: cluster: {engine.cluster} takes {package}. Run pip install {package}.")
    try:
        if engine.cluster == "slurm":
            from dask_jobqueue import SLURMCluster as Cluster
        else:
            from dask_kubernetes.operator import KubeCluster as Cluster
        cluster = Cluster()
        cluster.scale(engine.workers)
    except Exception as error:  # whatever these two, Slurm or Kubernetes refuse
        raise ClusterError(
            f"{source}: cluster: {engine.cluster} does not start: {one_line(error)}. docs/scale.md shows the file of "
            "settings that it takes."
        ) from None
    return cluster
