"""How two trainings differ on the same recordings: second minus first in recordings and in windows right, in points.

Takes two folders that `train` wrote beside its models, of the same sounds in the same folds.
"""

import argparse
from pathlib import Path

import pandas as pd

from beyond_spectrograms.evaluation.clip_results import Recordings, recordings_of
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.uncertainty import compare
from beyond_spectrograms.params import load_all_params
from beyond_spectrograms.report.table import SIGNED
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.errors import ProjectError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs=2, type=Path, metavar="REPORT", help="such a folder")
    first, second = map(read, parser.parse_args().reports)
    statistics = load_all_params().statistics
    recordings = compare(second.by_recording(), first.by_recording(), statistics).difference
    windows = compare(second, first, statistics).difference
    print(f"recordings {points(recordings)}, windows {points(windows)}")


def read(report: Path) -> Recordings:
    """Read the tested recordings of a report.

    Raises:
        ProjectError: the folder has none.
    """
    path = report / "recordings.csv"
    if not path.is_file():
        raise ProjectError(f"{path}: no such file. Name the folder of a report, <model>-report.")
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    return recordings_of(report.name, rows.assign(predicted_by_seeds=rows["predicted"]), path)  # `train` has one seed


def points(difference: Interval) -> str:
    """Write a difference of shares in points."""
    return difference.times(100).shown(SIGNED)


if __name__ == "__main__":
    run(main)
