"""Where the project lies, how its stages are started, and what git says."""

import contextlib
import importlib
import io
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
WITH_TESTS = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests")))  # where Python finds support, too

Start = Callable[..., subprocess.Popen[str]]
Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def tracked() -> list[str]:
    """List the files that git knows, or would know, that are there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in names if (REPOSITORY / name).is_file()]


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, as an author of its own; give what it printed."""
    author = ["-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *author, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def run_here(stage: str, *arguments: str) -> None:
    """Run a stage in this process, in the folder we are in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"{stage}.py", *arguments])
        importlib.import_module(f"stages.{stage}").main()


def stage_here(folder: Path, stage: str, *arguments: str, expect: int = 0) -> str:
    """Run `python -m stages.<stage>` in this process, in a folder; give what it printed and said."""
    said, status = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        patch.setattr(sys, "argv", [f"{stage}.py", *arguments])
        patch.chdir(folder)
        try:
            runpy.run_path(str(REPOSITORY / f"stages/{stage}.py"), run_name="__main__")
        except SystemExit as ended:
            status = int(ended.code or 0)
    assert status == expect, said.getvalue()
    return said.getvalue()
