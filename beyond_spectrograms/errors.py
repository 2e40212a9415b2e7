"""What stops a stage: one line that says what, where and what to do, and no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable


class ProjectError(Exception):
    """Data, params, weights or results are not what they should be; the message says what to do."""


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage; a ProjectError ends it with its message and exit status 1."""
    try:
        main()
    except ProjectError as error:
        sys.exit(str(error))
