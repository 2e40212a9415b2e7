"""Pictures of the evidence, with intervals: accuracy along the ladder, against bitrate and cost, and disturbed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.bitrates import CODES, DEQUANTIZED, LATENTS, points
from beyond_spectrograms.evaluation.costs import Costs
from beyond_spectrograms.evaluation.ladder import describe_step, rungs
from beyond_spectrograms.evaluation.pareto import pareto_points
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.robustness import compare_disturbed
from beyond_spectrograms.report.figures import drawing, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW_NAMES = 16  # below a figure
FEW = 20  # windows: a bin with fewer says little, and is not drawn
FORMS = {LATENTS: "*", DEQUANTIZED: "o", CODES: "s"}
WINDOWS_RIGHT = "test windows right (%)"


def figure_ladder(results: Results) -> Figure | None:
    """Draw window accuracy along the ladder, a line a representation, each rung named by what it changes.

    Rows without any result are left out; None where there is no step or no result.
    """
    names = rungs(results)
    scores = next((cell.scores for cell in results.cells.values() if cell.scores), None)
    if scores is None or len(names) < 2:
        return None
    chance = 1 / len(scores.confusion.classes)
    protocols = results.params.protocols
    steps = ["", *(describe_step(protocols[a], protocols[b]) for a, b in pairwise(names))]
    with drawing(11.0, 6.4) as figure:
        axes = figure.subplots()
        draw_lines(axes, results, results.rows, names)
        axes.axhline(100 * chance, color="black", linewidth=0.8, linestyle=(0, (1, 3)))
        axes.annotate(
            "chance", (1, 100 * chance), (-4, 3), ("axes fraction", "data"), textcoords="offset points", ha="right"
        )
        wrapped = [step.replace(", ", "\n").replace(": ", ":\n") for step in steps]
        axes.set_xticks(range(len(names)), [f"{n}\n{s}" for n, s in zip(names, wrapped, strict=True)], fontsize=9)
        axes.set_ylim(0, None)
        title = f"{results.dataset}: from the published recipe to a fair one, each step named by what it changes"
        put_names(figure, axes, WINDOWS_RIGHT, f"{title}\nbars: {explain_bars(results)}")
    return figure


def draw_lines(axes: Axes, results: Results, names: Sequence[str], protocols: Collection[str]) -> None:
    """Draw window accuracies under protocols, from left to right; representations without any are left out."""
    found = {name: [results.cell(name, one).window_interval for one in protocols] for name in names}
    draw_beside(axes, results, {name: mine for name, mine in found.items() if any(mine)})


def draw_beside(
    axes: Axes, results: Results, found: Mapping[str, Sequence[Interval | None]], *, joined: bool = True
) -> None:
    """Draw each representation's intervals at 0, 1, 2, ..., joined by a line or not."""
    chosen = styles(results.params.representations)
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


def put_names(figure: Figure, axes: Axes, measure: str, title: str, columns: int = 3) -> None:
    """Say what is measured upwards, with level lines, and put a legend of so many columns below and the title above."""
    axes.set_ylabel(measure)
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=columns, handlelength=3.5)
    figure.suptitle(title, fontsize=11)


def figure_robustness(results: Results, protocol: str) -> Figure | None:
    """Draw what each disturbance changes in window accuracy under a protocol, a point a representation.

    None where no cell was disturbed.
    """
    compared = {name: mine for name in results.rows if (mine := compare_disturbed(results, name, protocol))}
    if not compared:
        return None
    names = list(dict.fromkeys(name for mine in compared.values() for name in mine))
    found = {
        name: [mine[each].difference if each in mine else None for each in names] for name, mine in compared.items()
    }
    title = f"{results.dataset}, protocol {protocol}: what disturbances of the test part change"
    with drawing(11.0, 6.0) as figure:
        axes = figure.subplots()
        draw_beside(axes, results, found, joined=False)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xticks(range(len(names)), names, fontsize=9)
        told = f"{title}\nbars: {explain_bars(results)} of the paired difference"
        put_names(figure, axes, "disturbed minus clean, test windows (points)", told)
    return figure


def explain_bars(results: Results) -> str:
    """Say what error bars show."""
    return f"{results.params.statistics.confidence:.0%} interval over sources and runs"


def _values_and_bars(intervals: Sequence[Interval]) -> dict[str, Any]:
    """Give errorbar's y [values] and yerr [below and above, values], in points."""
    return {"y": [100 * interval.value for interval in intervals], "yerr": _bars(intervals, 100)}


def _bars(intervals: Sequence[Interval], factor: float) -> NDArray[np.float64]:
    """Give how far limits are away [below and above, values], times a factor; no bar where there is no interval."""
    pairs = [
        (0.0, 0.0) if i.low is None or i.high is None else (factor * (i.value - i.low), factor * (i.high - i.value))
        for i in intervals
    ]
    bars: NDArray[np.float64] = np.array(pairs, dtype=np.float64).reshape(-1, 2).T.clip(min=0.0)
    return bars


def figure_bitrates(results: Results, protocol: str) -> Figure | None:
    """Draw window accuracy against kbit/s: a line a codec and form, latents before the quantiser at the right edge.

    Baselines are level lines with their interval as a band. None where nothing that has a bitrate was run.
    """
    from matplotlib.ticker import FuncFormatter, NullLocator

    run = [point for point in points(results, protocol) if point.interval]
    rates = sorted({point.bitrate for point in run if point.bitrate})
    if not rates:
        return None
    chosen, baselines = styles(results.params.representations), results.params.claims.baselines
    references = {name: known for name in baselines if (known := results.cell(name, protocol).window_interval)}
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
        for codec in dict.fromkeys(point.codec for point in run):
            for form, marker in FORMS.items():
                mine = [point for point in run if (point.codec, point.form) == (codec, form)]
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
        title = f"{results.dataset}, protocol {protocol}: accuracy of a codec's latents against its bitrate"
        put_names(figure, axes, WINDOWS_RIGHT, f"{title}\nbars and bands: {explain_bars(results)}", columns=2)
    return figure


def figure_pareto(results: Results, costs: Mapping[str, Costs]) -> Figure | None:
    """Draw window accuracy against ms of processor time a second of sound, with the front of what nothing dominates.

    The markers of controls are hollow. None where no representation has both.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    both = pareto_points(results, costs)
    if not both:
        return None
    chosen, front = styles(results.params.representations), [point for point in both if not point.dominated_by]
    title = f"{results.dataset}, protocol {results.judged_protocol}: accuracy against cost"
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
        for point in both:
            style, name = chosen[point.representation], point.representation
            axes.errorbar(
                [1000 * point.cost.value],
                **_values_and_bars([point.accuracy]),
                xerr=_bars([point.cost], 1000),
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
        axes.set_ylabel(WINDOWS_RIGHT)
        axes.grid(alpha=0.3)
        figure.legend(loc="outside lower center", ncols=2)
        bars = f"upright bars: {explain_bars(results)}; level bars: over rounds"
        figure.suptitle(f"{title}\n{bars}; hollow: controls", fontsize=11)
    return figure


def figure_reliability(results: Results, protocol: str) -> Figure | None:
    """Draw the accuracy of windows against their confidence in bins of all runs' windows, a line a representation.

    None where no cell of the protocol was measured so.
    """
    cells = {name: cell.scores for (name, of), cell in results.cells.items() if of == protocol and cell.scores}
    known = {name: scores.calibration for name, scores in cells.items() if scores.calibration}
    if not known:
        return None
    chosen = styles(results.params.representations)
    title = f"{results.dataset}, protocol {protocol}: how often windows are right that are answered with a probability"
    title = fill(title, 100)  # signs of a line
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
        axes.set_ylabel(WINDOWS_RIGHT)
        axes.grid(alpha=0.3)
        figure.legend(loc="outside lower center", ncols=2, handlelength=3.5)
        figure.suptitle(
            f"{title}\nall runs; bins of at least {FEW} windows; expected calibration error in points", fontsize=11
        )
    return figure
