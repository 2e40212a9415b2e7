"""Running a program or a stage: an error of ours ends it with one line, and a stage that finishes is timed."""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import write_json
from beyond_spectrograms.util.text import printable

DURATIONS = Path("data/durations")  # of this machine alone: neither in git nor in DVC, whose outputs must not differ


def run(main: Callable[[], None]) -> None:
    """Run a program; a ProjectError ends it with its message and exit status 1."""
    try:
        main()
    except ProjectError as error:
        sys.exit(printable(str(error), kept="\n"))


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage as `run` does.

    How many seconds it took is kept in data/durations/<study>/<stage>-<arguments>.json, for the report page.
    """
    began = time.perf_counter()
    run(main)
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--study", default="paper")
    given, arguments = parser.parse_known_args()
    study, names = given.study, [Path(main.__code__.co_filename).stem, *arguments]
    write_json(DURATIONS / study / f"{'-'.join(names)}.json", {"seconds": time.perf_counter() - began})


def ask_git(*arguments: str) -> str | None:
    """Give what git prints here; None where it fails, or there is none."""
    if (git := shutil.which("git")) is None:
        return None
    finished = subprocess.run([git, *arguments], capture_output=True, text=True, check=False)  # noqa: S603  our own
    return finished.stdout.strip() if finished.returncode == 0 else None
