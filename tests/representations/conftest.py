from collections.abc import Callable
from pathlib import Path

import pytest

from beyond_spectrograms.data.audio import Waveform
from support.envelope import add_clips


@pytest.fixture
def folder(tmp_path: Path, noise: Callable[..., Waveform]) -> Path:
    """Store six clips of three seconds in tmp_path/clips."""
    add_clips(tmp_path / "clips", noise, *range(6))
    return tmp_path
