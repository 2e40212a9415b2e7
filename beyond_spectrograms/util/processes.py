"""Work shared out to processes, which end as soon as the one that started them is stopped, or killed."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, connection, get_context, parent_process
from typing import TypeVar

from beyond_spectrograms.util.errors import ProjectError

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    count: int,
    begin: Callable[..., None] | None = None,
    *given: object,
    done: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Give what `work` makes of each item, in `count` processes; each first calls `begin` with what is `given`.

    `done` is called here, in any thread, when an item is done.

    Where one fails, those under way are waited for, and no further one is begun. Ctrl+C comes to this process alone,
    which then ends the others.

    Raises:
        ProjectError: one of the processes was killed.
    """
    with ProcessPoolExecutor(count, get_context("spawn"), initializer=_begin, initargs=(begin, given)) as pool:
        try:
            with unheard(signal.SIGINT, signal.SIGTERM):
                futures = [pool.submit(work, item) for item in items]
            for future in futures:
                future.add_done_callback(lambda _: done())
            _, pending = wait(futures, return_when=FIRST_EXCEPTION)
            for future in pending:
                future.cancel()
            return [future.result() for future in futures if not future.cancelled()]
        except KeyboardInterrupt:
            for child in active_children():
                child.kill()
            raise
        except BrokenProcessPool:
            raise ProjectError(
                f"one of {count} processes was killed, as the system does where memory runs out. Run the same command "
                "again: what is finished is kept."
            ) from None


@contextmanager
def unheard(*signals: signal.Signals) -> Iterator[None]:
    """Hold `signals` back in the block; they come to us after it, and to whoever is started in it not yet."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(begin: Callable[..., None] | None, given: Sequence[object]) -> None:
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # by which pools end their processes
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin(*given)


def _end_with_parent() -> None:
    """End this process when the one that started it was killed: nobody would take its results."""
    parent = parent_process()
    assert parent is not None  # only processes of a pool come here
    connection.wait([parent.sentinel])
    os._exit(1)
