"""Trials of speaker verification: pairs of recordings of one speaker (target) or of two, published or drawn.

A table of trials has a row a trial: `fold`, `target` (True or False), `first` and `second` (names of clips).
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from beyond_spectrograms.data.folders import name_of_copy
from beyond_spectrograms.params import MadeTrials
from beyond_spectrograms.util.errors import ProjectError

COLUMNS = ["fold", "target", "first", "second"]
SHOWN = 20  # wrong lines of a list in an error


class TrialsError(ProjectError):
    """A list of trials does not suit its data set, or none can be drawn; the message names lines or speakers."""


def list_recordings(table: pd.DataFrame) -> pd.DataFrame:
    """List the recordings (clip, label, group) of a table of windows, a row each, in its order."""
    return table[["clip", "label", "group"]].drop_duplicates("clip", ignore_index=True)


def read_trials(path: Path, recordings: pd.DataFrame) -> pd.DataFrame:
    """Read a published list, whose lines are `1 <speaker>/<...>/<file> <speaker>/<...>/<file>`; 0 for two speakers.

    All trials are of fold 1. A pair that stands in a list twice, or in both orders, counts twice, as it does where
    others report on that list.

    Raises:
        TrialsError: with every wrong line (the first SHOWN): not of that form, a file that the data set has not, a
            recording with itself, a label that the speakers contradict; or one of the two kinds is missing.
    """
    speakers = dict(zip(recordings["clip"], recordings["label"], strict=True))
    rows, faults = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != 3 or fields[0] not in ("0", "1"):
            faults.append(f"line {number}: {line!r} is not 0 or 1 and two files")
            continue
        names = [_clip_of(name) for name in fields[1:]]
        target = fields[0] == "1"
        absent = [field for field, name in zip(fields[1:], names, strict=True) if name not in speakers]
        if absent:
            faults.append(f"line {number}: {' and '.join(dict.fromkeys(absent))} not in the data set")
        elif names[0] == names[1]:
            faults.append(f"line {number}: {fields[1]} with itself")
        elif target != (speakers[names[0]] == speakers[names[1]]):
            faults.append(f"line {number}: labelled {fields[0]}, but of {' and '.join(speakers[n] for n in names)}")
        else:
            rows.append((1, target, *names))
    if faults:
        more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        told = "".join(f"\n  {fault}" for fault in faults[:SHOWN])
        raise TrialsError(f"{path}: {len(faults)} lines are no trials of this data set{told}{more}")
    trials = pd.DataFrame(rows, columns=COLUMNS)
    if len(kinds := set(trials["target"])) < 2:
        missing = "none" if not kinds else "no pairs of two speakers" if True in kinds else "no pairs of one speaker"
        raise TrialsError(f"{path}: {missing} among its trials; error rates take both kinds")
    return trials


def _clip_of(name: str) -> str:
    """Name the clip of a published file: below the speaker's folder, sub-folders are part of a copy's name."""
    speaker, _, inside = name.partition("/")
    return f"{speaker}/{name_of_copy(inside)}"


def make_trials(dataset: str, recordings: pd.DataFrame, made: MadeTrials) -> pd.DataFrame:
    """Draw trials of recordings (clip, label, group): by the seed alone, none twice.

    The two of a trial are of other groups: a word that both say, or a session they share, is not to tell whether the
    speaker is one. Targets are spread evenly over speakers, the others over pairs of speakers of one fold.

    Raises:
        TrialsError: a fold has fewer than two speakers, or a speaker or two too few pairs of recordings.
    """
    random = np.random.default_rng(made.seed)
    speakers = random.permutation(sorted(set(recordings["label"])))
    if len(speakers) < 2 * made.folds:
        raise TrialsError(
            f"{dataset}: {len(speakers)} speakers are too few for {made.folds} folds of two or more "
            f"(datasets/{dataset}.yaml: trials.made.folds)"
        )
    rows_of = {speaker: np.flatnonzero(recordings["label"] == speaker) for speaker in speakers}
    groups = pd.factorize(recordings["group"])[0]
    folds = {fold: speakers[fold - 1 :: made.folds] for fold in range(1, made.folds + 1)}
    same = [(fold, speaker, speaker) for fold, of in folds.items() for speaker in of]
    other = [(fold, *pair) for fold, of in folds.items() for pair in combinations(of, 2)]
    parts = []
    for target, couples in ((True, same), (False, other)):
        shares = np.full(len(couples), made.pairs // len(couples))
        shares[random.permutation(len(couples))[: made.pairs % len(couples)]] += 1
        for (fold, first, second), share in zip(couples, shares, strict=True):
            pairs = _pairs(rows_of[first], rows_of[second], groups)
            if len(pairs) < share:
                who = first if target else f"{first} and {second}"
                raise TrialsError(
                    f"{dataset}: {len(pairs)} pairs of recordings of {who} are of two groups, {share} are asked for "
                    f"(datasets/{dataset}.yaml: trials.made.pairs)"
                )
            drawn = pairs[random.choice(len(pairs), share, replace=False)]
            names = recordings["clip"].to_numpy()[drawn]
            part = {"fold": fold, "target": target, "first": names[:, 0], "second": names[:, 1]}
            parts.append(pd.DataFrame(part, columns=COLUMNS))
    return pd.concat(parts, ignore_index=True)


def _pairs(first: NDArray[Any], second: NDArray[Any], groups: NDArray[Any]) -> NDArray[Any]:
    """List all pairs of rows [pairs, 2] of one speaker or of two whose groups differ, each once."""
    one, two = (grid.ravel() for grid in np.meshgrid(first, second, indexing="ij"))
    wanted = groups[one] != groups[two]
    if first[0] == second[0]:
        wanted &= one < two
    return np.stack([one[wanted], two[wanted]], axis=1)


def speakers_aside(recordings: pd.DataFrame, trials: pd.DataFrame) -> dict[int, NDArray[np.bool_]]:
    """Say of every fold which recordings [recordings] are of speakers that none of its trials has."""
    speakers = dict(zip(recordings["clip"], recordings["label"], strict=True))
    aside = {}
    for fold, mine in trials.groupby("fold"):
        tested = {speakers[clip] for column in ("first", "second") for clip in mine[column]}
        aside[int(fold)] = ~recordings["label"].isin(tested).to_numpy()
    return aside
