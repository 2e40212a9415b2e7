"""A figure of all prototypes of a run: spectra or latents, with and without their mean transformation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.report.figures import BLUE, DASHES, ORANGE, drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from beyond_spectrograms.sonification.trained import Average

COLUMNS = 4
TICKS_HZ = (250, 1000, 3000, 7000)


def figure_prototypes(
    prototypes: Sequence[Average],
    names: Sequence[str],
    frequencies: npt.NDArray[np.float64] | None,
    seconds: float,
    title: str,
) -> Figure:
    """Draw each prototype in a panel of its own: level over frequency, and over time where it has several frames.

    `frequencies` are those of the bands [bands] in Hz, None where bands are latents: their value is drawn over their
    number. `seconds` is the length of a window.
    """
    columns = min(COLUMNS, len(prototypes))
    rows = -(-len(prototypes) // columns)
    bands = len(prototypes[0].plain)
    across, level = ("latent", "value") if frequencies is None else ("frequency (Hz)", "level (dB)")
    places, texts = _ticks(bands, frequencies)
    levels = np.concatenate([each.plain.ravel() for each in prototypes])
    scale = {"vmin": float(levels.min()), "vmax": float(levels.max())}
    timed = over_time(prototypes)
    with drawing(3.1 * columns, 2.3 * rows + 0.9) as figure:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        panels = list(grid.flat)[: len(prototypes)]
        for place, (axes, each, name) in enumerate(zip(panels, prototypes, names, strict=True)):
            if timed:
                extent = (0, seconds, -0.5, bands - 0.5)
                image = axes.imshow(each.plain, origin="lower", aspect="auto", extent=extent, cmap="magma", **scale)
                axes.set_yticks(places, texts)
            else:
                axes.plot(each.plain[:, 0], color=BLUE, linestyle=DASHES[0], label="prototype")
                shown = np.full(bands, np.nan) if each.transformed is None else each.transformed[:, 0]
                axes.plot(shown, color=ORANGE, linestyle=DASHES[1], label="with its mean transformation")
                axes.grid(color="0.9", linewidth=0.8)
                axes.set_xticks(places, texts)
            axes.set_title(name, loc="left", fontsize=11, parse_math=False)  # a class may have $ in its name
            if place + columns >= len(panels):  # none stands below
                axes.tick_params(labelbottom=True)
                axes.set_xlabel("time (s)" if timed else across)
        for axes in grid[:, 0]:
            axes.set_ylabel(across if timed else level)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        if timed:
            figure.colorbar(image, ax=panels, label=level)
        else:
            figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.suptitle(title, fontsize=11)
    return figure


def over_time(prototypes: Sequence[Average]) -> bool:
    """Say whether any of the prototypes is not the same in all frames."""
    return any(bool(np.ptp(each.plain, axis=1).any()) for each in prototypes)


def _ticks(bands: int, frequencies: npt.NDArray[np.float64] | None) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Place ticks along the bands, with their labels: round frequencies, or numbers of latents, from 1."""
    if frequencies is None:
        numbers = np.linspace(1, bands, 5).round()
        return numbers - 1, [f"{number:g}" for number in numbers]
    ticks = [hertz for hertz in TICKS_HZ if hertz <= frequencies[-1]]
    return np.interp(ticks, frequencies, np.arange(bands)), [f"{hertz:g}" for hertz in ticks]
