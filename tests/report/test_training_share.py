"""The tables of what a tuned protocol chose, and of accuracy by the share of recordings trained on."""

from dataclasses import replace
from pathlib import Path

from matplotlib.container import ErrorbarContainer

from beyond_spectrograms.evaluation.ladder import leakage_step
from beyond_spectrograms.evaluation.records import Trial
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.params import load_params
from beyond_spectrograms.report.dataset_report import draw
from beyond_spectrograms.report.table import to_markdown
from beyond_spectrograms.report.training_share import curves_of, training_share_figures, training_share_tables
from beyond_spectrograms.report.tuning import tuning_table
from support.hands import results, scored
from support.looks import assert_nothing_overlaps_or_is_clipped
from support.repository import REPOSITORY

SHARES = {"clean_10_percent": 0.1, "clean_25_percent": 0.25, "clean_50_percent": 0.5, "clean": 1.0}
RIGHT = {"soundstream": [2, 3] * 10, "mel": [1, 2] * 10}


def known(*run: str) -> Results:
    cells = {(name, protocol): scored(name, protocol, right) for name, right in RIGHT.items() for protocol in run}
    params = load_params(Path("studies/clean"), REPOSITORY)
    made = results(cells, protocols=params.grid.protocols)
    return replace(made, params=made.params.model_copy(update={"protocols": params.protocols, "splits": params.splits}))


def test_shares_are_those_of_protocols_that_differ_in_nothing_else_the_smallest_first() -> None:
    assert {name: list(curve) for name, curve in curves_of(known("clean")).items()} == {"training_share": list(SHARES)}
    assert curves_of(replace(known("clean"), protocols=("clean", "tuned", "clean_window"))) == {}


def test_few_examples_come_before_shares_and_a_second_protocol_has_a_curve_of_its_own() -> None:
    few = ["probe_16_a_class", "probe_1_a_class", "probe_mean_deviation", "probe_4_a_class", "probe_mean"]
    made = replace(known(*few, "clean"), protocols=(*few, "clean", "clean_10_percent"))
    assert {name: list(curve) for name, curve in curves_of(made).items()} == {
        "training_share": ["probe_1_a_class", "probe_4_a_class", "probe_16_a_class", "probe_mean_deviation"],
        "training_share-clean": ["clean_10_percent", "clean"],
    }
    lines = to_markdown(training_share_tables(made)["training_share"]).splitlines()
    columns = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert columns == ["representation", "1 a class", "4 a class", "16 a class", "100 % of recordings", "note"]
    assert (
        "- So many training recordings a class are drawn anew for every seed, fewer within more, and at most as many "
        "validate; the test part is whole. Protocol probe_mean_deviation."
    ) in lines
    figure = training_share_figures(made)["training_share"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1", "4", "16", "100 %"]
    assert_nothing_overlaps_or_is_clipped(figure)


def test_the_leak_is_judged_under_the_same_recipe_and_seeds() -> None:
    assert leakage_step(known("clean")) == ("clean_window", "clean")


def test_a_share_that_was_not_run_shows_a_dash_and_none_at_all_no_table() -> None:
    assert training_share_tables(known("tuned")) == {}
    table = training_share_tables(known("clean", "clean_10_percent"))["training_share"]
    lines = to_markdown(table).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (lines[2], lines[4])]
    assert cells[0] == ["representation", *(f"{share} % of recordings" for share in (10, 25, 50, 100)), "note"]
    assert [cell.split(" ")[0] for cell in cells[1]] == ["soundstream", "62.5", "-", "-", "62.5", ""]


def test_the_figure_has_a_line_a_representation_and_a_place_a_share(tmp_path: Path) -> None:
    made = known(*SHARES)
    figure = training_share_figures(made)["training_share"]
    [axes] = figure.axes
    lines = [one for one in axes.containers if isinstance(one, ErrorbarContainer)]
    assert [line.get_label() for line in lines] == list(RIGHT)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10 %", "25 %", "50 %", "100 %"]
    assert_nothing_overlaps_or_is_clipped(figure)
    draw(made, {}, tmp_path)
    assert (tmp_path / "training_share.png").exists()


def test_a_row_a_fold_says_what_was_chosen_and_how_far_the_other_trials_reached() -> None:
    made = known("tuned")
    cell = made.cell("mel", "tuned")
    assert cell.scores is not None
    accuracies = [(1, "a", 0.5, False), (1, "b", 0.625, True), (1, "c", None, False), (2, "a", 0.75, True)]
    accuracies += [(2, "b", 0.25, False)]
    trials = [
        Trial.model_validate(
            {"fold": fold, "seed": 0, "trial": name, "validation_accuracy": reached, "chosen": chosen}
            | {"learning_rate": 0.003, "standardize": name == "b"}
        )
        for fold, name, reached, chosen in accuracies
    ]
    cells = made.cells | {("mel", "tuned"): replace(cell, scores=cell.scores.model_copy(update={"trials": trials}))}
    table = tuning_table(replace(made, cells=cells))
    assert table is not None
    assert [[show(row) for show in table.columns.values()] for row in table.rows] == [
        ["mel", "tuned", "1", "learning_rate 0.003, standardize true", "62.5", "50.0", "0.0", "3"],
        ["mel", "tuned", "2", "learning_rate 0.003, standardize false", "75.0", "50.0", "25.0", "2"],
    ]
    assert tuning_table(known("clean")) is None
