"""What our pages share: each is one HTML file with scripts, sounds and pictures inside.

Everything that comes from a file is escaped. A policy in the head forbids the browser any request and any script but
those that are named there by digest.
"""

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.util.errors import ProjectError

TEMPLATES = Path(__file__).parent / "templates"
LARGEST = 5_000_000  # bytes: more is slow to open on a phone and too much to pass on by mail
RANGE_DB = 70.0  # in pictures of spectra, what lies further below the loudest point is black


class PageError(ProjectError):
    """The report page cannot be made of what is there; the message names the file, the place and what to do."""


def render_html(
    template: Path, *, scripts: Sequence[str], styles: Sequence[Path], data: Any, filters: Any = None, **values: Any
) -> str:
    """Fill a template with values, and with `policy`, `style` and `data`, which its script reads as JSON.

    Args:
        template: a Jinja file.
        scripts: all that the template has in <script> elements.
        styles: CSS files, put one after another.
        data: whatever JSON can hold.
        filters: of the template, by name.
        values: of the template.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    return environment.get_template(template.name).render(
        **values,
        style="\n".join(path.read_text(encoding="utf-8") for path in styles),
        policy=policy(*scripts),
        data=embedded(data),
    )


def too_large(html: str, advice: str) -> str | None:
    """Say that a page weighs more than LARGEST, and what to do; None where it does not."""
    size = len(html.encode("utf-8"))
    if size <= LARGEST:
        return None
    return f"page: {size / 1e6:.1f} MB, and at most {LARGEST / 1e6:.0f} MB is allowed. {advice}"


def policy(*scripts: str) -> str:
    """Write the Content-Security-Policy: nothing is fetched, no script runs but these."""
    digests = [base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii") for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; media-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def embedded(value: Any) -> str:
    """Write JSON that can stand inside a <script> element: no `<` is left, so nothing in it can end the element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")


def sound_file(sound: npt.NDArray[np.float32], sample_rate: int, kind: str, subtype: str) -> bytes:
    """Encode a sound [samples] or [samples, channels] as a file of a kind that libsndfile knows."""
    import soundfile

    output = io.BytesIO()
    soundfile.write(output, sound, sample_rate, format=kind, subtype=subtype)
    return output.getvalue()


def data_url(kind: str, content: bytes) -> str:
    """Write what a file holds as an address that holds it itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def png(decibels: npt.NDArray[np.float32]) -> bytes:
    """Paint dB [bands, frames] from -RANGE_DB to 0 in magma's 256 colours, low bands below, one pixel a value."""
    from matplotlib import colormaps
    from PIL import Image

    levels = np.clip(np.round(255 * (1 + decibels / RANGE_DB)), 0, 255).astype(np.uint8)
    palette = (255 * colormaps["magma"](np.arange(256))[:, :3]).round().astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(levels[::-1]), mode="P")
    image.putpalette(palette.tobytes())
    output = io.BytesIO()
    image.save(output, format="PNG", optimize=True)
    return output.getvalue()
