"""What codecs learn of classes: tables and the figure of a study's experiment, all codecs, seeds and data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from beyond_spectrograms.evaluation.codec_learning import Learned
from beyond_spectrograms.evaluation.comparisons import Pair
from beyond_spectrograms.params import Params
from beyond_spectrograms.report.codec_quality import MEASURES, Quality, measure_of, scale_steps, style_of
from beyond_spectrograms.report.figures import Style, drawing
from beyond_spectrograms.report.table import (
    SIGNED,
    Row,
    Table,
    interval_row,
    scaled,
    show_interval,
    show_p,
    text,
    texts,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BESIDE = 7  # points between the bars of one step
SOUND = ("si_snr", "mel_distance")  # of MEASURES, what is drawn below


def tabulate_learned(params: Params, known: Sequence[Learned]) -> Table:
    """Tabulate test windows right by latents of each codec and step, all seeds together, and by what is no codec."""
    rows: list[Row] = []
    for each in known:
        for name, steps in each.accuracy.items():
            for step, interval in steps.items():
                row: Row = {"data set": each.dataset, "latents": name, "steps": step, "seeds": each.seeds(name) or None}
                rows.append(row | interval_row("right", interval) | {"note": interval.reason or ""})
    columns = texts("data set", "latents", "steps", "seeds") | {"test windows right (%)": show_interval("right")}
    notes = [
        f"In brackets: {params.statistics.confidence:.0%} interval over sources and runs; a codec's seeds are its runs "
        "(docs/uncertainty.md).",
        f"Protocol: {known[0].protocol}. Codecs heard no recording of these data sets.",
    ]
    return Table("Codecs by steps of their training: what probes know by their latents", rows, columns, notes)


def tabulate_gains(params: Params, pairs: Sequence[tuple[str, Pair]]) -> Table:
    """Tabulate the tests of what codecs learned."""
    rows: list[Row] = []
    for dataset, pair in pairs:
        test = pair.comparison
        row: Row = {"data set": dataset, "latents": pair.first, "minus": pair.second}
        row |= interval_row("difference", test.difference) | {"p": test.p, "p_corrected": pair.p}
        row["verdict"] = pair.verdict(params.statistics.confidence)
        row["detectable_percent"] = None if test.detectable is None else 100 * test.detectable
        rows.append(row | {"note": test.difference.reason or ""})
    columns = texts("data set", "latents", "minus") | {
        "difference, points": show_interval("difference", SIGNED),
        "p, corrected": show_p("p_corrected"),
        "verdict": text("verdict"),
        "could be found": scaled("detectable_percent", ".1f"),
    }
    notes = [
        f"First minus second in the share of test windows right. p: two-sided, corrected by Holm for the {len(pairs)} "
        "tests of this table.",
        f"Same: surely within {100 * params.statistics.margin:g} points. Could be found: the true difference that this "
        "design finds with a chance of 80 %, corrected (Bonferroni).",
    ]
    return Table("What codecs learned of classes", rows, columns, notes)


def figure_learned(
    params: Params, known: Sequence[Learned], qualities: Mapping[str, Quality], references: Sequence[str]
) -> Figure:
    """Draw accuracy by latents against steps, a column a data set; below, how near the codecs' sound is.

    Args:
        params: of the study.
        known: what probes know, a data set each.
        qualities: of each codec that was judged.
        references: names, of those that are no codec of ours, whose level is drawn.
    """
    codecs = list(dict.fromkeys(codec for each in known for codec in each.latents))
    chosen = {codec: style_of(place) for place, codec in enumerate(codecs)}
    steps = sorted({step for each in known for mine in each.latents.values() for step in mine})
    judged = {codec: quality for codec, quality in qualities.items() if codec in chosen}
    columns = max(len(known), len(SOUND) if judged else 1)
    with drawing(1.2 + 4.8 * columns, 4.6 + 3.0 * bool(judged)) as figure:
        grid = figure.subplots(1 + bool(judged), columns, squeeze=False)
        for axes, each in zip(grid[0], known, strict=False):
            _draw_accuracy(axes, each, chosen, references)
            axes.set_title(f"latents, {each.dataset}, {each.protocol}", loc="left")
        for axes, measure in zip(grid[-1], SOUND if judged else (), strict=False):
            _draw_sound(axes, judged, measure, chosen)
        for axes in grid.flat:
            if axes.has_data():
                scale_steps(axes, steps)
            else:
                axes.set_visible(False)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, handlelength=3.5)
        most = max(each.seeds(codec) for each in known for codec in each.latents)
        trained = "one training each" if most == 1 else f"means of {most} trainings, where so many were run"
        bars = f"bars: {params.statistics.confidence:.0%} interval over sources and trainings"
        figure.suptitle(f"What codecs learn of classes while they learn to compress\n{trained}; {bars}", fontsize=11)
    return figure


def _draw_accuracy(axes: Axes, known: Learned, chosen: Mapping[str, Style], references: Sequence[str]) -> None:
    from matplotlib.transforms import ScaledTranslation

    middle = (len(known.latents) - 1) / 2
    greys = iter([(0, (1, 1.5)), (0, (5, 2)), (0, (6, 2, 1, 2)), "-"])
    for name in references:
        if name in known.accuracy:
            level = 100 * known.accuracy[name][None].value
            axes.axhline(level, color="black", linewidth=1.0, linestyle=next(greys), label=name)
    for place, codec in enumerate(known.latents):
        style, found = chosen[codec], known.accuracy[codec]
        values = [100 * each.value for each in found.values()]
        low = [100 * (each.value if each.low is None else each.low) for each in found.values()]
        high = [100 * (each.value if each.high is None else each.high) for each in found.values()]
        axes.errorbar(
            list(known.latents[codec]),
            values,
            yerr=[np.subtract(values, low), np.subtract(high, values)],
            color=style.colour,
            linestyle=style.dash,
            marker=style.marker,
            capsize=3,
            transform=axes.transData
            + ScaledTranslation((place - middle) * BESIDE / 72, 0, axes.figure.dpi_scale_trans),
            label=f"codec trained on {codec}",
        )
    # What is drawn beside its place does not count where matplotlib chooses limits.
    shown = [each for name in (*known.latents, *references) for each in known.accuracy.get(name, {}).values()]
    axes.set_ylim(0, 105 * max(each.value if each.high is None else each.high for each in shown) + 1)
    axes.set_ylabel("test windows right (%)")
    axes.grid(alpha=0.3)


def _draw_sound(axes: Axes, judged: Mapping[str, Quality], measure: str, chosen: Mapping[str, Style]) -> None:
    """Draw a measure of sound at each codec's highest bitrate, mean over seeds, with their range as a band."""
    for codec, quality in judged.items():
        rate, dataset = max(each.bitrate for each in quality.results), quality.results[0].dataset
        by_step: dict[int, list[float]] = {}
        for each in quality.results:
            if (each.bitrate, each.dataset) == (rate, dataset):
                by_step.setdefault(each.step, []).append(measure_of(each, measure))
        steps, style = sorted(by_step), chosen[codec]
        means = [float(np.mean(by_step[step])) for step in steps]
        axes.plot(steps, means, color=style.colour, linestyle=style.dash, marker=style.marker)
        low, high = ([limit(by_step[step]) for step in steps] for limit in (min, max))
        axes.fill_between(steps, low, high, color=style.colour, alpha=0.15, linewidth=0)
    axes.set_title(f"sound, {dataset}, {rate} bits/s; bands: range of trainings", loc="left")
    axes.set_ylabel(MEASURES[measure])
    axes.grid(alpha=0.3)
