"""Where results come from: commit, machine, versions, digests of the data, and how long each stage took."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.params import Params
from beyond_spectrograms.util.commands import DURATIONS, ask_git
from beyond_spectrograms.util.files import read_told
from beyond_spectrograms.util.machine import processor_name
from beyond_spectrograms.util.yaml_files import read_yaml

UNKNOWN = "not known"
NO_RESULTS = [f":(exclude,glob)**/{name}" for name in ("metrics/**", "plots/**", "dvc.lock")]  # gitglossary, pathspec
SOURCE_FACTS = {
    "kind": "kind",
    "url": "URL",
    "licence": "licence",
    "seed": "seed of the synthesis",
    "manifest_sha256": "SHA-256 of the manifest of its files",
}
COUNT_FACTS = {
    "files": "files",
    "clips": "usable clips",
    "classes": "classes",
    "seconds": "seconds of sound",
    "set_aside_count": "files set aside",
}


@dataclass(frozen=True)
class Duration:
    """How long one stage took for a data set; `seconds` None: not run here. `what` says what was timed."""

    stage: str
    seconds: float | None
    what: str


def commit() -> str:
    """Name the commit that is checked out here; no git, no repository: not known.

    It says, too, whether files differ from it, but for results: a run writes its own over those of the commit.
    """
    head = ask_git("rev-parse", "HEAD")
    if head is None:
        return UNKNOWN
    return f"{head} + uncommitted changes" if ask_git("status", "--porcelain", "--", ".", *NO_RESULTS) else head


def machine() -> dict[str, str]:
    """Describe this machine; results are the same to the bit only on the same processor and versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return {
        "processor": processor_name(),
        "cores": str(cores or UNKNOWN),
        "memory": f"{size / 2**30:.0f} GiB" if size else UNKNOWN,
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
    }


def versions(params: Params) -> dict[str, str]:
    """List the packages that can change a result, and DVC, with the versions installed."""
    packages = [name for name, wanted in params.versions.items() if isinstance(wanted, str)]
    return {name: version(name) for name in (*packages, "dvc")}


def lock_digests(lock: Path) -> dict[str, str]:
    """Read what dvc.lock says of every output: `md5 <digest>, <bytes> bytes in <files> files`. No lock: empty."""
    if not lock.exists():
        return {}
    stages = read_yaml(lock)["stages"]
    return {
        out["path"]: f"md5 {out['md5']}, {out['size']:,} bytes"
        + (f" in {out['nfiles']} files" if "nfiles" in out else "")
        for stage in stages.values()
        for out in stage.get("outs", [])
    }


def origin(dataset: str, counts: Path, digests: dict[str, str]) -> list[tuple[str, str]]:
    """Say where a data set's bytes come from, as names and values: its clips.json, and DVC's digests of its folders.

    Nothing is known where clips.json is not there: the page names it as absent.
    """
    counted = read_told(counts) if counts.exists() else {}
    told = counted.get("source", {})
    facts = [(name, str(told[key])) for key, name in SOURCE_FACTS.items() if told.get(key) is not None]
    facts += [(name, f"{counted[key]:,}") for key, name in COUNT_FACTS.items() if counted.get(key) is not None]
    folders = "data/raw", "data/clips"
    return facts + [(f"{folder} (dvc.lock)", digests.get(f"{folder}/{dataset}", UNKNOWN)) for folder in folders]


def durations(results: Results, study: str) -> list[Duration]:
    """Add up how long the runs of each stage took on this machine, by what `run_stage` kept of the last of each."""
    dataset = results.dataset
    each = [f"{dataset}-{name}" for name in dict.fromkeys(name for name, _ in results.cells)]
    before, after = ("download", "resample", "split", "audit"), ("evaluate", "measure", "illustrate", "report")
    runs = {stage: [dataset] for stage in before} | dict.fromkeys(("featurize", "train"), each)
    runs |= {stage: [dataset] for stage in after}
    found = []
    for stage, names in runs.items():
        kept = [path for name in names if (path := DURATIONS / study / f"{stage}-{name}.json").exists()]
        seconds = sum(read_told(path)["seconds"] for path in kept)
        what = f"{len(kept)} of {len(names)} runs; the others were not run here" if kept else "not run here"
        found.append(Duration(stage, seconds if kept else None, what))
    training = list(training_seconds(results).values())
    what = f"of {len(training)} cells, summed over runs, which may have gone side by side, wherever they were run"
    return [*found, Duration("training alone", sum(training), what)] if training else found


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
