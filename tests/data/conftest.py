"""A folder to prepare data sets in."""

from pathlib import Path

import pytest

from beyond_spectrograms.data.downloads import MIRROR_VARIABLE


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder of the home folder, beside the mirror folder."""
    for name in ("mirror", "project"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv(MIRROR_VARIABLE, "~/mirror")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("beyond_spectrograms.data.downloads.PAUSE_S", 0)
    return tmp_path


@pytest.fixture
def mirror(home: Path) -> Path:
    """Run beside an empty mirror folder: no test of data sets needs the real one."""
    return home / "mirror"
