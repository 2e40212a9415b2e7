"""The page of a run's prototypes: pick a clip, see how each class renders it, and hear everything."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.params import Notice
from beyond_spectrograms.report.page.html import RANGE_DB, png, render_html, too_large
from beyond_spectrograms.report.page.html import TEMPLATES as REPORT_TEMPLATES
from beyond_spectrograms.sonification.figures import over_time
from beyond_spectrograms.sonification.griffin_lim import PrototypesError
from beyond_spectrograms.sonification.trained import DISTANCE, UNCHANGED

if TYPE_CHECKING:
    from beyond_spectrograms.data.audio import Waveform
    from beyond_spectrograms.sonification.play import Sounds
    from beyond_spectrograms.sonification.trained import Average, Window

TEMPLATES = Path(__file__).parent / "templates"


def render_page(
    title: str,
    *,
    facts: Sequence[tuple[str, str]],
    names: Sequence[str],
    prototypes: Sequence[Average],
    windows: Sequence[Window],
    sounds: Sounds,
    frequencies: npt.NDArray[np.float64] | None,
    seconds: float,
    licence: Notice | None,
) -> str:
    """Build the page.

    `facts` are names and values about the run, `names` those of the prototypes. `windows` are to pick from; none
    without a `licence` that lets excerpts be passed on. `frequencies` are those of the bands [bands] in Hz, None where
    bands are latents; `seconds` is the length of a window.

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
    return _url("image/png", png(RANGE_DB * (np.clip((features - low) / (high - low), 0, 1) - 1)))


def mp3(samples: Waveform, sample_rate: int) -> str:
    """Encode samples [samples] as a data URL of MP3: a sixth of WAV, and unlike OGG the same bytes each time."""
    import soundfile

    output = io.BytesIO()
    soundfile.write(output, samples, sample_rate, format="MP3", subtype="MPEG_LAYER_III")
    return _url("audio/mpeg", output.getvalue())


def _url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
