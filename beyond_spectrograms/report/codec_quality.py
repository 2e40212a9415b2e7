"""A codec that is trained here against the steps of its training: how near its sound is, and what its latents tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from beyond_spectrograms.evaluation.records import Interval, Record, ResultError, read_record
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.params.encoders import TrainedCodec
from beyond_spectrograms.report.evidence_figures import explain_bars
from beyond_spectrograms.report.figures import BLUE, DASHES, FURTHER, GREEN, MARKERS, ORANGE, Style, drawing
from beyond_spectrograms.report.table import Row, Table, interval_row, number, show_interval, texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REFERENCE = "soundstream"  # the representation whose place is drawn: a codec that others trained
BESIDE = 7  # points between the bars of one step
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


@dataclass(frozen=True)
class Probes:
    """Answers of a data set's probes to latents: test windows right by seed and step; the reference's where it is run.

    `results` are those of the codec's study, and say how sure that is.
    """

    results: Results
    protocol: str
    by_seed: dict[int, dict[int, Interval]]
    reference: Interval | None


def read_quality(path: Path) -> Quality:
    """Read what a codec was found to be.

    Raises:
        ResultError: the file is not there or damaged, or has no result.
    """
    quality = read_record(path, Quality)
    if not quality.results:
        raise ResultError(f"{path}: no result is there. Run its stage again.")
    return quality


def probes_of(codec: str, results: Results, reference: Interval | None) -> Probes | None:
    """Find what probes know by the latents of a codec, under the protocol that is judged; None where none was run."""
    protocol, by_seed = results.judged_protocol, dict[int, dict[int, Interval]]()
    if protocol is None:
        return None
    for name, record in results.params.representations.items():
        interval = results.cell(name, protocol).window_interval
        if isinstance(record, TrainedCodec) and record.codec == codec and interval is not None:
            by_seed.setdefault(record.seed, {})[record.step] = interval
    ordered = {seed: dict(sorted(mine.items())) for seed, mine in sorted(by_seed.items())}
    return Probes(results, protocol, ordered, reference) if ordered else None


def measure_of(judged: Judged, measure: str) -> float:
    """Give one of MEASURES; of perplexity the mean over the codebooks that the bitrate takes."""
    return float(np.mean(getattr(judged, measure)))


def tabulate_quality(quality: Quality) -> Table:
    """Tabulate a codec's quality by data set, step and bitrate: the mean over seeds, and of several the range."""
    rows: list[Row] = []
    for (dataset, step, bitrate), mine in _cells(quality).items():
        row: Row = {"data set": dataset, "steps": step, "bits/s": bitrate, "seeds": len(mine)}
        for measure in MEASURES:
            values = [measure_of(each, measure) for each in mine]
            row |= {measure: float(np.mean(values)), f"{measure}_low": min(values), f"{measure}_high": max(values)}
        rows.append(row)
    columns = texts("data set", "steps", "bits/s", "seeds")
    columns |= {head: _show_range(measure, 2 if measure == "mel_distance" else 1) for measure, head in MEASURES.items()}
    clips = {each.dataset: len(each.clips) for each in quality.results}
    counted = ", ".join(f"{count} of {dataset}" for dataset, count in clips.items())
    notes = [
        f"Means over clips that its training never heard: {counted}. The delay was taken out of each.",
        "Perplexity is the mean over the codebooks that a bitrate takes: how many entries are as good as used alike.",
    ]
    if any(int(str(row["seeds"])) > 1 for row in rows):
        notes.append("In parentheses: the seeds with the lowest and the highest value; no interval.")
    return Table(f"The codec {quality.codec} by steps of training", rows, columns, notes)


def _show_range(measure: str, digits: int) -> Any:
    def show(row: Row) -> str:
        mean, low, high = (number(f"{measure}{part}", digits)(row) for part in ("", "_low", "_high"))
        return mean if row["seeds"] == 1 else f"{mean} ({low} to {high})"

    return show


def tabulate_probes(codec: str, known: Sequence[Probes]) -> Table | None:
    """Tabulate test windows right by latents after each step, a row a seed; None where no probe was run."""
    rows: list[Row] = []
    for probes in known:
        shared: Row = {"data set": probes.results.dataset, "protocol": probes.protocol}
        found = [
            (f"{codec}, seed {seed}", step, interval)
            for seed, mine in probes.by_seed.items()
            for step, interval in mine.items()
        ]
        reference = [] if probes.reference is None else [(REFERENCE, None, probes.reference)]
        for latents, steps, interval in [*found, *reference]:
            told = {"latents": latents, "steps": steps} | interval_row("right", interval)
            rows.append(shared | told | {"note": interval.reason or ""})
    if not rows:
        return None
    columns = texts("data set", "protocol", "latents", "steps") | {"test windows right (%)": show_interval("right")}
    columns |= texts("note")
    confidence = known[0].results.params.statistics.confidence
    notes = [
        f"In brackets: {confidence:.0%} interval over sources and runs of the probe (docs/uncertainty.md) of one"
        " codec: another of its seeds may give another value."
    ]
    return Table(f"Latents of the codec {codec} by steps of its training", rows, columns, notes)


def figure_quality(quality: Quality, known: Sequence[Probes]) -> Figure:
    """Draw a codec's quality against steps, a column a data set that judges it; below, what probes know by its latents.

    Lines are bitrates, and means over seeds whose range is a band. Below they are seeds, with intervals.
    """
    datasets = list(dict.fromkeys(each.dataset for each in quality.results))
    steps = sorted({each.step for each in quality.results})
    rates = sorted({each.bitrate for each in quality.results}, reverse=True)
    chosen = {rate: _style(place) for place, rate in enumerate(rates)}
    rows, columns = len(MEASURES) + bool(known), max(len(datasets), len(known))
    with drawing(1.2 + 4.6 * columns, 1.4 + 2.5 * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for column, dataset in enumerate(datasets):
            for row, (measure, label) in enumerate(MEASURES.items()):
                _draw_measure(grid[row, column], quality, dataset, measure, chosen)
                grid[row, column].set_ylabel(label)
            clips = next(len(each.clips) for each in quality.results if each.dataset == dataset)
            grid[0, column].set_title(f"sound, {clips} clips of {dataset}", loc="left")
        for column, probes in enumerate(known):
            axes = grid[-1, column]
            _draw_probes(axes, probes, len(rates))
            axes.set_title(f"latents, {probes.results.dataset}, {probes.protocol}", loc="left")
        for axes in grid.flat:
            if axes.has_data():
                _scale_steps(axes, steps)
            else:
                axes.set_visible(False)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        if known:
            more = [each.get_legend_handles_labels() for each in grid[-1, : len(known)]]
            found = {label: handle for pair in more for handle, label in zip(*pair, strict=True)}
            handles, labels = [*handles, *found.values()], [*labels, *found]
        figure.legend(handles, labels, loc="outside lower center", ncols=1 + columns, handlelength=3.5)
        seeds = sorted({each.seed for each in quality.results})
        told = "one seed" if len(seeds) == 1 else f"sound: means of {len(seeds)} seeds; bands: their range"
        bars = f"\nlatents: bars: {explain_bars(known[0].results)}" if known else ""
        figure.suptitle(f"The codec {quality.codec} by steps of its training\n{told}{bars}", fontsize=11)
    return figure


def _cells(quality: Quality) -> Mapping[tuple[str, int, int], list[Judged]]:
    """Gather the seeds of each data set, step and bitrate, in the order of the file."""
    found: dict[tuple[str, int, int], list[Judged]] = {}
    for each in quality.results:
        found.setdefault((each.dataset, each.step, each.bitrate), []).append(each)
    return found


def _style(place: int) -> Style:
    return Style(COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)], MARKERS[place % len(MARKERS)])


def _draw_measure(axes: Axes, quality: Quality, dataset: str, measure: str, chosen: Mapping[int, Style]) -> None:
    for rate, style in chosen.items():
        by_step = {
            step: [measure_of(each, measure) for each in mine]
            for (of, step, bitrate), mine in _cells(quality).items()
            if (of, bitrate) == (dataset, rate)
        }
        steps = sorted(by_step)
        axes.plot(
            steps,
            [float(np.mean(by_step[step])) for step in steps],
            color=style.colour,
            linestyle=style.dash,
            marker=style.marker,
            label=f"sound at {rate} bits/s",
        )
        if any(len(values) > 1 for values in by_step.values()):
            low, high = ([limit(by_step[step]) for step in steps] for limit in (min, max))
            axes.fill_between(steps, low, high, color=style.colour, alpha=0.15, linewidth=0)
    axes.grid(alpha=0.3)


def _draw_probes(axes: Axes, probes: Probes, styled: int) -> None:
    """Draw a line a seed, in styles after the first `styled`, and the reference as a level line."""
    from matplotlib.transforms import ScaledTranslation

    middle = (len(probes.by_seed) - 1) / 2
    if probes.reference is not None:
        axes.axhline(100 * probes.reference.value, color="black", linestyle=(0, (1, 1.5)), label=REFERENCE)
    for place, (seed, mine) in enumerate(probes.by_seed.items()):
        style = _style(styled + place)
        below, above = [], []
        for each in mine.values():
            below.append(0.0 if each.low is None else max(0.0, 100 * (each.value - each.low)))
            above.append(0.0 if each.high is None else max(0.0, 100 * (each.high - each.value)))
        axes.errorbar(
            list(mine),
            [100 * each.value for each in mine.values()],
            yerr=[below, above],
            color=style.colour,
            linestyle=style.dash,
            marker=style.marker,
            capsize=3,
            # Side by side, so that no interval hides another.
            transform=axes.transData
            + ScaledTranslation((place - middle) * BESIDE / 72, 0, axes.figure.dpi_scale_trans),
            label=f"latents, seed {seed}",
        )
    axes.set_ylabel("test windows right (%)")
    # What is drawn beside its place does not count where matplotlib chooses limits.
    shown = [each for mine in probes.by_seed.values() for each in mine.values()]
    shown += [] if probes.reference is None else [probes.reference]
    axes.set_ylim(0, 105 * max(each.value if each.high is None else each.high for each in shown) + 1)
    axes.grid(alpha=0.3)


def _scale_steps(axes: Axes, steps: Sequence[int]) -> None:
    """Lay steps out by their logarithm, 0 a little before the first."""
    from matplotlib.ticker import NullLocator

    first = min((step for step in steps if step), default=1)
    axes.set_xscale("symlog", linthresh=first, linscale=0.6)
    axes.set_xlim(-first / 4, 1.3 * max(first, *steps))
    axes.set_xticks(steps, [f"{step:g}" if step < 1000 else f"{step / 1000:g}k" for step in steps])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("steps of training")
