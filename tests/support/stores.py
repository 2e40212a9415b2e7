"""An S3 server on 127.0.0.1, and a relay before it that fails as storage does."""

import http.client
import http.server
import logging
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs

import pytest
import s3fs
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer

from beyond_spectrograms.util.storage.places import Place
from support.servers import answering

BUCKET = "sounds"
SIGNED = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request"
# What happens to one call in so many: the server never hears of it, or does its work and nobody hears of that.
FAULTS = ("busy", "failed after", "cut before", "cut after", "half a body", "slow")

BUSY = b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"
FAILED = b"<Error><Code>InternalError</Code><Message>failed</Message></Error>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Relay:
    """Passes requests on to a server; those that `faults` draws, by seed, come to grief.

    `told` counts requests by method and path, `whole` those answered in full; `listed` are prefixes asked for.
    """

    def __init__(self, port: int, every: int = 0, seed: int = 0, faults: tuple[str, ...] = FAULTS) -> None:
        self.told, self.whole, self.met = Counter[str](), Counter[str](), Counter[str]()
        self.listed: list[str] = []
        self.answers: dict[str, tuple[int, bytes]] = {}  # by path: what is said in place of the server
        random, lock, relay = Random(seed), threading.Lock(), self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with suppress(ConnectionError):
                    super().handle_one_request()

            def pass_on(self) -> None:
                path, _, query = self.path.partition("?")
                what = f"{self.command} {path}"
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with lock:
                    relay.told[what] += 1
                    relay.listed += parse_qs(query).get("prefix", [])
                    fault = random.choice(faults) if every and random.randrange(every) == 0 else ""
                    relay.met[fault] += 1
                if fault == "slow":
                    time.sleep(0.2)
                if fault == "cut before":
                    self.close_connection = True
                elif fault == "busy":
                    self.answer(503, BUSY)
                elif path in relay.answers:
                    self.answer(*relay.answers[path])
                else:
                    status, headers, content = self.ask(body)
                    sent = len(content) // 2 if fault == "half a body" else len(content)
                    if fault == "failed after":
                        self.answer(500, FAILED)
                    elif fault != "cut after":
                        self.answer(status, content, headers, sent)
                    self.close_connection |= fault == "cut after" or sent < len(content)
                    with lock:
                        relay.whole[what] += status < 300 and fault in ("", "slow")

            def ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
                asked = http.client.HTTPConnection("127.0.0.1", port)
                asked.request(self.command, self.path, body, {key: self.headers[key] for key in self.headers})
                answer = asked.getresponse()
                content = answer.read()
                asked.close()
                return answer.status, dict(answer.getheaders()), content

            def answer(
                self, status: int, content: bytes, headers: dict[str, str] | None = None, sent: int | None = None
            ) -> None:
                self.send_response_only(status)
                headers = dict(headers or {})
                length = headers.pop("Content-Length", str(len(content)))
                for key, value in headers.items():
                    if key.lower() not in ("transfer-encoding", "connection"):
                        self.send_header(key, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content[:sent])

            def log_message(self, *_: object) -> None:
                pass

        for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
            setattr(Handler, f"do_{method}", Handler.pass_on)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self.http = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


@contextmanager
def relayed(port: int, **options: Any) -> Iterator[Relay]:
    relay = Relay(port, **options)
    with answering(relay.http):
        yield relay


@contextmanager
def running_s3() -> Iterator[int]:
    """Run a server; give its port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a line a request
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


def forget(port: int) -> None:
    """Empty the server, and make a bucket."""
    moto_api_backend.reset()
    put(port, "", b"")


def use(patch: pytest.MonkeyPatch, url: str) -> None:
    """Let S3 be at a URL, for this process and those it starts."""
    known = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    known |= {"AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}
    for key, value in known.items():
        patch.setenv(key, value)
    s3fs.S3FileSystem.clear_instance_cache()


def put(port: int, name: str, content: bytes) -> None:
    """Put an object straight into the server; without a name the bucket."""
    _ask(port, "PUT", name, content)


def delete(port: int, name: str) -> None:
    """Remove an object from the server."""
    _ask(port, "DELETE", name)


def _ask(port: int, method: str, name: str, content: bytes | None = None) -> None:
    asked = http.client.HTTPConnection("127.0.0.1", port)
    asked.request(method, f"/{BUCKET}/{name}".rstrip("/"), content, {"Authorization": SIGNED})
    assert asked.getresponse().status in (200, 204)
    asked.close()


def names(place: Place, prefix: str = "") -> list[str]:
    """List the names of the files of a place."""
    return [entry.name for entry in place.entries(prefix)]


def write(place: Place, name: str, content: bytes) -> None:
    """Write a file of this content to a place."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(content)
        place.write(name, path)
