"""`python -m beyond_spectrograms`, and the command beyond-spectrograms."""

import io
import sys

from beyond_spectrograms.cli import main


def run() -> None:
    """Run the command line and leave with its status; what it writes is UTF-8, whatever the terminal is."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(main())


if __name__ == "__main__":
    run()
