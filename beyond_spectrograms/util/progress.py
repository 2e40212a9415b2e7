"""Progress bars for people, silence for logs."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

_quiet = False


@contextmanager
def quiet() -> Iterator[None]:
    """Show no bars in the block: those of a calibration would flash by before the one that matters."""
    global _quiet  # noqa: PLW0603  bars are drawn by what the block calls, several calls down
    before, _quiet = _quiet, True
    try:
        yield
    finally:
        _quiet = before


def _bar(hidden: bool = False) -> Progress:
    console = Console(file=sys.stderr)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=hidden or _quiet or not console.is_terminal)


def track(items: Iterable[Item], description: str, total: int, done: int = 0) -> Iterator[Item]:
    """Yield `items` behind a bar that starts at `done` of `total`; shows nothing when stderr is not a terminal."""
    with _bar() as progress:
        task = progress.add_task(description, total=total, completed=done)
        for item in items:
            yield item
            progress.advance(task)


@contextmanager
def counting(description: str, total: int | None, done: Callable[[], int], least: int = 0) -> Iterator[None]:
    """Show a bar that asks `done` twice a second; for work that other processes or threads do.

    `total` is None where it is not known; of a total below `least` nothing is shown.
    """
    with _bar(hidden=total is not None and total < least) as progress:
        task = progress.add_task(description, total=total)
        stop = threading.Event()

        def follow() -> None:
            while not stop.wait(0.5):
                progress.update(task, completed=done())

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            stop.set()
            follower.join()
            progress.update(task, completed=done())


@contextmanager
def advancing(description: str, total: int, *, hidden: bool = False) -> Iterator[Callable[..., None]]:
    """Show a bar, and give what moves it on by one; a text that it is given is what the bar then says."""
    with _bar(hidden) as progress:
        task = progress.add_task(description, total=total)
        yield lambda told=None, by=1: progress.update(task, advance=by, description=told or description)
