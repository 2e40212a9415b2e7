"""One figure of all prototypes of a run: their spectra, plain and with their mean transformation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.figures import BLUE, DASHES, ORANGE, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from beyond_spectrograms.prototypes.listening import Average

COLUMNS = 4
TICKS_HZ = (250, 1000, 3000, 7000)


def figure_prototypes(
    prototypes: Sequence[Average],
    names: Sequence[str],
    frequencies: npt.NDArray[np.float64],
    seconds: float,
    title: str,
) -> Figure:
    """Draw each prototype in a panel of its own: level over frequency, or over time too where it has several frames.

    Args:
        prototypes: in the order of the panels.
        names: their titles.
        frequencies: of the bands [bands], in Hz.
        seconds: a window lasts.
        title: says data set, cell and run.
    """
    columns = min(COLUMNS, len(prototypes))
    rows = -(-len(prototypes) // columns)
    ticks = [hertz for hertz in TICKS_HZ if hertz <= frequencies[-1]]
    places, texts = np.interp(ticks, frequencies, np.arange(len(frequencies))), [f"{hertz:g}" for hertz in ticks]
    levels = np.concatenate([each.spectrum.ravel() for each in prototypes])
    scale = {"vmin": float(levels.min()), "vmax": float(levels.max())}
    with drawing(3.1 * columns, 2.3 * rows + 0.9) as figure:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        panels = list(grid.flat)[: len(prototypes)]
        over_time = any(np.ptp(each.spectrum, axis=1).max() > 0 for each in prototypes)
        for place, (axes, each, name) in enumerate(zip(panels, prototypes, names, strict=True)):
            if over_time:
                extent = (0, seconds, -0.5, len(frequencies) - 0.5)
                image = axes.imshow(each.spectrum, origin="lower", aspect="auto", extent=extent, cmap="magma", **scale)
                axes.set_yticks(places, texts)
            else:
                _draw_spectrum(axes, each)
                axes.set_xticks(places, texts)
            axes.set_title(name, loc="left", fontsize=11)
            if place + columns >= len(panels):  # none stands below
                axes.tick_params(labelbottom=True)
                axes.set_xlabel("time (s)" if over_time else "frequency (Hz)")
        for axes in grid[:, 0]:
            axes.set_ylabel("frequency (Hz)" if over_time else "level (dB)")
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        if over_time:
            figure.colorbar(image, ax=panels, label="level (dB)")
        else:
            figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.suptitle(title, fontsize=11)
    return figure


def _draw_spectrum(axes: Axes, prototype: Average) -> None:
    """Draw the spectrum of a prototype that is the same in all frames."""
    axes.plot(prototype.spectrum[:, 0], color=BLUE, linestyle=DASHES[0], label="prototype")
    shown = np.full(len(prototype.spectrum), np.nan) if prototype.transformed is None else prototype.transformed[:, 0]
    axes.plot(shown, color=ORANGE, linestyle=DASHES[1], label="with its mean transformation")
    axes.grid(color="0.9", linewidth=0.8)
