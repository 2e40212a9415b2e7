"""Several labels of one sound: parts are cut where their labels change, and groups dealt so that every fold has each.

A set of labels is written as one text, `owl|rain`, in the order of the alphabet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beyond_spectrograms.data.clips import DatasetError
from beyond_spectrograms.data.splits import Dealt, assign_parts, check_sources_apart, tabulate_windows
from beyond_spectrograms.inference.results import NONE
from beyond_spectrograms.params.protocols import SEVERAL

if TYPE_CHECKING:
    from beyond_spectrograms.inference.label_table import Labelled
    from beyond_spectrograms.params import Split, Windows

FOLDER = "sounds"  # of all clips: none is of one class alone
FEWEST_FOLDS = 3  # one trains, one validates, one tests
ORDERS = 20  # in which groups are dealt, until every fold has every label


def join(labels: Iterable[str]) -> str:
    """Write a set of labels."""
    return SEVERAL.join(sorted(set(labels)))


def one_row_a_label(table: pd.DataFrame) -> pd.DataFrame:
    """Repeat rows whose column `label` is a set of labels, one a label; the index stays."""
    return table.assign(label=table["label"].str.split(SEVERAL, regex=False)).explode("label")


def have_several(rows: Iterable[Labelled]) -> bool:
    """Whether a row has several labels, or two rows of the same sound or part have different ones."""
    labels: dict[Any, set[str]] = {}
    for row in rows:
        labels.setdefault((row.path.resolve(), row.start_s, row.end_s), set()).update(row.label.split(SEVERAL))
    return any(len(of_part) > 1 for of_part in labels.values())


def gather(rows: Iterable[Labelled], wrong: list[tuple[str, str]]) -> Iterator[Labelled]:
    """Give every recording's rows as parts that do not overlap, each with all labels that hold there.

    What is wrong is added to `wrong`: rows of a whole recording and of parts of it, or overlapping ones of two groups.
    """
    by_path: dict[Any, list[Labelled]] = {}
    for row in rows:
        by_path.setdefault(row.path.resolve(), []).append(row)
        if NONE in row.label.split(SEVERAL):
            wrong.append((row.where, f"label {NONE!r} stands for no label at all. Rename it."))
    for of_path in by_path.values():
        if len({row.is_whole for row in of_path}) > 1:
            whole, part = (next(row for row in of_path if row.is_whole == is_whole) for is_whole in (True, False))
            wrong.append((part.where, f"{part.file} has labels as a whole too, in {whole.where}. Give one of both."))
            continue
        gathered: list[Labelled] = []
        for start_s, end_s in pairwise(sorted({time for row in of_path for time in (row.start_s, row.end_s)})):
            there = [row for row in of_path if row.start_s <= start_s and end_s <= row.end_s]
            if not there:
                continue
            if strange := [row for row in there if row.group != there[0].group]:
                told = f"group {strange[0].group!r}, where {there[0].where} says {there[0].group!r} of the same sound"
                wrong.append((strange[0].where, told))
            label = join(label for row in there for label in row.label.split(SEVERAL))
            last = gathered[-1] if gathered else None
            if last and (last.end_s, last.label, last.group) == (start_s, label, there[0].group):
                gathered[-1] = replace(last, end_s=end_s)
            else:
                gathered.append(replace(there[0], label=label, start_s=start_s, end_s=end_s))
        yield from gathered


def find_overlapping(rows: Iterable[Labelled]) -> Iterator[tuple[str, str]]:
    """Find rows of one recording that overlap under different labels: one window would have two."""
    by_path: dict[Path, list[Labelled]] = {}
    for row in rows:
        by_path.setdefault(row.path.resolve(), []).append(row)
    for of_path in by_path.values():
        open_rows: list[Labelled] = []
        for row in sorted(of_path, key=lambda row: row.start_s):
            open_rows = [before for before in open_rows if before.end_s > row.start_s]
            for before in open_rows:
                if before.label != row.label:
                    told = f"{row.label!r} overlaps {before.label!r} of {before.where} in {row.file}"
                    yield row.where, f"{told}; may sounds have several labels? Then give --multi-label"
            open_rows.append(row)


def deal_windows(
    where: Path,
    clips: pd.DataFrame,
    labelled: Mapping[str, Labelled],
    folder: Path,
    *,
    windows: Windows,
    splits: Mapping[str, Split],
    most: int,
) -> Dealt:
    """Cut grouped clips into windows and deal these, as data.splits.deal_windows does those of one label.

    Args:
        where: for messages.
        clips: the usable ones, with `group`.
        labelled: the row of every clip.
        folder: with the clips.
        windows: of the params.
        splits: of the params; all of kind source.
        most: folds there may be.

    Raises:
        DatasetError: a label has no usable clip, or as deal_folds.
    """
    clips = clips.assign(label=[labelled[clip].label for clip in clips["clip"]])
    named = {label for row in labelled.values() for label in row.label.split(SEVERAL)}
    if lost := sorted(named - set(one_row_a_label(clips)["label"])):
        raise DatasetError(f"{where}: class {lost[0]!r} has no usable sound")
    clips["fold"] = deal_folds(where, clips, most)
    table = tabulate_windows(clips, folder, windows)
    parts = assign_parts(table, splits)
    rows = one_row_a_label(table)
    parts_of_rows = parts.loc[rows.index].reset_index(drop=True)
    check_sources_apart(where.name, rows.reset_index(drop=True), parts_of_rows, splits)
    return Dealt(clips, table, parts, [])


def deal_folds(where: Path, clips: pd.DataFrame, most: int) -> npt.NDArray[np.int64]:
    """Deal clips (group, label) to folds [clips], 1 to at most `most`: whole groups, the rarest label's first.

    A group goes to the fold with fewest groups of that label; of equals to the one with fewest clips, then by chance.
    Some orders are tried until each fold has every label, and a clip without it; then fewer folds.

    Source: Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011, whose examples
    are groups here.

    Raises:
        DatasetError: not even FEWEST_FOLDS folds have every label.
    """
    each_class = clips["label"].str.get_dummies(SEVERAL)
    labels = each_class.to_numpy(np.int64)
    groups, group_of = np.unique(clips["group"].to_numpy(str), return_inverse=True)
    of_group = np.zeros((len(groups), labels.shape[1]), np.int64)
    np.maximum.at(of_group, group_of, labels)
    sizes = np.bincount(group_of)
    for count in range(most, FEWEST_FOLDS - 1, -1):
        for order in range(ORDERS):
            random = np.random.default_rng([count, order])
            fold_of = _deal(of_group, sizes, count, random)[group_of]
            shares = np.array([labels[fold_of == fold].mean(axis=0) for fold in range(count)])
            lacking = ((shares == 0) | (shares == 1)).any(axis=0)
            if not lacking.any():
                return fold_of + 1
    told = ", ".join(repr(label) for label, lacks in zip(each_class.columns, lacking, strict=True) if lacks)
    raise DatasetError(
        f"{where}: groups cannot be dealt so that each of {FEWEST_FOLDS} folds has recordings with and without {told}. "
        "Add recordings of another origin, or group them otherwise."
    )


def _deal(
    labels: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], folds: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Deal groups with `labels` [groups, classes], of so many clips each [groups]; gives the fold of each [groups]."""
    dealt = np.full(len(labels), -1)
    groups, clips = np.zeros((folds, labels.shape[1])), np.zeros(folds)
    order = random.permutation(len(labels))
    while (dealt < 0).any():
        left = labels[dealt < 0].sum(axis=0)
        rarest = np.where(left > 0, left, len(labels) + 1).argmin()
        for group in order[(labels[order, rarest] > 0) & (dealt[order] < 0)]:
            fold = np.lexsort((random.random(folds), clips, groups[:, rarest]))[0]
            dealt[group] = fold
            groups[fold] += labels[group]
            clips[fold] += sizes[group]
    return dealt
