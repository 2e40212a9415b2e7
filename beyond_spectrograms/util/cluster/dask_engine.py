"""Pieces of work done by workers of Dask, again where one dies, with one bar over all of them.

As many pieces are handed out as there are workers: whoever dies was at work on the one piece that it is blamed for, and
at most that is computed twice.
"""

import hashlib
import pickle
import queue
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from beyond_spectrograms.util.cluster.dask_client import DEATHS, ClusterError, Opened, open_client
from beyond_spectrograms.util.cluster.engine import ENGINE_FILE, Engine
from beyond_spectrograms.util.cluster.pieces import pieces_go_to
from beyond_spectrograms.util.cluster.worker import Done, Place, do_piece, marked_place
from beyond_spectrograms.util.errors import one_line, require
from beyond_spectrograms.util.progress import advancing
from beyond_spectrograms.util.text import some_of

Client: TypeAlias = Any  # of distributed, most of whose methods have no types
Future: TypeAlias = Any

STOP_S = 10  # in which a worker is to have ended that is begun anew
REFILL_S = 15.0  # between two times that missing workers are asked for
LOOK_S = 1.0  # between two looks at who is there, where nothing else happens
OUT_OF_MEMORY = "worker-restart-memory"  # Dask's topic, where its nannies tell whom they ended for that


class DaskEngine:
    """A cluster for all pieces of a stage; it is connected to, or started, when there is a first one."""

    def __init__(self, engine: Engine, packages: Sequence[str], source: str = str(ENGINE_FILE)) -> None:
        """Take an `engine` that stands in `source`, and the `packages` whose versions decide results."""
        self._engine, self._packages, self._source = engine, packages, source
        self._opened: Opened | None = None
        self._counts = dict.fromkeys(("pieces", "done", "retried", "failed"), 0)
        self._workers: set[str] = set()

    def client(self) -> Client:
        """Give the client; connect, or start the cluster, where that was not done yet."""
        return self._open().client

    def _open(self) -> Opened:
        if self._opened is None:
            self._opened = open_client(self._engine, self._source)
            client = self._opened.client
            print(f"engine: dask at {client.scheduler.address}, dashboard {client.dashboard_link}", file=sys.stderr)
        return self._opened

    def close(self) -> None:
        """End what was started."""
        if self._opened is not None:
            opened, self._opened = self._opened, None
            with suppress(OSError, TimeoutError):  # of a scheduler that is gone
                opened.end()

    def width(self) -> int:
        """Count the workers there are, one at least."""
        return max(1, len(self.client().nthreads()))

    def summary(self) -> dict[str, Any] | None:
        """Say what was done and by how many workers; None where no piece came."""
        if not self._counts["pieces"]:
            return None
        return {"engine": "dask", **self._counts, "workers": len(self._workers)}

    def run(
        self,
        work: Callable[[Any], Any],
        pieces: Sequence[Any],
        names: Sequence[str],
        called: str,
        set_aside: Callable[[Any, str], Any] | None,
    ) -> list[Any]:
        """Do as `run_pieces`.

        Raises:
            ClusterError: the scheduler is lost, there is no worker for long, or pieces killed all they were given to.
            MismatchError: a worker is not fit.
        """
        self._counts["pieces"] += len(pieces)
        with marked_place(self._packages) as place, advancing(called, len(pieces)) as advance:
            run = _Run(self._open(), self._engine, place, called, names, advance)
            try:
                results = run.finish([pickle.dumps((number, work, piece)) for number, piece in enumerate(pieces)])
            except BaseException:
                run.stop()
                raise
            finally:
                self._workers |= run.workers()
                self._counts["done"] += len(run.done)
                self._counts["retried"] += run.retried()
                self._counts["failed"] += len(run.failed)
        if set_aside is None and run.failed:
            told = [f"{names[number]} ({reason})" for number, reason in sorted(run.failed.items())]
            raise ClusterError(
                f"{called}: {len(told)} of {len(pieces)} not done: {some_of(told)}. The others are kept; run the same "
                "command again for these."
            )
        for number, reason in run.failed.items():
            assert set_aside is not None
            results[number] = set_aside(pieces[number], reason)
        return [results[number] for number in range(len(pieces))]


@dataclass
class _Run:
    """Pieces of one call on their way; all are known by their number."""

    opened: Opened
    engine: Engine
    place: Place
    called: str
    names: Sequence[str]
    advance: Callable[..., None]
    done: dict[int, Any] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)  # number -> the reason
    topic: str = field(default_factory=lambda: f"pieces-{secrets.token_hex(8)}")
    _begun: dict[int, list[str]] = field(default_factory=dict)  # number -> the workers that began it
    _tries: dict[int, int] = field(default_factory=dict)  # number -> how often it was out of memory
    _flying: dict[int, Future] = field(default_factory=dict)
    _landed: queue.Queue[tuple[int, Future]] = field(default_factory=queue.Queue)
    _error: BaseException | None = None
    _seen: float = 0.0  # when there last was a worker
    _refilled: float = 0.0  # when missing ones were last asked for

    @property
    def client(self) -> Client:
        """The client of Dask."""
        return self.opened.client

    def workers(self) -> set[str]:
        """List the workers that began a piece."""
        return {worker for of_piece in self._begun.values() for worker in of_piece}

    def retried(self) -> int:
        """Count how often a piece was begun anew."""
        return sum(len(of_piece) - 1 for of_piece in self._begun.values())

    def finish(self, pickled: Sequence[bytes]) -> dict[int, Any]:
        """Hand the pieces out until each is done or has failed; where one raises an error, no further one."""
        self.client.subscribe_topic(self.topic, self._note)
        waiting, width, looked = list(reversed(range(len(pickled)))), 1, 0.0
        self._seen = time.monotonic()
        while waiting or self._flying:
            if time.monotonic() - looked > LOOK_S:
                width, looked = self._count_workers(), time.monotonic()
            while waiting and len(self._flying) < width:
                number = waiting.pop()
                self._submit(number, pickled[number])
            with suppress(queue.Empty):
                self._land(*self._landed.get(timeout=LOOK_S), waiting.append)
            if self._error is not None:
                waiting.clear()
        self.client.unsubscribe_topic(self.topic)
        if self._error is not None:
            raise self._error
        return self.done

    def stop(self) -> None:
        """Take back what is under way, and begin the workers anew that would go on with it for hours.

        A cluster that was started here ends anyway.
        """
        if self.client.status != "running" or self.engine.scheduler is None:
            return
        ours = set(self._flying)
        at_work = {self._begun[number][-1] for number in ours if number in self._begun}
        with suppress(OSError, TimeoutError):
            self.client.cancel(list(self._flying.values()))
            there = [worker for worker in self.client.nthreads() if worker in at_work]
            if there:
                self.client.restart_workers(there, timeout=STOP_S, raise_for_error=False)

    def _note(self, event: tuple[float, Any]) -> None:
        _, told = event
        self._begun.setdefault(told["piece"], []).append(told["worker"])

    def _count_workers(self) -> int:
        """Count the workers there are.

        Raises:
            ClusterError: there is none for long, or the scheduler is lost.
        """
        try:
            count = len(self.client.nthreads())
        except OSError:
            self._raise_lost()
        now = time.monotonic()
        if count < (self.engine.workers or 0) and now - self._refilled > REFILL_S:
            self._refilled = now
            self.opened.refill()
        if count:
            self._seen = now
        elif now - self._seen > self.engine.patience_s:
            raise ClusterError(
                f"no worker at {self._address} for {self._patience}. What is done is kept: start workers "
                "(dask worker), and run the same command again."
            )
        return max(1, count)  # a scheduler may wait for work before it asks for workers

    @property
    def _address(self) -> str:
        return str(self.client.scheduler.address)

    def _raise_lost(self) -> None:
        raise ClusterError(
            f"the scheduler at {self._address} is lost, with {len(self.done)} of {len(self.names)} pieces done. They "
            "are kept: start it, and run the same command again."
        ) from None

    def _submit(self, number: int, pickled: bytes) -> None:
        # A stage that was killed, and is run again, takes up what workers still do for it: that has the same key. What
        # they do by other code or packages has another.
        fit = [self.place.folder, self.place.code, sorted(self.place.packages.items()), self._tries.get(number, 0)]
        decides = repr(fit).encode() + pickled
        key = f"{self.names[number]}-{hashlib.sha256(decides).hexdigest()[:32]}"
        future = self.client.submit(
            do_piece, pickled, self.place, self.topic, self.engine.patience_s, key=key, pure=False
        )
        self._flying[number] = future
        self._listen(number, future)

    def _listen(self, number: int, future: Future) -> None:
        future.add_done_callback(lambda landed: self._landed.put((number, landed)))

    def _land(self, number: int, future: Future, again: Callable[[int], None]) -> None:
        """Take up what became of a piece; `again` is called where it is to be handed out once more."""
        from distributed import CancelledError, KilledWorker

        try:
            done: Done = future.result(timeout=LOOK_S)
        except CancelledError as error:
            reason = getattr(error, "reason", "unknown")
            if reason.startswith("scheduler-"):  # it was lost, or began anew
                self._raise_lost()
            raise ClusterError(
                f"{self.names[number]}: cancelled by somebody else at {self._address}, reason {reason}. What is done "
                "is kept: run the same command again."
            ) from None
        except TimeoutError:  # its worker died before it gave the result: it is begun anew
            self._listen(number, future)
            return
        except KilledWorker as killed:
            self.failed[number] = self._reason(number, killed)
        except Exception as error:
            self._error = self._error or ClusterError(
                f"workers at {self._address} cannot read what they are to do: {one_line(error.__cause__ or error)}. "
                "Install this project there, with its extra 'cluster'."
            )
        else:
            self._take(number, done, again)
        del self._flying[number]
        ended = f", {len(self.failed)} failed" if self.failed else ""
        self.advance(
            f"{self.called}, {len(self.workers())} workers{ended}", number in self.done or number in self.failed
        )

    def _take(self, number: int, done: Done, again: Callable[[int], None]) -> None:
        if done.printed:
            print(done.printed, end="", flush=True)
        if isinstance(done.raised, MemoryError):  # of a limit that the system sets: the worker lives
            self._tries[number] = self._tries.get(number, 0) + 1
            if self._tries[number] < DEATHS:
                again(number)
            else:
                self.failed[number] = f"out of memory {DEATHS} times"
        elif done.raised is not None:
            self._error = self._error or done.raised  # is raised once the others under way are done
        else:
            self.done[number] = done.result

    def _reason(self, number: int, killed: Any) -> str:
        deaths, last = killed.allowed_failures + 1, killed.last_worker.address
        begun = self._begun.setdefault(number, [])
        begun += [last] * (deaths - len(begun))  # who dies at once may not have told that it began
        for_memory = {told["worker"] for _, told in self.client.get_events(OUT_OF_MEMORY) or ()}
        why = "out of memory" if {last, *begun} & for_memory else f"killed, or without progress for {self._patience}"
        return f"{deaths} workers ended while they were at work on it: {why}"

    @property
    def _patience(self) -> str:
        return f"{self.engine.patience_s:g} s"


@contextmanager
def pieces_done_by(engine: Engine, packages: Sequence[str], source: str = str(ENGINE_FILE)) -> Iterator[DaskEngine]:
    """Let workers of Dask do what `run_pieces` is given in the block; what a stage started ends with it."""
    require("distributed")
    dask = DaskEngine(engine, packages, source)
    try:
        with pieces_go_to(dask):
            yield dask
    finally:
        dask.close()
