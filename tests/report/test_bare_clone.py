"""What is in git is enough to make every table, verdict and figure of it again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    finished = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.mark.long
def test_a_bare_clone_makes_the_same_tables_and_verdicts_again(tmp_path: Path, repository: Path) -> None:
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(repository), str(clone))
    assert not (clone / "data").exists()
    made = [*clone.glob("metrics/*/tables/*"), *clone.glob("studies/*/metrics/*/tables/*")]
    made += [*clone.glob("metrics/*/claims.json"), *clone.glob("studies/*/metrics/*/claims.json")]
    assert len(made) > 50
    for path in made:
        path.unlink()
    run(clone, sys.executable, "-m", "stages.tables")
    # Pictures are left out: their bytes depend on the processor's instructions.
    changed = [line[3:] for line in run(clone, "git", "status", "--porcelain").splitlines()]
    assert [path for path in changed if path.endswith((".md", ".csv", ".json"))] == []
