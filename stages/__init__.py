"""Verbs: each module is a stage, run as `python -m stages.<name>`."""

import sys

if sys.argv[0] == "-m":  # so Python names a program that is still being imported, which takes seconds
    from beyond_spectrograms.util.commands import expect_stops

    expect_stops()
