"""The page of `serve` and the one call it makes: a sound in, what the model says of it out; nothing goes to disk.

Needs the extra: pip install 'beyond-spectrograms[serve]'.

What keeps other web sites out: the Host header must be an address, localhost or this server's own name, so that no
name of theirs can be pointed here (DNS rebinding); a POST with an Origin must come from this page (CSRF); no answer
allows another origin to read it. docs/security.md says what else is defended, and what is not.
"""

import asyncio
import base64
import hashlib
import ipaddress
import re
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from beyond_spectrograms.inference import Model
from beyond_spectrograms.inference.batch import REFUSALS
from beyond_spectrograms.report.figures import BLUE, FURTHER, GREEN, ORANGE
from beyond_spectrograms.report.page.html import render_html
from beyond_spectrograms.serving.analysis import MAX_SECONDS, analyse
from beyond_spectrograms.serving.answers import SOUND, Analysis, refusals
from beyond_spectrograms.serving.connections import Connection, Crowd, Limits, Shares, address_of

ANALYSE = "/analyse"
MAX_BYTES = 100_000_000
TOO_LARGE = (
    f"larger than {MAX_BYTES // 1_000_000} MB, the most this page takes. Use `beyond-spectrograms segment`, which "
    "takes any size."
)
BUSY = "The server has too much to do. Try again in a moment."
RETRY = {"Retry-After": "1"}
REFUSED_S = 1.0  # for which a refusal gives way to sounds that are analysed, at most
SHUTDOWN_S = 3  # that sounds still have, after Ctrl+C
TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("timeline.js", "recorder.js", "labels.js", "page.js")
REPORT_STYLE = Path(__file__).parents[1] / "report/page/templates/report.css"  # one look for all pages of the project
HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(:[0-9]{1,5})?")


def asker(scope: Scope) -> str:
    """Give what counts as the address that asks."""
    return address_of(scope["client"][0] if scope["client"] else "")


class Guard:
    """Refuses requests that other sites may have caused (see the module), and sounds before they are sent in vain.

    `host`: as of create_app; `sounds`: those that may be analysed. Of many at once most are refused here, after those
    that are analysed: to tell so many takes longer than a short sound.
    """

    def __init__(self, app: ASGIApp, host: str, sounds: Shares) -> None:
        self._app, self._host, self._sounds = app, host, sounds
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        answer = self._app
        if scope["type"] == "http":
            if reason := self._suspect(scope["method"], Headers(scope=scope)):
                answer = JSONResponse({"error": reason}, 403)
            elif scope["path"] == ANALYSE and scope["method"] == "POST" and not self._sounds.has(asker(scope), 1):
                await self._sounds.wait(REFUSED_S)
                answer = JSONResponse({"error": BUSY}, 503, RETRY)
        await answer(scope, receive, send)

    def _suspect(self, method: str, headers: Headers) -> str | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        asked = ", ".join(hosts)
        if not self._is_own(asked):
            return f"Host is {asked!r}. This server is asked by its address, localhost or {self._host}."
        # It speaks http alone, and a browser leaves out port 80 in both headers or in none.
        if method not in ("GET", "HEAD") and origins not in ([], [f"http://{asked.lower()}"]):
            return f"Origin is {', '.join(origins)!r}. Sounds are taken from this server's own page alone."
        return None

    def _is_own(self, asked: str) -> bool:
        """Say whether a Host header is an address or one of the names, with or without a port."""
        if (match := HOST.fullmatch(asked)) is None:
            return False
        name = match["name"].lower()
        try:
            return name in self._names or bool(ipaddress.ip_address(name.strip("[]")))
        except ValueError:
            return False


def create_app(model: Model, html: str, host: str, limits: Limits) -> FastAPI:
    """Make the application; `host` is the name it is reached by, besides addresses and localhost."""
    app = FastAPI(title="beyond-spectrograms serve", version=str(model.card.version), docs_url=None, redoc_url=None)
    memory = Shares(limits.bytes_held, limits.bytes_held // 2)
    sounds = Shares(limits.sounds, limits.sounds_of_address)
    app.add_middleware(Guard, host=host, sounds=sounds)
    stop = threading.Event()
    one_at_a_time = asyncio.Lock()  # one sound takes all cores

    @app.get("/", response_class=HTMLResponse, responses=refusals(403))
    async def page() -> HTMLResponse:
        return HTMLResponse(html)

    @app.post(
        ANALYSE,
        response_model=Analysis,
        responses=refusals(403, 408, 413, 422, 503),
        openapi_extra={"requestBody": SOUND},
    )
    async def analysis(request: Request) -> JSONResponse:
        address, content = asker(request.scope), bytearray()
        try:
            await _read(request, content, partial(memory.take, address), limits.body_s)
            with sounds.hold(address) as taken:
                if not taken:
                    await sounds.wait(REFUSED_S)
                    raise HTTPException(503, BUSY, RETRY)
                async with one_at_a_time:
                    work = partial(analyse, model, bytes(content), stop)
                    return JSONResponse(await to_thread.run_sync(work, abandon_on_cancel=True))
        except REFUSALS as error:
            raise HTTPException(422, str(error)) from None
        except asyncio.CancelledError:
            stop.set()
            raise HTTPException(503, "The server was stopped.") from None
        finally:
            memory.give_back(address, len(content))

    @app.exception_handler(AnyHTTPException)
    async def refuse(request: Request, error: AnyHTTPException) -> JSONResponse:  # noqa: ARG001  the framework gives it
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    return app


async def _read(request: Request, content: bytearray, take: Callable[[int], bool], seconds: float) -> None:
    """Read the sound into `content`, no more than MAX_BYTES of it whatever its announced length.

    Memory is taken before it is used: `take` says whether there is so much.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_BYTES:
        raise HTTPException(413, TOO_LARGE)
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                if len(content) + len(part) > MAX_BYTES:
                    raise HTTPException(413, TOO_LARGE)
                if not take(len(part)):
                    raise HTTPException(503, BUSY, RETRY)
                content += part
    except TimeoutError:
        raise HTTPException(408, f"The sound was not whole after {seconds:g} seconds.") from None
    except ClientDisconnect:  # nobody is left to tell
        raise HTTPException(400, "the sound broke off") from None


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


def create_server(model: Model, host: str, limits: Limits) -> Any:
    """Make the server, which `run(sockets=[...])` runs until it is interrupted; every answer has the same headers."""
    import uvicorn

    html, policy = render(model)
    headers = {
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    connection: Any = partial(Connection, crowd=Crowd(limits))
    config = uvicorn.Config(
        create_app(model, html, host, limits),
        http=connection,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_level="warning",
        headers=list(headers.items()),
        proxy_headers=False,  # what a client says of its address and scheme is not believed
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    return uvicorn.Server(config)
