"""Errors that end a stage with a line that says what to do, and no traceback; stages that finish are timed."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

DURATIONS = Path("data/durations")  # of this machine alone: neither in git nor in DVC, whose outputs must not differ


class ProjectError(Exception):
    """Data, params, weights or results are not what they should be; the message says what to do."""


def run(main: Callable[[], None]) -> None:
    """Run a program; a ProjectError ends it with its message and exit status 1."""
    try:
        main()
    except ProjectError as error:
        sys.exit(str(error))


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage as `run` does.

    How many seconds it took is kept in data/durations/<study>/<stage>-<arguments>.json, for the report page.
    """
    from beyond_spectrograms.util.files import write_json  # it raises the error of this module

    began = time.perf_counter()
    run(main)
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--study", default="paper")
    given, arguments = parser.parse_known_args()
    study, names = given.study, [Path(main.__code__.co_filename).stem, *arguments]
    write_json(DURATIONS / study / f"{'-'.join(names)}.json", {"seconds": time.perf_counter() - began})
