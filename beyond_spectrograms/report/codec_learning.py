"""What codecs learn of classes: tables and the figure of a study's experiment, all codecs, trainings and data sets.

A codec is trained once for all folds, so that seeds of a codec are no runs of a fold: too few for an interval over
trainings, they stand as mean and range. What each training gained as a probe tells it is among the study's contrasts.
Networks learn from the latents of fewer trainings; what these gained is in a table of its own, with intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.evaluation.uncertainty import compare
from beyond_spectrograms.params.encoders import TrainedCodec
from beyond_spectrograms.report.codec_quality import MEASURES, Quality, draw_range, scale_steps, style_of
from beyond_spectrograms.report.figures import Style, drawing
from beyond_spectrograms.report.table import SIGNED, Row, Table, interval_row, show_interval, show_range, texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOUND = ("si_snr", "mel_distance")  # of MEASURES, what is drawn below
LEVELS = ((0, (1, 1.5)), (0, (5, 2)), (0, (6, 2, 1, 2)), "-")  # dashes of what is no codec of the study


@dataclass(frozen=True)
class Learned:
    """Shares of a data set's test windows that are told right by latents: [trainings] by codec and step.

    `others` are those of representations that are no codec of the study.
    """

    dataset: str
    protocol: str
    right: dict[str, dict[int, list[float]]]
    others: dict[str, float]
    names: Mapping[str, str] = field(default_factory=dict)  # of codecs that are called otherwise here


def learned(results: Results, protocol: str, beside: Mapping[str, float], names: Mapping[str, str]) -> Learned | None:
    """Gather what was run under a protocol; None where no latents of a codec were.

    `beside` are shares right of other studies, by representation, under the same protocol. `names` are those that
    codecs have here, where they have others.
    """
    right, others = dict[str, dict[int, list[float]]](), dict[str, float]()
    for name in results.asked(protocol):
        record, interval = results.params.representations[name], results.cell(name, protocol).window_interval
        if interval is None:
            continue
        if isinstance(record, TrainedCodec):
            by_step = right.setdefault(names.get(record.codec, record.codec), {})
            by_step.setdefault(record.step, []).append(interval.value)
        else:
            others[name] = interval.value
    ordered = {codec: dict(sorted(steps.items())) for codec, steps in right.items()}
    return Learned(results.dataset, protocol, ordered, others | dict(beside), names) if right else None


def by_networks(results: Results) -> list[str]:
    """List the protocols of a study that learn by epochs and are no control."""
    chosen = [
        name for name, each in results.params.protocols.items() if not (each.is_control or each.is_fitted_at_once)
    ]
    return [name for name in chosen if results.asked(name)]


def compare_networks(results: Results, names: Mapping[str, str]) -> list[Row]:
    """Lay out what networks have right by each input, and by latents also how much more than by those as drawn."""
    rows: list[Row] = []
    for protocol in by_networks(results):
        found = {name: results.cell(name, protocol) for name in results.asked(protocol)}
        drawn = dict[tuple[str, int], Cell]()
        for name, cell in found.items():
            of = results.params.representations[name]
            if isinstance(of, TrainedCodec) and of.step == 0:
                drawn[of.codec, of.seed] = cell
        for name, cell in found.items():
            of, more = results.params.representations[name], None
            row: Row = {"data set": results.dataset, "protocol": protocol, "latents": name, "steps": None}
            if isinstance(of, TrainedCodec):
                row |= {"latents": f"{names.get(of.codec, of.codec)}, seed {of.seed}", "steps": of.step}
                before = drawn.get((of.codec, of.seed))
                if of.step and before and before.recordings and cell.recordings:
                    more = compare(cell.recordings, before.recordings, results.params.statistics).difference
            if cell.window_interval is not None:
                rows.append(row | interval_row("right", cell.window_interval) | interval_row("more", more))
    return rows


def tabulate_networks(rows: list[Row]) -> Table:
    """Tabulate what `compare_networks` laid out."""
    columns = texts("data set", "protocol", "latents", "steps") | {
        "test windows right (%)": show_interval("right"),
        "minus as drawn, points": show_interval("more", SIGNED),
    }
    notes = [
        "Minus as drawn: the difference to latents of the same training before its first step, on the same windows. An "
        "interval is for one training of a codec; where recordings have too few sources there is none. None of these "
        "differences is among the contrasts, and nothing is tested.",
    ]
    return Table("Codecs by steps of their training: what a network has right by their latents", rows, columns, notes)


def tabulate_learned(known: Sequence[Learned]) -> Table:
    """Tabulate what is right by latents of each codec and step: the mean over trainings, and of several the range."""
    rows: list[Row] = []
    for each in known:
        found = [(codec, step, values) for codec, steps in each.right.items() for step, values in steps.items()]
        for name, step, values in [*found, *((name, None, [value]) for name, value in each.others.items())]:
            row: Row = {"data set": each.dataset, "latents": name, "steps": step}
            row |= {"seeds": len(values) if name in each.right else None, "right": 100 * float(np.mean(values))}
            rows.append(row | {"right_low": 100 * min(values), "right_high": 100 * max(values)})
    columns = texts("data set", "latents", "steps", "seeds") | {"test windows right (%)": show_range("right", 1)}
    notes = [
        f"Protocol: {known[0].protocol}. In parentheses the trainings with the lowest and the highest value; no "
        "interval. What each training gained, with intervals: contrasts.md of each data set.",
        "What each codec heard, and that none of it tests: audit.json of each.",
    ]
    notes += [
        f"{each.dataset}: {', '.join(f'{here} is the codec {there}' for there, here in each.names.items())}."
        for each in known
        if each.names
    ]
    return Table("Codecs by steps of their training: what a probe knows by their latents", rows, columns, notes)


def figure_learned(
    known: Sequence[Learned], qualities: Mapping[str, Quality], networks: Sequence[Learned] = ()
) -> Figure:
    """Draw what is right by latents against steps, a column a data set; below by networks, and how near sound is."""
    codecs = list(dict.fromkeys(codec for each in known for codec in each.right))
    chosen = {codec: style_of(place) for place, codec in enumerate(codecs)}
    others = dict.fromkeys(name for each in (*known, *networks) for name in each.others)
    dashes = dict(zip(others, cycle(LEVELS)))
    steps = sorted({step for each in known for mine in each.right.values() for step in mine})
    judged = {codec: quality for codec, quality in qualities.items() if codec in chosen}
    columns = max(len(known), len(SOUND) if judged else 1)
    further = bool(networks) + bool(judged)
    with drawing(1.2 + 4.8 * columns, 4.6 + 3.0 * further) as figure:
        grid = figure.subplots(1 + further, columns, squeeze=False)
        for axes, each in zip(grid[0], known, strict=False):
            _draw_right(axes, each, chosen, dashes)
        beside = {each.dataset: each for each in networks}
        for axes, each in zip(grid[1] if networks else (), known, strict=False):
            if each.dataset in beside:
                _draw_right(axes, beside[each.dataset], chosen, dashes)
        for axes, measure in zip(grid[-1], SOUND if judged else (), strict=False):
            _draw_sound(axes, judged, measure, chosen)
        for axes in grid.flat:
            if axes.has_data():
                scale_steps(axes, steps)
            else:
                axes.set_visible(False)
        drawn = [axes.get_legend_handles_labels() for axes in grid[0, : len(known)]]
        found = {label: handle for pair in drawn for handle, label in zip(*pair, strict=True)}
        figure.legend([*found.values()], [*found], loc="outside lower center", ncols=3, handlelength=3.5)
        most = max(len(values) for each in known for mine in each.right.values() for values in mine.values())
        told = "one training each" if most == 1 else f"means of {most} trainings, where so many were run; bands: range"
        figure.suptitle(f"What codecs learn of classes while they learn to compress\n{told}", fontsize=11)
    return figure


def _draw_right(axes: Axes, known: Learned, chosen: Mapping[str, Style], dashes: Mapping[str, Any]) -> None:
    for name, value in known.others.items():
        axes.axhline(100 * value, color="black", linewidth=1.0, linestyle=dashes[name], label=name)
    for codec, steps in known.right.items():
        percent = {step: [100 * value for value in values] for step, values in steps.items()}
        draw_range(axes, percent, chosen[codec], f"codec {codec}")
    axes.set_title(f"latents, {known.dataset}, {known.protocol}", loc="left")
    axes.set_ylabel("test windows right (%)")
    values = [value for steps in known.right.values() for mine in steps.values() for value in mine]
    axes.set_ylim(max(0.0, 100 * min([*values, *known.others.values()]) - 10), 101)


def _draw_sound(axes: Axes, judged: Mapping[str, Quality], measure: str, chosen: Mapping[str, Style]) -> None:
    """Draw a measure of sound, of clips that judge the first codec at its highest bitrate; of others the same."""
    first = next(iter(judged.values())).results
    rate, dataset = max(each.bitrate for each in first), first[0].dataset
    for codec, quality in judged.items():
        draw_range(axes, quality.by_step(dataset, rate, measure), chosen[codec], codec)
    axes.set_title(f"sound, {dataset}, {rate} bits/s", loc="left")
    axes.set_ylabel(MEASURES[measure])
