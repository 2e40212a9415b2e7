"""Wheel and source archive, built once."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.repository import REPOSITORY


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both from the tracked files, and what git would track."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in names:
        if name and not name.startswith(("metrics/", "plots/")) and (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, source / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(command, capture_output=True, check=True)
    return folder
