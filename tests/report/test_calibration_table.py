"""The table and the picture of calibration: what they say of runs, of old scores and of answers by distance."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import t as student

from beyond_spectrograms.evaluation.calibration import calibrate
from beyond_spectrograms.evaluation.records import Calibration
from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.report.calibration import calibration_table
from beyond_spectrograms.report.dataset_report import tabulate
from beyond_spectrograms.report.evidence_figures import figure_reliability
from beyond_spectrograms.report.table import Table, to_markdown
from support.hands import PARAMS, results, scored, shown
from support.looks import assert_nothing_overlaps_or_is_clipped

RIGHT = [2, 3] * 10
WINDOWS = 100  # of a run


def with_calibration(name: str, protocol: str, sure: Sequence[float], right: Sequence[float], seeds: int = 2) -> Cell:
    """Make a cell whose runs, by fold, answer with the probabilities `sure` and are right in these shares."""
    cell = scored(name, protocol, RIGHT, seeds)
    rows = [
        {"fold": fold, "seed": seed, "label": "dog", "predicted": "dog" if place < WINDOWS * share else "rain"}
        | {"probability": confidence}
        for seed in range(seeds)
        for fold, (confidence, share) in enumerate(zip(sure, right, strict=True), start=1)
        for place in range(WINDOWS)
    ]
    known = Calibration.model_validate(calibrate(pd.DataFrame(rows)))
    assert cell.scores is not None
    return replace(cell, scores=cell.scores.model_copy(update={"calibration": known}))


BOLD = with_calibration("mel", "fair", [0.9, 0.9, 0.9, 0.9, 0.9], [0.5, 0.6, 0.7, 0.5, 0.6])
MEEK = with_calibration("soundstream", "fair", [0.5, 0.3, 0.5, 0.5, 0.5], [0.8, 0.8, 0.8, 0.9, 0.7])


def known(**more: Cell) -> Results:
    cells = {
        ("mel", "fair"): BOLD,
        ("soundstream", "fair"): MEEK,
        ("log_mel", "fair"): scored("log_mel", "fair", RIGHT),
    }
    return results(cells | {("mel", protocol): cell for protocol, cell in more.items()})


def table_of(of: Results) -> Table:
    table = calibration_table(of)
    assert table is not None
    return table


def test_the_table_says_how_far_off_and_to_which_side_with_an_interval_over_folds() -> None:
    table = table_of(known())
    off = 100 * (0.9 - np.array([0.5, 0.6, 0.7, 0.5, 0.6]))
    low, high = student.interval(0.95, len(off) - 1, off.mean(), off.std(ddof=1) / len(off) ** 0.5)
    mel = shown(table, representation="mel")
    assert mel["calibration error, points"] == f"{off.mean():.1f} [{low:.1f}, {high:.1f}]"
    assert mel["confidence - accuracy, points"] == f"+{off.mean():.1f} [+{low:.1f}, +{high:.1f}]"
    assert (mel["runs"], mel["note"]) == ("10", "")
    assert shown(table, representation="soundstream")["confidence - accuracy, points"].startswith("-34.0 [-")
    assert "mean over runs" in to_markdown(table)


def test_scores_from_before_it_was_measured_show_a_dash_and_say_why() -> None:
    log_mel = shown(table_of(known()), representation="log_mel")
    assert (log_mel["calibration error, points"], log_mel["confidence - accuracy, points"]) == ("-", "-")
    assert (log_mel["runs"], log_mel["note"]) == ("-", "scored before this was measured")
    old = results({("mel", "fair"): scored("mel", "fair", RIGHT)})
    assert calibration_table(old) is None
    assert figure_reliability(old, "fair") is None
    assert "calibration" not in tabulate(old, [], {})


def test_few_runs_have_no_interval() -> None:
    few = with_calibration("mel", "fair", [0.9, 0.9], [0.5, 0.6])
    row = shown(table_of(results({("mel", "fair"): few})), representation="mel")
    assert row["calibration error, points"] == "35.0"
    assert row["note"] == "Only 4 runs; 5 are needed for an interval."
    one_fold = with_calibration("mel", "fair", [0.9], [0.5], seeds=5)
    assert shown(table_of(results({("mel", "fair"): one_fold})), representation="mel")["note"] == (
        "Only 1 folds were run; 3 are needed for an interval."
    )


def test_answers_by_distance_have_no_row_and_are_named() -> None:
    table = table_of(known(nearest_source=scored("mel", "nearest_source", RIGHT)))
    assert {row["protocol"] for row in table.rows} == {"fair"}
    assert table.notes[-1] == "Not here, since their answers are distances and no probabilities: nearest_source."


def test_the_picture_has_a_line_a_representation_beside_the_diagonal() -> None:
    figure = figure_reliability(known(), "fair")
    assert figure is not None
    (axes,) = figure.axes
    lines = {str(line.get_label()): line for line in axes.lines}
    assert list(lines) == ["calibrated", "mel: error 32.0", "soundstream: error 34.0"]
    # soundstream: the fold of 30 % is a bin of its own, of two seeds; the four others together are right in 80 %.
    np.testing.assert_allclose(lines["soundstream: error 34.0"].get_data(), [[30, 50], [80, 80]])
    np.testing.assert_allclose(lines["calibrated"].get_data(), [[0, 100], [0, 100]])
    assert axes.get_ylabel() == "test windows right (%)"
    assert_nothing_overlaps_or_is_clipped(figure)
    assert figure_reliability(known(), "paper") is None


def test_many_names_below_the_picture_leave_it_its_height() -> None:
    few = figure_reliability(known(), "fair")
    cells = {(name, "fair"): BOLD for name in PARAMS.representations}
    many = figure_reliability(results(cells), "fair")
    assert few is not None
    assert many is not None
    heights = []
    for figure in (few, many):
        figure.canvas.draw()
        (axes,) = figure.axes
        heights.append(axes.get_window_extent().height / figure.dpi)
    assert heights[1] > 0.7 * heights[0]


def test_a_bin_of_few_windows_is_not_drawn() -> None:
    mostly = [0.9] * WINDOWS + [0.2] * 19
    rows = pd.DataFrame({"fold": 1, "seed": 0, "label": "dog", "predicted": "dog", "probability": mostly})
    assert BOLD.scores is not None
    scores = BOLD.scores.model_copy(update={"calibration": Calibration.model_validate(calibrate(rows))})
    figure = figure_reliability(results({("mel", "fair"): replace(BOLD, scores=scores)}), "fair")
    assert figure is not None
    _, line = figure.axes[0].lines
    np.testing.assert_allclose(line.get_data(), [[90], [100]])
    assert "bins of at least 20 windows" in figure.get_suptitle()
