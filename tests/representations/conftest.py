import json
from pathlib import Path

import pytest

from support.cells import write
from support.envelope import add_clips, windows_of
from support.sharded import ALL

CLIPS, SECONDS = 40, 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Store six clips of three seconds in tmp_path/clips."""
    add_clips(tmp_path / "clips", *range(6))
    return tmp_path


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Store the clips that support.sharded names in tmp_path/clips."""
    add_clips(tmp_path / "clips", *ALL)
    return tmp_path


@pytest.fixture
def pets(project: Path) -> Path:
    """Lay out 40 clips of ten seconds as the stages before featurize leave them; give the place of their features."""
    add_clips(project / "data/clips/pets", *range(CLIPS), seconds=SECONDS)
    (project / "data/splits/pets").mkdir(parents=True)
    table = windows_of(*range(CLIPS), windows=SECONDS).assign(label="cat", group="g", fold=1, silent=0)
    table.to_csv(project / "data/splits/pets/windows.csv", index=False)
    write(project / "metrics/pets/splits.json", json.dumps({"clips_sha256": "made"}))
    return project / "data/features/paper/pets/mel"
