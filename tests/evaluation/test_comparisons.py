"""Codec against spectrogram: which pairs are tested, corrected by Holm, and marked only where that survives."""

from dataclasses import replace

import pytest
from statsmodels.stats.multitest import multipletests

from beyond_spectrograms.evaluation.comparisons import compare_with_baselines, matched
from beyond_spectrograms.evaluation.records import Features, Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import compare
from beyond_spectrograms.report.comparisons import comparisons_table
from beyond_spectrograms.report.notes import explain_intervals, explain_marks, mark
from beyond_spectrograms.report.table import SIGNED, interval_row, show_interval
from support.hands import QUICK, results, scored, with_statistics

# Windows right of 4, for 20 recordings.
LOW = [1, 2] * 10
HIGH = [4, 3] * 10
AHEAD = [value + (place % 5 == 0) for place, value in enumerate(LOW)]  # by one window in every fifth recording


CONTROL = "encodec_24khz_untrained"
RIGHT = {"mel": LOW, "log_mel_2048": LOW[::-1], "soundstream": HIGH, CONTROL: AHEAD, "log_mel": HIGH}


def known() -> Results:
    cells = {(name, protocol): scored(name, protocol, RIGHT[name]) for protocol in ("paper", "fair") for name in RIGHT}
    return results(cells | {("soundstream", "paper"): scored("soundstream", "paper", LOW[::-1])})


def test_every_codec_is_compared_with_every_baseline_under_each_protocol_and_no_spectrogram_is() -> None:
    pairs = compare_with_baselines(known())
    assert [(pair.codec, pair.baseline, pair.protocol) for pair in pairs] == [
        (codec, baseline, protocol)
        for protocol in ("paper", "fair")
        for codec in ("soundstream", CONTROL)
        for baseline in ("mel", "log_mel_2048")
    ]


def test_shuffled_labels_and_cells_that_were_not_run_are_compared_with_nothing() -> None:
    here = known()
    del here.cells["mel", "fair"]
    assert ("mel", "fair") not in {(pair.baseline, pair.protocol) for pair in compare_with_baselines(here)}
    shuffled = {(name, "shuffled_labels"): scored(name, "shuffled_labels", LOW) for name in ("mel", "soundstream")}
    assert compare_with_baselines(results(shuffled)) == []


def test_a_codec_is_compared_with_the_spectrogram_of_its_own_size_as_well() -> None:
    here = known()
    sizes = {"soundstream": (64, 50), "log_mel": (64, 50), "mel": (128, 173), CONTROL: (128, 75)}
    features = {
        name: Features(windows=9, bands=bands, frames=frames, bytes=1, variance={})
        for name, (bands, frames) in sizes.items()
    }
    here = replace(here, features=features)
    assert matched(here, "soundstream") == ["log_mel"]
    assert matched(here, CONTROL) == []
    pairs = compare_with_baselines(here)
    compared = {codec: [p.baseline for p in pairs if (p.codec, p.protocol) == (codec, "fair")] for codec in sizes}
    assert compared["soundstream"] == ["mel", "log_mel_2048", "log_mel"]
    assert compared[CONTROL] == ["mel", "log_mel_2048"]
    rows = comparisons_table(here, pairs).rows
    assert {row["baseline"] for row in rows if row["matched"] == "same size"} == {"log_mel"}
    assert mark(here, [pair for pair in pairs if pair.baseline == "log_mel"], "soundstream", "paper") == ""


def test_resamples_too_few_to_mark_anything_are_told() -> None:
    here = known()
    pairs = compare_with_baselines(here)  # times 4: the smallest p of 999 resamples, 0.002, is 0.064 after correction
    note = "Nothing can be marked: with so few resamples no corrected p of windows is below 0.064."
    assert comparisons_table(here, pairs * 4).notes[-1] == note
    assert note not in comparisons_table(here, pairs).notes


def test_p_values_are_corrected_by_holm_over_all_pairs_of_the_data_set() -> None:
    here = known()
    pairs = compare_with_baselines(here)
    alone = []
    for pair in pairs:
        ours, theirs = (here.cell(name, pair.protocol).recordings for name in (pair.codec, pair.baseline))
        assert ours is not None
        assert theirs is not None
        alone.append(compare(ours, theirs, QUICK))
    assert [pair.comparison for pair in pairs] == alone
    windows, recordings = (
        multipletests(values, method="holm")[1]
        for values in ([test.p for test in alone], [test.mcnemar_p for test in alone])
    )
    assert [pair.p_windows for pair in pairs] == pytest.approx(windows)
    assert [pair.p_recordings for pair in pairs] == pytest.approx(recordings)


def test_only_what_survives_the_correction_is_marked() -> None:
    here = known()
    pairs = compare_with_baselines(here)
    # The lead of AHEAD alone has p under 0.05 and, of eight tests, not after correction.
    (ahead,) = [p for p in pairs if (p.codec, p.baseline, p.protocol) == (CONTROL, "mel", "fair")]
    assert ahead.comparison.p is not None
    assert ahead.p_windows is not None
    assert ahead.comparison.p <= 0.05 < ahead.p_windows
    marks = [mark(here, pairs, codec, protocol) for codec in ("soundstream", CONTROL) for protocol in ("fair", "paper")]
    assert marks == ["*†", "", "", ""]
    (single,) = compare_with_baselines(results({(name, "fair"): here.cells[name, "fair"] for name in ("mel", CONTROL)}))
    assert single.p_windows == single.comparison.p
    assert mark(here, [single], CONTROL, "fair") == "*"  # the only test there is


def test_too_few_sources_give_no_p_and_no_mark_and_do_not_count_for_holm() -> None:
    here = known()
    for name in ("mel", "soundstream"):
        here.cells[name, "fair"] = scored(name, "fair", (LOW if name == "mel" else HIGH)[:4])
    del here.cells["log_mel_2048", "fair"], here.cells[CONTROL, "fair"]
    pairs = compare_with_baselines(here)
    (few,) = [pair for pair in pairs if pair.protocol == "fair"]
    assert (few.comparison.p, few.p_windows) == (None, None)
    assert mark(here, pairs, "soundstream", "fair") == ""
    others = [pair for pair in pairs if pair.protocol == "paper"]
    expected = multipletests([pair.comparison.p for pair in others], method="holm")[1]
    assert [pair.p_windows for pair in others] == pytest.approx(expected)


def test_the_table_shows_the_difference_both_tests_and_their_correction() -> None:
    here = known()
    pairs = compare_with_baselines(here)
    table = comparisons_table(here, pairs)
    assert len(table.rows) == 8
    wanted = {"representation": "soundstream", "baseline": "mel", "protocol": "fair"}
    (row,) = [row for row in table.rows if wanted.items() <= row.items()]
    shown = {heading: show(row) for heading, show in table.columns.items()}
    # 20 recordings of 4 windows: 70 right against 30, and every recording right against none.
    low, high = row["difference_low_percent"], row["difference_high_percent"]
    assert low < row["difference_percent"] == 50 < high  # type: ignore[operator]
    assert shown["difference, points"] == f"+50.0 [+{low:.1f}, +{high:.1f}] *"
    assert (row["only_codec_right"], row["only_baseline_right"], row["note"]) == (20, 0, "")
    assert (row["p_recordings"], shown["p, recordings"]) == (pytest.approx(2 * 0.5**20), "< 0.0001")
    assert (row["p_windows"], shown["p, windows"]) == (2 / 1000, "0.0020")
    assert {row["note"] for row in table.rows if row["representation"] == CONTROL} == {"Control."}
    assert table.notes[-1] == "Corrected: Holm, for the 8 pairs of this table."


def test_nothing_is_marked_where_too_few_runs_tell_how_much_they_differ() -> None:
    def two(seeds: int) -> Results:
        return results({(name, "fair"): scored(name, "fair", RIGHT[name], seeds) for name in ("mel", "soundstream")})

    here, twice = two(1), two(2)
    (pair,) = compare_with_baselines(here)
    assert pair.p_windows == 2 / 1000
    assert mark(here, [pair], "soundstream", "fair") == ""
    (row,) = comparisons_table(here, [pair]).rows
    remark = "One seed: the interval leaves out how much training runs differ."
    assert (row["difference_mark"], row["note"]) == ("", remark)
    assert mark(twice, compare_with_baselines(twice), "soundstream", "fair") == "*"
    strict = with_statistics(twice, minimum_runs=11)  # two seeds in five folds are ten
    assert mark(strict, compare_with_baselines(strict), "soundstream", "fair") == ""


def test_the_legend_names_the_baselines_of_the_marks() -> None:
    assert explain_marks(known()).startswith(
        "Marked: codecs whose window accuracy differs from that of * mel, † log_mel_2048 ("
    )
    assert explain_intervals(known()).startswith("In brackets: 95% interval, bootstrap over ")


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
