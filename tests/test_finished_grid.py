"""The whole grid, every cell of it finished (outputs made up): nothing is run again, and how long DVC takes to see it.

`pytest -m long -s tests/test_finished_grid.py` prints the time.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

ROOT = Path(__file__).parent.parent


def run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    finished = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A copy of this project in which every output of every stage is there and committed, and how many stages."""
    folder = tmp_path_factory.mktemp("finished")
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    for name in ("stages", "beyond_spectrograms", ".dvc/plots"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", "versions.yaml", ".dvcignore", ".gitignore", ".dvc/config"):
        shutil.copy(ROOT / name, folder / name)
    with Repo(str(folder)) as repo:
        stages = list(repo.index.stages)
    for out in (Path(out.fspath) for stage in stages for out in stage.outs):
        file = out if out.suffix else out / "content.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(out.relative_to(folder)))
    run(folder, "dvc", "commit", "--force", "--quiet")
    return folder, len(stages)


@pytest.mark.long
def test_nothing_is_run_again_in_a_finished_grid(finished: tuple[Path, int]) -> None:
    folder, stages = finished
    began = time.perf_counter()
    said = run(folder, "dvc", "repro")
    seconds = time.perf_counter() - began
    print(f"\n{stages} stages with nothing to do: {seconds:.0f} s, {1000 * seconds / stages:.0f} ms a stage")
    assert len(re.findall("didn't change, skipping", said)) == stages
    assert "Running stage" not in said


@pytest.mark.long
def test_an_edit_of_one_protocol_leaves_every_other_cell_alone(finished: tuple[Path, int]) -> None:
    folder, _ = finished
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["protocols"]["mean_linear"]["learning_rate"] = 0.002
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    cells = {
        f"{stage}@{dataset}-{representation}-mean_linear"
        for stage in ("train", "evaluate")
        for dataset in params["grid"]["datasets"]
        for representation in params["grid"]["representations"]
    }
    reports = {f"report@{dataset}" for dataset in params["grid"]["datasets"]}
    changed = set(re.findall(r"^(\S+):$", run(folder, "dvc", "status"), re.MULTILINE))
    assert changed == cells | reports | {"judge", "page", "demo", "page_demo"}
