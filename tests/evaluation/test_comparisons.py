"""Pairs of cells: the contrasts that params name are tested and corrected, all others are shown alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from beyond_spectrograms.evaluation.comparisons import Pair, compare_classes, compare_pairs, opponent
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import compare
from beyond_spectrograms.report.comparisons import comparisons_table, contrasts_table
from beyond_spectrograms.report.notes import explain_intervals, explain_marks, mark
from beyond_spectrograms.report.table import SIGNED, interval_row, show_interval
from support.hands import FEW, curve, results, scored, with_contrasts, with_statistics

# Windows right of 4, for 40 recordings.
LOW = [1, 2, 1, 0, 2] * 8
HIGH = [4, 3, 4, 2, 3, 4, 4, 3] * 5
AHEAD = [value + (place % 7 == 0) for place, value in enumerate(LOW)]
CONTROL = "encodec_24khz_untrained"
RIGHT = {"mel": LOW, "log_mel_2048": LOW[::-1], "soundstream": HIGH, CONTROL: AHEAD, "log_mel": HIGH[::-1]}
CONTRASTS = [["soundstream", "mel"], ["soundstream", "best_spectrogram"], ["log_mel", "mel"], ["encodec_24khz", "mel"]]


def known(**changes: Any) -> Results:
    cells = {(name, protocol): scored(name, protocol, RIGHT[name]) for protocol in ("paper", "fair") for name in RIGHT}
    for (name, _), cell in cells.items():
        level = 0.9 if name == "log_mel" else 0.5
        curves = tuple(curve([level, level / 2], fold) for fold in range(1, 6))
        cells[name, _] = replace(cell, curves=curves)
    return with_contrasts(results(cells), **{"pairs": CONTRASTS, "under": ["fair"], **changes})


def named(pairs: list[Pair]) -> list[tuple[str, str, str]]:
    return [(pair.first, pair.second, pair.protocol) for pair in pairs if pair.named]


def test_named_contrasts_come_first_and_every_other_codec_and_spectrogram_are_paired_without_a_test() -> None:
    pairs = compare_pairs(known())
    assert named(pairs) == [
        ("soundstream", "mel", "fair"), ("soundstream", "best_spectrogram", "fair"), ("log_mel", "mel", "fair"),
    ]  # fmt: skip
    others = {(pair.first, pair.second, pair.protocol) for pair in pairs if not pair.named}
    spectrograms = ("mel", "log_mel", "log_mel_2048")
    every = {(a, b, p) for a in ("soundstream", CONTROL) for b in spectrograms for p in ("paper", "fair")}
    assert others == every - set(named(pairs))
    assert {pair.p for pair in pairs if not pair.named} == {None}
    assert {pair.verdict(0.95) for pair in pairs if not pair.named} == {""}


def test_shuffled_labels_are_compared_with_nothing() -> None:
    shuffled = {(name, "shuffled_labels"): scored(name, "shuffled_labels", LOW) for name in ("mel", "soundstream")}
    assert compare_pairs(results(shuffled)) == []


def test_p_is_corrected_for_all_contrasts_named_also_for_those_that_were_not_run() -> None:
    here = known()
    pairs = compare_pairs(here)[:3]
    alone = []
    for pair in pairs:
        ours, theirs = here.cell(pair.first, "fair").recordings, opponent(here, pair.second, "fair")[0].recordings
        assert ours is not None
        assert theirs is not None
        alone.append(compare(ours, theirs, FEW, tests=4))
    assert [pair.comparison for pair in pairs] == alone
    expected = multipletests([*(test.p for test in alone), 1.0], method="holm")[1]  # encodec_24khz was not run
    assert [pair.p for pair in pairs] == pytest.approx(expected[:3])


def test_the_best_spectrogram_is_chosen_in_every_fold_by_validation_alone() -> None:
    here = known()
    best = here.cells["log_mel_2048", "fair"]
    better = tuple(curve([0.95 if fold in (2, 4) else 0.1] * 2, fold) for fold in range(1, 6))
    here.cells["log_mel_2048", "fair"] = replace(best, curves=better)
    cell, note = opponent(here, "best_spectrogram", "fair")
    assert note == "log_mel in folds 1, 3, 5; log_mel_2048 in folds 2, 4"
    assert cell.recordings is not None
    for place, (fold, _) in enumerate(cell.recordings.runs):
        chosen = here.cells["log_mel_2048" if fold in (2, 4) else "log_mel", "fair"].recordings
        assert chosen is not None
        assert np.array_equal(cell.recordings.windows_right[place], chosen.windows_right[place])
    assert [curve.validation_accuracy[0] for curve in cell.curves] == [0.9, 0.95, 0.9, 0.95, 0.9]
    (row,) = [row for row in contrasts_table(here, compare_pairs(here)).rows if row["against"] == "best_spectrogram"]
    assert row["note"] == note


def test_a_spectrogram_with_fewer_runs_is_left_out_where_it_lacks_them_whatever_its_place_in_params() -> None:
    here = known()
    few = here.cells["mel", "fair"]
    assert few.recordings is not None
    runs = [run for run in few.recordings.runs if run[0] in (1, 2)]
    curves = tuple(curve([0.99, 0.99], fold) for fold in (1, 2))
    here.cells["mel", "fair"] = replace(few, curves=curves, recordings=few.recordings.of_runs(runs))
    cell, note = opponent(here, "best_spectrogram", "fair")
    assert note == "mel in folds 1, 2; log_mel in folds 3, 4, 5; mel left out for other runs in folds 3, 4, 5"
    assert cell.recordings is not None
    for name, folds in (("mel", (1, 2)), ("log_mel", (3, 4, 5))):
        whole = here.cells[name, "fair"].recordings
        assert whole is not None
        taken = [run for run in whole.runs if run[0] in folds]
        one, other = cell.recordings.of_runs(taken), whole.of_runs(taken)
        assert (one.clips, one.labels, one.sources, one.runs) == (other.clips, other.labels, other.sources, other.runs)
        for values in ("windows", "windows_right", "right", "right_by_seeds"):
            np.testing.assert_array_equal(getattr(one, values), getattr(other, values))
    assert {found.validation_accuracy[0] for found in cell.curves[:2]} == {0.99}


def test_what_a_contrast_decides_depends_on_the_corrected_p() -> None:
    here = known(pairs=[[CONTROL, "mel"], *CONTRASTS])
    (ahead, clear, *_) = compare_pairs(here)
    assert clear.verdict(0.95) == "better"
    assert ahead.comparison.p is not None
    assert ahead.p is not None
    assert ahead.comparison.p < ahead.p
    between = 1 - (ahead.comparison.p + ahead.p) / 2  # a confidence at which only the correction says no
    assert ahead.verdict(between) == "undecided"
    assert replace(ahead, p=ahead.comparison.p).verdict(between) == "better"
    turned = replace(clear, comparison=replace(clear.comparison, difference=Interval(-0.4)))
    assert turned.verdict(0.95) == "worse"
    same = replace(ahead, p=1.0, comparison=replace(ahead.comparison, same=True))
    assert same.verdict(0.95) == "same"


def test_marks_are_of_named_contrasts_alone() -> None:
    here = known()
    pairs = compare_pairs(here)
    marks = {name: mark(here, pairs, name, "fair") for name in RIGHT}
    assert marks == {"soundstream": "*", "log_mel": "*", "mel": "", "log_mel_2048": "", CONTROL: ""}
    assert mark(here, pairs, "soundstream", "paper") == ""
    assert explain_marks(here) == (
        "Marked: differs from * mel, † best_spectrogram in a contrast that params.yaml names (p <= 0.05 after Holm's "
        "correction); other pairs are not tested."
    )
    assert explain_intervals(here) == (
        "In brackets: 95% interval over sources (recordings of one origin) and training runs (docs/uncertainty.md); "
        "none with fewer than 5 runs or 5 sources, as the note says."
    )


def test_no_contrast_is_left_without_a_mark_for_there_being_many() -> None:
    others = [["soundstream", f"other_{number}"] for number in range(6)]
    here = known(pairs=[["soundstream", "mel"], *others, ["soundstream", CONTROL]])
    assert mark(here, compare_pairs(here), "soundstream", "fair") == "* ††"
    assert f"# other_4, ** other_5, †† {CONTROL} in a contrast" in explain_marks(here)


def test_contrasts_are_told_apart_by_class_on_its_recordings_alone() -> None:
    here = known()
    labels = tuple("bird" if place % 2 else "rain" for place in range(40))
    for name in ("mel", "log_mel", "log_mel_2048", "soundstream", CONTROL):
        cell = here.cells[name, "fair"]
        here.cells[name, "fair"] = replace(cell, recordings=replace(cell.recordings, labels=labels))
    pairs = compare_pairs(here)
    found = compare_classes(here, pairs[0])
    ours, theirs = (np.array(RIGHT[name]) / 4 for name in ("soundstream", "mel"))
    expected = {label: np.mean((ours - theirs)[[of == label for of in labels]]) for label in ("bird", "rain")}
    assert {label: of.difference.value for label, of in found.items()} == pytest.approx(expected)
    assert all(of.difference.low is not None for of in found.values())
    assert compare_classes(here, replace(pairs[0], second="encodec_24khz")) == {}


def test_too_few_runs_give_no_p_and_no_verdict() -> None:
    here = with_statistics(known(), minimum_runs=11)  # two seeds in five folds are ten
    pairs = compare_pairs(here)
    assert {(pair.p, pair.verdict(0.95)) for pair in pairs if pair.named} == {(None, "undecided")}
    assert mark(here, pairs, "soundstream", "fair") == ""


def test_the_tables_show_difference_correction_verdict_and_what_could_be_found() -> None:
    here = known()
    pairs = compare_pairs(here)
    table = contrasts_table(here, pairs)
    row, pair = table.rows[0], pairs[0]
    shown = {heading: show(row) for heading, show in table.columns.items()}
    difference = pair.comparison.difference
    assert difference.low is not None
    assert difference.high is not None
    values = [100 * value for value in (difference.value, difference.low, difference.high)]
    assert shown["difference, points"] == "+{:.1f} [+{:.1f}, +{:.1f}]".format(*values)
    assert (shown["p, corrected"], shown["verdict"], shown["note"]) == ("< 0.0001", "better", "")
    assert pair.comparison.detectable is not None
    assert shown["could be found"] == f"{100 * pair.comparison.detectable:.1f}"
    assert shown["validation, last epoch"] == "+0.0"  # every fold's curve ends alike
    assert "corrected by Holm for the 4 contrasts that params.yaml names" in table.notes[1]
    others = comparisons_table(here, pairs)
    assert {row["note"] for row in others.rows if row["representation"] == CONTROL} == {
        "control: untrained encoder, not EnCodec's result"
    }
    assert "verdict" not in others.columns


@pytest.mark.parametrize(
    ("interval", "marked", "options", "text"),
    [
        (Interval(0.712, 0.66, 0.7614), None, {}, "71.2 [66.0, 76.1]"),
        (Interval(0.712, 0.66, 0.7614), "*†", {}, "71.2 [66.0, 76.1] *†"),
        (Interval(0.712, reason="few"), "", {}, "71.2"),
        (Interval(-0.05, -0.1, 0.0), None, {"form": SIGNED}, "-5.0 [-10.0, +0.0]"),
        (Interval(-0.0001, -0.1, 0.1), None, {"form": SIGNED}, "+0.0 [-10.0, +10.0]"),
        (Interval(0.05, 0.025, 0.1), None, {"form": "z.2f"}, "5.00 [2.50, 10.00]"),
        (None, None, {}, "-"),
    ],
)
def test_an_interval_is_shown_in_percent_with_its_mark(
    interval: Interval | None, marked: str | None, options: dict[str, str], text: str
) -> None:
    assert show_interval("windows", **options)(interval_row("windows", interval) | {"windows_mark": marked}) == text
