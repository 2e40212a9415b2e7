"""`python -m stages.compare`: two cells, or one before and after a change, by the recordings they were tested on."""

import gzip
from pathlib import Path

from support.cells import write_gzip
from support.repository import stage_here

FILE = "metrics/esc10/predictions.csv.gz"
CELL = f"{FILE}:soundstream-fair"


def compare(folder: Path, other: str, expect: int = 0) -> str:
    return stage_here(folder, "compare", CELL, other, expect=expect)


def predictions(folder: Path) -> str:
    with gzip.open(folder / FILE, "rt", encoding="utf-8") as file:
        return file.read()


def test_a_cell_kept_aside_is_compared_with_the_present_one(page_project: Path, tmp_path: Path) -> None:
    kept, row = tmp_path / "kept.csv.gz", "soundstream,fair,1,0,engine/0.wav,engine/0.wav,engine,3,"
    text = predictions(page_project)
    assert text.count(f"{row}3,") == 1
    write_gzip(kept, text.replace(f"{row}3,", f"{row}1,"))
    assert compare(page_project, f"{kept}:soundstream-fair").splitlines() == [
        f"{CELL}: 88.9 % of windows right",  # 32 of 36
        f"{kept}:soundstream-fair: 83.3 % of windows right",
        "first - second: +5.6 points",
        "Only 12 sources were tested; 30 are needed for an interval.",
    ]
    assert not (page_project / "data/durations").exists()


def test_cells_tested_on_other_recordings_are_refused(page_project: Path, tmp_path: Path) -> None:
    fewer = tmp_path / "fewer.csv.gz"
    write_gzip(fewer, "".join(line for line in predictions(page_project).splitlines(True) if "bird/0.wav" not in line))
    assert compare(page_project, f"{fewer}:soundstream-fair", expect=1) == (
        "soundstream-fair and soundstream-fair cannot be compared: 1 recordings were tested by one only or with other "
        "labels or window counts, bird/0.wav first. Compare cells of one data set and split.\n"
    )


def test_a_file_without_a_cell_is_refused(page_project: Path) -> None:
    told = f"{FILE}: names no cell. Write FILE:CELL, as metrics/esc10/predictions.csv.gz:soundstream-fair.\n"
    assert compare(page_project, FILE, expect=1) == told


def test_a_cell_that_is_not_in_the_file_is_refused(page_project: Path) -> None:
    assert compare(page_project, f"{FILE}:soundstream-fare", expect=1) == (
        f"{FILE}: no cell 'soundstream-fare'. Choose from mel-paper, mel-fair, log_mel_2048-paper, log_mel_2048-fair, "
        "soundstream-paper, soundstream-fair, encodec_24khz_untrained-paper, encodec_24khz_untrained-fair.\n"
    )
