"""Tables of a data set: what each says of cells that ran, did not, diverged or are controls, and files refused."""

import csv
import gzip
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beyond_spectrograms.evaluation.agreement import RESTORE
from beyond_spectrograms.evaluation.convergence import mean_curve, read_curves
from beyond_spectrograms.evaluation.records import ResultError, read_scores
from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.params import WeightsRecord
from beyond_spectrograms.report import published, tables
from beyond_spectrograms.report.convergence import convergence_table, tidy_curves
from beyond_spectrograms.report.costs import sizes_table
from beyond_spectrograms.report.learning_curves import smooth
from beyond_spectrograms.report.table import Row, Table, text, to_csv, to_markdown
from stages.show import tell
from support import hands
from support.cells import change_scores, grid, read, read_back, write_dataset, write_gzip, write_params
from support.common import refusal
from support.hands import find, shown

PROTOCOLS = ("paper", "source_split", "fair")
FEW = {"confidence": 0.95, "minimum_sources": 5, "minimum_runs": 3, "margin": 0.03}
HEADER = "representation,protocol,fold,seed,epoch,training_accuracy,training_loss,validation_accuracy,validation_loss\n"


def test_csv_holds_in_full_what_markdown_rounds(tmp_path: Path) -> None:
    table = tables.table_1(read(tmp_path, "esc10", ["mel"], PROTOCOLS, statistics=FEW))
    rows = csv.DictReader(io.StringIO(to_csv(table.rows, list(table.rows[0]))))
    (row,) = [row for row in rows if (row["representation"], row["protocol"]) == ("mel", "source_split")]
    assert float(row["classes_percent"]) == 50
    # Curves are kept to nine figures.
    assert float(row["last_validation_accuracy_percent"]) == pytest.approx(100 * 0.5 * 20 / 22, rel=1e-8)
    assert (float(row["windows_percent"]), float(row["recordings_percent"])) == (50, pytest.approx(100 * 7 / 12))
    line = next(line for line in to_markdown(table).splitlines() if line.startswith("| mel") and "source_split" in line)
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    keys = [f"{key}{limit}_percent" for key in ("windows", "recordings") for limit in ("", "_low", "_high")]
    figures = [f"{float(row[key]):.1f}" for key in keys]
    shown_intervals = [f"{value} [{low}, {high}]" for value, low, high in (figures[:3], figures[3:])]
    assert cells == ["mel", "source_split", *shown_intervals, "50.0", "53.1", "3", "-", "45.5 (20)", ""]


def test_too_few_sources_give_no_interval_and_the_note_says_so(tmp_path: Path) -> None:
    row = shown(tables.table_1(read(tmp_path, "esc10", ["mel"], ("fair",))), representation="mel")
    assert (row["windows %"], row["recordings %"]) == ("50.0", "58.3")
    assert row["note"] == "Only 12 sources were tested; 30 are needed for an interval."


def test_the_papers_inputs_have_a_row_that_says_not_run(tmp_path: Path) -> None:
    results = read(tmp_path, "esc10", ["soundstream"], PROTOCOLS)
    assert results.rows == ("mel", "soundstream", "encodec_24khz", "encodec_48khz")
    for table in (tables.table_1(results), sizes_table(results), convergence_table(results)):
        rows = [row for row in table.rows if row["representation"] == "encodec_48khz"]
        assert rows
        for row in rows:
            assert row["note"] == "not run"
            measured = {value for key, value in row.items() if not key.startswith("paper_")}
            assert measured - {"encodec_48khz", *PROTOCOLS, "not run", ""} == {None}
    assert shown(tables.summary(results, []), representation="mel")["fair %"] == "-"


def test_untrained_encoders_are_called_controls_everywhere(tmp_path: Path) -> None:
    results = read(tmp_path, "esc10", ["encodec_24khz_untrained"], PROTOCOLS)
    control = "control: untrained encoder, not EnCodec's result"
    makers = (tables.table_1, sizes_table, lambda known: tables.summary(known, []), convergence_table)
    for table in (make(results) for make in makers):
        rows = [row for row in table.rows if row["representation"] == "encodec_24khz_untrained"]
        assert rows
        assert {str(row["note"]).split("; ")[0] for row in rows} == {control}
    best = find(tables.table_2(results), source="this project, fair")
    assert (best["system"], best["note"]) == ("encodec_24khz_untrained, conv1d", control)
    assert {row["representation"] for row in tidy_curves(results)} == {"encodec_24khz_untrained (control)"}


def test_models_that_others_trained_stand_beside_the_published_figures(tmp_path: Path) -> None:
    table = tables.table_2(read(tmp_path, "esc50", ["mel", "soundstream", "yamnet", "efficientat_mn04"], ("fair",)))
    ours = [row["system"] for row in table.rows if row["source"] == "this project, fair"]
    assert ours == ["soundstream, conv1d", "yamnet, conv1d", "efficientat_mn04, conv1d"]
    assert "Ours, too: every model that others trained and that is no codec, its weights as they are." in table.notes


def test_weights_that_may_know_what_tests_are_noted_in_every_row(tmp_path: Path) -> None:
    results = read(tmp_path, "esc10", ["soundstream", "mel"], PROTOCOLS)
    [weights] = results.params.weights_records("soundstream").values()
    assert isinstance(weights, WeightsRecord)
    known = weights.model_copy(update={"trained_on": ["freesound", "librispeech"]})
    params = results.params.model_copy(update={"weights": results.params.weights | {"soundstream_encoder": known}})
    heard = replace(results, params=params)
    told = "its weights were trained on freesound, where sounds of esc10 are from: it may know what tests"
    for table in (tables.table_1(heard), sizes_table(heard), tables.summary(heard, [])):
        notes = {str(row["representation"]): str(row["note"]) for row in table.rows}
        assert notes["soundstream"].split("; ")[0] == told
        assert told not in notes["mel"]


def test_the_papers_figures_stand_beside_its_protocol_only(tmp_path: Path) -> None:
    table = tables.table_1(read(tmp_path, "gtzan_genres", ["mel", "encodec_24khz"], PROTOCOLS))
    mel, encodec = (shown(table, representation=name, protocol="paper") for name in ("mel", "encodec_24khz"))
    assert (mel["paper: test %"], mel["paper: validation %"]) == ("not recoverable", "71.30 (epoch 1000)")
    assert encodec["paper: test %"] == "80.84 is the better of the two"
    assert encodec["paper: validation %"] == "71.73 (epoch 154) or 71.41 (epoch 122)"
    assert shown(table, representation="encodec_24khz", protocol="fair")["paper: test %"] == "-"
    assert "its other cells are not recoverable from the text." in to_markdown(table)


def test_no_figure_of_the_paper_is_shown_for_a_data_set_it_did_not_use(tmp_path: Path) -> None:
    results = read(tmp_path, "esc10", ["mel"], PROTOCOLS)
    for table in (tables.table_1(results), convergence_table(results)):
        assert not [heading for heading in table.columns if heading.startswith("paper: ")]
    assert tables.table_1(results).notes[-1] == "The paper has no figures for esc10."
    assert [row["source"] for row in tables.table_2(results).rows] == [f"this project, {name}" for name in PROTOCOLS]
    assert tables.table_2(results).notes[-1] == "No source this project rests on reports a figure for esc10."


def change(results: Results, cell: Cell, name: str = "mel", **scores: Any) -> None:
    """Give the cell of fair other scores."""
    results.cells[name, "fair"] = replace(cell, scores=cell.scores.model_copy(update=scores))


def test_table_1_says_what_was_tested_and_how_many_recordings_straddle(tmp_path: Path) -> None:
    results = read(tmp_path, "esc10", ["mel"], PROTOCOLS)
    fair = results.cell("mel", "fair")
    change(results, fair, windows=2 * fair.scores.windows, silent_windows=2, by_fold=2 * fair.scores.by_fold)
    start, end = "tested on 36 windows (1 silent) of 12 recordings", "of 12 recordings have windows in more than one of"
    parts = "training, validation and test."
    assert tables.table_1(results).notes[4:7] == [
        f"paper: {start} in 1 runs. Split window: 11 {end} {parts}",
        f"source_split: {start} in 3 runs. Split source: 0 {end} {parts}",
        f"fair: {start.replace('36', '72').replace('1 silent', '2 silent')} in 6 runs. Split source: 0 {end} {parts}",
    ]


@pytest.mark.parametrize(
    ("dataset", "panns", "best"),
    [("gtzan_music_speech", 99.7, 96.88), ("gtzan_genres", 86.3, 80.84), ("esc50", 94.7, 58.85)],
)
def test_table_2_sets_our_best_beside_others(tmp_path: Path, dataset: str, panns: float, best: float) -> None:
    table = tables.table_2(read(tmp_path, dataset, ["mel", "soundstream", "log_mel"], PROTOCOLS))
    ours = find(table, source="this project, fair")
    assert (ours["system"], ours["window_accuracy_percent"]) == ("soundstream, conv1d", 75)
    assert find(table, source="paper, Table 2", system="PANNs [17]")["reported_percent"] == panns
    assert find(table, source="paper, Table 1")["reported_percent"] == best


def test_table_2_says_under_which_protocol_a_figure_was_measured_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    table = tables.table_2(read(tmp_path, "esc50_ogg", ["mel"], PROTOCOLS))
    paper, fair = (shown(table, source=f"this project, {name}") for name in ("paper", "fair"))
    assert paper["protocol"] == (
        "split window, sgd 0.01, inputs as they are, tested at the last epoch, dropout active in testing"
    )
    assert (paper["flaw"], fair["flaw"]) == ("windows of 11 recordings in two parts or more", "-")
    encodec = shown(table, source="MAEB (embeddings-benchmark/results at f4cc6c8)", system="EnCodec 24 kHz")
    assert encodec["protocol"].startswith("mean over time, logistic regression, 8 examples a class")
    assert encodec["flaw"].startswith("sources of ESC-50 may stand in training and test")
    assert (encodec["as reported %"], encodec["windows %"]) == ("11.50", "-")
    assert shown(table, system="human listeners")["flaw"] == "human listeners, another test"
    assert shown(table, system="PaSST [19]")["protocol"] == "protocol not stated there"


def test_a_protocol_that_is_tuned_or_learns_from_a_share_says_so(tmp_path: Path) -> None:
    table = tables.table_2(read(tmp_path, "esc10", ["mel"], ("tuned", "clean_10_percent")))
    selected = "tested at the epoch of best validation accuracy"
    assert [shown(table, source=f"this project, {name}")["protocol"] for name in ("tuned", "clean_10_percent")] == [
        f"split source, adam, each fold's own validation part chooses among 8 recipes, {selected}",
        f"split source, 10% of the training recordings, adam 0.001, inputs standardised, {selected}",
    ]


def test_every_figure_of_others_names_its_protocol_and_its_flaw_and_stands_in_one_place() -> None:
    header, *rows = published.list_all()
    assert header[4:] == ["esc50 %", "gtzan_genres %", "gtzan_music_speech %"]
    assert all(cell for row in rows for cell in row)
    assert len({tuple(row[:2]) for row in rows}) == len(rows)
    assert all(any(figure != "-" for figure in row[4:]) for row in rows)
    for place, dataset in enumerate(published.DATASETS, start=4):
        listed = [(row[0], row[1], row[place]) for row in rows if row[place] != "-"]
        assert [(s.name, system, f"{of:g}") for s, system, of in published.reported(dataset)] == listed


def test_sizes_are_the_papers(tmp_path: Path) -> None:
    table = sizes_table(read(tmp_path, "esc10", ["mel", "encodec_24khz", "encodec_48khz"], PROTOCOLS))
    for name, items, change in (("encodec_24khz", "75", "-56.65"), ("encodec_48khz", "150", "-13.29")):
        row = shown(table, representation=name)
        assert (row["items per second"], row["against mel %"]) == (items, change)
        assert (row["paper: items"], row["paper: against mel %"]) == (items, change)
    mel = shown(table, representation="mel")
    assert (mel["items per second"], mel["paper: items"], mel["bytes per second"]) == ("173", "173", "88576")


def test_a_run_that_diverged_in_its_first_epoch_has_no_curve_and_is_named(tmp_path: Path) -> None:
    results = read(tmp_path, "esc10", ["mel", "log_mel"], ("fair",))
    change(results, Cell(results.cell("log_mel", "fair").scores), "log_mel", diverged_runs=3)
    assert find(tables.summary(results, []), representation="log_mel")["note"] == "fair: 3 of 3 runs diverged"
    best = find(tables.table_2(results), source="this project, fair")
    assert (best["system"], best["note"]) == ("mel, conv1d", "")  # log_mel has no validation accuracy to be chosen by
    why = "3 of 3 runs diverged; their weights selected before were tested"
    for table in (convergence_table(results), tables.table_1(results)):
        assert find(table, representation="log_mel", protocol="fair")["note"] == why
    assert {row["representation"] for row in tidy_curves(results)} == {"mel"}


def test_runs_that_diverged_are_left_out_of_the_mean_curve(tmp_path: Path) -> None:
    results = read(tmp_path, "esc10", ["mel"], ("fair",))
    cell = results.cell("mel", "fair")
    first, *others = cell.scores.by_fold
    change(results, cell, by_fold=[first.model_copy(update={"diverged_at_epoch": 3}), *others])
    assert [curve.fold for curve in results.cell("mel", "fair").whole_curves] == [2, 3]
    expected = mean_curve(cell.curves[1:]).validation_loss
    assert [row["validation_loss"] for row in tidy_curves(results)] == pytest.approx(list(expected))


def test_the_size_of_a_mel_spectrogram_that_was_not_run_follows_its_frame_law(tmp_path: Path) -> None:
    two_seconds = {"length_s": 2.0, "hop_s": 1.0, "tail": "drop"}
    known = read(tmp_path, "esc10", ["soundstream"], ("fair",), windows=two_seconds)
    row = find(sizes_table(known), representation="mel")
    assert (row["items_per_window"], row["items_per_second"]) == (345, 172.5)
    assert row["note"] == "not run; size by the frame law"


def test_the_smoothed_curve_is_the_papers() -> None:
    np.testing.assert_allclose(smooth(np.array([1.0, 0.0, 0.5])), [1.0, 0.8, 0.74])


def test_convergence_is_counted_against_mel_of_the_same_fold() -> None:
    mel = [[0.3, 0.5, 0.4], [0.1, 0.2, 0.2], [0.6, 0.7, 0.7]]
    other = hands.trained([[0.5, 0.6, 0.606], [0.3, 0.2, 0.1], [0.1, 0.1, 0.1]])
    table = convergence_table(hands.results({("mel", "fair"): hands.trained(mel), ("log_mel", "fair"): other}))
    row = shown(table, representation="log_mel")
    # Fold 1 equals mel's 0.5 at epoch 1 and passes it at 2; fold 2 passes 0.2 at once; fold 3 never passes 0.7.
    assert row["first epoch better than mel's best"] == "2 (1 to never), 1 never"
    # 0.6 is 99.01 % of 0.606.
    assert row["epochs to within 1 % of own best"] == "1 (1 to 2)"
    assert shown(table, representation="mel")["first epoch better than mel's best"] == "-"
    found = find(table, representation="log_mel")
    assert (found["epochs_to_beat_mel_median"], found["epochs_to_beat_mel_max"]) == (2.0, None)
    never = convergence_table(hands.results({(name, "fair"): hands.trained(mel[:1]) for name in ("mel", "log_mel")}))
    assert shown(never, representation="log_mel")["first epoch better than mel's best"] == "-, 1 never"
    assert "never: so many runs do not pass mel's best at any epoch; - where at least half do not." in never.notes


def test_the_papers_convergence_is_shown_with_its_doubt(tmp_path: Path) -> None:
    table = convergence_table(read(tmp_path, "esc50", ["mel", "encodec_24khz"], PROTOCOLS))
    row = shown(table, representation="encodec_24khz", protocol="paper")
    assert (row["paper: better than mel"], row["paper: near best"]) == ("110 or 111", "50")
    assert shown(table, representation="mel", protocol="paper")["paper: near best"] == "400"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window_accuracy": 1.5}, "window_accuracy: Input should be less than or equal to 1."),
        ({"without_silent": {}}, "without_silent.window_accuracy: Field required."),
        ({"folds": "few"}, "folds: Input should be a valid integer, unable to parse string as an integer."),
    ],
)
def test_scores_that_are_not_what_evaluate_writes_are_refused(tmp_path: Path, change: Row, message: str) -> None:
    write_params(tmp_path)
    write_dataset(tmp_path, "esc10", ["mel"], ["paper"])
    change_scores(tmp_path, "esc10", "mel-paper", **change)
    told = refusal(ResultError, read_scores, tmp_path / "metrics/esc10", "esc10")
    assert told == f"{tmp_path}/metrics/esc10/scores.json: cells.mel-paper.{message} Run its stage again."


def test_scores_that_are_not_there_or_of_another_data_set_are_refused(tmp_path: Path) -> None:
    write_params(tmp_path)
    write_dataset(tmp_path, "demo", ["mel"], ["paper"])
    demo = tmp_path / "metrics/demo"
    assert refusal(ResultError, read_scores, demo, "esc10") == (
        f"{demo}/scores.json: holds the scores of demo, not of esc10."
    )
    assert refusal(ResultError, read_scores, tmp_path, "esc10") == (
        f"{tmp_path}/scores.json: missing. Run its stage again, or restore it from git."
    )


def test_a_cell_without_its_recordings_is_refused(tmp_path: Path) -> None:
    read(tmp_path, "esc10", ["mel"], ["paper", "fair"])
    path = tmp_path / "metrics/esc10/predictions.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        kept = [line for line in file if not line.startswith("mel,fair,")]
    write_gzip(path, "".join(kept))
    assert refusal(ResultError, read_back, tmp_path, "esc10") == (
        f"metrics/esc10/predictions.csv.gz: mel-fair is in scores.json and not in predictions.csv.gz. {RESTORE}"
    )


def test_what_is_not_asked_for_is_not_read(tmp_path: Path) -> None:
    write_params(tmp_path, grid=grid("esc10", ["mel"], ["fair"]))
    write_dataset(tmp_path, "esc10", ["mel", "log_mel"], ["paper", "fair"])
    assert list(read_back(tmp_path, "esc10").cells) == [("mel", "fair")]


def test_a_study_s_cells_stand_beside_those_of_the_root(tmp_path: Path) -> None:
    codes = "soundstream_3200bps"
    write_params(tmp_path, "bitrates", grid=grid("esc10", [codes], ["fair"], beside=["mel", "log_mel_2048"]))
    write_dataset(tmp_path, "esc10", ["mel", "soundstream"], ["paper", "fair"])
    write_dataset(tmp_path, "esc10", [codes], ["fair"], study="bitrates")
    results = read_back(tmp_path, "esc10", "bitrates")
    assert list(results.cells) == [(codes, "fair"), ("mel", "fair")]
    assert results.rows == ("mel", "log_mel_2048", "encodec_24khz", "encodec_48khz")
    assert (results.ablations, results.ablation_protocols) == ((codes,), ("fair",))
    assert set(results.features) == {codes, "mel"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("2,0.5,1,0.5,1", "2: epoch 2 where 1 is due."),
        ("1,0.5,1,0.5,1;1,0.5,1,0.5,1", "3: epoch 1 where 2 is due."),
        ("1,0.5,1,0.5,x", "2: validation_loss is 'x', not a finite number."),
        ("1.5,0.5,1,0.5,1", "2: epoch is '1.5', not a whole number."),
        ("1,0.5,1,50,1", "2: validation_accuracy is 50, not in 0..1."),
        ("1,0.5,1,nan,1", "2: validation_accuracy is 'nan', not a finite number."),
    ],
)
def test_a_history_that_is_not_what_train_writes_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    path = tmp_path / "curves.csv.gz"
    write_gzip(path, HEADER + "".join(f"mel,fair,1,0,{row}\n" for row in rows.split(";")))
    assert refusal(ResultError, read_curves, path) == f"{path}, line {message}"


def test_the_validation_accuracy_of_a_cell_is_that_at_the_epochs_tested(tmp_path: Path) -> None:
    cell = read(tmp_path, "esc10", ["mel"], ("fair",)).cell("mel", "fair")

    def at_epochs(*epochs: int) -> float | None:
        runs = [run.model_copy(update={"epoch": at}) for run, at in zip(cell.scores.by_fold, epochs, strict=True)]
        return replace(cell, scores=cell.scores.model_copy(update={"by_fold": runs})).validation_accuracy()

    # Half of epoch / (epoch + 2); the second run diverged before it finished an epoch.
    assert at_epochs(2, 0, 6) == pytest.approx((0.5 * 2 / 4 + 0.5 * 6 / 8) / 2)
    assert at_epochs(0, 0, 0) is None
    assert Cell().validation_accuracy() is None


def test_a_terminal_is_told_tables_in_no_more_columns_than_it_has(tmp_path: Path) -> None:
    note = "control: untrained encoder, not EnCodec's result"
    rows: list[Row] = [{"name": "mel", "note": ""}, {"name": "encodec[/b]", "note": note}]
    written = to_markdown(Table("Title", rows, {"representation": text("name"), "note": text("note")}, ["a note"]))
    (tmp_path / "results.md").write_text(written, encoding="utf-8")
    assert tell(tmp_path / "results.md", None) == written
    shown = tell(tmp_path / "results.md", 40)
    assert max(map(len, shown.splitlines())) <= 40
    words = set(re.findall(r"[^\s│┃]+", shown))
    assert {"Title", "mel", "encodec[/b]", *note.split()} <= words
