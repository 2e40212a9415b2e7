"""How cells did on each tested recording, from predictions.csv.gz: what intervals are made of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.label_scores import RunAnswers, by_run
from beyond_spectrograms.evaluation.records import COLUMNS, ERROR, ResultError, numbers_of, read_cells

OF_THE_CLIP = ("group", "label")  # the same in every run


@dataclass(frozen=True)
class Recordings:
    """How one cell, `<representation>-<protocol>`, did on each recording in each of its runs.

    Recordings by name, runs by fold and seed. Under a source split a run tests the recordings of its fold alone; under
    splits by seed a recording may be tested by any of the runs. `errors` are sums over a recording's windows of the
    mean squared difference of bands and frames from their reconstruction.
    """

    cell: str
    clips: tuple[str, ...]
    labels: tuple[str, ...]
    sources: tuple[str, ...]  # what each recording was cut from; takes of one source are not independent
    runs: tuple[tuple[int, int], ...]  # fold, seed
    windows: NDArray[np.int64]  # [runs, recordings], those tested; 0 where the run tests none of them
    windows_right: NDArray[np.int64]  # [runs, recordings]
    right: NDArray[np.bool_]  # [runs, recordings], by the mean of the windows' probabilities
    right_by_seeds: NDArray[np.bool_]  # [recordings], the mean taken over a fold's seeds too
    errors: NDArray[np.float64] | None = None  # [runs, recordings]

    def by_recording(self) -> Recordings:
        """Let every tested recording count once, whatever the number of its windows."""
        return replace(self, windows=(self.windows > 0).astype(np.int64), windows_right=self.right.astype(np.int64))

    def among(self, clips: Collection[str]) -> Recordings:
        """Keep some of the recordings, and the runs that test any of them."""
        places = np.array([clip in clips for clip in self.clips], dtype=bool)
        return self._kept(np.asarray(self.windows[:, places].any(axis=1)), places)

    def of_runs(self, runs: Collection[tuple[int, int]]) -> Recordings:
        """Keep some of the runs, each of which tests something, and the recordings that any of them tests."""
        chosen = np.array([run in runs for run in self.runs], dtype=bool)
        return self._kept(chosen, self.windows[chosen].any(axis=0))

    def _kept(self, runs: NDArray[np.bool_], places: NDArray[np.bool_]) -> Recordings:
        """Keep those of the runs [runs] and recordings [recordings] that are true."""
        kept: dict[str, Any] = {
            name: tuple(compress(getattr(self, name), places)) for name in ("clips", "labels", "sources")
        }
        for name in ("windows", "windows_right", "right", "errors"):
            values = getattr(self, name)
            kept[name] = None if values is None else values[np.ix_(runs, places)]
        return replace(self, runs=tuple(compress(self.runs, runs)), right_by_seeds=self.right_by_seeds[places], **kept)


def read_recordings(path: Path) -> dict[str, Recordings]:
    """Read the tested recordings of all cells of a data set from its predictions.csv.gz.

    Raises:
        ResultError: the file or a column is missing, or what `recordings_of` raises.
    """
    return {cell: recordings_of(cell, rows, path) for cell, rows in read_cells(path, COLUMNS).items()}


def joined(cell: str, parts: Sequence[Recordings]) -> Recordings:
    """Put together runs of several cells as those of one, `cell`; no run is in two of them. Errors are left out."""
    told: dict[str, tuple[str, str, bool]] = {}
    for part in parts:
        found = zip(part.labels, part.sources, part.right_by_seeds.tolist(), strict=True)
        told = dict(zip(part.clips, found, strict=True)) | told
    clips = sorted(told)
    labels, sources, right_by_seeds = zip(*(told[clip] for clip in clips), strict=True)

    def stacked(name: str) -> NDArray[Any]:
        rows = [pd.DataFrame(getattr(part, name), columns=list(part.clips)) for part in parts]
        values: NDArray[Any] = pd.concat([of.reindex(columns=clips, fill_value=0) for of in rows]).to_numpy()
        return values.astype(rows[0].to_numpy().dtype)

    runs = tuple(run for part in parts for run in part.runs)
    arrays = {name: stacked(name) for name in ("windows", "windows_right", "right")}
    return Recordings(cell, tuple(clips), labels, sources, runs, **arrays, right_by_seeds=np.array(right_by_seeds))


def answers_of(rows: pd.DataFrame, classes: Sequence[str], path: Path) -> tuple[RunAnswers, ...]:
    """Read the probabilities of several labels in the rows of one cell, text as in the file at `path`, a run each.

    Raises:
        ResultError: there are none of a class, or one is no number.
    """
    columns = [f"p_{label}" for label in classes]
    if missing := [column for column in columns if column not in rows]:
        raise ResultError(f"{path}: no column {missing[0]}. Run its evaluate stage again.")
    numbers = {column: numbers_of(path, rows, column, float) for column in columns}
    runs = {name: numbers_of(path, rows, name, int) for name in ("fold", "seed")}
    return tuple(by_run(rows.assign(**numbers, **runs).sort_values("clip"), classes, columns))


def recordings_of(cell: str, rows: pd.DataFrame, path: Path) -> Recordings:
    """Arrange the rows of one cell, text as in the file at `path`.

    Raises:
        ResultError: a number is not one or out of range, a clip stands twice under a seed or under some seeds of its
            fold only, or its runs disagree on what it is.
    """
    names = ("fold", "seed", "windows", "windows_right")
    numbers = {name: numbers_of(path, rows, name, int) for name in names}
    windows, right = numbers["windows"], numbers["windows_right"]
    for row in np.flatnonzero((windows < 1) | (right < 0) | (right > windows)):
        line = rows.index[row] + 2
        raise ResultError(f"{path}, line {line}: {right[row]} of {windows[row]} windows right is impossible.")
    numbered = rows.assign(**numbers, right=rows["predicted"] == rows["label"])
    for line, (seed, clip) in numbered.loc[numbered.duplicated(["seed", "clip"]), ["seed", "clip"]].iterrows():
        raise ResultError(f"{path}, line {line + 2}: {clip} a second time under seed {seed}.")
    by_clip = numbered.groupby("clip", sort=True)
    for column in OF_THE_CLIP:
        counts = by_clip[column].nunique()
        for clip in counts.index[counts > 1]:
            found = " and ".join(sorted(numbered.loc[numbered["clip"] == clip, column].unique()))
            raise ResultError(f"{path}: {cell}: {clip} has {column} {found} under different seeds.")
    reconstructs = ERROR in rows and bool((rows[ERROR] != "").all())
    if reconstructs:
        numbered[ERROR] = numbers_of(path, rows, ERROR, float)
    columns = ["windows", "windows_right", "right", *[ERROR] * reconstructs]
    grid = numbered.pivot(index=["fold", "seed"], columns="clip", values=columns)  # [runs, clips] of each, sorted
    grid = grid.astype(np.float64)  # pandas 2 mixes numbers and booleans as objects
    tested = grid["windows"].fillna(0).astype(np.int64)
    for fold, of_fold in tested.groupby(level="fold"):
        for clip in of_fold.columns[(of_fold != of_fold.iloc[0]).any()]:
            if absent := [seed for (_, seed), count in of_fold[clip].items() if not count]:
                raise ResultError(
                    f"{path}: {cell}: {clip} of fold {fold} was not tested under seed {absent[0]}. Run its evaluate "
                    "stage again."
                )
            found = " and ".join(map(str, sorted(set(of_fold[clip]))))
            raise ResultError(f"{path}: {cell}: {clip} has windows {found} under different seeds.")
    first = by_clip.first()
    return Recordings(
        cell=cell,
        clips=tuple(first.index),
        labels=tuple(first["label"]),
        sources=tuple(first["group"]),
        runs=tuple(tested.index.tolist()),
        windows=tested.to_numpy(),
        windows_right=grid["windows_right"].fillna(0).to_numpy(np.int64),
        right=grid["right"].eq(True).to_numpy(bool),
        right_by_seeds=(first["predicted_by_seeds"] == first["label"]).to_numpy(bool),
        errors=grid[ERROR].fillna(0).to_numpy(np.float64) if reconstructs else None,
    )
