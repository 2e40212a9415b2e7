"""Results are shared by DVC's remotes: whoever pulls them runs nothing again, and sees what was written by half."""

from pathlib import Path

import pytest

from support.clones import dvc
from support.common import contents
from support.repository import git

STAGE = """stages:
  make:
    cmd: mkdir -p data/made && for each in 1 2 3; do echo "$each" > "data/made/$each"; done; echo ran
    outs: [data/made]
"""


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Make a project, run it, and push what it made to a folder; give a clone that has nothing of that yet."""
    mine, clone = tmp_path / "mine", tmp_path / "clone"
    mine.mkdir()
    git(mine, "init", "-q")
    dvc(mine, "init", "-q")
    (mine / "dvc.yaml").write_text(STAGE)
    (mine / ".gitignore").write_text("/data/\n")
    assert "ran" in dvc(mine, "repro")
    dvc(mine, "remote", "add", "-d", "store", str(tmp_path / "store"))
    git(mine, "add", "-A")
    git(mine, "commit", "-qm", "results")
    dvc(mine, "push")
    git(tmp_path, "clone", "-q", "mine", "clone")
    return clone


@pytest.mark.long
def test_whoever_pulls_results_runs_nothing_again(shared: Path) -> None:
    assert not (shared / "data").exists()
    dvc(shared, "pull")
    assert contents(shared / "data") == {f"made/{each}": b"%d\n" % each for each in (1, 2, 3)}
    told = dvc(shared, "repro")
    assert "Stage 'make' didn't change, skipping" in told
    assert "ran" not in told.split()


@pytest.mark.long
def test_a_shared_file_that_was_written_by_half_is_not_pulled_where_the_remote_is_to_verify(shared: Path) -> None:
    (half,) = [path for path in (shared.parent / "store").rglob("*") if path.is_file() and path.read_bytes() == b"2\n"]
    half.chmod(0o644)
    half.write_bytes(b"2")
    dvc(shared, "remote", "modify", "--local", "store", "verify", "true")
    told = dvc(shared, "pull", expect=1)
    assert "data/made" in told
    assert not (shared / "data/made/2").exists()
