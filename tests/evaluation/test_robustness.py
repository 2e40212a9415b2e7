"""What disturbances change: paired with the same weights' answers to sounds as they are, and told in one table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from beyond_spectrograms.evaluation.records import ResultError
from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.evaluation.robustness import compare_disturbed
from beyond_spectrograms.evaluation.uncertainty import compare
from beyond_spectrograms.params import STUDIES, load_params
from beyond_spectrograms.report.robustness import robustness_table
from support.common import refusal
from support.hands import FEW, results, scored
from support.repository import REPOSITORY

PARAMS = load_params(STUDIES / "robustness", REPOSITORY).model_copy(update={"statistics": FEW})
CLEAN = [3, 4] * 10  # windows right of 4, of 20 recordings
NOISY = [2, 4, 1, 4] * 5
CELL = ("soundstream", "fair")


def known(disturbed: Mapping[str, Sequence[int]], weights: str | None = None, seeds: int = 2) -> Results:
    """Give the results of a codec, disturbed in some ways, and of a spectrogram that was not."""
    clean = {(name, "fair"): scored(name, "fair", CLEAN, seeds) for name in ("soundstream", "mel")}
    found = {name: {CELL: with_weights(scored(*CELL, right, seeds), weights)} for name, right in disturbed.items()}
    return replace(results(clean), params=PARAMS, disturbed=found)


def with_weights(cell: Cell, digest: str | None) -> Cell:
    runs = [run.model_copy(update={"weights_sha256": digest}) for run in cell.scores.by_fold]
    return replace(cell, scores=cell.scores.model_copy(update={"by_fold": runs}))


def test_a_difference_is_paired_with_the_same_runs_on_sounds_as_they_are() -> None:
    here = known({"noise_20db": NOISY, "mp3_64kbps": CLEAN})
    found = compare_disturbed(here, *CELL)
    noisy, clean = here.disturbed["noise_20db"][CELL].recordings, here.cell(*CELL).recordings
    assert found["noise_20db"] == compare(noisy, clean, FEW)
    assert found["noise_20db"].difference.value == pytest.approx((11 - 14) / 16)
    assert found["noise_20db"].difference.high < 0
    assert (found["mp3_64kbps"].difference.value, found["mp3_64kbps"].difference.low) == (0, None)
    assert compare_disturbed(here, "mel", "fair") == {}


def test_answers_of_other_weights_are_not_compared() -> None:
    assert refusal(ResultError, compare_disturbed, known({"noise_20db": NOISY}, "0" * 64), *CELL) == (
        "esc10, noise_20db: soundstream-fair was answered by other weights than those whose scores stand beside it. "
        "Run its disturb and evaluate stages again."
    )


def test_the_table_has_a_column_a_disturbance_and_a_row_a_cell_that_was_disturbed() -> None:
    table = robustness_table(known({"noise_20db": NOISY, "mp3_64kbps": CLEAN}))
    (shown,) = [{head: show(row) for head, show in table.columns.items()} for row in table.rows]
    assert list(shown) == [
        *("representation", "protocol", "windows % clean"),
        *(f"{name}, points" for name in PARAMS.disturbances),
        "note",
    ]
    assert shown["windows % clean"].startswith("87.5 [")
    assert shown["noise_20db, points"].startswith("-18.8 [-")
    assert (shown["mp3_64kbps, points"], shown["noise_10db, points"]) == ("+0.0", "-")
    assert shown["note"] == "mp3_64kbps: Every source differs alike: there is no spread to judge by."
    assert table.rows[0]["noise_20db_percent"] == pytest.approx(68.75)
    assert table.rows[0]["noise_10db_minus_clean_points"] is None
    assert table.notes[1] == (
        "Disturbed is the test part alone, each recording whole and at its own sample rate: noise_20db: noise, snr_db "
        "20; noise_10db: noise, snr_db 10; mp3_64kbps: mp3, bitrate_kbps 64; gain_minus_12db: gain, db -12; "
        "gain_plus_6db: gain, db 6; low_pass_8khz: low_pass, cutoff_hz 8000, order 8."
    )


def test_a_reason_that_all_disturbances_share_is_told_once() -> None:
    with_few = known({"noise_20db": NOISY, "noise_10db": CLEAN[::-1]}, seeds=1)
    statistics = FEW.model_copy(update={"minimum_runs": 6})
    few = replace(with_few, params=PARAMS.model_copy(update={"statistics": statistics}))
    (row,) = robustness_table(few).rows
    assert row["note"] == "5 runs; 6 are needed for an interval."


def test_there_is_no_table_where_nothing_was_disturbed() -> None:
    assert robustness_table(known({})).rows == []
