"""`python -m beyond_spectrograms`, and the command beyond-spectrograms."""

import sys

from beyond_spectrograms.cli import main


def run() -> None:
    """Run the command line and leave with its status."""
    sys.exit(main())


if __name__ == "__main__":
    run()
