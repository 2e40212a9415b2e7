from pathlib import Path

import pytest

from support.envelope import add_clips


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Store six clips of three seconds in tmp_path/clips."""
    add_clips(tmp_path / "clips", *range(6))
    return tmp_path
