"""How cells did on each tested recording, from predictions.csv.gz: what intervals are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.results import ResultError, cell_name, read_gzip_csv

OF_THE_CLIP = ("fold", "group", "label", "windows", "predicted_by_seeds")  # the same under every seed
COLUMNS = ("representation", "protocol", "seed", "clip", "windows_right", "predicted", *OF_THE_CLIP)
ERROR = "reconstruction_error"  # a further column, filled where a classifier reconstructs


@dataclass(frozen=True)
class Recordings:
    """How one cell, `<representation>-<protocol>`, did on each tested recording. By name, seeds ascending.

    `sources` [recordings] names what each recording was cut from; takes of one source are not independent. `errors` are
    sums over a recording's windows of the mean squared difference of bands and frames from their reconstruction.
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
    errors: NDArray[np.float64] | None = None  # [seeds, recordings]


def read_recordings(path: Path) -> dict[str, Recordings]:
    """Read the tested recordings of all cells of a data set from its predictions.csv.gz.

    Raises:
        ResultError: the file or a column is missing, a number is not one or out of range, or of one cell a clip stands
            twice under a seed or under some seeds only, or its seeds disagree on what it is.
    """
    header, rows = read_gzip_csv(path, COLUMNS)
    cells: dict[str, dict[tuple[int, str], dict[str, str]]] = {}
    for number, row in enumerate(rows, start=2):
        seed = _check_row(f"{path}, line {number}", row)
        table = cells.setdefault(cell_name(row["representation"], row["protocol"]), {})
        if (seed, row["clip"]) in table:
            raise ResultError(f"{path}, line {number}: {row['clip']} a second time under seed {seed}.")
        table[seed, row["clip"]] = row
    return {cell: recordings_of(cell, table, str(path), errors=ERROR in header) for cell, table in cells.items()}


def recordings_of(
    cell: str, table: dict[tuple[int, str], dict[str, str]], place: str, *, errors: bool = True
) -> Recordings:
    """Arrange one cell's rows, by (seed, clip), as text; `place` is where they are from.

    Raises:
        ResultError: a clip was tested under some seeds only, or its seeds disagree on what it is.
    """
    seeds, clips = (sorted(set(keys)) for keys in zip(*table, strict=True))
    for clip in clips:
        if absent := [seed for seed in seeds if (seed, clip) not in table]:
            raise ResultError(
                f"{place}: {cell}: {clip} was not tested under seed {absent[0]}. Run its evaluate stage again."
            )
        for column in OF_THE_CLIP:
            if len(values := sorted({table[seed, clip][column] for seed in seeds})) > 1:
                raise ResultError(f"{place}: {cell}: {clip} has {column} {' and '.join(values)} under different seeds.")
    every = [[table[seed, clip] for clip in clips] for seed in seeds]
    known = errors and all(row[ERROR] for of_seed in every for row in of_seed)
    return Recordings(
        cell=cell,
        clips=tuple(clips),
        labels=tuple(row["label"] for row in every[0]),
        sources=tuple(row["group"] for row in every[0]),
        seeds=tuple(seeds),
        folds=np.array([int(row["fold"]) for row in every[0]]),
        windows=np.array([int(row["windows"]) for row in every[0]]),
        windows_right=np.array([[int(row["windows_right"]) for row in of_seed] for of_seed in every]),
        right=np.array([[row["predicted"] == row["label"] for row in of_seed] for of_seed in every]),
        right_by_seeds=np.array([row["predicted_by_seeds"] == row["label"] for row in every[0]]),
        errors=np.array([[float(row[ERROR]) for row in of_seed] for of_seed in every]) if known else None,
    )


def _check_row(place: str, row: dict[str, str]) -> int:
    try:
        seed, _, windows, right = (int(row[column]) for column in ("seed", "fold", "windows", "windows_right"))
        if row.get(ERROR):
            float(row[ERROR])
    except ValueError as error:
        raise ResultError(f"{place}: {error}.") from None
    if windows < 1 or not 0 <= right <= windows:
        raise ResultError(f"{place}: {right} of {windows} windows right is impossible.")
    return seed
