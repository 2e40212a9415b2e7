"""Tested recordings are read by seed and name, and files that contradict themselves are refused."""

from pathlib import Path
from typing import Any

import pytest
from cells import write, write_rows
from tested import SETTINGS, SOURCES

from beyond_spectrograms.evidence.uncertainty import (
    recording_interval,
    window_interval,
)
from beyond_spectrograms.recordings import read_recordings
from beyond_spectrograms.results import ResultError


def rows_of(seeds: int = 2) -> list[dict[str, Any]]:
    """Two recordings: 1.wav a bird taken for rain under seed 1 alone, 2.wav rain and always right."""
    wrong = {"windows_right": 1, "predicted": "rain"}
    return [
        {"representation": "mel", "protocol": "fair", "fold": fold, "seed": seed, "clip": f"{fold}.wav", "label": label}
        | {"windows": 2 * fold, "windows_right": 2, "predicted": label, "predicted_by_seeds": label}
        | (wrong if seed == 1 and fold == 1 else {})
        for seed in range(seeds)
        for fold, label in ((1, "bird"), (2, "rain"))
    ]


def test_recordings_are_read_by_seed_and_name(tmp_path: Path) -> None:
    write_rows(tmp_path / "mel-fair.csv", rows_of())
    found = read_recordings(tmp_path / "mel-fair.csv", SOURCES)
    assert (found.cell, found.clips, found.labels) == ("mel-fair", ("1.wav", "2.wav"), ("bird", "rain"))
    assert found.sources == ("a", "b")
    assert (found.seeds, found.folds.tolist(), found.windows.tolist()) == ((0, 1), [1, 2], [2, 4])
    assert found.windows_right.tolist() == [[2, 2], [1, 2]]
    assert found.right.tolist() == [[True, True], [False, True]]
    assert found.right_by_seeds.tolist() == [True, True]
    assert window_interval(found, SETTINGS).value == 7 / 12
    assert recording_interval(found, SETTINGS).value == 3 / 4


@pytest.mark.parametrize(
    ("row", "change", "message"),
    [
        (0, {"windows_right": 3}, ", line 2: 3 of 2 windows right is impossible."),
        (0, {"windows": 0, "windows_right": 0}, ", line 2: 0 of 0 windows right is impossible."),
        (1, {"windows": "x"}, ", line 3: invalid literal for int() with base 10: 'x'."),
        (1, {"protocol": "paper"}, ": holds recordings of mel-fair and mel-paper; one cell is expected."),
        (2, {"seed": 0}, ", line 4: 1.wav a second time under seed 0."),
        (2, {"seed": 2}, ": 1.wav was not tested under seed 1. Run its evaluate stage again."),
        (2, {"label": "rain"}, ": 1.wav has label bird and rain under different seeds."),
        (3, {"windows": 5}, ": 2.wav has windows 4 and 5 under different seeds."),
        (3, {"fold": 1}, ": 2.wav has fold 1 and 2 under different seeds."),
        (3, {"predicted_by_seeds": "bird"}, ": 2.wav has predicted_by_seeds bird and rain under different seeds."),
    ],
)
def test_recordings_that_contradict_themselves_are_refused(
    tmp_path: Path, row: int, change: dict[str, Any], message: str
) -> None:
    rows, path = rows_of(), tmp_path / "mel-fair.csv"
    rows[row] |= change
    write_rows(path, rows)
    with pytest.raises(ResultError) as error:
        read_recordings(path, SOURCES)
    assert str(error.value) == f"{path}{message}"


def test_a_recording_of_an_unknown_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mel-fair.csv"
    write_rows(path, rows_of())
    with pytest.raises(ResultError) as error:
        read_recordings(path, {"1.wav": "a"})
    assert str(error.value) == f"{path}: 2.wav is not in the table of windows. Run its evaluate stage again."


HEADER = "representation,protocol,seed,clip,windows_right,predicted,fold,label,windows,predicted_by_seeds"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, ": missing. Run its evaluate stage."),
        ("", f": no column {HEADER.replace(',', ', ')}. It has none."),
        ("fold,seed\n", f": no column {HEADER.replace('seed,', '').replace('fold,', '').replace(',', ', ')}."),
        (f"{HEADER}\n", ": holds recordings of no cell; one cell is expected."),
        (f"{HEADER}\nmel,fair,0\n", ", line 2: the row does not have the header's 10 values."),
    ],
)
def test_a_file_that_is_no_table_of_recordings_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "mel-fair.csv"
    if text is not None:
        write(path, text)
    with pytest.raises(ResultError) as error:
        read_recordings(path, SOURCES)
    assert str(error.value).removesuffix(" It has fold, seed.") == f"{path}{message}"
