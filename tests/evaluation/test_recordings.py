"""SeedAnswers recordings are read by seed and name, and files that contradict themselves are refused."""

import gzip
import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.evaluation.agreement import RESTORE, check_agrees, check_curves
from beyond_spectrograms.evaluation.clip_results import read_recordings
from beyond_spectrograms.evaluation.records import COLUMNS, ResultError, Scores, read_cells, read_scores
from beyond_spectrograms.evaluation.uncertainty import recording_interval, window_interval
from support.cells import make_scores, write_gzip, write_gzip_rows
from support.common import refusal
from support.hands import SETTINGS, curve


def rows_of(seeds: int = 2) -> list[dict[str, Any]]:
    """Two recordings: 1.wav a bird taken for rain under seed 1 alone, 2.wav rain and always right."""
    wrong = {"windows_right": 1, "predicted": "rain"}
    return [
        {"representation": "mel", "protocol": "fair", "fold": fold, "seed": seed, "clip": f"{fold}.wav"}
        | {"group": group, "label": label, "windows": 2 * fold, "windows_right": 2}
        | {"predicted": label, "predicted_by_seeds": label}
        | (wrong if seed == 1 and fold == 1 else {})
        for seed in range(seeds)
        for fold, label, group in ((1, "bird", "a"), (2, "rain", "b"))
    ]


def read_error(path: Path) -> str:
    with pytest.raises(ResultError) as error:
        read_recordings(path)
    return str(error.value).removeprefix(str(path))


def test_recordings_are_read_by_run_and_name(tmp_path: Path) -> None:
    write_gzip_rows(tmp_path / "predictions.csv.gz", rows_of()[::-1])
    (found,) = read_recordings(tmp_path / "predictions.csv.gz").values()
    assert (found.cell, found.clips, found.labels) == ("mel-fair", ("1.wav", "2.wav"), ("bird", "rain"))
    assert found.sources == ("a", "b")
    assert found.runs == ((1, 0), (1, 1), (2, 0), (2, 1))
    assert found.windows.tolist() == [[2, 0], [2, 0], [0, 4], [0, 4]]
    assert found.windows_right.tolist() == [[2, 0], [1, 0], [0, 2], [0, 2]]
    assert found.right.tolist() == [[True, False], [False, False], [False, True], [False, True]]
    assert found.right_by_seeds.tolist() == [True, True]
    assert window_interval(found, SETTINGS).value == 7 / 12
    assert recording_interval(found, SETTINGS).value == 3 / 4


def test_under_splits_by_seed_a_recording_may_be_tested_by_any_of_the_runs(tmp_path: Path) -> None:
    rows = [row | {"fold": 1 + row["seed"]} for row in rows_of() if (row["seed"], row["clip"]) != (1, "2.wav")]
    write_gzip_rows(tmp_path / "predictions.csv.gz", rows)
    (found,) = read_recordings(tmp_path / "predictions.csv.gz").values()
    assert (found.runs, found.windows.tolist()) == (((1, 0), (2, 1)), [[2, 4], [2, 0]])
    assert found.by_recording().windows.tolist() == [[1, 1], [1, 0]]
    assert found.among(["2.wav"]).runs == ((1, 0),)


@pytest.mark.parametrize(
    ("row", "change", "message"),
    [
        (0, {"windows_right": 3}, ", line 2: 3 of 2 windows right is impossible."),
        (0, {"windows": 0, "windows_right": 0}, ", line 2: 0 of 0 windows right is impossible."),
        (1, {"windows": "x"}, ", line 3: windows is 'x', not a whole number."),
        (1, {"windows": str(2**63)}, f", line 3: windows is '{2**63}', not a whole number."),
        (1, {"seed": "-" + "9" * 400}, f", line 3: seed is '-{'9' * 400}', not a whole number."),
        (2, {"seed": 0}, ", line 4: 1.wav a second time under seed 0."),
        (
            0,
            {"clip": "0.wav"},
            ": mel-fair: 0.wav of fold 1 was not tested under seed 1. Run its evaluate stage again.",
        ),
        (2, {"label": "rain"}, ": mel-fair: 1.wav has label bird and rain under different seeds."),
        (3, {"windows": 5}, ": mel-fair: 2.wav has windows 4 and 5 under different seeds."),
        (3, {"group": "a"}, ": mel-fair: 2.wav has group a and b under different seeds."),
        (3, {"fold": 1}, ": mel-fair: 2.wav of fold 1 was not tested under seed 0. Run its evaluate stage again."),
    ],
)
def test_recordings_that_contradict_themselves_are_refused(
    tmp_path: Path, row: int, change: dict[str, Any], message: str
) -> None:
    rows, path = rows_of(), tmp_path / "predictions.csv.gz"
    rows[row] |= change
    write_gzip_rows(path, rows)
    assert read_error(path) == message


def test_a_file_holds_any_number_of_cells(tmp_path: Path) -> None:
    path, second = tmp_path / "predictions.csv.gz", [row | {"protocol": "paper"} for row in rows_of(seeds=1)]
    write_gzip_rows(path, [*rows_of(), *second])
    found = read_recordings(path)
    assert {cell: known.runs for cell, known in found.items()} == {
        "mel-fair": ((1, 0), (1, 1), (2, 0), (2, 1)),
        "mel-paper": ((1, 0), (2, 0)),
    }
    write_gzip(path, f"{HEADER}\n")
    assert read_recordings(path) == {}


@pytest.mark.parametrize(
    ("errors", "read"),
    [
        (("1.5", "2", "0.5", "4"), [[1.5, 0.0], [0.5, 0.0], [0.0, 2.0], [0.0, 4.0]]),
        (("1.5", "2", "", "4"), None),
        (("",) * 4, None),
    ],
)
def test_errors_of_reconstruction_are_read_where_every_row_of_a_cell_has_one(
    tmp_path: Path, errors: tuple[str, ...], read: list[list[float]] | None
) -> None:
    path = tmp_path / "predictions.csv.gz"
    write_gzip_rows(path, [row | {"reconstruction_error": error} for row, error in zip(rows_of(), errors, strict=True)])
    found = read_recordings(path)["mel-fair"].errors
    assert (None if found is None else found.tolist()) == read


COUNTS = {"classes": ["bird", "rain"], "counts": [[3, 1], [4, 4]]}
RUNS = "[(1, 0), (1, 1), (2, 0), (2, 1)]"


def of_both(change: Callable[[list[dict[str, Any]]], object], folder: Path) -> str:
    """Write two cells, their rows changed, beside scores of what they were; give what reading them says."""
    made, rows, path = {}, [], folder / "predictions.csv.gz"
    for protocol in ("fair", "paper"):
        rows += [row | {"protocol": protocol} for row in rows_of()]
        scores = make_scores(7 / 12, {1: 5, 2: 5})
        scores |= {"windows": 12, "recordings": 2, "confusion": COUNTS}
        scores |= {"recording_accuracy": 3 / 4, "class_accuracy": (3 / 4 + 4 / 8) / 2}
        runs = [run | {"seed": seed} for run in scores["by_fold"] for seed in range(2)]
        made[f"mel-{protocol}"] = Scores.model_validate(scores | {"provenance": {}, "by_fold": runs})
    write_gzip_rows(path, rows)
    check_agrees(path, read_cells(path, COLUMNS), made)
    change(rows)
    write_gzip_rows(path, rows)
    return refusal(ResultError, check_agrees, path, read_cells(path, COLUMNS), made).removeprefix(str(path))


def edit(place: int, **changes: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda rows: rows[place].update(changes)


def right_elsewhere(rows: list[dict[str, Any]]) -> None:
    """One window of a bird that was right is wrong, one of rain that was wrong is right."""
    rows[0]["windows_right"] -= 1
    rows[1]["windows_right"] += 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.pop(), f": mel-paper: runs are [(1, 0), (1, 1), (2, 0)], by scores.json {RUNS}."),
        (edit(0, seed=2), f": mel-fair: runs are [(1, 1), (1, 2), (2, 0), (2, 1)], by scores.json {RUNS}."),
        (edit(0, clip="3.wav"), ": mel-fair: recordings are 3, by scores.json 2."),
        (edit(0, windows=3), ": mel-fair: windows are 13, by scores.json 12."),
        (edit(0, windows_right=1), ": mel-fair: windows right are 6, by scores.json 7."),
        (edit(2, predicted="bird"), ": mel-fair: recordings right are 1.0, by scores.json 0.75."),
        (right_elsewhere, ": mel-fair: mean of classes are 0.5625, by scores.json 0.625."),
        (edit(0, label="rain"), ": mel-fair: windows of bird are 2, by scores.json 4."),
        (edit(0, label="dog"), ": mel-fair: label is 'dog', no class of scores.json."),
        (edit(0, predicted="=1+1"), ": mel-fair: predicted is '=1+1', no class of scores.json."),
        (edit(0, predicted_by_seeds=""), ": mel-fair: predicted_by_seeds is '', no class of scores.json."),
        (edit(5, clip=""), ", line 7: no clip."),
        (lambda rows: rows.__delitem__(slice(4, 8)), ": mel-paper is in scores.json and not in predictions.csv.gz."),
        (edit(0, protocol="raw"), ": mel-raw is in predictions.csv.gz and not in scores.json."),
    ],
)  # fmt: skip
def test_rows_that_are_not_those_of_the_scores_are_refused(
    tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], message: str
) -> None:
    assert of_both(change, tmp_path) == f"{message} {RESTORE}"


def test_a_finished_run_without_its_learning_curve_is_refused(tmp_path: Path) -> None:
    runs = make_scores(7 / 12, {1: 5, 2: 5, 3: 5})["by_fold"]
    runs[2]["diverged_at_epoch"] = 4  # of which no more is wanted than there is
    scores = Scores.model_validate(make_scores(7 / 12, {1: 5, 2: 5, 3: 5}) | {"provenance": {}, "by_fold": runs})
    path = tmp_path / "curves.csv.gz"
    check_curves(path, "mel-fair", [curve([0.5] * 5, 1), curve([0.5] * 6, 2)], scores)
    for short, epochs in (([], 0), ([curve([0.5] * 4, 2)], 4)):
        told = refusal(ResultError, check_curves, path, "mel-fair", [curve([0.5] * 5, 1), *short], scores)
        assert told == (
            f"{path}: mel-fair: {epochs} epochs of fold 2, seed 0, whose epoch 5 was tested by scores.json. {RESTORE}"
        )


def test_a_cell_of_features_that_are_not_told_is_refused(tmp_path: Path) -> None:
    cell = make_scores(7 / 12, {1: 5}) | {"provenance": {}}
    (tmp_path / "scores.json").write_text(json.dumps({"dataset": "pets", "features": {}, "cells": {"mel-fair": cell}}))
    told = f"{tmp_path / 'scores.json'}: features: nothing of mel's. Run its evaluate stage again."
    assert refusal(ResultError, read_scores, tmp_path, "pets") == told


HEADER = "representation,protocol,fold,seed,clip,group,label,windows,windows_right,predicted,predicted_by_seeds"
WITHOUT = HEADER.replace("fold,seed,", "").replace(",", ", ")
AGAIN = "Run its evaluate stage again."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, f": missing. {AGAIN}"),
        (b"", f": no column {HEADER.replace(',', ', ')}. It has none."),
        (b"fold,seed\n", f": no column {WITHOUT}. It has fold, seed."),
        (f"{HEADER},clip\n".encode(), f": column 'clip' stands there twice. {AGAIN}"),
        (f"{HEADER}\nmel,fair,0\n".encode(), ", line 2: the row does not have the header's 11 values."),
        (
            f"{HEADER},reconstruction_error\nmel,fair,1,0,1.wav,a,bird,2,1,bird,bird,much\n".encode(),
            ", line 2: reconstruction_error is 'much', not a finite number.",
        ),
    ],
)
def test_a_file_that_is_no_table_of_recordings_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "predictions.csv.gz"
    if content is not None:
        path.write_bytes(gzip.compress(content))
    assert read_error(path) == message


WHOLE = gzip.compress(f"{HEADER}\n".encode() * 50)


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (WHOLE[:-12], "Compressed file ended before the end-of-stream marker was reached"),
        (WHOLE[:-8] + b"\0" * 8, "CRC check failed *"),
        (WHOLE[:10] + b"\xff" * 10 + WHOLE[20:], "Error -3 while decompressing data: *"),
        (HEADER.encode(), "Not a gzipped file (b're')"),
    ],
    ids=["cut", "checksum", "content", "not compressed"],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damaged: bytes, message: str) -> None:
    path = tmp_path / "predictions.csv.gz"
    path.write_bytes(damaged)
    assert fnmatchcase(read_error(path), f": not a gzip file of CSV: {message}. {AGAIN}")
