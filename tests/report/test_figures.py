from collections.abc import Sequence
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.convergence import MeanCurve
from beyond_spectrograms.params import load_params
from beyond_spectrograms.report.figures import Panel, choose_window, confusion, figure_2, figure_4, save, smooth, styles
from support.looks import assert_nothing_overlaps_or_is_clipped
from support.repository import REPOSITORY

NAMES = ["mel", "log_mel", "soundstream", "encodec_24khz", "encodec_48khz", "encodec_24khz_untrained"]


def curves(names: Sequence[str], epochs: int = 40, shortest: int = 40, runs: int = 5) -> dict[str, MeanCurve]:
    generator = np.random.default_rng(0)
    made = {}
    for number, name in enumerate(names, start=1):
        rise = 1 - np.exp(-np.arange(1, epochs + 1) / 9)
        accuracy = rise * number / len(names) * generator.uniform(0.9, 1, epochs)
        made[name] = MeanCurve(runs, shortest, accuracy, 3 - 2 * accuracy, accuracy, 3 - accuracy)
    return made


def draw(names: Sequence[str], **options: int) -> Figure:
    return figure_4(curves(names, **options), styles(names), {name: name for name in names}, "esc10, protocol fair")


def panels() -> list[Panel]:
    generator = np.random.default_rng(0)
    mel = generator.uniform(0, 1, (128, 173)).astype(np.float32)
    return [
        Panel("mel", mel, "power"),
        Panel("soundstream", generator.normal(size=(64, 50)).astype(np.float32), "latent"),
    ]


def test_the_paper_s_inputs_have_its_colours() -> None:
    chosen = styles(NAMES)
    # Okabe and Ito's blue, orange and green.
    assert [chosen[name].colour for name in ("mel", "encodec_24khz", "encodec_48khz")] == [
        "#0072B2",
        "#E69F00",
        "#009E73",
    ]


def test_no_two_lines_differ_by_colour_alone() -> None:
    shipped = list(load_params(root=REPOSITORY).representations)
    chosen = styles(shipped)
    assert len({(str(style.dash), style.marker) for style in chosen.values()}) == len(chosen) == len(shipped)


def test_representations_that_run_under_every_protocol_have_colours_of_their_own() -> None:
    params = load_params(root=REPOSITORY)
    chosen = styles(list(params.representations))
    drawn = [name for name in params.grid.representations if name not in params.grid.only]
    assert len({chosen[name].colour for name in drawn}) == len(drawn)


def test_a_representation_keeps_its_style_whatever_the_order_and_whatever_else_is_drawn() -> None:
    shipped = list(load_params(root=REPOSITORY).representations)
    everything = styles(shipped)
    assert styles(shipped[::-1]) == everything
    assert styles(["a_new_one", *shipped]).items() > everything.items()
    figure = figure_4(curves(["soundstream"]), styles(["soundstream"]), {"soundstream": "soundstream"}, "")
    assert figure.axes[0].lines[1].get_color() == everything["soundstream"].colour


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
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["mel", "soundstream"]


@pytest.mark.parametrize(
    ("options", "caption"),
    [
        ({}, "mean of 5 runs (folds x seeds), smoothed (0.8) over the raw values (paler)"),
        ({"runs": 1}, "one run each, smoothed (0.8) over the raw values (paler)"),
        (
            {"shortest": 30},
            "mean of 5 runs (folds x seeds), smoothed (0.8) over the raw values (paler); "
            "a run stopped early holds its last value",
        ),
    ],
)
def test_figure_4_says_what_its_lines_are(options: dict[str, int], caption: str) -> None:
    assert draw(["mel"], **options).get_suptitle() == f"esc10, protocol fair\n{caption}"


def loss_panel(mel: NDArray[np.float64]) -> tuple[str, float, float, list[float]]:
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


def test_nothing_in_figure_4_overlaps_the_legend_or_is_clipped() -> None:
    assert_nothing_overlaps_or_is_clipped(draw(NAMES))


def test_figure_2_shows_mel_power_in_db_and_latents_around_zero() -> None:
    figure = figure_2(panels(), 1.0, "esc10: bird/0.wav, 0 s to 1 s (the loudest window)")
    mel, latent = (axes for axes in figure.axes if axes.images)
    assert isinstance(mel, Axes)
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


def test_the_window_shown_is_the_loudest_that_is_not_silent() -> None:
    mel = np.ones((1500, 4, 3), np.float32)
    mel[1200] = 5
    mel[700] = 9
    silent = np.zeros(1500, bool)
    silent[700] = True
    assert choose_window(mel, "power", silent) == (1200, "the loudest window")
    assert choose_window(10 * np.log10(mel), "db", silent) == (1200, "the loudest window")
    steady, peak = [[10.0, 10.0]], [[40.0, -60.0]]  # loudness in dB is a mean of power
    assert choose_window(np.array([steady, peak], np.float32), "db", np.zeros(2, bool))[0] == 1


def test_without_mel_or_sound_the_choice_of_window_says_so() -> None:
    silent = np.array([True, True, False, False])
    assert choose_window(None, "", silent) == (2, "the first window that is not silent")
    assert choose_window(None, "", np.ones(4, bool)) == (0, "every window is silent")


def test_confusion_is_in_percent_of_the_true_class() -> None:
    figure = confusion(["bird", "rain"], np.array([[3, 1], [0, 0]]), "esc10, protocol fair: mel")
    axes = figure.axes[0]
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
