from pathlib import Path

import pytest

from benchmarks.compare_reports import points, read
from beyond_spectrograms.evaluation.uncertainty import compare
from beyond_spectrograms.params import Params, load_params
from beyond_spectrograms.util.errors import ProjectError
from support.cells import write
from support.common import refusal
from support.repository import REPOSITORY

HEAD = "fold,seed,clip,file,group,label,windows,windows_right,predicted,seconds,reflected\n"


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(root=REPOSITORY)


def report(folder: Path, right: int) -> Path:
    """Write a report of 40 recordings of as many origins in five folds, the first so many of them right."""
    rows = [
        f"{1 + number % 5},0,a/{number:02d}.wav,a/{number:02d}.wav,{number:02d},a,2,{2 * (number < right)},"
        f"{'a' if number < right else 'b'},2.0,0\n"
        for number in range(40)
    ]
    write(folder / "recordings.csv", HEAD + "".join(rows))
    return folder


def test_the_second_training_minus_the_first_is_told_in_points(tmp_path: Path, params: Params) -> None:
    first, second = read(report(tmp_path / "one", 20)), read(report(tmp_path / "two", 30))
    found = compare(second.by_recording(), first.by_recording(), params.statistics).difference
    assert found.value == pytest.approx(0.25)
    assert points(found).startswith("+25.0 [")
    assert points(compare(first, first, params.statistics).difference).startswith("+0.0")


def test_a_folder_that_is_no_report_is_named(tmp_path: Path) -> None:
    told = f"{tmp_path}/recordings.csv: no such file. Name the folder of a report, <model>-report."
    assert refusal(ProjectError, read, tmp_path) == told
