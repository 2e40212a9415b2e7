"""A piece of work at a worker of Dask: in the folder, and by the code and packages, of whoever handed it out."""

import contextlib
import hashlib
import io
import os
import pickle
import platform
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from beyond_spectrograms.util.cluster.pieces import watched
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import partial_beside
from beyond_spectrograms.util.progress import quiet

CODE = Path(__file__).parents[2]  # all of this package


class MismatchError(ProjectError):
    """A worker has not what the results hang on; the message says what, and what is here."""


@dataclass(frozen=True)
class Place:
    """What a worker must have in common with whoever hands out pieces."""

    folder: str  # absolute, in which both work
    mark: str | None  # the name of a file in it that was just written; None where pieces name their files in full
    code: str
    packages: Mapping[str, str]  # name -> version, "none" where it is not installed


@dataclass(frozen=True)
class Done:
    """What came of a piece: what its work gave, or raised, and what it printed."""

    result: Any = None
    raised: Exception | None = None
    printed: str = ""


def place_here(folder: Path, mark: str | None, packages: Iterable[str]) -> Place:
    """Describe what workers are to have in common with this process."""
    return Place(str(folder), mark, _code_digest(), _versions(tuple(packages)))


@contextmanager
def marked_place(packages: Iterable[str]) -> Iterator[Place]:
    """Describe the folder we are in, and leave a file in it by which workers know it while the block runs."""
    mark = partial_beside(Path("pieces").absolute())
    mark.touch()
    try:
        yield place_here(mark.parent, mark.name, packages)
    finally:
        mark.unlink(missing_ok=True)


def do_piece(pickled: bytes, place: Place, topic: str, patience_s: float) -> Done:
    """Do a piece, pickled as (its number, its work, itself), and tell `topic` before that it has begun.

    Where it makes no progress for `patience_s`, this process ends: Dask then starts another, and the piece again.
    A worker that is not fit for it gives a MismatchError.
    """
    from distributed import get_worker

    worker, printed = get_worker(), io.StringIO()
    try:
        _check(worker.address, worker.state.nthreads, place)
        os.chdir(place.folder)
        os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # joblib's: a worker is one core's, and there is one for each
        number, work, piece = pickle.loads(pickled)  # noqa: S301  from whoever may run any code here
        worker.log_event(topic, {"piece": number, "worker": worker.address})
        with watched(patience_s), quiet(), contextlib.redirect_stdout(printed):
            result = work(piece)
        return Done(result, printed=printed.getvalue())
    except Exception as error:  # given back, for Dask would write each into its log
        if not isinstance(error, ProjectError | OSError):
            error.add_note(f"at {worker.address}:\n{traceback.format_exc()}")
        return Done(raised=error, printed=printed.getvalue())


def _check(address: str, threads: int, place: Place) -> None:
    """See that this worker is fit for pieces of a place.

    Raises:
        MismatchError: it is not.
    """
    if threads != 1:
        raise MismatchError(
            f"worker {address}: has {threads} threads, and a piece takes a process of its own. Start it with "
            "--nthreads 1, and as many workers (--nworkers) as there are cores."
        )
    if problem := _problem(place.folder, place.mark, place.code, tuple(place.packages.items())):
        raise MismatchError(f"worker {address}: {problem}")


@cache  # a mark is new with every stage
def _problem(folder: str, mark: str | None, code: str, packages: tuple[tuple[str, str], ...]) -> str:
    found = _versions(tuple(name for name, _ in packages))
    wrong = [f"{name} {found[name]} is there, {wanted} here" for name, wanted in packages if found[name] != wanted]
    if wrong:
        return f"{'; '.join(wrong)}. Install the same on all machines."
    if _code_digest() != code:
        return f"the code in {CODE} is not that of this process. Have the same checkout on all machines."
    if not Path(folder, mark or "").exists():
        return (
            f"{folder} is not there, or is another folder of that name. Workers need the project's own, by the same "
            "path: on a disk that all machines share."
        )
    return ""


@cache
def _code_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(CODE.rglob("*.py")):
        digest.update(path.relative_to(CODE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return {name: found.get(name, "none") for name in ("python", *packages)}
