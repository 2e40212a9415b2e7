"""Two tested cells, or one cell before and after a change of params: the difference, and how sure it is.

For people, after `dvc exp run` say: keep a cell's plots/recordings/<dataset>/<cell>.csv, run, and compare.
"""

import argparse
from pathlib import Path

from beyond_spectrograms.errors import run
from beyond_spectrograms.evidence.comparisons import interval_row, show_interval
from beyond_spectrograms.evidence.uncertainty import Interval, compare, window_interval
from beyond_spectrograms.params import load_params
from beyond_spectrograms.recordings import read_recordings
from beyond_spectrograms.windows import read_windows


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=params.datasets)
    parser.add_argument("first", type=Path, help="a file of plots/recordings, or one kept from there")
    parser.add_argument("second", type=Path, help="another, tested on the same recordings")
    arguments = parser.parse_args()
    table = read_windows(Path("data/splits", arguments.dataset))
    sources = dict(zip(table["clip"], table["group"], strict=True))
    paths = arguments.first, arguments.second
    first, second = (read_recordings(path, sources) for path in paths)
    test = compare(first, second, params.statistics)
    for path, cell in zip(paths, (first, second), strict=True):
        print(f"{path}: {cell.cell}, {_percent(window_interval(cell, params.statistics))} % of windows right")
    difference = test.difference
    p = "" if test.p is None else f", p {test.p:.4f}"
    print(f"first - second: {_percent(difference, sign=True)} points{p}")
    print(f"recordings right under the first alone: {test.only_first}, under the second alone: {test.only_second}")
    for note in filter(None, (difference.reason, difference.remark)):
        print(note)


def _percent(interval: Interval, sign: bool = False) -> str:
    return show_interval("of", sign=sign)(interval_row("of", interval))


if __name__ == "__main__":
    run(main)
