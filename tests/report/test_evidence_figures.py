"""Pictures of the evidence: what they are labelled with, that nothing is clipped, and that bytes repeat."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beyond_spectrograms.evaluation.bitrates import points
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.evidence_figures import figure_bitrates, figure_ladder
from beyond_spectrograms.report.figures import styles
from support.hands import QUICK, results, scored
from support.looks import assert_nothing_overlaps_or_is_clipped

RUNGS = ["paper", "eval_mode", "best_checkpoint", "source_split", "standardized", "fair"]
RIGHT = {
    "mel": [1, 2] * 10,
    "log_mel_2048": [2, 1, 3, 2] * 5,
    "soundstream": [4, 3, 4, 2] * 5,
    "encodec_24khz_untrained": [1, 0] * 10,
}
RATES = {
    "soundstream_9200bps": [4, 3] * 10,
    "soundstream_6000bps": [3, 3, 2, 4] * 5,
    "soundstream_3200bps": [2, 3] * 10,
    "soundstream_codes_9200bps": [3, 2] * 10,
    "soundstream_codes_3200bps": [1, 3] * 10,
}
STYLES = styles([*RIGHT, *RATES])


def known() -> Results:
    cells = {(name, rung): scored(name, rung, right) for rung in RUNGS for name, right in RIGHT.items()}
    cells |= {(name, "fair"): scored(name, "fair", right) for name, right in RATES.items()}
    return results(cells, protocols=RUNGS, ablations=list(RATES))


def draw_ladder() -> Figure:
    return figure_ladder(known(), STYLES, chance=0.1)


def draw_bitrates() -> Figure:
    here = known()
    intervals = {name: here.cell(name, "fair").window_interval for name in ("mel", "log_mel_2048")}
    references = {name: interval for name, interval in intervals.items() if interval}
    return figure_bitrates(here, points(here, "fair"), STYLES, references, "esc10, protocol fair: accuracy")


def axes_of(figure: Figure) -> Axes:
    (axes,) = figure.axes
    return axes


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def places(axes: Axes, label: str) -> tuple[list[float], list[float]]:
    """Find where the points of a line of the legend stand."""
    (drawn,) = [container for container in axes.containers if container.get_label() == label]
    line = drawn[0]
    return [list(map(float, values)) for values in line.get_data()]  # type: ignore[return-value]


def test_every_rung_is_named_by_what_it_changes() -> None:
    labels = [label.get_text() for label in axes_of(draw_ladder()).get_xticklabels()]
    assert labels == [
        "paper\n",
        "eval_mode\ndropout_at_evaluation:\nfalse",
        "best_checkpoint\nselect:\nbest_validation_loss",
        "source_split\nsplit:\nsource",
        "standardized\nstandardize:\ntrue",
        "fair\noptimizer:\nadam\nlearning_rate:\n0.001",
    ]


def test_the_ladder_has_a_line_a_representation_with_its_intervals() -> None:
    figure = draw_ladder()
    axes = axes_of(figure)
    assert legend_of(figure) == ["mel", "log_mel_2048", "soundstream", "encodec_24khz_untrained (control)"]
    assert axes.get_ylabel() == "test windows right (%)"
    assert axes.get_ylim()[0] == 0
    rungs, values = places(axes, "soundstream")
    assert np.round(rungs).tolist() == list(range(6))
    np.testing.assert_allclose(values, 100 * 65 / 80)
    (drawn,) = [container for container in axes.containers if container.get_label() == "soundstream"]
    interval = scored("soundstream", "fair", RIGHT["soundstream"]).window_interval
    assert interval is not None
    _, _, (bars,) = drawn
    low, high = (bars.get_segments()[-1][end][1] for end in (0, 1))
    assert (low, high) == pytest.approx((100 * (interval.low or 0), 100 * (interval.high or 0)))
    assert "95% interval" in figure.get_suptitle()
    assert [text.get_text() for text in axes.texts] == ["chance"]


def test_no_two_intervals_of_a_rung_hide_each_other() -> None:
    axes = axes_of(draw_ladder())
    drawn = {label: places(axes, label)[0] for label in legend_of(draw_ladder())}
    firsts = sorted(x[0] for x in drawn.values())
    assert min(np.diff(firsts)) > 0.03
    assert max(firsts) - min(firsts) < 0.5  # and none is nearer to another rung


def test_what_was_not_run_has_no_line_and_no_point() -> None:
    here = known()
    for rung in RUNGS:
        del here.cells["log_mel_2048", rung]
    del here.cells["soundstream", "eval_mode"]
    figure = figure_ladder(here, STYLES, chance=0.1)
    assert "log_mel_2048" not in legend_of(figure)
    assert np.round(places(axes_of(figure), "soundstream")[0]).tolist() == [0, 2, 3, 4, 5]


def test_bitrates_are_in_kbit_per_second_with_latents_at_the_edge() -> None:
    figure = draw_bitrates()
    axes = axes_of(figure)
    figure.draw_without_rendering()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["3.2", "6", "9.2", "not\nquantised"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == ("kbit/s", "test windows right (%)", "log")
    assert legend_of(figure) == [
        "mel",
        "log_mel_2048",
        "soundstream: latents before the quantiser",
        "soundstream: dequantised latents",
        "soundstream: codes as tokens",
    ]
    rates, values = places(axes, "soundstream: dequantised latents")
    assert rates == [9200, 6000, 3200]
    np.testing.assert_allclose(values, [100 * 70 / 80, 75, 62.5])
    codes, _ = places(axes, "soundstream: codes as tokens")
    assert all(0.95 * rate < place < rate for place, rate in zip(codes, (9200, 3200), strict=True))


def test_a_value_without_limits_is_drawn_without_bars() -> None:
    here = known()
    lone = here.cells["soundstream_9200bps", "fair"]
    assert lone.scores is not None
    few = lone.scores.model_copy(update={"window_interval": Interval(0.875, reason="few")})
    here.cells["soundstream_9200bps", "fair"] = replace(lone, scores=few)
    figure = figure_bitrates(here, points(here, "fair"), STYLES, {"mel": Interval(0.3, reason="few")}, "")
    (drawn,) = [c for c in axes_of(figure).containers if c.get_label() == "soundstream: dequantised latents"]
    _, _, (bars,) = drawn
    lengths = [abs(segment[1][1] - segment[0][1]) for segment in bars.get_segments()]
    assert lengths[0] == 0 < min(lengths[1:])


@pytest.mark.parametrize("draw", [draw_ladder, draw_bitrates])
def test_nothing_overlaps_the_legend_or_is_clipped(draw: Callable[[], Figure]) -> None:
    figure = draw()
    assert_nothing_overlaps_or_is_clipped(figure)
    labels = [label.get_window_extent() for label in axes_of(figure).get_xticklabels()]
    assert not any(first.overlaps(second) for first, second in pairwise(labels))


def test_the_confidence_in_the_title_is_that_of_params() -> None:
    here = known()
    params = here.params.model_copy(update={"statistics": QUICK.model_copy(update={"confidence": 0.9})})
    assert "bars: 90% interval" in figure_ladder(replace(here, params=params), STYLES, 0.1).get_suptitle()
