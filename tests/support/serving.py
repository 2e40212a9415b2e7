"""`serve` as a user starts it, and sounds given to its page in a real browser."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from beyond_spectrograms.inference import load_model
from beyond_spectrograms.serving.app import create_server
from beyond_spectrograms.serving.connections import Limits
from support.repository import REPOSITORY


@contextmanager
def serving(model: Path) -> Iterator[str]:
    """Serve a model on a free port; give the page's address. Interrupted in the end, as by Ctrl+C."""
    command = [sys.executable, "-m", "beyond_spectrograms", "serve", "--model", str(model), "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            assert told.endswith(" (Ctrl+C ends it)\n")
            yield told.split()[0]
        finally:
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert "Traceback" not in errors
    assert errors.endswith("stopped by SIGINT\n")


@dataclass(frozen=True)
class Served:
    """A server in this process, on a port of its own."""

    server: Any
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_until(self, connections: int) -> bool:
        """Wait until so many are open; False after a minute."""
        end = time.monotonic() + 60
        while (found := len(self.server.server_state.connections) == connections) is False and time.monotonic() < end:
            time.sleep(0.01)
        return found

    def connect(self, content: bytes) -> socket.socket:
        """Send something, and keep the connection open."""
        opened = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        opened.sendall(content)
        return opened


@contextmanager
def serving_here(model: Path, limits: Limits) -> Iterator[Served]:
    """Serve a model under limits of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = create_server(load_model(model, device="cpu"), "127.0.0.1", limits)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Served(server, listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


def read_all(opened: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    with opened:
        return b"".join(iter(lambda: opened.recv(1 << 16), b""))


def until(page: Page, condition: str) -> None:
    """Wait for a condition; playwright's own wait would need the page to allow `eval`."""
    end = time.monotonic() + 120
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def give(page: Page, *sounds: Path) -> None:
    """Choose files, and wait for what the page says of them."""
    page.locator("#file").set_input_files(sounds)
    until(page, "!busy && document.getElementById('file').files.length === 0")


def shown_segments(page: Page) -> list[tuple[str, str, str, str]]:
    """Read the page's table: class, from, to, probability."""
    rows = page.locator("#table tbody tr").all()
    cells = ([cell.inner_text().removeprefix("▶").strip() for cell in row.locator("th, td").all()] for row in rows)
    return [(label, start, end, share) for label, start, end, share, _ in cells]  # and the field for the right label
