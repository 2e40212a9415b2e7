"""A web server on 127.0.0.1 that answers what it is told to."""

import http.server
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What the server says to one request: `body` cut after `sent` bytes where that is given, or `repeated`."""

    body: bytes
    repeated: int = 1
    sent: int | None = None
    status: int = 200
    name_length: bool = True
    headers: tuple[tuple[str, str], ...] = ()


class Server:
    """Answers each path with its answers in turn, the last one again and again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: dict[str, int] = defaultdict(int)
        self.sent: dict[str, int] = defaultdict(int)  # bytes, of bodies
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answers = server.answers[self.path]
                answer = answers[min(server.requests[self.path], len(answers) - 1)]
                server.requests[self.path] += 1
                self.send_response(answer.status)
                for key, value in answer.headers:
                    self.send_header(key, value)
                if answer.name_length:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                with suppress(ConnectionError):  # whoever asked has enough
                    for _ in range(answer.repeated):
                        self.wfile.write(answer.body[: answer.sent])
                        server.sent[self.path] += len(answer.body[: answer.sent])

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.http.server_address[1]}"

    def serves(self, path: str, *answers: Answer) -> str:
        self.answers[path] = list(answers)
        return self.root + path


@contextmanager
def answering(server: http.server.ThreadingHTTPServer) -> Iterator[None]:
    """Let a server answer in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running_server() -> Iterator[Server]:
    server = Server()
    with answering(server.http):
        yield server


def dead_url(path: str) -> str:
    """The URL of a port at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}{path}"
