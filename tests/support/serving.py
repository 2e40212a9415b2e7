"""`serve` as a user starts it, and sounds given to its page in a real browser."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

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
    assert process.returncode in (130, 0)  # 0 where whoever started the tests ignores SIGINT, as a shell's & does
    assert output == ""
    assert "Traceback" not in errors


def until(page: Page, condition: str, seconds: float = 120) -> None:
    """Wait for a condition; playwright's own wait would need the page to allow `eval`."""
    end = time.monotonic() + seconds
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
