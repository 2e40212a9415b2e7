"""Figure 4: accuracy and loss per epoch, of one data set and, as the paper has it, of all data sets side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beyond_spectrograms.report.figures import Style, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from beyond_spectrograms.evaluation.convergence import MeanCurve

SMOOTHING = 0.8  # s_t = 0.8 s_(t-1) + 0.2 x_t, starting at x_1, as the released code draws it
LOSS_SHOWN = 20  # nats; guessing among 1000 classes costs 7, and a run that diverges would flatten all others
LETTERS_AN_INCH = 12.7  # of a title, on average
Curves = Mapping[str, "MeanCurve"]  # representation -> its curve


def figure_4(curves: Curves, chosen: Mapping[str, Style], labels: Mapping[str, str], title: str) -> Figure:
    """Draw accuracy and loss per epoch, validation above and training below; smoothed lines over paler raw ones.

    Args:
        curves: representation -> its curve, drawn in this order.
        chosen: a style for each.
        labels: what the legend calls each.
        title: says data set and protocol.
    """
    with drawing(11.0, 8.6) as figure:
        grid = figure.subplots(2, 2, sharex=True)
        panels = (
            (grid[0, 0], "validation_accuracy", "(a) validation accuracy"),
            (grid[0, 1], "validation_loss", "(b) validation loss"),
            (grid[1, 0], "training_accuracy", "(c) training accuracy"),
            (grid[1, 1], "training_loss", "(d) training loss"),
        )
        for axes, measure, heading in panels:
            _draw_panel(axes, curves, measure, heading, chosen=chosen, labels=labels)
        _finish(figure, grid, [curves], title)
    return figure


def figure_4_of_datasets(
    curves: Mapping[str, Curves],
    letters: Mapping[str, tuple[str, str]],
    chosen: Mapping[str, Style],
    labels: Mapping[str, str],
    title: str,
) -> Figure:
    """Draw the paper's Figure 4: validation accuracy above, loss below, a column a data set.

    Args:
        curves: data set -> representation -> its curve, drawn in this order.
        letters: data set -> what the paper calls its two panels.
        chosen: a style for each representation.
        labels: what the legend calls each.
        title: says protocol, and what is missing.
    """
    with drawing(max(7.0, 4.8 * len(curves)), 8.6) as figure:
        grid = figure.subplots(2, len(curves), sharex="col", squeeze=False)
        for column, (dataset, mine) in enumerate(curves.items()):
            for axes, letter, measure in zip(
                grid[:, column], letters[dataset], ("validation_accuracy", "validation_loss"), strict=True
            ):
                heading = f"({letter}) {dataset}: {measure.removeprefix('validation_')}"
                _draw_panel(axes, mine, measure, heading, chosen=chosen, labels=labels)
        _finish(figure, grid, [*curves.values()], title)
    return figure


def _draw_panel(
    axes: Axes,
    curves: Curves,
    measure: str,
    heading: str,
    *,
    chosen: Mapping[str, Style],
    labels: Mapping[str, str],
) -> None:
    """Draw one measure of all curves."""
    in_percent = measure.endswith("accuracy")
    for turn, (name, curve) in enumerate(curves.items()):
        values = getattr(curve, measure) * (100 if in_percent else 1)
        _draw_curve(axes, values, chosen[name], labels[name], turn / len(curves))
    axes.grid(color="0.9", linewidth=0.8)
    if in_percent:
        axes.set_ylabel("accuracy (%)")
    else:
        axes.set_ylabel("cross-entropy (nats, log scale)")
        # Every curve keeps its lowest part, however high that is.
        losses = [getattr(curve, measure) for curve in curves.values()]
        top = max(LOSS_SHOWN, *(2 * float(loss.min()) for loss in losses))
        axes.set_yscale("log")
        if max(loss.max() for loss in losses) > top:
            axes.set_ylim(0.9 * min(float(loss.min()) for loss in losses), top)
            heading += f", cut at {top:.3g}"
        _label_plainly(axes)
    axes.set_title(heading, loc="left")


def _finish(figure: Figure, grid: NDArray[np.object_], columns: Sequence[Curves], title: str) -> None:
    """Name the epochs, and put a legend below and the title above, which says what the lines are."""
    for axes in grid[1]:
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.align_ylabels()
    handles: dict[str, Any] = {}
    for axes in grid[0]:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    wide = figure.get_figwidth() > 10
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3 if wide else 2, handlelength=3.5)
    told = f"{title}\n{_describe([curve for curves in columns for curve in curves.values()])}"
    fitting = round(LETTERS_AN_INCH * figure.get_figwidth())
    figure.suptitle("\n".join(part for line in told.splitlines() for part in wrap(line, fitting)), fontsize=11)


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth the values of epochs as the paper's Figure 4 does."""
    smoothed = values.copy()
    for epoch in range(1, len(values)):
        smoothed[epoch] = SMOOTHING * smoothed[epoch - 1] + (1 - SMOOTHING) * values[epoch]
    return smoothed


def _draw_curve(axes: Axes, values: NDArray[np.float64], style: Style, label: str, offset: float) -> None:
    """Draw the raw values, pale, and the smoothed line; `offset` 0..1 staggers the markers of lines that coincide."""
    epochs = np.arange(1, len(values) + 1)
    # Noise of a thousand epochs is far larger as vectors than as an image (one image: zorder puts all of it below
    # the lines), and no page shows more than 200 points of a smooth line.
    axes.plot(epochs, values, color=style.colour, linewidth=1, alpha=0.25, rasterized=True, zorder=1.5)
    shown = np.unique(np.linspace(0, len(values) - 1, min(len(values), 200)).astype(int))
    every = max(1, len(shown) // 7)
    axes.plot(
        epochs[shown],
        smooth(values)[shown],
        color=style.colour,
        linestyle=style.dash,
        linewidth=1.8,
        marker=style.marker,
        markersize=6,
        markevery=(int(offset * every), every),
        label=label,
    )


def _label_plainly(axes: Axes) -> None:
    """Label a log scale in plain numbers, more of them where it spans less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_ylim()
    subs = (1.0, 2.0, 5.0) if high > 10 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _describe(curves: Sequence[MeanCurve]) -> str:
    """Say what the lines are, so that the picture can stand alone."""
    runs = sorted({curve.runs for curve in curves})
    crossed = "each with a split of its own" if any(curve.split_by_seed for curve in curves) else "folds x seeds"
    *fewer, most = map(str, runs)
    counts = f"{', '.join(fewer)} or {most}" if fewer else most
    mean = "one run each" if runs == [1] else f"mean of {counts} runs ({crossed})"
    held = any(curve.shortest < len(curve.validation_loss) for curve in curves)
    stopped = "; a run stopped early holds its last value" if held else ""
    return f"{mean}, smoothed (0.8) over the raw values (paler){stopped}"
