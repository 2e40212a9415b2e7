"""dvc.lock, which DVC writes in place: kept while it is whole, restored where a kill left it empty or cut."""

import fcntl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from stages import locks
from support import clones
from support.repository import REPOSITORY, Capture, Patch

COPY = Path(".dvc/tmp/locks/dvc.lock")
OUT = {"hash": "md5", "md5": "2c726f9113ee219fe939c7d886fbba59.dir", "size": 31755478}
STAGES = {
    "download@demo": {"cmd": "python -m stages.download demo", "outs": [{"path": "data/raw/demo"} | OUT]},
    "resample@demo": {
        "cmd": "python -m stages.resample demo",
        "params": {"params.yaml": {"datasets.demo.source": {"clips": 72}}},
        "outs": [{"path": "metrics/datasets/demo.json", "hash": "md5", "md5": "84b3afbaa3f39a8e1ddbf3e8ee3a16ae"}],
    },
}
LOCK = yaml.safe_dump({"schema": "2.0", "stages": STAGES}, sort_keys=False)
CHANGED = LOCK.replace("2c726f9113ee219fe939c7d886fbba59", "7f0c7da00164222c169b8c1646e71454")
Keep = Callable[[], str]


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: Patch, capsys: Capture) -> Keep:
    """Go to an empty folder; what is given does what `python -m stages.locks` does, and says what that said."""
    monkeypatch.chdir(tmp_path)

    def run() -> str:
        locks.main()
        return capsys.readouterr().out

    return run


def commit(text: str) -> None:
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    Path("dvc.lock").write_text(text)
    for arguments in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *arguments], check=True)


def lock() -> str:
    return Path("dvc.lock").read_text()


def test_a_lock_cut_at_any_length_is_restored_from_the_copy(keep: Keep) -> None:
    Path("dvc.lock").write_text(LOCK)
    assert keep() == ""
    for length in range(len(LOCK)):
        Path("dvc.lock").write_text(LOCK[:length])
        assert keep() == f"dvc.lock: not whole; restored from {COPY}\n"
        assert lock() == LOCK, length
        assert COPY.read_text() == LOCK
    assert keep() == ""


@pytest.mark.parametrize("copy", [None, LOCK[:-20]])
def test_a_cut_lock_is_restored_from_git_where_no_whole_copy_was_kept(keep: Keep, copy: str | None) -> None:
    commit(LOCK)
    for length in range(0, len(LOCK), 9):
        if copy:
            COPY.parent.mkdir(parents=True, exist_ok=True)
            COPY.write_text(copy)
        Path("dvc.lock").write_text(LOCK[:length])
        assert keep() == "dvc.lock: not whole; restored from git's index\n"
        assert (lock(), COPY.exists()) == (LOCK, copy is not None)


def test_a_lock_cut_after_a_changed_entry_is_restored_where_a_stage_is_cut_or_lacks(keep: Keep) -> None:
    Path("dvc.lock").write_text(LOCK)
    keep()
    entry = CHANGED.index("    params:")  # from here on the second stage reads, and says less
    for length in range(CHANGED.index("7f0c"), entry):
        Path("dvc.lock").write_text(CHANGED[:length])
        assert keep() == f"dvc.lock: not whole; restored from {COPY}\n", length
        assert lock() == LOCK


@pytest.mark.parametrize("text", [CHANGED, LOCK.replace("resample", "resample_all"), f"{LOCK}  x:\n    cmd: y\n"])
def test_a_lock_that_reads_is_left_alone_and_kept(keep: Keep, text: str) -> None:
    commit(LOCK)
    keep()
    Path("dvc.lock").write_text(text)
    written = Path("dvc.lock").stat().st_mtime_ns
    assert keep() == ""
    assert (lock(), Path("dvc.lock").stat().st_mtime_ns) == (text, written)
    assert COPY.read_text() == text


def test_a_shorter_lock_of_another_commit_is_left_alone(keep: Keep) -> None:
    Path("dvc.lock").write_text(LOCK)
    keep()
    shorter = LOCK[: LOCK.index("  resample")]
    commit(shorter)
    assert keep() == ""
    assert lock() == COPY.read_text() == shorter
    Path("dvc.lock").write_text(LOCK)
    keep()
    changed = CHANGED[: CHANGED.index("  resample")]  # and then a stage was run
    Path("dvc.lock").write_text(changed)
    assert keep() == ""
    assert lock() == COPY.read_text() == changed


@pytest.mark.parametrize("text", ["", "schema: '2.0'\nstages:\n", "- 1\n", "a: [", LOCK.replace("2.0", "1.0"), "\0"])
def test_a_lock_of_which_there_is_no_copy_is_removed(keep: Keep, text: str) -> None:
    Path("dvc.lock").write_text(text)
    assert keep() == "dvc.lock: not whole, and nowhere is a copy; removed\n"
    assert not Path("dvc.lock").exists()
    assert keep() == ""


def test_the_locks_of_studies_are_kept_too(keep: Keep) -> None:
    for name in ("demo", "prototypes"):
        Path("studies", name).mkdir(parents=True)
        Path("studies", name, "dvc.lock").write_text(LOCK)
    assert keep() == ""
    Path("studies/demo/dvc.lock").write_text(LOCK[:99])
    Path("studies/prototypes/dvc.lock").write_text("")
    paths = ("studies/demo/dvc.lock", "studies/prototypes/dvc.lock")
    assert keep() == "".join(f"{path}: not whole; restored from .dvc/tmp/locks/{path}\n" for path in paths)
    assert [Path(path).read_text() for path in paths] == [LOCK, LOCK]


def test_while_dvc_writes_nothing_is_restored(keep: Keep) -> None:
    Path("dvc.lock").write_text(LOCK)
    keep()
    with Path(".dvc/tmp/lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        Path("dvc.lock").write_text(LOCK[:99])
        assert keep() == ""
        assert lock() == LOCK[:99]
    assert keep() == f"dvc.lock: not whole; restored from {COPY}\n"


def test_dvc_killed_while_it_writes_its_lock_goes_on_after_it_is_restored(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)

    def run(*module: str) -> str:
        return clones.run(tmp_path, sys.executable, "-m", *module, errors=False, code=REPOSITORY)

    # Its lock takes DVC long enough to write to be met in it.
    foreign = {f"long_gone_{number}": {"cmd": "x", "params": {"p.yaml": {"a": 1}}} for number in range(400)}
    run("dvc", "init", "-q", "--no-scm")
    stages = {name: {"cmd": f"echo {name}; echo {name} > {name}.txt", "outs": [f"{name}.txt"]} for name in "abc"}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": foreign}, sort_keys=False))
    size = Path("dvc.lock").stat().st_size
    assert run("stages.locks") == ""
    with subprocess.Popen([sys.executable, "-m", "dvc", "repro", "-q"], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and Path("dvc.lock").stat().st_size >= size:
            time.sleep(0.0005)
        process.kill()
    assert process.returncode == -9
    assert Path("dvc.lock").stat().st_size < size
    assert run("stages.locks") == f"dvc.lock: not whole; restored from {COPY}\n"
    run("dvc", "repro")
    assert run("stages.locks") == ""
    assert set(yaml.safe_load(lock())["stages"]) == {*foreign, *"abc"}
    assert [Path(f"{name}.txt").read_text() for name in "abc"] == ["a\n", "b\n", "c\n"]
    assert "Data and pipelines are up to date." in run("dvc", "repro")
