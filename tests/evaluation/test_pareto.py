"""Accuracy against cost: which representations nothing beats in both, and costs of other hours on one scale."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from beyond_spectrograms.evaluation.costs import Costs
from beyond_spectrograms.evaluation.pareto import pareto_points
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.costs import pareto_table
from beyond_spectrograms.report.evidence_figures import figure_pareto
from beyond_spectrograms.report.table import to_markdown
from support.hands import measured, results, scored
from support.looks import assert_nothing_overlaps_or_is_clipped

FAIR = "fair"
# Right windows of 4 of each of 20 recordings: 37.5, 62.5, 87.5, 62.5 and 25 %.
RIGHT = {
    "mel": [1, 2],
    "log_mel": [2, 3],
    "soundstream": [4, 3],
    "encodec_24khz_untrained": [3, 2],
    "log_mel_2048": [1, 1],
}
SECONDS = {"log_mel": 1.0, "soundstream": 4.0, "encodec_24khz_untrained": 9.0, "log_mel_2048": 2.0}  # times mel's
ROUNDS = 8


def known(protocols: Sequence[str] = (FAIR,)) -> Results:
    return results({(name, of): scored(name, of, right * 10) for of in protocols for name, right in RIGHT.items()})


def costs(times: Mapping[str, float] = SECONDS, hours: Mapping[str, float] | None = None) -> dict[str, Costs]:
    """Make costs of mel and others; in some `hours` the machine takes several times as long."""
    mel = {"mel": 0.002}
    told = {"mel": Costs.model_validate(measured("mel", {"mel": [0.002] * ROUNDS}))}
    for name, ratio in times.items():
        slow = (hours or {}).get(name, 1.0)
        rounds = {one: [slow * seconds] * ROUNDS for one, seconds in (mel | {name: 0.002 * ratio}).items()}
        told[name] = Costs.model_validate(measured(name, rounds))
    return told


def test_what_nothing_beats_in_both_is_on_the_front() -> None:
    points = pareto_points(known(), costs())
    assert [(point.representation, point.dominated_by) for point in points] == [
        ("mel", ("log_mel",)),  # as cheap, and worse
        ("log_mel", ()),
        ("log_mel_2048", ("mel", "log_mel")),
        ("soundstream", ()),
        ("encodec_24khz_untrained", ("log_mel", "soundstream")),  # as accurate as log_mel, and dearer
    ]
    assert [point.cost.value for point in points] == pytest.approx([0.002, 0.002, 0.004, 0.008, 0.018])
    assert points[3].accuracy == known().cell("soundstream", FAIR).window_interval


def test_those_alike_in_both_do_not_beat_one_another() -> None:
    twins = results({(name, FAIR): scored(name, FAIR, [2, 3] * 10) for name in ("mel", "log_mel")})
    assert [point.dominated_by for point in pareto_points(twins, costs({"log_mel": 1.0}))] == [(), ()]


def test_a_slower_hour_does_not_change_the_order() -> None:
    usual, mixed = (pareto_points(known(), costs(hours=hours)) for hours in ({}, {"log_mel": 3.0}))
    assert [point.dominated_by for point in mixed] == [point.dominated_by for point in usual]
    assert mixed[1].cost.value == pytest.approx(0.002)  # its seconds are 0.006
    assert costs(hours={"log_mel": 3.0})["log_mel"].representations["log_mel"].file_s_per_s[0] == pytest.approx(0.006)


def test_what_stands_beside_others_alone_has_the_cost_it_had_there() -> None:
    beside = costs({"soundstream": 4.0})
    del beside["mel"]
    assert [point.representation for point in pareto_points(known(), beside)] == ["mel", "soundstream"]


def test_without_accuracy_cost_or_judged_protocol_there_is_no_point() -> None:
    assert pareto_points(known(), {}) == []
    assert pareto_points(known(["mean_linear"]), costs()) == []
    assert pareto_table(known(["mean_linear"]), costs()) is None
    assert figure_pareto(known(), {}) is None
    assert {point.representation for point in pareto_points(known(), costs({"log_mel": 2.0}))} == {"mel", "log_mel"}
    assert known(["paper", FAIR, "mean_linear"]).judged_protocol == FAIR


def test_the_table_says_what_is_beaten_by_which() -> None:
    table = pareto_table(known(), costs({"soundstream": 4.0, "encodec_24khz_untrained": 9.0}))
    assert table is not None
    shown = {str(row["representation"]): [show(row) for show in table.columns.values()] for row in table.rows}
    interval = known().cell("mel", FAIR).window_interval
    assert shown["mel"] == [
        "mel",
        "2.00",
        f"37.5 [{100 * interval.low:.1f}, {100 * interval.high:.1f}]",
        "yes",
        "-",
        "",
    ]
    assert shown["soundstream"][1:5:2] == ["8.00 [8.00, 8.00]", "yes"]
    assert shown["encodec_24khz_untrained"][3:] == [
        "no",
        "soundstream",
        "control: untrained encoder, not EnCodec's result",
    ]
    assert table.notes[-1] == "Not here, for want of a cost: log_mel, log_mel_2048."
    assert to_markdown(table).startswith("# Accuracy against cost: esc10, protocol fair\n")


def test_the_picture_has_the_front_as_a_line_and_controls_hollow() -> None:
    figure = figure_pareto(known(), costs())
    assert figure is not None
    (axes,) = figure.axes
    front, points = axes.lines[0], {bars.get_label(): bars[0] for bars in axes.containers}
    np.testing.assert_allclose(front.get_data(), [[2, 8], [62.5, 87.5]])
    assert front.get_drawstyle() == "steps-post"
    hollow = {label for label, point in points.items() if point.get_markerfacecolor() == "white"}
    assert hollow == {"encodec_24khz_untrained (control)"}
    assert points["soundstream"].get_markersize() > points["mel"].get_markersize()
    assert (axes.get_xscale(), axes.get_ylabel()) == ("log", "test windows right (%)")
    assert axes.get_xlabel() == "processor time to classify a second of sound from its file (ms)"
    assert_nothing_overlaps_or_is_clipped(figure)
