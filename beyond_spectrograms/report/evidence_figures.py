"""Pictures of the evidence, with intervals: accuracy along the ladder, against bitrate and cost, and disturbed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from beyond_spectrograms.evaluation.bitrates import CODES, DEQUANTIZED, LATENTS, Point
from beyond_spectrograms.evaluation.ladder import describe_step, rungs
from beyond_spectrograms.evaluation.pareto import Point as ParetoPoint
from beyond_spectrograms.evaluation.records import Calibration, Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.figures import Style, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW_NAMES = 16  # below a figure
FEW = 20  # windows: a bin with fewer says little, and is not drawn
FORMS = {LATENTS: "*", DEQUANTIZED: "o", CODES: "s"}


def figure_ladder(results: Results, chosen: dict[str, Style], chance: float) -> Figure:
    """Draw window accuracy along the ladder, a line a representation, each rung named by what it changes.

    Args:
        results: rows without any result are left out.
        chosen: a style for each row.
        chance: accuracy of guessing, 0 to 1.
    """
    names = rungs(results)
    protocols = results.params.protocols
    steps = ["", *(describe_step(protocols[a], protocols[b]) for a, b in pairwise(names))]
    with drawing(11.0, 6.4) as figure:
        axes = figure.subplots()
        draw_lines(axes, results, names, chosen)
        axes.axhline(100 * chance, color="black", linewidth=0.8, linestyle=(0, (1, 3)))
        axes.annotate(
            "chance", (1, 100 * chance), (-4, 3), ("axes fraction", "data"), textcoords="offset points", ha="right"
        )
        wrapped = [step.replace(", ", "\n").replace(": ", ":\n") for step in steps]
        axes.set_xticks(range(len(names)), [f"{n}\n{s}" for n, s in zip(names, wrapped, strict=True)], fontsize=9)
        axes.set_ylabel("test windows right (%)")
        axes.set_ylim(0, None)
        axes.grid(axis="y", alpha=0.3)
        figure.legend(loc="outside lower center", ncols=3, handlelength=3.5)
        title = f"{results.dataset}: from the published recipe to a fair one, each step named by what it changes"
        figure.suptitle(f"{title}\nbars: {explain_bars(results)}", fontsize=11)
    return figure


def draw_lines(axes: Axes, results: Results, protocols: Sequence[str], chosen: dict[str, Style]) -> None:
    """Draw the window accuracy of every row under protocols, which stand side by side; rows without any are left out.

    Args:
        axes: where.
        results: of the data set.
        protocols: from left to right.
        chosen: a style for each row.
    """
    found = {name: [results.cell(name, one).window_interval for one in protocols] for name in results.rows}
    draw_beside(axes, results, {name: mine for name, mine in found.items() if any(mine)}, chosen)


def draw_beside(
    axes: Axes,
    results: Results,
    found: Mapping[str, Sequence[Interval | None]],
    chosen: dict[str, Style],
    *,
    joined: bool = True,
) -> None:
    """Draw each representation's intervals at 0, 1, 2, ..., joined by a line or not."""
    for count, (name, intervals) in enumerate(found.items()):
        places = [(x, interval) for x, interval in enumerate(intervals) if interval is not None]
        offset = 0.055 * (count - (len(found) - 1) / 2)  # side by side, so that no interval hides another
        axes.errorbar(
            [x + offset for x, _ in places],
            **_values_and_bars([interval for _, interval in places]),
            color=chosen[name].colour,
            linestyle=chosen[name].dash if joined else "none",
            marker=chosen[name].marker,
            markersize=7,
            linewidth=1.6,
            elinewidth=1.2,
            capsize=3,
            label=results.label(name),
        )


def figure_robustness(
    results: Results, differences: Mapping[str, Mapping[str, Interval]], chosen: dict[str, Style], title: str
) -> Figure:
    """Draw what each disturbance changes in window accuracy, a point a representation.

    Args:
        results: for labels and the confidence.
        differences: by representation and disturbance, disturbed minus clean, 0 to 1.
        chosen: a style for each representation.
        title: says data set and protocol.
    """
    names = list(dict.fromkeys(name for found in differences.values() for name in found))
    with drawing(11.0, 6.0) as figure:
        axes = figure.subplots()
        found = {name: [mine.get(each) for each in names] for name, mine in differences.items()}
        draw_beside(axes, results, found, chosen, joined=False)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xticks(range(len(names)), names, fontsize=9)
        axes.set_ylabel("disturbed minus clean, test windows (points)")
        axes.grid(axis="y", alpha=0.3)
        figure.legend(loc="outside lower center", ncols=3, handlelength=3.5)
        figure.suptitle(f"{title}\nbars: {explain_bars(results)} of the paired difference", fontsize=11)
    return figure


def explain_bars(results: Results) -> str:
    """Say what error bars show."""
    return f"{results.params.statistics.confidence:.0%} interval over sources and runs"


def _values_and_bars(intervals: Sequence[Interval]) -> dict[str, Any]:
    """Give errorbar's y [values] and yerr [below and above, values], in points; no bar where there is no interval."""
    pairs = [
        (0.0, 0.0) if i.low is None or i.high is None else (100 * (i.value - i.low), 100 * (i.high - i.value))
        for i in intervals
    ]
    bars = np.array(pairs, dtype=np.float64).reshape(-1, 2).T.clip(min=0.0)
    return {"y": [100 * interval.value for interval in intervals], "yerr": bars}


def figure_bitrates(
    results: Results, points: Sequence[Point], chosen: dict[str, Style], references: dict[str, Interval], title: str
) -> Figure:
    """Draw window accuracy against kbit/s: a line a codec and form, latents before the quantiser at the right edge.

    Args:
        results: for labels and the confidence.
        points: those that were run.
        chosen: a style for each codec and reference.
        references: spectrograms, drawn as level lines with their interval as a band.
        title: says data set and protocol.
    """
    from matplotlib.ticker import FuncFormatter, NullLocator

    rates = sorted({point.bitrate for point in points if point.bitrate})
    edge = rates[-1] * 1.6
    with drawing(9.5, 6.0) as figure:
        axes = figure.subplots()
        for name, interval in references.items():
            style = chosen[name]
            axes.axhline(
                100 * interval.value, color=style.colour, linestyle=style.dash, linewidth=1.4, label=results.label(name)
            )
            if interval.low is not None and interval.high is not None:
                axes.axhspan(100 * interval.low, 100 * interval.high, color=style.colour, alpha=0.10, linewidth=0)
        for codec in dict.fromkeys(point.codec for point in points):
            for form, marker in FORMS.items():
                mine = [p for p in points if (p.codec, p.form) == (codec, form) and p.interval is not None]
                if not mine:
                    continue
                # Codes stand a little to the left of the latents of the same bitrate.
                shift = 0.97 if form == CODES else 1.0
                axes.errorbar(
                    [(point.bitrate or edge) * shift for point in mine],
                    **_values_and_bars([point.interval for point in mine if point.interval]),
                    color=chosen[codec].colour,
                    linestyle="-" if form == DEQUANTIZED else (0, (1, 1.5)),
                    marker=marker,
                    markersize=11 if form == LATENTS else 7,
                    capsize=3,
                    label=f"{results.label(codec)}: {form}",
                )
        axes.set_xscale("log")
        axes.set_xticks([*rates, edge])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda rate, _: "not\nquantised" if rate == edge else f"{rate / 1000:g}")
        )
        axes.set_xlabel("kbit/s")
        axes.set_ylabel("test windows right (%)")
        axes.grid(axis="y", alpha=0.3)
        figure.legend(loc="outside lower center", ncols=2, handlelength=3.5)
        figure.suptitle(f"{title}\nbars and bands: {explain_bars(results)}", fontsize=11)
    return figure


def figure_pareto(results: Results, points: Sequence[ParetoPoint], chosen: dict[str, Style], title: str) -> Figure:
    """Draw window accuracy against ms of processor time a second of sound, with the front of what nothing dominates.

    Args:
        results: for labels, controls and the confidence.
        points: the cheapest first.
        chosen: a style for each representation; the markers of controls are hollow.
        title: says data set and protocol.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    front = [point for point in points if not point.dominated_by]
    with drawing(9.5, 6.0) as figure:
        axes = figure.subplots()
        axes.plot(
            [1000 * point.cost.value for point in front],
            [100 * point.accuracy.value for point in front],
            color="black",
            linewidth=1.0,
            drawstyle="steps-post",
            label="front: nothing else is as cheap and as accurate",
            zorder=1,
        )
        for point in points:
            style, name = chosen[point.representation], point.representation
            low, high = point.cost.low, point.cost.high
            left, right = (
                (0.0, 0.0) if low is None or high is None else (point.cost.value - low, high - point.cost.value)
            )
            axes.errorbar(
                [1000 * point.cost.value],
                **_values_and_bars([point.accuracy]),
                xerr=[[1000 * left], [1000 * right]],
                color=style.colour,
                linestyle="none",
                marker=style.marker,
                markerfacecolor="white" if results.is_control(name) else style.colour,
                markersize=7 if point.dominated_by else 11,
                capsize=3,
                label=results.label(name),
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda cost, _: f"{cost:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("processor time to classify a second of sound from its file (ms)")
        axes.set_ylabel("test windows right (%)")
        axes.grid(alpha=0.3)
        figure.legend(loc="outside lower center", ncols=2)
        bars = f"upright bars: {explain_bars(results)}; level bars: over rounds"
        figure.suptitle(f"{title}\n{bars}; hollow: controls", fontsize=11)
    return figure


def figure_reliability(
    results: Results, known: Mapping[str, Calibration], chosen: dict[str, Style], title: str
) -> Figure:
    """Draw the accuracy of windows against their confidence in bins of all runs' windows, a line a representation.

    Args:
        results: for labels.
        known: calibration by representation.
        chosen: a style for each.
        title: says data set and protocol.
    """
    with drawing(8.0, 7.0 + 0.12 * max(0, len(known) - FEW_NAMES)) as figure:  # room for the names below
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color="black", linewidth=0.8, linestyle=(0, (1, 3)), label="calibrated")
        for name, calibration in known.items():
            bins = [
                (100 * each.confidence, 100 * each.accuracy)
                for each in calibration.bins
                if each.windows >= FEW and each.confidence is not None and each.accuracy is not None
            ]
            axes.plot(
                [confidence for confidence, _ in bins],
                [accuracy for _, accuracy in bins],
                color=chosen[name].colour,
                linestyle=chosen[name].dash,
                marker=chosen[name].marker,
                label=f"{results.label(name)}: error {100 * calibration.ece:.1f}",
            )
        axes.annotate("overconfident below the line", (0.98, 0.03), xycoords="axes fraction", ha="right")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.set_xlabel("confidence: highest probability of a window's answer (%)")
        axes.set_ylabel("test windows right (%)")
        axes.grid(alpha=0.3)
        figure.legend(loc="outside lower center", ncols=2, handlelength=3.5)
        figure.suptitle(
            f"{title}\nall runs; bins of at least {FEW} windows; expected calibration error in points", fontsize=11
        )
    return figure
