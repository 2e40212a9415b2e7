"""Several labels of one sound: how a set of them is written, and groups dealt so that every fold has each.

A set is one text, `owl|rain`, in the order of the alphabet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from beyond_spectrograms.data.clips import DatasetError
from beyond_spectrograms.params.protocols import SEVERAL

FEWEST_FOLDS = 3  # one trains, one validates, one tests
ORDERS = 20  # in which groups are dealt, until every fold has every label


def join(labels: Iterable[str]) -> str:
    """Write a set of labels."""
    return SEVERAL.join(sorted(set(labels)))


def one_row_a_label(table: pd.DataFrame) -> pd.DataFrame:
    """Repeat rows whose column `label` is a set of labels, one a label; the index stays."""
    return table.assign(label=table["label"].str.split(SEVERAL, regex=False)).explode("label")


def deal_folds(
    where: object, clips: pd.DataFrame, most: int, fewest: int = FEWEST_FOLDS, seed: Sequence[int] = ()
) -> npt.NDArray[np.int64]:
    """Deal clips (group, label) to folds [clips], 1 to at most `most`: whole groups, the rarest label's first.

    A group goes to the fold with fewest groups of that label; of equals to the one with fewest clips, then by chance.
    Some orders are tried until each fold has every label, and a clip without it; then fewer folds. `where` is for
    messages; another `seed` deals otherwise.

    Source: Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011, whose examples
    are groups here.

    Raises:
        DatasetError: not even `fewest` folds have every label, or `most` are fewer.
    """
    if most < fewest:
        raise DatasetError(f"{where}: {most} folds are too few. Deal at least {fewest}.")
    each_class = clips["label"].str.get_dummies(SEVERAL)
    labels = each_class.to_numpy(np.int64)
    groups, group_of = np.unique(clips["group"].to_numpy(str), return_inverse=True)
    of_group = np.zeros((len(groups), labels.shape[1]), np.int64)
    np.maximum.at(of_group, group_of, labels)
    sizes = np.bincount(group_of)
    for count in range(most, fewest - 1, -1):
        for order in range(ORDERS):
            random = np.random.default_rng([count, order, *seed])
            fold_of = _deal(of_group, sizes, count, random)[group_of]
            clips_of_fold = np.bincount(fold_of, minlength=count)[:, None]
            with_label = np.array([labels[fold_of == fold].sum(axis=0) for fold in range(count)])
            lacking = ((with_label == 0) | (with_label == clips_of_fold)).any(axis=0)
            if not lacking.any():
                return fold_of + 1
    told = ", ".join(repr(label) for label, lacks in zip(each_class.columns, lacking, strict=True) if lacks)
    raise DatasetError(
        f"{where}: groups cannot be dealt so that each of {fewest} folds has recordings with and without {told}. "
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
