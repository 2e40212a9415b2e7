"""How cells did on each tested recording, from predictions.csv.gz: what intervals are made of."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.records import ResultError, numbers_of, read_cells

OF_THE_CLIP = ("fold", "group", "label", "windows", "predicted_by_seeds")  # the same under every seed
COLUMNS = ("representation", "protocol", "seed", "clip", "windows_right", "predicted", *OF_THE_CLIP)
ERROR = "reconstruction_error"  # a further column, filled where a classifier reconstructs


@dataclass(frozen=True)
class Recordings:
    """How one cell, `<representation>-<protocol>`, did on each tested recording. By name, seeds ascending.

    `errors` are sums over a recording's windows of the mean squared difference of bands and frames from their
    reconstruction.
    """

    cell: str
    clips: tuple[str, ...]
    labels: tuple[str, ...]
    sources: tuple[str, ...]  # what each recording was cut from; takes of one source are not independent
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
        ResultError: the file or a column is missing, or what `recordings_of` raises.
    """
    return {cell: recordings_of(cell, rows, path) for cell, rows in read_cells(path, COLUMNS).items()}


def recordings_of(cell: str, rows: pd.DataFrame, path: Path) -> Recordings:
    """Arrange the rows of one cell, text as in the file at `path`.

    Raises:
        ResultError: a number is not one or out of range, or a clip stands twice under a seed or under some seeds only,
            or its seeds disagree on what it is.
    """
    names = ("seed", "fold", "windows", "windows_right")
    seeds, _, windows, right = (numbers_of(path, rows, name, int) for name in names)
    for row in np.flatnonzero((windows < 1) | (right < 0) | (right > windows)):
        line = rows.index[row] + 2
        raise ResultError(f"{path}, line {line}: {right[row]} of {windows[row]} windows right is impossible.")
    numbered = rows.assign(seed=seeds)
    for line, (seed, clip) in numbered.loc[numbered.duplicated(["seed", "clip"]), ["seed", "clip"]].iterrows():
        raise ResultError(f"{path}, line {line + 2}: {clip} a second time under seed {seed}.")
    grid = numbered.pivot(index="seed", columns="clip")  # [seeds, clips] of each column, both sorted
    for column in OF_THE_CLIP:
        for clip, values in grid[column].items():
            if absent := values.index[values.isna()].tolist():
                raise ResultError(
                    f"{path}: {cell}: {clip} was not tested under seed {absent[0]}. Run its evaluate stage again."
                )
            if len(found := sorted(set(values))) > 1:
                raise ResultError(f"{path}: {cell}: {clip} has {column} {' and '.join(found)} under different seeds.")
    first, labels = grid.xs(grid.index[0]), grid["label"].to_numpy()
    reconstructs = ERROR in rows and (rows[ERROR] != "").all()
    if reconstructs:
        numbers_of(path, rows, ERROR, float)
    return Recordings(
        cell=cell,
        clips=tuple(grid["fold"].columns),
        labels=tuple(first["label"]),
        sources=tuple(first["group"]),
        seeds=tuple(grid.index.tolist()),
        folds=first["fold"].to_numpy().astype(np.int64),
        windows=first["windows"].to_numpy().astype(np.int64),
        windows_right=np.ascontiguousarray(grid["windows_right"], dtype=np.int64),
        right=(grid["predicted"].to_numpy() == labels).astype(bool),
        right_by_seeds=(first["predicted_by_seeds"] == first["label"]).to_numpy().astype(bool),
        errors=np.ascontiguousarray(grid[ERROR], dtype=np.float64) if reconstructs else None,
    )
