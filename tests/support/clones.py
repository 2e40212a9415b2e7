"""Repositories of the project's tracked files, in which the real DVC runs the real stages on sounds made in seconds."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from beyond_spectrograms.params.study import PAPER
from support.repository import REPOSITORY, tracked

STUDIES = [PAPER, *sorted(path.parent.name for path in REPOSITORY.glob("studies/*/params.yaml"))]
RESULTS = ("metrics/", "plots/")  # of the root and, below studies/<name>/, of a study
DEMO = "studies/demo/dvc.yaml"
TINY = {"clips_per_class": 4, "seconds": 2.5, "seed": 0}  # of six classes: 24 clips of two windows
DECIDED = re.compile(r"data/(raw|clips|splits|params|features|models)/|studies/demo/metrics/")
TIMED = re.compile(r"(costs\.json|claims\.json)$|/tables/")  # hold seconds
REPRESENTATIONS, PROTOCOLS = ("mel", "log_mel_2048"), ("fair", "mean_linear")


def environment(folder: Path) -> dict[str, str]:
    """Let a process run the code in `folder` by this Python, on one thread unless the environment says otherwise."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"OMP_NUM_THREADS": "1", **os.environ, "PATH": path, "PYTHONPATH": str(folder)}


def run(folder: Path, *command: str, expect: int = 0, errors: bool = True, code: Path | None = None) -> str:
    """Run a command in a folder, by the code of `code` or, if it is a clone, its own.

    Returns:
        what it printed, and last what it said on stderr, unless `errors` is false.
    """
    surroundings = environment(code or folder)
    finished = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)
    assert finished.returncode == expect, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr if errors else finished.stdout


def dvc(folder: Path, *arguments: str, expect: int = 0, errors: bool = True) -> str:
    return run(folder, sys.executable, "-m", "dvc", *arguments, expect=expect, errors=errors)


def stage(folder: Path, name: str, *arguments: str, expect: int = 0, code: Path | None = None) -> str:
    return run(folder, sys.executable, "-m", f"stages.{name}", *arguments, expect=expect, code=code)


def ran(output: str) -> list[str]:
    """List the stages that DVC ran, or would run, without their pipeline."""
    return [name.rpartition(":")[2] for name in re.findall(r"Running stage '([^']+)'", output)]


def edit(folder: Path, file: str, changes: dict[str, Any]) -> None:
    """Set entries of a YAML file, given as dotted paths; all else stays as it was written, comments included."""
    text = YAML()
    text.preserve_quotes, text.width = True, 4096  # lines are not folded
    values = text.load(folder / file)
    for where, value in changes.items():
        *parents, key = where.split(".")
        section = values
        for parent in parents:
            section = section[parent]
        section[key] = CommentedSeq(value) if isinstance(value, list) else value
        if isinstance(value, list):
            section[key].fa.set_flow_style()
    text.dump(values, folder / file)


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", message)


def clone(folder: Path, *, results: bool = False) -> Path:
    """Put the files of git, as they are here, into a repository of their own; what pipelines wrote if `results`."""
    for name in tracked():
        if not name.startswith("tests/") and (results or not is_result(name)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.email", "test@example.com")
    run(folder, "git", "config", "user.name", "test")
    commit(folder, "the project")
    return folder


def is_result(name: str) -> bool:
    """Say of a tracked file whether a pipeline wrote it."""
    inside = re.sub(r"^studies/\w+/", "", name)
    return inside.startswith(RESULTS) or inside == "dvc.lock"


def shrink(folder: Path) -> None:
    """Make the demo small: two representations under two protocols, two epochs."""
    source = {"synthetic": TINY, "clips": 6 * int(TINY["clips_per_class"])}
    edit(folder, "datasets/demo.yaml", {"max_epochs": 2} | {f"source.{key}": value for key, value in source.items()})
    grid = {"grid.representations": list(REPRESENTATIONS), "grid.protocols": list(PROTOCOLS)}
    edit(folder, "studies/demo/params.yaml", grid)
    seeds = {f"protocols.{name}.seeds": [0] for name in PROTOCOLS}
    few = {"costs": {"clips": 2, "rounds": 1, "seed": 0, "classifier": "conv1d"}, "audit.trees": 10}
    edit(folder, "params.yaml", seeds | few)
    commit(folder, "smaller")


def tiny(folder: Path) -> Path:
    """Clone the project without results, its demo made small and the one pipeline: DVC reads every stage each time."""
    clone(folder)
    for path in (folder / "dvc.yaml", *folder.glob("studies/*/dvc.yaml")):
        if path != folder / DEMO:
            path.unlink()
    shrink(folder)
    return folder


def smallest(folder: Path) -> Path:
    """Clone it so, with one representation under one protocol."""
    tiny(folder)
    edit(folder, "studies/demo/params.yaml", {"grid.protocols": ["fair"], "grid.representations": ["mel"]})
    commit(folder, "smallest")
    return folder


def decides(name: str) -> bool:
    """Say of a file whether a finished demo decides it, not time: sounds, features, weights, answers, results."""
    return bool(DECIDED.match(name)) and not TIMED.search(name)
