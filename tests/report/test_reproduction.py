"""The paper's own figures beside ours: what the committed runs say, when a figure is met, and what was not run."""

import contextlib
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from beyond_spectrograms.evaluation.comparisons import compare_pairs
from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.params.study import load_study
from beyond_spectrograms.report import published, tables
from beyond_spectrograms.report.dataset_report import figure_4
from beyond_spectrograms.report.reproduction import RULE, Measure, published_table
from beyond_spectrograms.report.table import Table
from stages.report import results_of
from support import hands
from support.cells import read, write_params
from support.hands import SETTINGS
from support.looks import assert_nothing_overlaps_or_is_clipped
from support.repository import REPOSITORY, stage_here

MUSIC_SPEECH = Path("studies/published/metrics/gtzan_music_speech")
FIVE = [[0.3, 0.5, 0.4]] * 5
CODEC = [[0.4, 0.45, 0.3], [0.41, 0.2, 0.3], [0.1, 0.2, 0.3], [0.1, 0.2, 0.5], [0.4, 0.2, 0.5]]


@pytest.fixture(scope="module")
def run() -> Results:
    """Read the runs of music/speech that are in git."""
    with contextlib.chdir(REPOSITORY):
        return results_of(load_study("published"), "gtzan_music_speech")


def table_of(results: Results) -> Table:
    table = published_table(results)
    assert table is not None
    return table


def made(cells: dict[tuple[str, str], Cell], dataset: str = "gtzan_music_speech") -> Results:
    return hands.with_statistics(replace(hands.results(cells), dataset=dataset), minimum_runs=5)


def said(table: Table) -> list[str]:
    """List the sentences about the paper's figures, which come after the rule."""
    return table.notes[table.notes.index(RULE) + 1 :]


def test_the_table_says_what_the_committed_curves_and_scores_say(run: Results) -> None:
    row = hands.find(table_of(run), representation="soundstream")
    curves = pd.read_csv(REPOSITORY / MUSIC_SPEECH / "curves.csv.gz")
    mine = curves[curves["representation"] == "soundstream"]
    ends = 100 * mine[mine["epoch"] == mine["epoch"].max()]["validation_accuracy"]
    low, high = student.interval(0.95, len(ends) - 1, ends.mean(), ends.sem())
    assert (row["validation"], row["validation_low"], row["validation_high"]) == pytest.approx((ends.mean(), low, high))
    near = [
        of["epoch"][of["validation_accuracy"] >= 0.99 * of["validation_accuracy"].max()].min()
        for _, of in mine.groupby("seed")
    ]
    found = tuple(row[f"near_best{part}"] for part in ("", "_low", "_high"))
    assert found == (np.median(near), min(near), max(near))
    tested = [100 * of.window_accuracy for of in run.cell("soundstream", "published").scores.by_fold]
    assert row["test"] == pytest.approx(np.mean(tested))
    assert (row["runs"], row["epochs"], row["note"]) == (5, 1000, "")


def test_every_figure_of_the_paper_has_a_sentence(run: Results) -> None:
    sentences = said(table_of(run))
    for printed in ("94.14 %", "94.27 %", "94.40 %", "96.88 %", "end, 81:", "end, 109:", "best, 400:", "best, 100:"):
        (sentence,) = [each for each in sentences if printed in each]
        off = r"[\d.]+ (points (above|below)|epochs (later|earlier))"
        assert re.search(rf", another codec, .*, {off}\.$|: mel, .*, {off}, not judged with 2 runs\.$", sentence)


def test_the_mark_is_mels_final_value_of_the_same_run_and_never_is_told() -> None:
    table = table_of(made({("mel", "paper"): hands.trained(FIVE), ("soundstream", "paper"): hands.trained(CODEC)}))
    row = hands.find(table, representation="soundstream")
    # mel ends at 0.4 everywhere, after 0.5: above it at 2, 1, never, 3, 3 (0.4 itself is not above).
    assert row["passes_shown"] == "3 (1 to never)"
    assert (row["passes"], row["passes_low"], row["passes_high"]) == (3, 1, None)
    assert hands.find(table, representation="mel")["passes_shown"] == "-"
    assert said(table)[:3] == [
        "paper: mel's validation accuracy at the end, 94.14 %: mel, 40.0 [40.0, 40.0], not met, 54.1 points below.",
        "paper: mel's epoch near its best, 400: mel, 2 (2 to 2), not met, 398 epochs earlier.",
        "paper: EnCodec's first epoch above mel's end, 81: soundstream, another codec, 3 (1 to never), 78 epochs earlier.",  # noqa: E501
    ]
    assert "paper: EnCodec's validation accuracy at epoch 81, 94.27 %: not judged, no run is that long." in said(table)


def test_a_figure_is_met_where_a_further_run_could_have_it() -> None:
    five, two = Measure((94.0, 95.0, 96.0, 95.0, 95.0), SETTINGS), Measure((95.0, 96.0), SETTINGS)
    half = float(student.ppf(0.975, 4)) * math.sqrt(0.5 / 5)
    assert five.limits == pytest.approx((95 - half, 95 + half))
    assert (five.shown(), two.shown()) == (f"95.0 [{95 - half:.1f}, {95 + half:.1f}]", "95.0, 96.0")
    # A further value: 2.776 x 0.707 x sqrt(1 + 1 / 5) = 2.15.
    assert five.against(97.1, True) == "met, 2.1 points below"
    assert five.against(97.2, True) == "not met, 2.2 points below"
    assert five.against(97.2, False) == "2.2 points below"
    assert two.against(95.9, True) == "0.4 points below, not judged with 2 runs"
    epochs = Measure((28.0, 46.0, math.inf, 50.0, 52.0), SETTINGS, is_epoch=True)
    assert (epochs.shown(), epochs.against(81, True)) == ("50 (28 to never)", "met, 31 epochs earlier")
    assert epochs.against(27, True) == "not met, 23 epochs later"
    few = Measure((28.0, math.inf), SETTINGS, is_epoch=True)
    assert (few.shown(), few.against(20, True)) == ("28, never", "half of the runs or more never do")
    high = Measure((99.0, 100.0, 97.0, 100.0, 100.0), SETTINGS)
    assert high.limits[1] > 100
    assert high.shown().endswith(", 100.0]")
    assert high.row("a")["a_high"] == 100
    alike = Measure((95.0,) * 5, SETTINGS)
    assert (alike.shown(), alike.against(95, True)) == ("95.0 [95.0, 95.0]", "met, 0.0 points below")


def test_what_was_not_run_and_controls_are_not_set_beside_encodec() -> None:
    cells = {("mel", "paper"): hands.trained(FIVE), ("encodec_24khz_untrained", "paper"): hands.trained(CODEC)}
    assert said(table_of(made(cells)))[2:] == ["paper: EnCodec's figures: not run, nor any other trained codec."]
    alone = table_of(made({("soundstream", "paper"): hands.trained(CODEC[:2])}))
    assert said(alone)[:2] == [
        "paper: mel's validation accuracy at the end, 94.14 %: not judged, no run of mel.",
        "paper: mel's epoch near its best, 400: not judged, no run of mel.",
    ]
    assert hands.find(alone, representation="soundstream")["validation_shown"] == "30.0, 30.0"


def test_only_the_papers_data_sets_and_protocols_have_the_table() -> None:
    assert published_table(made({("mel", "fair"): hands.trained(FIVE)})) is None
    assert published_table(made({("mel", "paper"): hands.trained(FIVE)}, "esc10")) is None


def test_an_edition_of_a_data_set_stands_beside_the_papers_figures_of_it(tmp_path: Path) -> None:
    results = read(tmp_path, "esc50_ogg", ["mel", "encodec_24khz"], ["paper"])
    assert hands.find(table_of(results), representation="mel")["paper_validation"] == "34.20"
    codec = hands.find(tables.table_1(results), representation="encodec_24khz")
    assert codec["paper_test_percent"] == "58.85 is the better of the two"
    assert published.reported("esc50_ogg") == published.reported("esc50") != []


def test_under_splits_by_seed_cells_are_compared_on_the_runs_that_both_have(run: Results) -> None:
    cell = run.cell("soundstream", "published")
    assert cell.recordings is not None
    two = cell.recordings.of_runs({(1, 0), (3, 2)})
    assert (two.runs, two.windows.any(axis=0).all()) == (((1, 0), (3, 2)), True)
    worse = replace(two, cell="mel-published", windows_right=np.maximum(two.windows_right - 1, 0))
    cells = {("soundstream", "published"): cell, ("mel", "published"): replace(cell, recordings=worse)}
    pair, *_ = compare_pairs(replace(run, cells=cells))
    lost = (two.windows_right.sum() - worse.windows_right.sum()) / two.windows.sum()
    assert pair.comparison.difference.value == pytest.approx(lost)
    assert str(pair.comparison.difference.reason).startswith("2 runs; ")
    cells["mel", "published"] = replace(cell, recordings=replace(worse, runs=((8, 8), (9, 9))))
    assert compare_pairs(replace(run, cells=cells)) == []


def test_figure_4_has_the_papers_letters_and_names_what_was_not_run(run: Results) -> None:
    genres = made({("mel", "published"): hands.trained(FIVE), ("soundstream", "published"): hands.trained(CODEC)})
    figure = figure_4([run, replace(genres, dataset="esc50_ogg")], "published")
    assert figure is not None
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        f"({letter}) {name}: {measure}"
        for letter, name, measure in (
            ("a", "gtzan_music_speech", "accuracy"),
            ("c", "esc50_ogg", "accuracy"),
            ("d", "gtzan_music_speech", "loss"),
            ("f", "esc50_ogg", "loss"),
        )
    ]
    first, second, *_ = figure.get_suptitle().splitlines()
    assert first == "Figure 4 under the protocol published: validation accuracy and loss"
    assert second == "gtzan_music_speech, log_mel: 1 of 2 runs diverged; gtzan_genres: not run"
    assert "runs (each with a split of its own)" in figure.get_suptitle()
    assert_nothing_overlaps_or_is_clipped(figure)
    assert figure_4([replace(run, dataset="esc10")], "published") is None


def test_a_study_without_costs_ladder_and_fair_is_reported_from_its_files(tmp_path: Path) -> None:
    write_params(tmp_path, "published")
    for folder in (MUSIC_SPEECH, Path("metrics/gtzan_music_speech")):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("tables", "claims.json"))
    for command in (["report", "--study=published", "gtzan_music_speech"], ["draw", "--study=published"]):
        stage_here(tmp_path, *command)
    written = sorted(path.stem for path in (tmp_path / MUSIC_SPEECH / "tables").glob("*.md"))
    assert {"published", "results", "convergence", "table_1", "table_2"} <= set(written)
    assert not {"ladder", "advantage", "leakage_gap", "costs"} & set(written)
    for name in ("published", "table_1"):
        again, kept = ((top / MUSIC_SPEECH / f"tables/{name}.md").read_bytes() for top in (tmp_path, REPOSITORY))
        assert again == kept
    drawn = {path.name for path in (tmp_path / "studies/published/plots").rglob("*.png")}
    assert drawn == {"figure_4-published.png", "confusion-published.png", "reliability-published.png"}
    (tmp_path / MUSIC_SPEECH / "scores.json").unlink()
    told = "studies/published: none of the paper's data sets was run under paper or published: nothing to draw\n"
    assert stage_here(tmp_path, "draw", "--study=published") == told
    assert not (tmp_path / "studies/published/plots/figure_4").exists()
