"""The page and the one call it makes: a sound in, what the model says of it out. Nothing is written to disk.

Needs the extra: pip install 'beyond-spectrograms[serve]'.

What keeps other web sites out: the Host header must be an address, localhost or this server's own name, so that no
name of theirs can be pointed here (DNS rebinding); a POST with an Origin must come from this page (CSRF); no answer
allows another origin to read it.
"""

import asyncio
import base64
import hashlib
import ipaddress
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.requests import ClientDisconnect

from beyond_spectrograms.data.audio import BadAudioError
from beyond_spectrograms.inference import Model
from beyond_spectrograms.report.figures import BLUE, FURTHER, GREEN, ORANGE
from beyond_spectrograms.report.page.html import render_html
from beyond_spectrograms.serving.analysis import MAX_SECONDS, analyse

MAX_BYTES = 100_000_000
TOO_LARGE = (
    f"larger than {MAX_BYTES // 1_000_000} MB, the most this page takes. Use `beyond-spectrograms segment`, which "
    "takes any size."
)
TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("timeline.js", "recorder.js", "page.js")
REPORT_STYLE = Path(__file__).parents[1] / "report/page/templates/report.css"  # one look for all pages of the project


class RefusedError(Exception):
    """A request that is not answered: an HTTP status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def create_app(model: Model, host: str) -> FastAPI:
    """Make the application; `host` is the name it is reached by, besides addresses and localhost."""
    names = {"localhost", host.lower(), socket.gethostname().lower()}

    def check_sender(request: Request) -> None:
        asked = request.headers.get("host", "")
        if not _is_own(asked, names):
            raise RefusedError(403, f"Host is {asked!r}. This server is asked by its address, localhost or {host}.")
        origin = request.headers.get("origin")
        if request.method == "POST" and origin is not None and origin.partition("://")[2] != asked:
            raise RefusedError(403, f"Origin is {origin!r}. Sounds are taken from this server's own page alone.")

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
                raise RefusedError(422, str(error)) from None

    @app.exception_handler(RefusedError)
    async def refuse(request: Request, error: RefusedError) -> JSONResponse:  # noqa: ARG001  the framework gives it
        return JSONResponse({"error": str(error)}, error.status, headers)

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
            raise RefusedError(400, "the sound broke off") from None
    raise RefusedError(413, TOO_LARGE)


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
