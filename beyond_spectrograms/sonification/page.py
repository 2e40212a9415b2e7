"""The page of a run's prototypes: pick a clip, see how each class renders it, and hear everything; and their figure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.params import Notice
from beyond_spectrograms.report.figures import BLUE, DASHES, ORANGE, drawing
from beyond_spectrograms.report.page.html import RANGE_DB, data_url, png, render_html, sound_file, too_large
from beyond_spectrograms.report.page.html import TEMPLATES as REPORT_TEMPLATES
from beyond_spectrograms.sonification.play import Sounds
from beyond_spectrograms.sonification.players import PrototypesError
from beyond_spectrograms.sonification.trained import DISTANCE, UNCHANGED, Average, Window

Frequencies = npt.NDArray[np.float64] | None  # of the bands [bands] in Hz; None where bands are latents
TEMPLATES = Path(__file__).parent / "templates"
COLUMNS = 4  # of panels in the figure
TICKS_HZ = (250, 1000, 3000, 7000)


def render_page(
    title: str,
    *,
    facts: Sequence[tuple[str, str]],
    names: Sequence[str],
    prototypes: Sequence[Average],
    windows: Sequence[Window],
    sounds: Sounds,
    frequencies: Frequencies,
    seconds: float,
    licence: Notice | None,
) -> str:
    """Build the page.

    `facts` are names and values about the run, `names` those of the prototypes. `windows` are to pick from; none
    without a `licence` that lets excerpts be passed on. `seconds` is the length of a window.

    Raises:
        PrototypesError: it would weigh more than 5 MB.
    """
    latents = frequencies is None
    data = {
        "frequencies": None if frequencies is None else _rounded(frequencies),
        "unchanged": UNCHANGED,
        "prototypes": list(_prototypes(names, prototypes, sounds, latents)),
        "clips": list(_clips(windows, sounds, latents)),
    }
    script = (TEMPLATES / "prototypes.js").read_text(encoding="utf-8")
    html = render_html(
        TEMPLATES / "prototypes.html.j2",
        scripts=[script],
        styles=[REPORT_TEMPLATES / "report.css", TEMPLATES / "prototypes.css"],
        data=data,
        title=title,
        facts=facts,
        windows=windows,
        latents=latents,
        bands=len(prototypes[0].plain),
        over_time=over_time(prototypes),
        curves=list(windows[0].reconstructions[0].curves) if windows else [],
        distance=DISTANCE,
        seconds=seconds,
        licence=licence,
        script=script,
    )
    if message := too_large(html, "Take fewer clips of each class."):
        raise PrototypesError(message)
    return html


def _prototypes(
    names: Sequence[str], prototypes: Sequence[Average], sounds: Sounds, latents: bool
) -> Iterator[dict[str, Any]]:
    """Give each prototype's sounds, and its features as a line over bands or, where they change in time, a picture."""
    span = _span(np.stack([each.plain for each in prototypes]), latents)
    draw: Callable[[npt.NDArray[np.float32]], str | list[float]]
    draw = partial(_picture, span=span) if over_time(prototypes) else lambda features: _rounded(features[:, 0])
    heard = zip(sounds.prototypes, sounds.transformed, strict=True)
    for name, each, (plain, transformed) in zip(names, prototypes, heard, strict=True):
        yield {
            "name": name,
            "windows": each.windows,
            "plain": draw(each.plain),
            "transformed": None if each.transformed is None else draw(each.transformed),
            "sound": mp3(plain, sounds.sample_rate),
            "transformedSound": None if transformed is None else mp3(transformed, sounds.sample_rate),
        }


def _clips(windows: Sequence[Window], sounds: Sounds, latents: bool) -> Iterator[dict[str, Any]]:
    heard = zip(sounds.clips, sounds.round_trips, sounds.reconstructions, strict=True)
    for window, (clip, again, rendered) in zip(windows, heard, strict=True):
        span = _span(window.features, latents)
        yield {
            "clip": window.clip,
            "start": window.start_s,
            "label": window.label,
            "picture": _picture(window.features, span),
            "sound": mp3(clip, sounds.sample_rate),
            "roundTrip": mp3(again, sounds.sample_rate),
            "reconstructions": [
                {
                    "prototype": made.prototype,
                    "label": made.label,
                    "error": round(made.error**0.5, 1),
                    "picture": _picture(made.features, span),
                    "sound": mp3(sound, sounds.sample_rate),
                    "curves": {name: _rounded(values) for name, values in made.curves.items()},
                }
                for made, sound in zip(window.reconstructions, rendered, strict=True)
            ],
        }


def _rounded(values: Iterable[Any]) -> list[float]:
    return [round(float(value), 2) for value in values]


def _span(features: npt.NDArray[np.float32], latents: bool) -> tuple[float, float]:
    """Choose the values that are black and white: RANGE_DB up to the loudest, or 99 % of latents."""
    if latents:
        low, high = np.percentile(features, (0.5, 99.5))
        return float(low), max(float(high), float(low) + 1e-6)
    return float(features.max()) - RANGE_DB, float(features.max())


def _picture(features: npt.NDArray[np.float32], span: tuple[float, float]) -> str:
    """Paint [bands, frames] from black to white over `span`, as a data URL."""
    low, high = span
    return data_url("image/png", png(RANGE_DB * (np.clip((features - low) / (high - low), 0, 1) - 1)))


def mp3(samples: Waveform, sample_rate: int) -> str:
    """Encode samples [samples] as a data URL of MP3: a sixth of WAV, and unlike OGG the same bytes each time."""
    return data_url("audio/mpeg", sound_file(samples, sample_rate, "MP3", "MPEG_LAYER_III"))


def figure_prototypes(
    prototypes: Sequence[Average], names: Sequence[str], frequencies: Frequencies, seconds: float, title: str
) -> Figure:
    """Draw each prototype in a panel of its own: level over frequency, and over time where it has several frames.

    The value of latents is drawn over their number. `seconds` is the length of a window.
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


def _ticks(bands: int, frequencies: Frequencies) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Place ticks along the bands, with their labels: round frequencies, or numbers of latents, from 1."""
    if frequencies is None:
        numbers = np.linspace(1, bands, 5).round()
        return numbers - 1, [f"{number:g}" for number in numbers]
    ticks = [hertz for hertz in TICKS_HZ if hertz <= frequencies[-1]]
    return np.interp(ticks, frequencies, np.arange(bands)), [f"{hertz:g}" for hertz in ticks]
