"""Running a program or a stage: an error, or a signal that stops it, ends it with one line, and a stage is timed."""

import argparse
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from beyond_spectrograms.util.errors import ProjectError, explain_refusal
from beyond_spectrograms.util.files import write_json
from beyond_spectrograms.util.text import printable

DURATIONS = Path("data/durations")  # of this machine alone: neither in git nor in DVC, whose outputs must not differ


class Terminated(KeyboardInterrupt):
    """SIGTERM, which then cleans up as Ctrl+C does."""

    signal = signal.SIGTERM


def run(main: Callable[[], None]) -> None:
    """Run a program; what `status_of` tells ends it with that exit status."""
    if status := status_of(main):
        sys.exit(status)


def status_of(work: Callable[[], int | None]) -> int:
    """Do the work of a program; a line on stderr says why it ended before its end.

    Returns:
        its exit status: what `work` gives, 1 where something failed, 128 and its number where a signal stopped it.
    """
    try:
        with _terminated_cleanly():
            status = work() or 0
            if sys.stdout is not None:  # it was closed before we began
                sys.stdout.flush()
    except ProjectError as error:
        _tell(str(error))
    except MemoryError as error:
        _tell(f"out of memory: {error}. Give it fewer or shorter sounds, or a smaller model.")
    except KeyboardInterrupt as stop:
        return _tell_stop(stop)
    except BrokenPipeError:  # whoever read the output has enough of it
        _drop_output()
    except OSError as error:  # a place that cannot be written, a full disk
        if error.filename is None:
            _drop_output()
        _tell(explain_refusal(error))
    else:
        return status
    return 1


def _tell(message: str) -> None:
    print(printable(message, kept="\n"), file=sys.stderr)


def _tell_stop(stop: KeyboardInterrupt) -> int:
    """Say which signal it was, and what is noted on it; give the exit status."""
    signal_ = stop.signal if isinstance(stop, Terminated) else signal.SIGINT
    _tell("; ".join([f"stopped by {signal_.name}", *getattr(stop, "__notes__", ())]))
    return 128 + signal_


def _drop_output() -> None:
    """Write what is still to be written nowhere: Python would try once more at its end, and complain."""
    with suppress(OSError):  # it is none of the system's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _terminated_cleanly() -> Iterator[None]:
    """Let SIGTERM raise Terminated in the block, once, unless whoever started us has it ignored."""
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _raise_terminated:  # else it came: another is to change nothing
            signal.signal(signal.SIGTERM, before)


def _raise_terminated(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would end what cleans up
    raise Terminated


def expect_stops() -> None:
    """Let a signal that comes before `run`, while modules are imported, end this program with one line too."""
    signal.signal(signal.SIGTERM, _raise_terminated)
    sys.excepthook = _end_stopped


def _end_stopped(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        os._exit(_tell_stop(error))  # Python's own end would tell a shell that it was SIGINT
    sys.__excepthook__(kind, error, trace)


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage as `run` does.

    Pieces of its work are done where engine.yaml says. How many seconds it took is kept in
    data/durations/<study>/<stage>-<arguments>.json, for the report page, and what a cluster did for it. Where DVC runs
    it, it ends with DVC: a stage that goes on alone would keep the next `dvc repro` out.
    """
    if "DVC_STAGE" in os.environ:
        _end_with_dvc()

    def timed() -> None:
        from beyond_spectrograms.util.cluster.engine import load_engine
        from beyond_spectrograms.util.code_versions import load_versions

        began, engine, told = time.perf_counter(), load_engine(), None
        if engine.engine == "local":
            main()
        else:
            from beyond_spectrograms.util.cluster.dask_engine import pieces_done_by

            with pieces_done_by(engine, list(load_versions().packages)) as cluster:
                main()
                told = cluster.summary()
        parser = argparse.ArgumentParser(add_help=False)
        parser.add_argument("--study", default="paper")
        given, arguments = parser.parse_known_args()
        study, names = given.study, [Path(main.__code__.co_filename).stem, *arguments]
        taken = {"seconds": time.perf_counter() - began, **({"engine": told} if told else {})}
        write_json(DURATIONS / study / f"{'-'.join(names)}.json", taken)

    run(timed)


def _end_with_dvc() -> None:
    """Let SIGTERM come to this process when the DVC that runs it ends."""
    if sys.platform != "linux":
        return
    with suppress(OSError):  # it has ended already, or is another user's: then nobody can tell
        dvc = os.getppid()
        # DVC hands commands to a shell. Bash becomes the command, dash stands between and outlives DVC.
        if Path(f"/proc/{dvc}/exe").samefile(os.environ.get("SHELL") or "/bin/sh"):
            dvc = int(Path(f"/proc/{dvc}/stat").read_text().rpartition(")")[2].split()[1])
        threading.Thread(target=_follow, args=(os.pidfd_open(dvc),), daemon=True).start()


def _follow(process: int) -> None:
    select.select([process], [], [])  # readable when it has ended
    os.kill(os.getpid(), signal.SIGTERM)


def ask_git(*arguments: str) -> str | None:
    """Give what git prints here; None where it fails, or there is none."""
    if (git := shutil.which("git")) is None:
        return None
    finished = subprocess.run([git, *arguments], capture_output=True, text=True, check=False)  # noqa: S603  our own
    return finished.stdout.strip() if finished.returncode == 0 else None
