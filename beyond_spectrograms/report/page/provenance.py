"""Where results come from: commit, machine, versions, digests of the data, and how long each stage took."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.params import Params
from beyond_spectrograms.util.errors import DURATIONS
from beyond_spectrograms.util.processor import processor_name

UNKNOWN = "not known"


@dataclass(frozen=True)
class Machine:
    """What the page was made on; results are the same to the bit only on the same processor and versions."""

    processor: str
    cores: str
    memory: str
    system: str
    python: str


@dataclass(frozen=True)
class Origin:
    """Where one data set's bytes come from: `facts` are pairs of a name and a value, as text."""

    dataset: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Duration:
    """How long one stage took for one data set; `seconds` None: not run here. `what` says what was timed."""

    stage: str
    dataset: str
    seconds: float | None
    what: str


def commit() -> str:
    """Name the commit that is checked out here, and whether files differ from it; no git, no repository: not known."""
    git = shutil.which("git")
    if git is None:
        return UNKNOWN

    def ask(*arguments: str) -> str | None:
        finished = subprocess.run([git, *arguments], capture_output=True, text=True, check=False)  # noqa: S603  our own
        return finished.stdout.strip() if finished.returncode == 0 else None

    head = ask("rev-parse", "HEAD")
    if head is None:
        return UNKNOWN
    return f"{head} + uncommitted changes" if ask("status", "--porcelain") else head


def machine() -> Machine:
    """Describe this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(
        processor=processor_name(),
        cores=str(cores or UNKNOWN),
        memory=_memory(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        python=platform.python_version(),
    )


def _field(path: Path, name: str) -> str:
    """Find the first `name: value` of a file of Linux's; empty elsewhere."""
    if not path.exists():
        return ""
    lines = (line.partition(":") for line in path.read_text(encoding="utf-8").splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")


def _memory() -> str:
    kilobytes = _field(Path("/proc/meminfo"), "MemTotal").removesuffix(" kB")
    return f"{int(kilobytes) / 2**20:.0f} GiB" if kilobytes else UNKNOWN


def versions(params: Params) -> dict[str, str]:
    """List the packages that can change a result, and DVC, with the versions installed."""
    packages = [name for name, wanted in params.versions.items() if isinstance(wanted, str)]
    return {name: version(name) for name in (*packages, "dvc")}


def lock_digests(lock: Path) -> dict[str, str]:
    """Read what dvc.lock says of every output: `md5 <digest>, <bytes> bytes in <files> files`. No lock: empty."""
    if not lock.exists():
        return {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is there
    stages = yaml.load(lock.read_text(encoding="utf-8"), loader)["stages"]  # noqa: S506  both are safe loaders
    return {out["path"]: _digest(out) for stage in stages.values() for out in stage.get("outs", [])}


def _digest(out: dict[str, Any]) -> str:
    files = f" in {out['nfiles']} files" if "nfiles" in out else ""
    return f"md5 {out['md5']}, {out['size']:,} bytes{files}"


def origin(dataset: str, counts: Path, digests: dict[str, str]) -> Origin:
    """Gather a data set's origin from its clips.json, and DVC's digests of raw files and clips."""
    counted = _read(counts)
    told = counted.get("source", {})
    facts = [(name, str(told[key])) for key, name in _SOURCE_FACTS.items() if told.get(key) is not None]
    facts += [(name, f"{counted[key]:,}") for key, name in _COUNT_FACTS.items() if counted.get(key) is not None]
    facts += [
        (f"{folder} (dvc.lock)", digests.get(f"{folder}/{dataset}", UNKNOWN)) for folder in ("data/raw", "data/clips")
    ]
    return Origin(dataset, tuple(facts))


_SOURCE_FACTS = {
    "kind": "kind",
    "url": "URL",
    "licence": "licence",
    "seed": "seed of the synthesis",
    "manifest_sha256": "SHA-256 of the manifest of its files",
}
_COUNT_FACTS = {
    "files": "files",
    "clips": "usable clips",
    "classes": "classes",
    "seconds": "seconds of sound",
    "set_aside_count": "files set aside",
}


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object; nothing is known where the file is not there (the page names it as absent)."""
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return told


def durations(results: Results, study: str) -> list[Duration]:
    """Add up how long the runs of each stage took on this machine, by what `run_stage` kept of the last of each."""
    dataset = results.dataset
    each = [f"{dataset}-{name}" for name in dict.fromkeys(name for name, _ in results.cells)]
    whole = ("download", "resample", "split", "audit")
    runs = {
        **{stage: [dataset] for stage in whole},
        **dict.fromkeys(("featurize", "train"), each),
        **{stage: [dataset] for stage in ("evaluate", "measure", "illustrate", "report")},
    }
    found = []
    for stage, names in runs.items():
        kept = [path for name in names if (path := DURATIONS / study / f"{stage}-{name}.json").exists()]
        seconds = sum(json.loads(path.read_text(encoding="utf-8"))["seconds"] for path in kept)
        what = f"{len(kept)} of {len(names)} runs; the others were not run here" if kept else "not run here"
        found.append(Duration(stage, dataset, seconds if kept else None, what))
    training = list(training_seconds(results).values())
    what = f"of {len(training)} cells, summed over runs, which may have gone side by side, wherever they were run"
    return [*found, Duration("training alone", dataset, sum(training), what)] if training else found


def training_seconds(results: Results) -> dict[tuple[str, str], float]:
    """Sum each cell's training over its runs, in seconds."""
    return {
        names: sum(cell.scores.training.seconds_by_run.values())
        for names, cell in results.cells.items()
        if cell.scores is not None
    }


def clock(seconds: float | None) -> str:
    """Show seconds as people say them: `4.2 s`, `3 min 12 s`, `1 h 06 min`."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
