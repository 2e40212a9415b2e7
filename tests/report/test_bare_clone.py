"""What is in git is enough to make every table, verdict and figure of it again."""

from pathlib import Path

import pytest

from support.clones import run, stage
from support.repository import REPOSITORY


@pytest.mark.long
def test_a_bare_clone_makes_the_same_tables_and_verdicts_again(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(REPOSITORY), str(clone))
    assert not (clone / "data").exists()
    made = [*clone.glob("metrics/*/tables/*"), *clone.glob("studies/*/metrics/*/tables/*")]
    made += [*clone.glob("metrics/*/claims.json"), *clone.glob("studies/*/metrics/*/claims.json")]
    assert len(made) > 50
    for path in made:
        path.unlink()
    stage(clone, "tables")
    # Pictures are left out: their bytes depend on the processor's instructions.
    changed = [line[3:] for line in run(clone, "git", "status", "--porcelain").splitlines()]
    assert [path for path in changed if path.endswith((".md", ".csv", ".json"))] == []
