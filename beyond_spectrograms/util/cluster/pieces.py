"""Many pieces of a stage's work, on this machine's cores or on a cluster's: the one place that hands them out.

Here they run in processes that end with this one, or in turn in this one. A cluster takes them where `engine.yaml` says
so (engine.py). Which of the two it is decides no result.
"""

import faulthandler
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from joblib import cpu_count

from beyond_spectrograms.util.processes import map_in_processes
from beyond_spectrograms.util.progress import advancing

if TYPE_CHECKING:
    from beyond_spectrograms.util.cluster.dask_engine import DaskEngine

Piece = TypeVar("Piece")
Result = TypeVar("Result")


_cluster: "DaskEngine | None" = None


@contextmanager
def pieces_go_to(cluster: "DaskEngine | None") -> Iterator[None]:
    """Let a cluster do what `run_pieces` is given in the block; None: this machine does, as for a pilot of a few."""
    global _cluster  # noqa: PLW0603  pieces are handed out several calls down, where nobody knows of clusters
    before, _cluster = _cluster, cluster
    try:
        yield
    finally:
        _cluster = before


def on_cluster() -> bool:
    """Say whether a cluster does the pieces: then several small ones are better made one."""
    return _cluster is not None


def side_by_side() -> int:
    """Say how many pieces are done at once: as many as there are cores, here or in the cluster."""
    return cpu_count() if _cluster is None else _cluster.width()


def run_pieces(
    work: Callable[[Piece], Result],
    pieces: Sequence[Piece],
    *,
    called: str,
    names: Sequence[str] | None = None,
    here: bool = False,
    bar: bool = True,
    begin: Callable[..., None] | None = None,
    given: Sequence[object] = (),
    set_aside: Callable[[Piece, str], Result] | None = None,
) -> list[Result]:
    """Give what `work` makes of each piece, in the order of `pieces`.

    `work` is a function of a module. It may be called again for a piece whose process was killed: it writes files
    beside and renames them, and looks first for what it wrote before. Where one fails, those under way are waited for,
    and no further one is begun.

    `called` is what the progress bar says, `names` what each piece is called where it fails (by default its number).
    Without a cluster pieces are done in this process where it is told to do them `here`, being too little work for
    others to be started; else each process first calls `begin` with what is `given`. `bar=False` hides that bar.

    `set_aside` makes a result of a piece that killed every worker it was given to, and of the reason. Without it such
    a piece is an error, once all others are done.

    Raises:
        ProjectError: a process was killed here; or, by a cluster, as ClusterError says.
    """
    if not pieces:
        return []
    if _cluster is not None:
        names = names or [f"{called}, piece {number}" for number in range(1, len(pieces) + 1)]
        return _cluster.run(work, pieces, names, called, set_aside)
    count = min(len(pieces), cpu_count())
    with advancing(called, len(pieces), hidden=not bar) as advance:
        if here or count == 1:
            if begin is not None:
                begin(*given)
            results = []
            for piece in pieces:
                results.append(work(piece))
                advance()
            return results
        return map_in_processes(work, pieces, count, begin, *given, done=advance)


def run_in_groups(
    work: Callable[[Piece], Result],
    items: Sequence[Piece],
    size: int,
    *,
    called: str,
    set_aside: Callable[[Piece, str], Result],
) -> list[Result]:
    """Do as `run_pieces` with what is too little for a piece of its own: `size` of `items` are one.

    Of a group that kills its workers each item is tried by itself, and who then still does is set aside.
    """
    groups = [(work, items[first : first + size]) for first in range(0, len(items), size)]
    names = [f"{group[0]} to {group[-1]}" for _, group in groups]
    done = run_pieces(_do_group, groups, called=called, names=names, set_aside=lambda *_: None)
    alone = [item for (_, group), results in zip(groups, done, strict=True) if results is None for item in group]
    singly = iter(
        run_pieces(work, alone, called=f"{called}, one by one", names=[*map(str, alone)], set_aside=set_aside)
    )
    every: list[Result] = []
    for (_, group), results in zip(groups, done, strict=True):
        every += [next(singly) for _ in group] if results is None else results
    return every


def _do_group(group: tuple[Callable[[Piece], Result], Sequence[Piece]]) -> list[Result] | None:
    work, items = group
    results = []
    for item in items:
        results.append(work(item))
        note_progress()
    return results


_patience_s: float | None = None


@contextmanager
def watched(patience_s: float) -> Iterator[None]:
    """End this process where the block goes on for `patience_s` without `note_progress`, and tell where it stood.

    A thread in C does that, which runs even where a library never gives the interpreter lock back.
    """
    global _patience_s  # noqa: PLW0603  it is noted by what the block calls
    _patience_s = patience_s
    note_progress()
    try:
        yield
    finally:
        _patience_s = None
        faulthandler.cancel_dump_traceback_later()


def note_progress() -> None:
    """Say that a piece of hours is getting on: a worker that says nothing for long is taken to hang."""
    if _patience_s is not None:
        faulthandler.dump_traceback_later(_patience_s, exit=True, file=sys.__stderr__ or 2)
