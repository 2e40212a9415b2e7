"""The page of `serve` and the one call it makes: a sound in, what the model says of it out; nothing goes to disk.

Needs the extra: pip install 'beyond-spectrograms[serve]'.

What keeps other web sites out: the Host header must be an address, localhost or this server's own name, so that no
name of theirs can be pointed here (DNS rebinding); a POST with an Origin must come from this page (CSRF); no answer
allows another origin to read it.
"""

import asyncio
import base64
import hashlib
import io
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.requests import ClientDisconnect

from beyond_spectrograms.data.audio import BadAudioError, Waveform
from beyond_spectrograms.data.sound_files import OpenSound, decode_sound
from beyond_spectrograms.inference import Model
from beyond_spectrograms.inference.formats import describe_labels, describe_segmentation
from beyond_spectrograms.inference.results import Probabilities
from beyond_spectrograms.inference.stream_windows import Batch
from beyond_spectrograms.inference.timeline import LOWEST_HZ, Spectrogram
from beyond_spectrograms.report.figures import BLUE, FURTHER, GREEN, ORANGE
from beyond_spectrograms.report.page.html import render_html
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.representations.mel import pool

MAX_BYTES, MAX_SECONDS = 100_000_000, 600
COLUMNS = 2000  # of a picture, at most: more than a screen has
SMOOTHING = "viterbi"
TOO_LARGE = (
    f"larger than {MAX_BYTES // 1_000_000} MB, the most this page takes. Use `beyond-spectrograms segment`, which "
    "takes any size."
)
TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("timeline.js", "recorder.js", "labels.js", "page.js")
REPORT_STYLE = Path(__file__).parents[1] / "report/page/templates/report.css"  # one look for all pages of the project


def create_app(model: Model, host: str) -> FastAPI:
    """Make the application; `host` is the name it is reached by, besides addresses and localhost."""
    names = {"localhost", host.lower(), socket.gethostname().lower()}

    def check_sender(request: Request) -> None:
        asked = request.headers.get("host", "")
        if not _is_own(asked, names):
            raise HTTPException(403, f"Host is {asked!r}. This server is asked by its address, localhost or {host}.")
        origin = request.headers.get("origin")
        if request.method == "POST" and origin is not None and origin.partition("://")[2] != asked:
            raise HTTPException(403, f"Origin is {origin!r}. Sounds are taken from this server's own page alone.")

    app = FastAPI(dependencies=[Depends(check_sender)], openapi_url=None, docs_url=None, redoc_url=None)
    html, policy = render(model)
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    one_at_a_time = asyncio.Lock()  # one sound takes all cores

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=headers)

    @app.post("/analyse")
    async def analysis(request: Request) -> JSONResponse:
        content = await _read(request)
        async with one_at_a_time:
            try:
                return JSONResponse(await run_in_threadpool(analyse, model, content), headers=headers)
            except BadAudioError as error:
                raise HTTPException(422, str(error)) from None

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> JSONResponse:  # noqa: ARG001  the framework gives it
        return JSONResponse({"error": error.detail}, error.status_code, headers)

    return app


def _is_own(asked: str, names: set[str]) -> bool:
    """Say whether a Host header is an address or one of the names, with or without a port."""
    try:
        name = urlsplit(f"//{asked}").hostname or ""
        return name in names or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


async def _read(request: Request) -> bytes:
    """Read the sound, no more than MAX_BYTES of it whatever its announced length."""
    announced = request.headers.get("content-length", "")
    content = bytearray()
    if not (announced.isdecimal() and int(announced) > MAX_BYTES):
        try:
            async for part in request.stream():
                content += part
                if len(content) > MAX_BYTES:
                    break
            else:
                return bytes(content)
        except ClientDisconnect:  # nobody is left to tell
            raise HTTPException(400, "the sound broke off") from None
    raise HTTPException(413, TOO_LARGE)


def render(model: Model) -> tuple[str, str]:
    """Build the page, which holds all it needs, and the Content-Security-Policy that lets it run no other script."""
    script = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    settings = {"maxBytes": MAX_BYTES, "tooLarge": TOO_LARGE, "maxSeconds": MAX_SECONDS}
    html = render_html(
        TEMPLATES / "page.html.j2",
        scripts=[script],
        styles=[REPORT_STYLE, TEMPLATES / "page.css"],
        data=settings | {"palette": [BLUE, ORANGE, GREEN, *FURTHER]},
        card=model.card,
        minutes=MAX_SECONDS // 60,
        megabytes=MAX_BYTES // 1_000_000,
        script=script,
    )
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    # blob: is the recorder's own worklet, and the sound that is played.
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}' blob:; style-src 'unsafe-inline'; img-src data:; "
        "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy


def serve(model: Model, listening: socket.socket, host: str) -> None:
    """Serve until interrupted, on a socket that is bound already."""
    import uvicorn

    config: Any = uvicorn.Config(create_app(model, host), log_level="warning", limit_concurrency=8, lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])


def analyse(model: Model, content: bytes) -> dict[str, Any]:
    """Classify and segment a sound file in memory, as the commands do, and draw it.

    Returns:
        what `segment --format json` writes but for the file's name, `labels` as of `classify --format json`, and the
        pictures `spectrogram` and `features`.

    Raises:
        BadAudioError: as in `classify` and `segment`, or longer than MAX_SECONDS.
    """
    with decode_sound(io.BytesIO(content)) as file:
        whole = model.classify(_limited(file), file.sample_rate)
    hop_s = model.check_segmenting(None, SMOOTHING)
    spectrogram = Spectrogram(model.representation.form.sample_rate, hop_s)
    features = FeaturePicture()
    with decode_sound(io.BytesIO(content)) as file:
        sound = model.cut(file.blocks(), file.sample_rate, hop_s)
        found = model.conclude(sound, features.watch(model, spectrogram.watch(sound)), SMOOTHING)
    level = spectrogram.decibels(found.seconds)
    return {
        **describe_segmentation(found),
        "labels": describe_labels(whole, len(model.classes)),
        "spectrogram": {
            **_picture(level, level.min(), level.max()),
            "column_s": spectrogram.column_s,
            "lowest_hz": LOWEST_HZ,
            "highest_hz": spectrogram.highest_hz,
        },
        "features": features.describe(hop_s, found.seconds),
    }


def _limited(file: OpenSound) -> Iterator[Waveform]:
    """Pass blocks on up to MAX_SECONDS: what a header says of the length is looked at first, and not relied on."""
    _check_length((file.promised or 0) / file.sample_rate)
    samples = 0
    for block in file.blocks():
        samples += len(block)
        _check_length(samples / file.sample_rate)
        yield block


def _check_length(seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise BadAudioError(
            f"longer than {MAX_SECONDS // 60} minutes, the longest this page takes. Use `beyond-spectrograms segment`, "
            "which takes any length."
        )


class FeaturePicture:
    """What the classifier is given of a sound, gathered window by window: of each the frames before the next one."""

    def __init__(self) -> None:
        self._parts: list[Features] = []  # a batch each, [bands, frames]
        self._last: Features = np.empty((0, 0), np.float32)
        self._half = 1  # frames from one window to the next: the hop is half a window

    def watch(self, model: Model, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Probabilities]]:
        """Let the model judge the batches, and keep what it saw."""
        for batch in batches:
            features, probabilities = model.look(batch)
            self._half = max(features.shape[2] // 2, 1)
            self._parts.append(np.concatenate(features[:, :, : self._half], axis=1))
            self._last = features[-1, :, self._half :]
            yield batch, probabilities

    def describe(self, hop_s: float, seconds: float) -> dict[str, Any]:
        """Draw the first `seconds`: what differs from each band's median, between the 1st and the 99th percentile."""
        whole = np.concatenate([*self._parts, self._last], axis=1)
        column_s = hop_s / self._half
        whole = whole[:, : max(round(seconds / column_s), 1)]
        whole = whole - np.median(whole, axis=1, keepdims=True)  # a latent's own level would hide what changes in it
        if whole.shape[1] > COLUMNS:
            column_s *= whole.shape[1] / COLUMNS
            whole = pool(whole[None], COLUMNS)[0]
        return {**_picture(whole, *np.percentile(whole, [1, 99])), "column_s": column_s}


def _picture(values: Features, low: float, high: float) -> dict[str, Any]:
    """Give values [bands, columns] as bytes 0 (low) to 255 (high), band after band, in base64."""
    scaled = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    levels = np.rint(255 * scaled).astype(np.uint8)
    return {
        "bands": levels.shape[0],
        "columns": levels.shape[1],
        "levels": base64.b64encode(levels.tobytes()).decode("ascii"),
    }
