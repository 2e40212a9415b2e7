"""What the tests of whole pipelines share."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def project(finished_demo: Path, tmp_path: Path) -> Path:
    """A clone of this project in which the demo, 6 x 4 clips of 2.5 s, is finished and committed."""
    return Path(shutil.copytree(finished_demo, tmp_path / "project"))
