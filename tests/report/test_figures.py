"""Pictures: what they are labelled with, that nothing is clipped or hidden, and that bytes repeat."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from beyond_spectrograms.evaluation.convergence import MeanCurve
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.params import load_params
from beyond_spectrograms.report.evidence_figures import figure_bitrates, figure_ladder
from beyond_spectrograms.report.figures import DRAWN, Panel, choose_window, confusion, figure_2, save, styles
from beyond_spectrograms.report.learning_curves import figure_4, smooth
from support.hands import results, scored, with_statistics
from support.looks import assert_nothing_overlaps_or_is_clipped
from support.repository import REPOSITORY

NAMES = ["mel", "log_mel", "soundstream", "encodec_24khz", "encodec_48khz", "encodec_24khz_untrained"]
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
PARAMS = load_params(root=REPOSITORY)
SHIPPED = list(PARAMS.representations)


def curves(names: Sequence[str], epochs: int = 40, shortest: int = 40, runs: int = 5) -> dict[str, MeanCurve]:
    generator = np.random.default_rng(0)
    made = {}
    for number, name in enumerate(names, start=1):
        rise = 1 - np.exp(-np.arange(1, epochs + 1) / 9)
        accuracy = rise * number / len(names) * generator.uniform(0.9, 1, epochs)
        made[name] = MeanCurve(runs, shortest, accuracy, 3 - 2 * accuracy, accuracy, 3 - accuracy)
    return made


def draw(names: Sequence[str] = NAMES, **options: int) -> Figure:
    return figure_4(curves(names, **options), styles(names), {name: name for name in names}, "esc10, protocol fair")


def panels() -> list[Panel]:
    generator = np.random.default_rng(0)
    mel = generator.uniform(0, 1, (128, 173)).astype(np.float32)
    latents = generator.normal(size=(64, 50)).astype(np.float32)
    return [Panel("mel", mel, "power"), Panel("soundstream", latents, "latent")]


def known() -> Results:
    cells = {(name, rung): scored(name, rung, right) for rung in RUNGS for name, right in RIGHT.items()}
    cells |= {(name, "fair"): scored(name, "fair", right) for name, right in RATES.items()}
    return results(cells, protocols=RUNGS, ablations=list(RATES))


def draw_ladder() -> Figure:
    return figure_ladder(known())


def draw_bitrates() -> Figure:
    return figure_bitrates(known(), "fair")


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def find(axes: Axes, label: str) -> ErrorbarContainer:
    """Find what is drawn of a line of the legend."""
    (drawn,) = [container for container in axes.containers if container.get_label() == label]
    return drawn


def places(axes: Axes, label: str) -> list[list[float]]:
    """Find where the points of a line of the legend stand: across, and up."""
    return [list(map(float, values)) for values in find(axes, label)[0].get_data()]


def test_styles_are_the_papers_and_no_two_lines_differ_by_colour_alone() -> None:
    chosen = styles(SHIPPED)
    # Okabe and Ito's blue, orange and green.
    colours = [chosen[name].colour for name in ("mel", "encodec_24khz", "encodec_48khz")]
    assert colours == ["#0072B2", "#E69F00", "#009E73"]
    assert len({(str(style.dash), style.marker) for style in chosen.values()}) == len(chosen) == len(SHIPPED)
    drawn = [name for name in PARAMS.grid.representations if name not in PARAMS.grid.only]
    assert len({chosen[name].colour for name in drawn}) == len(drawn)


def test_no_two_of_those_drawn_in_a_fixed_style_that_a_study_compares_by_name_have_one_colour() -> None:
    chosen, known = styles(["mel", *DRAWN]), {"mel", *DRAWN}
    alike = []
    for path in [Path(), *(path.parent for path in REPOSITORY.glob("studies/*/params.yaml"))]:
        compared = [pair for pair in load_params(path, root=REPOSITORY).contrasts.pairs if known.issuperset(pair)]
        alike += [(path.name, *pair) for pair in compared if len({chosen[name].colour for name in pair}) == 1]
    assert alike == []


def test_a_representation_keeps_its_style_whatever_the_order_and_whatever_else_is_drawn() -> None:
    everything = styles(SHIPPED)
    assert styles(SHIPPED[::-1]) == everything
    assert styles(["a_new_one", *SHIPPED]).items() > everything.items()
    assert draw(["soundstream"]).axes[0].lines[1].get_color() == everything["soundstream"].colour


def test_figure_4_names_units_and_draws_smooth_over_raw() -> None:
    figure = draw(["mel", "soundstream"])
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy (%)", "cross-entropy (nats, log scale)"] * 2
    assert [axes.get_xlabel() for axes in figure.axes[2:]] == ["epoch", "epoch"]
    raw, smoothed = figure.axes[0].lines[:2]
    accuracy = 100 * curves(["mel", "soundstream"])["mel"].validation_accuracy
    np.testing.assert_array_equal(raw.get_ydata(), accuracy)
    np.testing.assert_array_equal(smoothed.get_ydata(), smooth(accuracy))
    assert raw.get_alpha() == 0.25
    assert raw.get_color() == smoothed.get_color()
    assert legend_of(figure) == ["mel", "soundstream"]


@pytest.mark.parametrize(
    ("options", "runs", "end"),
    [
        ({}, "mean of 5 runs (folds x seeds)", ""),
        ({"runs": 1}, "one run each", ""),
        ({"shortest": 30}, "mean of 5 runs (folds x seeds)", "; a run stopped early holds its last value"),
    ],
)
def test_figure_4_says_what_its_lines_are(options: dict[str, int], runs: str, end: str) -> None:
    caption = f"{runs}, smoothed (0.8) over the raw values (paler){end}"
    assert draw(["mel"], **options).get_suptitle() == f"esc10, protocol fair\n{caption}"


def loss_panel(mel: np.ndarray) -> tuple[str, float, float, list[float]]:
    """Draw mel's validation loss beside another: the panel's title, its limits, and the ticks within them."""
    both = curves(["mel", "soundstream"])
    both["mel"].validation_loss[:] = mel
    axes = figure_4(both, styles(list(both)), {name: name for name in both}, "").axes[1]
    low, high = axes.get_ylim()
    return axes.get_title(loc="left"), low, high, [tick for tick in axes.get_yticks() if low <= tick <= high]


def test_a_loss_that_explodes_does_not_flatten_the_others_and_stays_in_sight() -> None:
    other = curves(["mel", "soundstream"])["soundstream"].validation_loss
    wild = np.where(np.arange(len(other)) < 3, 2.0, 1e18)
    title, low, high, ticks = loss_panel(wild)
    assert (title, high) == ("(b) validation loss, cut at 20", 20)
    assert low == pytest.approx(0.9 * min(other.min(), 2.0))
    assert len(ticks) > 2
    assert loss_panel(np.full(len(other), 2.0))[0] == "(b) validation loss"
    title, _, high, _ = loss_panel(np.geomspace(30, 1e6, len(other)))
    assert (title, high) == ("(b) validation loss, cut at 60", 60)


def test_figure_2_shows_mel_power_in_db_and_latents_around_zero() -> None:
    figure = figure_2(panels(), 1.0, "esc10: bird/0.wav, 0 s to 1 s (the loudest window)")
    mel, latent = (axes for axes in figure.axes if axes.images)
    assert (mel.get_xlabel(), mel.get_ylabel()) == ("time (s)", "mel band")
    assert (latent.get_xlabel(), latent.get_ylabel()) == ("time (s)", "latent channel")
    np.testing.assert_allclose(mel.images[0].get_array(), 10 * np.log10(panels()[0].values))
    low, high = latent.images[0].get_clim()
    assert low == -high
    assert mel.images[0].get_extent() == [0, 1.0, -0.5, 127.5]
    assert [axes.get_title(loc="left") for axes in (mel, latent)] == ["mel: 128 x 173", "soundstream: 64 x 50"]
    bars = [axes.get_ylabel() for axes in figure.axes if not axes.images and axes.get_ylabel()]
    assert bars == ["power (dB)", "latent value (no unit)"]
    silence = [Panel("z", np.zeros((8, 9), np.float32), scale) for scale in ("power", "latent")]
    figure_2(silence, 1.0, "").draw_without_rendering()


def test_the_window_shown_is_the_loudest_that_is_not_silent_or_the_first() -> None:
    mel, silent = np.ones((1500, 4, 3), np.float32), np.zeros(1500, bool)
    mel[1200], mel[700], silent[700] = 5, 9, True
    assert choose_window(mel, "power", silent) == (1200, "the loudest window")
    assert choose_window(10 * np.log10(mel), "db", silent) == (1200, "the loudest window")
    steady, peak = [[10.0, 10.0]], [[40.0, -60.0]]  # loudness in dB is a mean of power
    assert choose_window(np.array([steady, peak], np.float32), "db", np.zeros(2, bool))[0] == 1
    assert choose_window(None, "", np.arange(4) < 2) == (2, "the first window that is not silent")
    assert choose_window(None, "", np.ones(4, bool)) == (0, "every window is silent")


def test_confusion_is_in_percent_of_the_true_class() -> None:
    axes = confusion(["bird", "rain"], np.array([[3, 1], [0, 0]]), "esc10, protocol fair: mel").axes[0]
    assert [text.get_text() for text in axes.texts] == ["75", "25", "0", "0"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        save(draw(["mel", "soundstream"]), tmp_path / name, "figure_4")
        save(figure_2(panels(), 1.0, "noise"), tmp_path / name, "figure_2")
    for file in ("figure_4.png", "figure_4.svg", "figure_2.png", "figure_2.svg"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    assert b"<dc:date>" not in (tmp_path / "first" / "figure_4.svg").read_bytes()


def test_a_thousand_noisy_epochs_of_every_input_stay_under_500_kb(tmp_path: Path) -> None:
    save(draw([*NAMES, "further_1", "further_2"], epochs=1000), tmp_path, "figure_4")
    for suffix in ("png", "svg"):
        assert (tmp_path / f"figure_4.{suffix}").stat().st_size < 500_000
    assert matplotlib.image.imread(tmp_path / "figure_4.png").shape[1] == 1320  # pixels wide


def test_the_ladder_names_rungs_by_what_they_change_and_has_a_line_a_representation_with_its_intervals() -> None:
    figure = draw_ladder()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "paper\n",
        "eval_mode\ndropout_at_evaluation:\nfalse",
        "best_checkpoint\nselect:\nbest_validation_loss",
        "source_split\nsplit:\nsource",
        "standardized\nstandardize:\ntrue",
        "fair\noptimizer:\nadam\nlearning_rate:\n0.001",
    ]
    assert legend_of(figure) == ["mel", "log_mel_2048", "soundstream", "encodec_24khz_untrained (control)"]
    assert axes.get_ylabel() == "test windows right (%)"
    assert axes.get_ylim()[0] == 0
    rungs, values = places(axes, "soundstream")
    assert np.round(rungs).tolist() == list(range(6))
    np.testing.assert_allclose(values, 100 * 65 / 80)
    interval = scored("soundstream", "fair", RIGHT["soundstream"]).window_interval
    _, _, (bars,) = find(axes, "soundstream")
    assert bars.get_segments()[-1][:, 1] == pytest.approx([100 * interval.low, 100 * interval.high])
    assert [text.get_text() for text in axes.texts] == ["chance"]
    firsts = sorted(places(axes, label)[0][0] for label in legend_of(figure))
    assert min(np.diff(firsts)) > 0.03  # no two intervals of a rung hide each other
    assert max(firsts) - min(firsts) < 0.5  # and none is nearer to another rung
    assert "95% interval" in figure.get_suptitle()
    assert "bars: 90% interval" in figure_ladder(with_statistics(known(), confidence=0.9)).get_suptitle()


def test_what_was_not_run_has_no_line_and_no_point() -> None:
    here = known()
    for rung in RUNGS:
        del here.cells["log_mel_2048", rung]
    del here.cells["soundstream", "eval_mode"]
    figure = figure_ladder(here)
    assert "log_mel_2048" not in legend_of(figure)
    assert np.round(places(figure.axes[0], "soundstream")[0]).tolist() == [0, 2, 3, 4, 5]


def test_bitrates_are_in_kbit_per_second_with_latents_at_the_edge() -> None:
    figure = draw_bitrates()
    (axes,) = figure.axes
    figure.draw_without_rendering()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["3.2", "6", "9.2", "not\nquantised"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == ("kbit/s", "test windows right (%)", "log")
    of_soundstream = ("latents before the quantiser", "dequantised latents", "codes as tokens")
    assert legend_of(figure) == ["mel", "log_mel_2048", *(f"soundstream: {what}" for what in of_soundstream)]
    rates, values = places(axes, "soundstream: dequantised latents")
    assert rates == [9200, 6000, 3200]
    np.testing.assert_allclose(values, [100 * 70 / 80, 75, 62.5])
    codes, _ = places(axes, "soundstream: codes as tokens")
    assert all(0.95 * rate < place < rate for place, rate in zip(codes, (9200, 3200), strict=True))


def test_a_value_without_limits_is_drawn_without_bars() -> None:
    here = known()
    lone = here.cells["soundstream_9200bps", "fair"]
    few = Interval(0.875, reason="few")
    here.cells["soundstream_9200bps", "fair"] = replace(lone, window_interval=few)
    here.cells["mel", "fair"] = replace(here.cells["mel", "fair"], window_interval=few)
    figure = figure_bitrates(here, "fair")
    _, _, (bars,) = find(figure.axes[0], "soundstream: dequantised latents")
    lengths = [np.ptp(segment[:, 1]) for segment in bars.get_segments()]
    assert lengths[0] == 0 < min(lengths[1:])


@pytest.mark.parametrize("drawn", [draw, draw_ladder, draw_bitrates])
def test_nothing_overlaps_the_legend_or_is_clipped(drawn: Callable[[], Figure]) -> None:
    figure = drawn()
    assert_nothing_overlaps_or_is_clipped(figure)
    for axes in figure.axes:
        labels = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert drawn is draw or not any(first.overlaps(second) for first, second in pairwise(labels))
