"""Commands called with a model that tells high sounds from low ones."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from beyond_spectrograms.cli import main
from beyond_spectrograms.data.audio import Waveform
from support.repository import REPOSITORY, Capture

Run = Callable[..., tuple[int, str, str]]
Codec = Callable[..., tuple[int, str, str]]
Start = Callable[..., "subprocess.CompletedProcess[bytes]"]
Write = Callable[..., Path]


@pytest.fixture
def run(model_folder: Path, capsys: Capture) -> Run:
    """Call a command with the model, or another; give its status, output and errors."""

    def call(command: str, *arguments: object, model: Path = model_folder) -> tuple[int, str, str]:
        status = main([command, "--model", str(model), "--device", "cpu", *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def codec(capsys: Capture) -> Codec:
    """Call `codec` with arguments; give its status, output and errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        status = main(["codec", *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def start(model_folder: Path) -> Start:
    """Start a command with the model as a process of its own, and wait for it."""

    def call(command: str, *arguments: object, **options: Any) -> "subprocess.CompletedProcess[bytes]":
        line = [sys.executable, "-m", "beyond_spectrograms", command, "--model", str(model_folder), "--device", "cpu"]
        given = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii"}
        return subprocess.run([*line, *map(str, arguments)], check=False, env=given, **options)

    return call


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a sound below the temporary folder; give its path."""

    def call(name: str, sound: Waveform, sample_rate: int = 44_100, **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound, sample_rate, **options)
        return path

    return call
