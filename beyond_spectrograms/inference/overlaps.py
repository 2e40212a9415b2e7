"""Labelled parts of a recording that overlap: where sounds may have several labels, they are cut where these change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beyond_spectrograms.data.clips import DatasetError
from beyond_spectrograms.data.label_sets import deal_folds, join, one_row_a_label
from beyond_spectrograms.data.splits import Dealt, cut_and_deal
from beyond_spectrograms.inference.results import NONE
from beyond_spectrograms.params.protocols import SEVERAL

if TYPE_CHECKING:
    import pandas as pd

    from beyond_spectrograms.inference.label_table import Labelled
    from beyond_spectrograms.params import Split, Windows


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
    return cut_and_deal(where.name, clips, folder, [], windows=windows, splits=splits)
