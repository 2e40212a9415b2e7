"""`python -m stages.compare`: two cells, or one before and after a change, by the recordings they were tested on."""

import os
import subprocess
import sys
from pathlib import Path

CELL = "plots/recordings/esc10/soundstream-fair.csv"


def compare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stages.compare", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_cell_kept_aside_is_compared_with_the_present_one(page_project: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.csv"
    kept.write_text((page_project / CELL).read_text().replace("engine/0.wav,engine,3,3,", "engine/0.wav,engine,3,1,"))
    lines = compare(page_project, "esc10", CELL, str(kept)).stdout.splitlines()
    assert lines == [
        f"{CELL}: soundstream-fair, 88.9 % of windows right",  # 32 of 36
        f"{kept}: soundstream-fair, 83.3 % of windows right",
        "first - second: +5.6 points",
        "recordings right under the first alone: 0, under the second alone: 0",
        "Only 12 sources were tested; 30 are needed for an interval.",
    ]
    assert not (page_project / "data/durations").exists()


def test_cells_tested_on_other_recordings_are_refused(page_project: Path, tmp_path: Path) -> None:
    lines = (page_project / CELL).read_text().splitlines()
    fewer = tmp_path / "fewer.csv"
    fewer.write_text("\n".join(line for line in lines if "bird/0.wav" not in line) + "\n")
    refused = compare(page_project, "esc10", CELL, str(fewer))
    assert refused.returncode == 1
    assert refused.stderr == (
        "soundstream-fair and soundstream-fair cannot be compared: 1 recordings were tested by one only or with other "
        "labels or window counts, bird/0.wav first. Compare cells of one data set and split.\n"
    )
