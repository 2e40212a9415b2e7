"""How many threads torch and other numerical libraries compute on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from threadpoolctl import threadpool_limits


@contextmanager
def one_thread(*, everywhere: bool = False) -> Iterator[None]:
    """Let torch compute on one thread in the block, because the last bits of a sum depend on how many share it.

    With `everywhere` all numerical libraries that are loaded by now are held to one thread: BLAS, OpenMP.
    """
    import torch

    threads = torch.get_num_threads()
    with threadpool_limits(1) if everywhere else nullcontext():
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
