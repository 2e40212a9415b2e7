"""Work done ahead of its use: a thread decodes while the caller encodes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


class _End:
    """Nothing more comes."""


@dataclass(frozen=True)
class _Failure:
    """Making the next item failed."""

    error: BaseException


def ahead(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """Yield `items`, which a thread makes up to `depth` ahead; what it raises is raised here, in its place."""
    made: queue.Queue[Item | _Failure | _End] = queue.Queue(depth)
    stopped = threading.Event()

    def put(thing: Item | _Failure | _End) -> bool:
        while not stopped.is_set():
            try:
                made.put(thing, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            if all(put(item) for item in items):
                put(_End())
        except BaseException as error:
            put(_Failure(error))

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while not isinstance(thing := made.get(), _End):
            if isinstance(thing, _Failure):
                raise thing.error
            yield thing
    finally:
        stopped.set()
