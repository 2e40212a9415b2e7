"""engine.yaml: where the pieces of stages are worked on. It decides no result, and no stage depends on it."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.text import quoted, shorten_value
from beyond_spectrograms.util.yaml_files import read_yaml

ENGINE_FILE = Path("engine.yaml")
Started = Literal["local", "slurm", "kubernetes"]


class EngineError(ProjectError):
    """engine.yaml holds a key or a value that is not known; the message names it and the choices."""


class Engine(BaseModel):
    """Where pieces are worked on: this machine, or workers of Dask, at a scheduler that runs or that a stage starts."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    engine: Literal["local", "dask"] = "local"
    # Its address, as tcp://10.0.0.1:8786, or the file that it writes.
    scheduler: str | None = Field(default=None, min_length=1)
    cluster: Started | None = None  # which every stage starts, and ends
    workers: int | None = Field(default=None, gt=0)  # of that cluster, of one core each
    # In 10^9 bytes, of each worker of `cluster: local`: one that takes more is ended.
    worker_memory_gb: float | None = Field(default=None, gt=0, le=1e6, allow_inf_nan=False)
    # Seconds without progress after which a piece is begun anew.
    patience_s: float = Field(default=3600.0, gt=0, le=1e8, allow_inf_nan=False)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        of_dask = [name for name in ("scheduler", "cluster", "workers", "worker_memory_gb") if getattr(self, name)]
        if self.engine == "local":
            if of_dask:
                raise ValueError(f"{of_dask[0]} is for engine: dask")
            return self
        if (self.scheduler is None) == (self.cluster is None):
            raise ValueError("engine: dask takes one of scheduler and cluster")
        if self.scheduler is not None and len(of_dask) > 1:
            raise ValueError(f"{of_dask[1]} is for a cluster that is started, and scheduler is one that runs")
        if self.cluster is not None and self.workers is None:
            raise ValueError(f"cluster: {self.cluster} takes the number of workers")
        if self.worker_memory_gb is not None and self.cluster != "local":
            raise ValueError("worker_memory_gb is for cluster: local; for others Dask's own files say it")
        return self


def load_engine(path: Path = ENGINE_FILE) -> Engine:
    """Read and check engine.yaml; without that file all is done on this machine.

    Raises:
        EngineError: a key is unknown, or a value is not what it should be; a line for each.
        YamlError: it is not YAML.
    """
    try:
        values = read_yaml(path)
    except FileNotFoundError:
        return Engine()
    if values is None:  # comments alone
        return Engine()
    if not isinstance(values, dict):
        raise EngineError(f"{path}: a mapping is expected, not {quoted(values)}.")
    try:
        return Engine.model_validate(values)
    except ValidationError as error:
        raise EngineError("\n".join(f"{path}: {_explain(problem)}" for problem in error.errors())) from None


def _explain(problem: Any) -> str:
    key, kind = shorten_value(".".join(map(str, problem["loc"][:1]))), problem["type"]
    if kind == "extra_forbidden":
        return f"unknown key {key!r}. Known keys: {', '.join(Engine.model_fields)}."
    message = problem["msg"].removeprefix("Value error, ")
    return message if kind == "value_error" else f"{key}: {message}, not {quoted(problem['input'])}"
