"""Work done ahead of its use: a thread decodes while the caller encodes."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """Yield `items`, which a thread makes up to `depth` ahead; what it raises is raised here, in its place."""
    # A daemon, not a pool's thread: one of those that waits for standard input would keep Ctrl+C waiting.
    made: queue.Queue[tuple[list[Item], BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: list[Item], error: BaseException | None = None) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                made.put((item, error), timeout=0.1)
                return

    def make() -> None:
        try:
            for item in items:
                put([item])
                if stopped.is_set():
                    return
            put([])
        except BaseException as error:
            put([], error)

    threading.Thread(target=make, daemon=True).start()
    try:
        while True:
            item, error = made.get()
            if error:
                raise error
            if not item:
                return
            yield item[0]
    finally:
        stopped.set()
