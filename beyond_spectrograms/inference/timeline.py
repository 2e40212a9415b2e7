"""A picture of a segmentation: spectrogram above, probabilities below, segments coloured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.inference.results import Segmentation
from beyond_spectrograms.inference.stream_windows import Batch
from beyond_spectrograms.report.figures import BLUE, DPI, FURTHER, GREEN, ORANGE, drawing
from beyond_spectrograms.util.files import written_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 2000  # of the picture, at least where the sound is long enough, and less than twice as many
FRAME_S = 0.032
BANDS = 96
LOWEST_HZ = 50.0
RANGE_DB = 80.0
FLOOR = 1e-12
PALETTE = (BLUE, ORANGE, GREEN, *FURTHER)


class Spectrogram:
    """A spectrogram of a sound of any length, gathered as its windows pass by; long sounds get wider columns."""

    def __init__(self, sample_rate: int, hop_s: float) -> None:
        self._sample_rate, self._hop_s = sample_rate, hop_s
        self._frame = round(FRAME_S * sample_rate)
        self._merged = 1  # frames in a column
        self._columns: npt.NDArray[np.float32] = np.empty((0, BANDS), np.float32)
        self._rest: Waveform = np.empty(0, np.float32)
        edges = np.geomspace(LOWEST_HZ, sample_rate / 2, BANDS + 1)
        bins = np.maximum(np.rint(edges * self._frame / sample_rate).astype(int), 1)
        self._firsts, self._lasts = bins[:-1], np.maximum(bins[1:], bins[:-1] + 1)
        self.highest_hz = sample_rate / 2
        self.column_s = self._frame / sample_rate

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Pass the batches on."""
        tail = self._rest
        for batch in batches:
            mono = batch.windows[:, 0]
            # Windows start at whole samples: from one to the next there may be one more or less.
            firsts = np.rint(batch.starts_s * self._sample_rate)
            hops = (np.rint((batch.starts_s + self._hop_s) * self._sample_rate) - firsts).astype(int)
            self._add(np.concatenate([window[:hop] for window, hop in zip(mono, hops, strict=True)]))
            tail = mono[-1, hops[-1] :]
            yield batch
        self._add(tail)

    def _add(self, samples: Waveform) -> None:
        samples = np.concatenate([self._rest, samples])
        step = self._frame * self._merged
        whole = len(samples) // step * step
        frames, self._rest = samples[:whole].reshape(-1, self._frame), samples[whole:]
        power = np.abs(np.fft.rfft(frames * np.hanning(self._frame), axis=1)) ** 2
        sums = np.concatenate([np.zeros((len(power), 1)), power.cumsum(axis=1)], axis=1)
        bands = (sums[:, self._lasts] - sums[:, self._firsts]) / (self._lasts - self._firsts)
        merged = bands.reshape(-1, self._merged, BANDS).mean(axis=1).astype(np.float32)
        self._columns = np.concatenate([self._columns, merged])
        while len(self._columns) >= 2 * COLUMNS:
            pairs = self._columns[: len(self._columns) // 2 * 2]
            odd = self._columns[len(pairs) :]
            self._columns = np.concatenate([pairs.reshape(-1, 2, BANDS).mean(axis=1), odd])
            self._merged *= 2
            self.column_s *= 2

    def decibels(self, seconds: float) -> npt.NDArray[np.float32]:
        """Give [bands, columns] of the first `seconds`, in decibels below the loudest, RANGE_DB at most."""
        columns = self._columns[: max(int(np.ceil(seconds / self.column_s)), 1)]
        if not len(columns):
            return np.full((BANDS, 1), -RANGE_DB, np.float32)
        level = 10 * np.log10(np.maximum(columns, FLOOR)).T
        return np.asarray(np.maximum(level - level.max(), -RANGE_DB))


def draw_timeline(found: Segmentation, spectrogram: Spectrogram | None, path: Path) -> None:
    """Draw a PNG: classes that hold a segment have a colour of their own, in the bar and as a line; others are grey.

    NONE has a colour in the bar, and no line. The legend names all of them.
    There is no spectrogram of a sound that was not decoded.
    """
    from matplotlib.patches import Patch

    held = list(dict.fromkeys(part.label for part in found.segments if part.label is not None))
    colours = dict(zip(held, _colours(len(held)), strict=True))
    heights = [5, 1, 4] if spectrogram else [1, 4]
    with drawing(11, 6 if spectrogram else 3.3) as figure:
        *above, bar, below = figure.subplots(len(heights), sharex=True, height_ratios=heights)
        if spectrogram:
            _draw_spectrogram(above[0], spectrogram, found.seconds)
        _draw_bar(bar, found, colours)
        lines = _draw_probabilities(below, found, colours)
        shown = {label: lines[label] if label in lines else Patch(color=colours[label]) for label in held}
        if grey := [line for label, line in lines.items() if label not in colours]:
            shown["other classes"] = grey[0]
        # Named one by one: of its own accord matplotlib leaves out labels that begin with an underscore.
        chosen = {"handles": [*shown.values()], "labels": [*shown]}
        below.legend(**chosen, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, fontsize="small")
        with written_beside(path) as beside:
            figure.savefig(beside, format="png", dpi=DPI)


def _colours(count: int) -> Sequence[Any]:
    if count <= len(PALETTE):
        return PALETTE[:count]
    from matplotlib import colormaps

    return [colormaps["turbo"](place) for place in np.linspace(0.05, 0.95, count)]


def _draw_spectrogram(axes: Axes, spectrogram: Spectrogram, seconds: float) -> None:
    level = spectrogram.decibels(seconds)
    edges = np.geomspace(LOWEST_HZ, spectrogram.highest_hz, BANDS + 1)
    times = np.arange(level.shape[1] + 1) * spectrogram.column_s
    axes.pcolormesh(times, edges, level, cmap="magma", rasterized=True)
    axes.set(yscale="log", ylabel="Hz", ylim=(LOWEST_HZ, spectrogram.highest_hz), xlim=(0, seconds))
    ticks = [hertz for hertz in (100, 300, 1000, 3000, 10_000) if hertz < spectrogram.highest_hz]
    axes.set_yticks(ticks, [str(hertz) for hertz in ticks])
    axes.minorticks_off()


def _draw_bar(axes: Axes, found: Segmentation, colours: dict[str, Any]) -> None:
    edge = "black" if len(found.segments) <= 100 else "none"  # of so many, edges would hide the colours
    for part in found.segments:
        width = part.end_s - part.start_s
        colour = "white" if part.label is None else colours[part.label]
        axes.barh(0, width, left=part.start_s, height=1, color=colour, edgecolor=edge, linewidth=0.5)
        if part.label is not None and width > 0.012 * len(part.label) * found.seconds:
            axes.text(part.start_s + width / 2, 0, part.label, ha="center", va="center", fontsize="x-small")
    axes.set(yticks=[], ylim=(-0.5, 0.5))


def _draw_probabilities(axes: Axes, found: Segmentation, colours: dict[str, Any]) -> dict[str, Any]:
    """Draw a line a class; give them by class."""
    step = -(-len(found.starts_s) // COLUMNS)  # more points than that would be a smear
    # Outside of the first and the last window's centre a line is level.
    times = np.pad(found.starts_s[::step] + found.length_s / 2, 1)
    times[-1] = found.seconds
    lines = {}
    for index, label in enumerate(found.classes):
        values = np.pad(np.where(found.silent, np.nan, found.probabilities[:, index])[::step], 1, mode="edge")
        shown = {"color": colours[label]} if label in colours else {"color": "#CCCCCC", "zorder": 0.5}
        [lines[label]] = axes.plot(np.minimum(times, found.seconds), values, linewidth=1.2, **shown)
    axes.set(ylabel="probability", xlabel="seconds", ylim=(-0.02, 1.02), xlim=(0, found.seconds))
    return lines
