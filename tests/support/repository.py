"""Where the project lies, and how its stages are started."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

Start = Callable[..., subprocess.Popen[str]]


def run_here(stage: str, *arguments: str) -> None:
    """Run a stage in this process, in the folder we are in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"{stage}.py", *arguments])
        importlib.import_module(f"stages.{stage}").main()
