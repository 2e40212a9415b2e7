"""DVC's own time on finished pipelines: a repro with nothing to do, and writing dvc.lock after a stage.

`python -m benchmarks.pipelines` makes a copy of the project in a temporary folder in which every output of every stage
is there (made up) and committed, times each ROUNDS times and prints a table. Times are processor time of the quickest
round, which is the wall time of an idle core; the last column is its wall time.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from beyond_spectrograms.params.study import folder_of, list_studies
from beyond_spectrograms.report.table import Row, Table, texts, to_markdown

ROUNDS = 3
TRACKED = ("stages", "beyond_spectrograms", "datasets", ".dvc/plots")
FILES = ("versions.yaml", ".dvcignore", ".gitignore", ".dvc/config")


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        counts = finish(folder)
        rows = [
            row("`dvc repro`, nothing to do", counts["paper"], folder, lambda: run(folder, "dvc", "repro")),
            row(
                "`dvc repro -P`, nothing to do", sum(counts.values()), folder, lambda: run(folder, "dvc", "repro", "-P")
            ),
        ]
        for study, stage in (("paper", "split@esc10"), ("demo", "split@demo")):
            lock = folder / folder_of(study) / "dvc.lock"
            update = lock_update(folder, study, stage)
            rows.append(row(f"update of {lock.relative_to(folder)}", counts[study], folder, update))
    print(to_markdown(Table("DVC's own time, everything finished and committed", rows, texts(*rows[0]), [])))


def run(folder: Path, *command: str) -> None:
    """Run a command in the copy, by this Python and the copy's own code."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  our own


def finish(folder: Path) -> dict[str, int]:
    """Copy the project with every output made up; gives the number of stages by study."""
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    for name in TRACKED:
        shutil.copytree(name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    studies = list_studies()
    own = [folder_of(study) / name for study in studies for name in ("dvc.yaml", "params.yaml")]
    for path in [*map(Path, FILES), *own]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path)
    stages = make_up(folder, studies)
    return {study: sum(Path(one.path).parent == folder / folder_of(study) for one in stages) for study in studies}


def make_up(folder: Path, studies: Sequence[str]) -> list[Any]:
    """Give every stage of the pipelines in a folder, which are those of `studies`, made-up outputs, and commit them.

    Returns:
        the stages, as DVC has them.
    """
    with Repo(str(folder)) as repo:
        stages = list(repo.index.stages)
    for out in (Path(out.fspath) for stage in stages for out in stage.outs):
        file = out if out.suffix else out / "content.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(out.relative_to(folder)), encoding="utf-8")
    for study in studies:  # what stages depend on below data/params has to be there
        run(folder, sys.executable, "-m", "stages.resolve", f"--study={study}")
    run(folder, "dvc", "commit", "--force", "--quiet")
    return stages


def lock_update(folder: Path, study: str, name: str) -> Callable[[], None]:
    """Prepare to write a pipeline's dvc.lock as DVC does after a stage whose input changed."""

    def update() -> None:
        with Repo(str(folder)) as repo:
            stage: Any = repo.stage.load_one(path=str(folder / folder_of(study) / "dvc.yaml"), name=name)
            stage.deps[0].hash_info.value = f"{time.monotonic_ns():032x}"
            with repo.lock:
                began.append(_now())
                stage.dump(update_pipeline=False)

    return update


began: list[tuple[float, float]] = []  # where a round's time starts, if later than the round


def row(what: str, stages: int, folder: Path, work: Callable[[], None]) -> Row:
    """Time some work; `folder` is where the locks are."""
    rounds = []
    for _ in range(ROUNDS):
        began.clear()
        start = _now()
        work()
        end, first = _now(), began[-1] if began else start
        rounds.append((end[0] - first[0], end[1] - first[1]))
    processor, wall = min(rounds)
    size = sum(path.stat().st_size for path in folder.rglob("dvc.lock"))
    return {
        "what": what,
        "stages": stages,
        "processor s": f"{processor:.1f}",
        "wall s": f"{wall:.1f}",
        "locks kB": size // 1000,
    }


def _now() -> tuple[float, float]:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system, time.perf_counter()


if __name__ == "__main__":
    main()
