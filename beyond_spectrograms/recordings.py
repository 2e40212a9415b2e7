"""How a cell did on each tested recording, from plots/recordings/<dataset>/<cell>.csv: what intervals are made of."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beyond_spectrograms.results import ResultError

OF_THE_CLIP = ("fold", "label", "windows", "predicted_by_seeds")  # the same under every seed
COLUMNS = ("representation", "protocol", "seed", "clip", "windows_right", "predicted", *OF_THE_CLIP)


@dataclass(frozen=True)
class Recordings:
    """How one cell, `<representation>-<protocol>`, did on each tested recording. By name, seeds ascending.

    `sources` [recordings] names what each recording was cut from; takes of one source are not independent.
    """

    cell: str
    clips: tuple[str, ...]
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    seeds: tuple[int, ...]
    folds: NDArray[np.int64]  # [recordings]
    windows: NDArray[np.int64]  # [recordings], those in the test part
    windows_right: NDArray[np.int64]  # [seeds, recordings]
    right: NDArray[np.bool_]  # [seeds, recordings], by the mean of the windows' probabilities
    right_by_seeds: NDArray[np.bool_]  # [recordings], the mean taken over the seeds too


def read_recordings(path: Path, sources: Mapping[str, str]) -> Recordings:
    """Read one cell's tested recordings.

    Args:
        path: plots/recordings/<dataset>/<cell>.csv.
        sources: clip -> its group, from the table of windows.

    Raises:
        ResultError: the file or a column is missing, it holds several cells or none, a number is not one or out of
            range, a clip is not in `sources`, stands twice under a seed or under some seeds only, or its seeds disagree
            on what it is.
    """
    if not path.exists():
        raise ResultError(f"{path}: missing. Run its evaluate stage.")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        header, rows = list(reader.fieldnames or []), list(reader)
    if missing := [column for column in COLUMNS if column not in header]:
        raise ResultError(f"{path}: no column {', '.join(missing)}. It has {', '.join(header) or 'none'}.")
    if len(cells := sorted({f"{row['representation']}-{row['protocol']}" for row in rows})) != 1:
        raise ResultError(f"{path}: holds recordings of {' and '.join(cells) or 'no cell'}; one cell is expected.")
    table: dict[tuple[int, str], dict[str, str]] = {}
    for number, row in enumerate(rows, start=2):
        seed = _check_row(f"{path}, line {number}", row, len(header))
        if (seed, row["clip"]) in table:
            raise ResultError(f"{path}, line {number}: {row['clip']} a second time under seed {seed}.")
        table[seed, row["clip"]] = row
    seeds, clips = (sorted(set(keys)) for keys in zip(*table, strict=True))
    if unknown := [clip for clip in clips if clip not in sources]:
        raise ResultError(f"{path}: {unknown[0]} is not in the table of windows. Run its evaluate stage again.")
    for clip in clips:
        if absent := [seed for seed in seeds if (seed, clip) not in table]:
            raise ResultError(f"{path}: {clip} was not tested under seed {absent[0]}. Run its evaluate stage again.")
        for column in OF_THE_CLIP:
            if len(values := sorted({table[seed, clip][column] for seed in seeds})) > 1:
                raise ResultError(f"{path}: {clip} has {column} {' and '.join(values)} under different seeds.")
    every = [[table[seed, clip] for clip in clips] for seed in seeds]
    return Recordings(
        cell=cells[0],
        clips=tuple(clips),
        labels=tuple(row["label"] for row in every[0]),
        sources=tuple(sources[clip] for clip in clips),
        seeds=tuple(seeds),
        folds=np.array([int(row["fold"]) for row in every[0]]),
        windows=np.array([int(row["windows"]) for row in every[0]]),
        windows_right=np.array([[int(row["windows_right"]) for row in of_seed] for of_seed in every]),
        right=np.array([[row["predicted"] == row["label"] for row in of_seed] for of_seed in every]),
        right_by_seeds=np.array([row["predicted_by_seeds"] == row["label"] for row in every[0]]),
    )


def _check_row(place: str, row: dict[str, str], columns: int) -> int:
    if None in row or None in row.values():
        raise ResultError(f"{place}: the row does not have the header's {columns} values.")
    try:
        seed, _, windows, right = (int(row[column]) for column in ("seed", "fold", "windows", "windows_right"))
    except ValueError as error:
        raise ResultError(f"{place}: {error}.") from None
    if windows < 1 or not 0 <= right <= windows:
        raise ResultError(f"{place}: {right} of {windows} windows right is impossible.")
    return seed
