"""How near the sound of a codec that is trained here is, against the steps of its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from beyond_spectrograms.evaluation.records import Record, ResultError, read_record
from beyond_spectrograms.report.figures import BLUE, DASHES, FURTHER, GREEN, MARKERS, ORANGE, Style, drawing
from beyond_spectrograms.report.table import Row, Table, show_range, texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (BLUE, ORANGE, GREEN, *FURTHER)
MEASURES = {"si_snr": "SI-SNR (dB)", "mel_distance": "mel distance (dB)", "perplexity": "perplexity of a codebook"}


class Judged(Record):
    """What judge_codec found by the clips of a data set: means over clips, and use of each codebook."""

    dataset: str
    seed: int
    step: int
    bitrate: int
    si_snr: float
    mel_distance: float
    perplexity: list[float]
    clips: dict[str, list[float]]


class Quality(Record):
    """quality.json of a codec."""

    codec: str
    results: list[Judged]

    def by_step(self, dataset: str, bitrate: int, measure: str) -> dict[int, list[float]]:
        """Gather one of MEASURES by step, a value a seed."""
        found: dict[int, list[float]] = {}
        for each in self.results:
            if (each.dataset, each.bitrate) == (dataset, bitrate):
                found.setdefault(each.step, []).append(measure_of(each, measure))
        return found


def read_quality(path: Path) -> Quality:
    """Read what a codec was found to be.

    Raises:
        ResultError: the file is not there or damaged, or has no result.
    """
    quality = read_record(path, Quality)
    if not quality.results:
        raise ResultError(f"{path}: no result is there. Run its stage again.")
    return quality


def measure_of(judged: Judged, measure: str) -> float:
    """Give one of MEASURES; of perplexity the mean over the codebooks that the bitrate takes."""
    return float(np.mean(getattr(judged, measure)))


def tabulate_quality(quality: Quality) -> Table:
    """Tabulate a codec's quality by data set, step and bitrate: the mean over seeds, and of several the range."""
    rows: list[Row] = []
    cells = _cells(quality)
    for (dataset, step, bitrate), mine in cells.items():
        row: Row = {"data set": dataset, "steps": step, "bits/s": bitrate, "seeds": len(mine)}
        for measure in MEASURES:
            values = [measure_of(each, measure) for each in mine]
            row |= {measure: float(np.mean(values)), f"{measure}_low": min(values), f"{measure}_high": max(values)}
        rows.append(row)
    columns = texts("data set", "steps", "bits/s", "seeds")
    columns |= {head: show_range(measure, 2 if measure == "mel_distance" else 1) for measure, head in MEASURES.items()}
    clips = {each.dataset: len(each.clips) for each in quality.results}
    counted = ", ".join(f"{count} of {dataset}" for dataset, count in clips.items())
    notes = [
        f"Means over clips that its training never heard: {counted}. The delay was taken out of each.",
        "Perplexity is the mean over the codebooks that a bitrate takes: how many entries are as good as used alike.",
    ]
    if any(len(mine) > 1 for mine in cells.values()):
        notes.append("In parentheses: the seeds with the lowest and the highest value; no interval.")
    return Table(f"The codec {quality.codec} by steps of training", rows, columns, notes)


def figure_quality(quality: Quality) -> Figure:
    """Draw a codec's quality against steps, a column a data set that judges it.

    Lines are bitrates, and means over seeds whose range is a band.
    """
    datasets = list(dict.fromkeys(each.dataset for each in quality.results))
    steps = sorted({each.step for each in quality.results})
    rates = sorted({each.bitrate for each in quality.results}, reverse=True)
    chosen = {rate: style_of(place) for place, rate in enumerate(rates)}
    with drawing(1.2 + 4.6 * len(datasets), 1.4 + 2.5 * len(MEASURES)) as figure:
        grid = figure.subplots(len(MEASURES), len(datasets), squeeze=False)
        for column, dataset in enumerate(datasets):
            for row, (measure, label) in enumerate(MEASURES.items()):
                for rate, style in chosen.items():
                    draw_range(grid[row, column], quality.by_step(dataset, rate, measure), style, f"{rate} bits/s")
                grid[row, column].set_ylabel(label)
                scale_steps(grid[row, column], steps)
            clips = next(len(each.clips) for each in quality.results if each.dataset == dataset)
            grid[0, column].set_title(f"sound, {clips} clips of {dataset}", loc="left")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=1 + len(datasets), handlelength=3.5)
        seeds = sorted({each.seed for each in quality.results})
        told = "one seed" if len(seeds) == 1 else f"means of {len(seeds)} seeds; bands: their range"
        figure.suptitle(f"The codec {quality.codec} by steps of its training\n{told}", fontsize=11)
    return figure


def _cells(quality: Quality) -> Mapping[tuple[str, int, int], list[Judged]]:
    """Gather the seeds of each data set, step and bitrate, in the order of the file."""
    found: dict[tuple[str, int, int], list[Judged]] = {}
    for each in quality.results:
        found.setdefault((each.dataset, each.step, each.bitrate), []).append(each)
    return found


def style_of(place: int) -> Style:
    """Give the style of the line of this number."""
    return Style(COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)], MARKERS[place % len(MARKERS)])


def draw_range(axes: Axes, by_step: Mapping[int, Sequence[float]], style: Style, label: str) -> None:
    """Draw the means of values by step as a line, and of several the range as a band."""
    steps = sorted(by_step)
    means = [float(np.mean(by_step[step])) for step in steps]
    axes.plot(steps, means, color=style.colour, linestyle=style.dash, marker=style.marker, label=label)
    if any(len(values) > 1 for values in by_step.values()):
        low, high = ([limit(by_step[step]) for step in steps] for limit in (min, max))
        axes.fill_between(steps, low, high, color=style.colour, alpha=0.15, linewidth=0)
    axes.grid(alpha=0.3)


def scale_steps(axes: Axes, steps: Sequence[int]) -> None:
    """Lay steps out by their logarithm, 0 a little before the first."""
    from matplotlib.ticker import NullLocator

    first = min((step for step in steps if step), default=1)
    axes.set_xscale("symlog", linthresh=first, linscale=0.6)
    axes.set_xlim(-first / 4, 1.3 * max(first, *steps))
    axes.set_xticks(steps, [f"{step:g}" if step < 1000 else f"{step / 1000:g}k" for step in steps])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("steps of training")
