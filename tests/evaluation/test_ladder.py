"""The ladder of protocols: one change a rung, whole by merge keys, and the tables that walk along it."""

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.evaluation.comparisons import compare_pairs
from beyond_spectrograms.evaluation.ladder import rungs
from beyond_spectrograms.params import load_params
from beyond_spectrograms.report.ladder import advantage_table, ladder_table, leakage_table, step_notes
from beyond_spectrograms.report.table import Row, Table
from support import hands
from support.cells import write_params
from support.clones import edit
from support.hands import PARAMS, results, scored, with_contrasts
from support.repository import REPOSITORY

LADDER = PARAMS.claims.ladder
# Windows right of 4, for 20 recordings.
LOW, MIDDLE, HIGH = [1, 2] * 10, [2, 1, 3, 2] * 5, [4, 3] * 10
STEPS = {
    "eval_mode": {"dropout_at_evaluation": False},
    "best_checkpoint": {"select": "best_validation_loss"},
    "source_split": {"split": "source"},
    "standardized": {"standardize": True},
    "fair": {"optimizer": "adam", "learning_rate": 0.001},  # one change: a rate belongs to its optimiser
}


def differences(before: str, after: str) -> dict[str, Any]:
    old, new = (PARAMS.protocols[name].model_dump() for name in (before, after))
    return {key: new[key] for key in new if new[key] != old.get(key)}


def test_each_rung_of_the_ladder_changes_one_thing() -> None:
    assert ["paper", *STEPS] == LADDER
    assert {after: differences(before, after) for before, after in pairwise(LADDER)} == STEPS


def test_what_stands_beside_the_ladder_changes_one_thing_of_fair() -> None:
    changed = {"epochs": 50, "select": "best_validation_accuracy", "seeds": [0, 1, 2, 3, 4]}
    assert differences("fair", "clean") == changed
    assert list(differences("clean", "tuned")) == ["trials"]
    assert differences("clean", "clean_window") == {"split": "window_by_seed"}
    assert differences("clean", "clean_25_percent") == {"training_share": 0.25}
    assert differences("fair", "mean_linear") == {"classifier": "mean_linear"}
    assert differences("fair", "shuffled_labels") == {"shuffle_labels": True, "epochs": 10}
    assert differences("probe_mean", "probe_mean_deviation") == {"classifier": "probe_mean_deviation"}
    assert differences("probe_mean", "nearest_source") == {"classifier": "nearest_neighbour"}
    for split in ("source", "window"):
        assert differences(f"nearest_{split}", f"dealt_{split}") == {"deal_labels": 1}


def test_an_edit_of_paper_reaches_every_protocol_that_takes_it(tmp_path: Path) -> None:
    write_params(tmp_path)
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    # By ruamel.yaml, as `dvc exp run -S` does.
    edit(tmp_path, "params.yaml", {"protocols.paper.batch_size": 64, "protocols.paper.seeds": [5]})
    before, text = ((folder / "params.yaml").read_text(encoding="utf-8") for folder in (REPOSITORY, tmp_path))
    protocols = load_params(root=tmp_path).protocols
    assert {protocol.batch_size for protocol in protocols.values()} == {64}
    assert {tuple(protocols[name].seeds) for name in [*LADDER, "mean_linear", "shuffled_labels"]} == {(5,)}
    assert protocols["paper"].learning_rate == protocols["standardized"].learning_rate == 0.01
    assert protocols["fair"].learning_rate == 0.001
    assert text.count("<<: *") == before.count("<<: *")  # the merges outlive the edit


def find(table: Table, **wanted: str) -> tuple[Row, dict[str, str]]:
    """Find one row, and how Markdown shows it."""
    return hands.find(table, **wanted), hands.shown(table, **wanted)


def known() -> Any:
    """Make cells under three rungs: soundstream leads by far under the window split and nowhere else."""
    right = {"mel": LOW, "log_mel_2048": MIDDLE, "soundstream": HIGH, "encodec_24khz_untrained": LOW}
    cells = {}
    for protocol in ("best_checkpoint", "source_split", "fair"):
        for name, counts in right.items():
            clean = LOW[::-1] if name == "soundstream" and protocol != "best_checkpoint" else counts
            cells[name, protocol] = scored(name, protocol, clean)
    named = [["soundstream", "mel"], ["soundstream", "log_mel_2048"]]
    return with_contrasts(results(cells), pairs=named, under=["best_checkpoint", "source_split", "fair"])


def test_rungs_are_those_asked_for_and_each_is_told_by_what_it_changes() -> None:
    assert rungs(results({}, ["mean_linear", "fair", "paper"])) == ["paper", "fair"]
    assert step_notes(known()) == [
        "source_split: best_checkpoint, with split: source.",
        "fair: source_split, with standardize: true, optimizer: adam, learning_rate: 0.001.",
    ]


def test_the_ladder_table_has_every_representation_at_every_rung_and_a_dash_where_it_was_not_run() -> None:
    here = known()
    table = ladder_table(here, compare_pairs(here))
    assert [row["representation"] for row in table.rows] == list(here.rows)
    assert list(table.columns) == ["representation", "best_checkpoint %", "source_split %", "fair %", "note"]
    row, shown = find(table, representation="soundstream")
    # 70 of 80 windows under the window split, 30 of 80 under the source split.
    assert (row["best_checkpoint_percent"], row["source_split_percent"]) == (87.5, 37.5)
    assert shown["best_checkpoint %"].endswith("] *†")
    assert shown["source_split %"].endswith("] †")  # it differs from log_mel_2048, which is better
    control, _ = find(table, representation="encodec_24khz_untrained")
    assert control["note"] == "control: untrained encoder, not EnCodec's result"
    del here.cells["soundstream", "fair"]
    table = ladder_table(here, compare_pairs(here))
    assert find(table, representation="soundstream")[1]["fair %"] == "-"
    for name in ("best_checkpoint", "source_split"):
        del here.cells["soundstream", name]
    assert find(ladder_table(here, []), representation="soundstream")[0]["note"] == "not run"


def test_the_advantage_is_codec_minus_spectrogram_at_every_rung() -> None:
    here = known()
    table = advantage_table(here, compare_pairs(here))
    assert [(row["representation"], row["baseline"]) for row in table.rows] == [
        (codec, baseline)
        for codec in ("soundstream", "encodec_24khz_untrained")
        for baseline in ("mel", "log_mel_2048")
    ]
    row, shown = find(table, representation="soundstream", baseline="mel")
    assert [row[f"{rung}_percent"] for rung in rungs(here)] == [50, 0, 0]
    assert shown["best_checkpoint"].startswith("+50.0 [+")
    assert shown["best_checkpoint"].endswith("] *")  # the mark of this baseline alone
    other, shown = find(table, representation="soundstream", baseline="log_mel_2048")
    assert [other[f"{rung}_percent"] for rung in rungs(here)] == [37.5, -12.5, -12.5]
    assert shown["best_checkpoint"].endswith("] †")
    for protocol in here.protocols:
        del here.cells["log_mel_2048", protocol]
    assert {row["baseline"] for row in advantage_table(here, compare_pairs(here)).rows} == {"mel"}


def test_the_leakage_gap_is_window_minus_source_split_on_the_recordings_both_test() -> None:
    here = known()
    # The window split tests 15 of the 20 recordings.
    leaky = scored("soundstream", "best_checkpoint", [4, 3, 3] * 5)
    here.cells["soundstream", "best_checkpoint"] = leaky
    table = leakage_table(here)
    assert table is not None
    assert list(table.columns)[1:3] == ["window split (best_checkpoint) %", "source split (source_split) %"]
    row, shown = find(table, representation="soundstream")
    # Of 60 windows 50 right under the one and, LOW[::-1] being 2, 1, 2, ..., 23 under the other.
    assert row["gap_percent"] == pytest.approx(100 * (50 - 23) / 60)
    assert shown["gap, points"].startswith("+45.0 [+")
    assert find(table, representation="mel")[0]["gap_percent"] == 0
    del here.cells["soundstream", "source_split"]
    table = leakage_table(here)
    assert table is not None
    row, shown = find(table, representation="soundstream")
    assert (row["gap_percent"], shown["gap, points"], row["note"]) == (None, "-", "not run")


def test_a_ladder_without_the_step_between_the_splits_has_no_leakage_table() -> None:
    assert leakage_table(results({("mel", rung): scored("mel", rung, LOW) for rung in ("paper", "eval_mode")})) is None
