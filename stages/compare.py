"""Two tested cells, or one cell before and after a change of params: the difference, and how sure it is.

For people, after `dvc exp run` say: keep metrics/<dataset>/predictions.csv.gz, run, and compare.
"""

import argparse
from pathlib import Path

from beyond_spectrograms.evaluation.clip_results import Recordings, read_recordings
from beyond_spectrograms.evaluation.records import ResultError
from beyond_spectrograms.evaluation.uncertainty import compare, window_interval
from beyond_spectrograms.params import load_params
from beyond_spectrograms.util.commands import run

ABOUT = "FILE:CELL, as metrics/esc10/predictions.csv.gz:soundstream-fair"


def main() -> None:
    statistics = load_params().statistics
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", help=ABOUT)
    parser.add_argument("second", help="another, tested on the same recordings")
    arguments = parser.parse_args()
    names = arguments.first, arguments.second
    first, second = map(find, names)
    test = compare(first, second, statistics)
    for name, cell in zip(names, (first, second), strict=True):
        print(f"{name}: {window_interval(cell, statistics).times(100).shown('z.1f')} % of windows right")
    difference = test.difference
    p = "" if test.p is None else f", p {test.p:.4f}: {test.decision}"
    print(f"first - second: {difference.times(100).shown('+z.1f')} points{p}")
    if test.detectable is not None:
        print(f"found with a chance of 80 %: a true difference of {100 * test.detectable:.1f} points")
    for note in filter(None, (difference.reason, difference.remark)):
        print(note)


def find(name: str) -> Recordings:
    """Read the cell that FILE:CELL names."""
    path, colon, cell = name.rpartition(":")
    if not colon:
        raise ResultError(f"{name}: names no cell. Write {ABOUT}.")
    found = read_recordings(Path(path))
    if cell not in found:
        raise ResultError(f"{path}: no cell {cell!r}. Choose from {', '.join(found)}.")
    return found[cell]


if __name__ == "__main__":
    run(main)
