"""Clips -> one table of windows, and which part (train, validation, test) each window is in.

Two kinds of split. `window` is the paper's: windows are shuffled, so windows of one recording land in all parts.
`source` keeps whatever shares an origin (recording, ESC source, GTZAN artist, music-speech stem) in one part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from beyond_spectrograms.data import audio
from beyond_spectrograms.data.clips import DatasetError, TooFewGroupsError, clip_path, stem
from beyond_spectrograms.data.label_sets import deal_folds, one_row_a_label
from beyond_spectrograms.data.labels import FOLD
from beyond_spectrograms.data.windows import PARTS, columns_of
from beyond_spectrograms.params import Source, Split, Windows
from beyond_spectrograms.util.patterns import groups_of, match_whole
from beyond_spectrograms.util.progress import track
from beyond_spectrograms.util.text import quoted

Splits = Mapping[str, Split]
Lists = Mapping[str, str] | None  # published parts, as read_lists gives them
_SILENCE_FORMAT = audio.FORMATS[0]  # the smallest to read


@dataclass(frozen=True)
class Dealt:
    """What `deal_windows` gives."""

    clips: pd.DataFrame  # the table of clips with `group` and `fold`
    table: pd.DataFrame  # a row a window, as windows.csv
    parts: pd.DataFrame  # a column a split and fold, as parts.csv
    straddling: list[str]  # groups whose clips stood in two published folds


def deal_windows(
    dataset: str, clips: pd.DataFrame, folder: Path, source: Source, *, windows: Windows, splits: Splits, lists: Lists
) -> Dealt:
    """Group clips, cut them into windows and deal these to the parts of every split.

    `folder` is data/clips/<dataset>.

    Raises:
        DatasetError: as the functions it calls.
    """
    clips, straddling = assign_groups(dataset, clips, source)
    return cut_and_deal(dataset, clips, folder, straddling, windows=windows, splits=splits, lists=lists)


def cut_and_deal(
    dataset: str,
    clips: pd.DataFrame,
    folder: Path,
    straddling: list[str],
    *,
    windows: Windows,
    splits: Splits,
    lists: Lists = None,
) -> Dealt:
    """Cut clips with `group` and `fold` into windows and deal these.

    Raises:
        DatasetError: as the functions it calls.
    """
    table = tabulate_windows(clips, folder, windows)
    parts = assign_parts(table, splits, lists)
    check_sources_apart(dataset, table, parts, splits, lists)
    return Dealt(clips, table, parts, straddling)


def assign_groups(dataset: str, clips: pd.DataFrame, source: Source) -> tuple[pd.DataFrame, list[str]]:
    """Add to the table of clips (clip, label, ...) the columns `group` and `fold`.

    group: what must stay in one part; from the file's name by `source.name`, or a column already; else the recording
        itself; files with the same bytes, under whatever names, are of one group, and so are repetitions that params
        know by name.
    fold: from the file's name, or a column already; else dealt here: groups spread over `source.folds` folds so that
        classes stay balanced; 1 where the parts are published, whose makers kept artists or speakers apart.

    Returns:
        the table, and the names of groups whose clips stood in two published folds. All clips of such a group are put
        in the fold that holds most of them (the lower one if equal).

    Raises:
        DatasetError: a file's name does not match or leaves out a group, a fold is no number, or a class has fewer
            groups than there are folds.
    """
    clips = clips.copy()
    if source.name is not None:
        found = [_groups_in_name(dataset, clip, source.name) for clip in clips["clip"]]
        for key in ("group", "fold") if "fold" in groups_of(source.name) else ("group",):
            clips[key] = [groups[key] for groups in found]
    elif "group" not in clips:
        clips["group"] = clips["clip"]
    clips = _merge_copies(clips, source)
    if source.has_lists:
        return clips.assign(fold=1), []
    if "fold" not in clips:
        return _deal_folds(dataset, clips, source), []
    for clip, fold in zip(clips["clip"], clips["fold"], strict=True):
        if not FOLD.fullmatch(str(fold)):
            raise DatasetError(f"{dataset}: {clip} has fold {quoted(str(fold))}. A fold is a whole number, as 1")
    clips["fold"] = clips["fold"].astype(int)
    by_group = clips.groupby("group")["fold"]
    straddling = sorted(by_group.nunique().loc[lambda folds: folds > 1].index)
    clips["fold"] = by_group.transform(lambda folds: folds.mode().iloc[0])
    return clips, straddling


def _groups_in_name(dataset: str, clip: str, pattern: str) -> dict[str, str]:
    """Give what the groups of source.name match in a clip's name."""
    match = match_whole("source.name", pattern, Path(clip).stem)
    if match is None:
        raise DatasetError(f"{dataset}: the name of {clip} does not match source.name, {pattern!r}")
    found: dict[str, str] = match.groupdict()
    if absent := [key for key in ("group", "fold") if key in found and found[key] is None]:
        raise DatasetError(f"{dataset}: the name of {clip} matches source.name, {pattern!r}, without its {absent[0]}")
    return found


def check_groups(dataset: str, names: Sequence[str], source: Source) -> None:
    """Check by the names of files alone, <label>/<file name>, that they say their groups and suffice for the folds.

    Raises:
        DatasetError: as assign_groups.
    """
    clips = pd.DataFrame({"clip": names, "label": [name.split("/")[0] for name in names], "sha256": names})
    assign_groups(dataset, clips, source)


def _merge_copies(clips: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Give copies one group, and with them all clips of their groups: the first of their names.

    Copies are clips of the same bytes and those that `source.known_repetitions` lists together.
    """
    alike = [clips["sha256"]]
    for listed in source.known_repetitions.values():
        firsts = {stem(clip): stem(group[0]) for group in listed for clip in group}
        alike.append(clips["clip"].map(stem).map(lambda name, firsts=firsts: firsts.get(name, name)))
    while True:
        merged = clips["group"]
        for same in alike:
            first = merged.groupby(same).transform("min")
            merged = first.groupby(merged).transform("min")
        if merged.equals(clips["group"]):
            return clips
        clips = clips.assign(group=merged)


def _deal_folds(dataset: str, clips: pd.DataFrame, source: Source) -> pd.DataFrame:
    from sklearn.model_selection import StratifiedGroupKFold

    assert source.folds is not None  # params.Source sees to it
    assert source.fold_seed is not None
    if source.has_several:
        return clips.assign(fold=deal_folds(dataset, clips, source.folds, source.folds, [source.fold_seed]))
    for label, groups in clips.groupby("label")["group"].nunique().items():
        if groups < source.folds:
            told = f"{dataset}: class {label!r} has {groups} recordings or sources, too few for {source.folds} folds. "
            remedy = "Add recordings, or deal fewer folds (source.folds, at least 3)."
            raise TooFewGroupsError(told + remedy, str(label), groups)
    dealer = StratifiedGroupKFold(source.folds, shuffle=True, random_state=source.fold_seed)
    clips["fold"] = 0
    for fold, (_, held_out) in enumerate(dealer.split(clips, clips["label"], clips["group"]), start=1):
        clips.iloc[held_out, clips.columns.get_loc("fold")] = fold
    return clips


def tabulate_windows(clips: pd.DataFrame, folder: Path, windows: Windows) -> pd.DataFrame:
    """One row a window: clip, label, start_s, group, fold, silent (1 where no sample exceeds -80 dBFS).

    `folder` is data/clips/<dataset>. Row i of this table is row i of every feature array.

    Raises:
        DatasetError: every clip is shorter than a window.
    """
    tables = []
    for clip in track(clips.itertuples(index=False), "find silence", len(clips)):
        starts = audio.window_starts(clip.seconds, windows.length_s, windows.hop_s, windows.tail)
        if not starts:
            continue
        sound = audio.read_clip(clip_path(folder, _SILENCE_FORMAT, clip.clip), _SILENCE_FORMAT)
        cut = audio.cut_windows(sound, starts, windows.length_s, _SILENCE_FORMAT.sample_rate)
        silent = np.abs(cut).max(axis=(1, 2)) <= audio.SILENCE_PEAK
        row = {"clip": clip.clip, "label": clip.label, "group": clip.group, "fold": clip.fold}
        tables.append(pd.DataFrame({**row, "start_s": starts, "silent": silent.astype(int)}))
    if not tables:
        raise DatasetError(
            f"{folder}: no clip is as long as a window, {windows.length_s:g} s. "
            "Lower windows.length_s or set windows.tail to reflect."
        )
    return pd.concat(tables, ignore_index=True)[["clip", "label", "start_s", "group", "fold", "silent"]]


def read_lists(folder: Path) -> dict[str, str] | None:
    """Read published lists of the files of each part, <folder>/<part>.txt; None where there are none.

    Returns:
        <label>/<file name> -> part.

    Raises:
        DatasetError: a file is listed twice.
    """
    if not folder.is_dir():
        return None
    parts: dict[str, str] = {}
    for part in PARTS:
        for clip in (folder / f"{part}.txt").read_text(encoding="utf-8").split():
            if clip in parts:
                raise DatasetError(f"{folder}: {clip} is listed for {parts[clip]} and again for {part}")
            parts[clip] = part
    return parts


def check_lists(dataset: str, clips: pd.DataFrame, lists: Mapping[str, str], known_bad: Sequence[str]) -> None:
    """Stop where published lists name clips that are not there, those known to be unusable apart.

    Raises:
        DatasetError: expected and found numbers, and the first clips that are missing.
    """
    bad, found = {stem(clip) for clip in known_bad}, {stem(clip) for clip in clips["clip"]}
    expected = {stem(clip) for clip in lists} - bad
    if missing := sorted(expected - found):
        raise DatasetError(
            f"{dataset}: its lists name {len(expected)} usable clips, found {len(expected) - len(missing)}; "
            f"missing: {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}"
        )


def assign_parts(table: pd.DataFrame, splits: Splits, lists: Lists = None) -> pd.DataFrame:
    """Deal the windows to parts under every split of params.

    Returns:
        one column a split and fold, rows as in `table`, values train, validation, test or empty (not used):
        `<split>` for kind window, or `<split>_<n>` for the n-th of its seeds; for kind source `<split>_<fold>`, where
        that fold tests, the next one validates and the others train (3/1/1 of five), or the one `<split>_1` where there
        are published lists.
    """
    columns: dict[str, Any] = {}
    for name, split in splits.items():
        if split.seeds is not None:
            for number, seed in enumerate(split.seeds, start=1):
                columns[f"{name}_{number}"] = _shuffle(len(table), split, seed)
        elif split.kind == "window":
            columns[name] = _shuffle(len(table), split, split.seed)
        elif lists is not None:
            stems = {stem(clip): part for clip, part in lists.items()}
            columns[f"{name}_1"] = [stems.get(stem(clip), "") for clip in table["clip"]]
        else:
            folds = sorted(table["fold"].unique())
            for index, fold in enumerate(folds):
                tests, validates = table["fold"] == fold, table["fold"] == folds[(index + 1) % len(folds)]
                columns[f"{name}_{fold}"] = np.select([tests, validates], ["test", "validation"], "train")
    return pd.DataFrame(columns)


def _shuffle(count: int, split: Split, seed: int | None) -> np.ndarray[Any, np.dtype[np.str_]]:
    """Shuffle, then cut at the fractions."""
    assert split.fractions is not None  # params.Split sees to it
    first, second = round(split.fractions[0] * count), round((split.fractions[0] + split.fractions[1]) * count)
    order = np.random.default_rng(seed).permutation(count)
    parts = np.empty(count, dtype="U10")
    for part, rows in zip(PARTS, np.split(order, [first, second]), strict=True):
        parts[rows] = part
    return parts


def describe_splits(
    dataset: str, table: pd.DataFrame, parts: pd.DataFrame, splits: Splits, straddling_groups: list[str]
) -> dict[str, Any]:
    """Figures of splits.json: windows, silence, sizes of parts, and what stands in two parts."""
    described: dict[str, Any] = {
        "dataset": dataset,
        "windows": len(table),
        "silent_windows": int(table["silent"].sum()),
        "recordings": int(table["clip"].nunique()),
        "groups": int(table["group"].nunique()),
        "groups_moved_to_one_fold": straddling_groups,
        "splits": {},
    }
    for name in splits:
        described["splits"][name] = {
            column: {
                **{part: int((parts[column] == part).sum()) for part in PARTS},
                "unused": int((parts[column] == "").sum()),
                "recordings_in_two_parts": count_straddling(table["clip"], parts[column]),
                "groups_in_two_parts": count_straddling(table["group"], parts[column]),
            }
            for column in columns_of(name, parts)
        }
    return described


def count_straddling(origins: pd.Series[Any], parts: pd.Series[Any]) -> int:
    """Count origins (recordings, groups) with windows in more than one part."""
    used = parts != ""
    return int((parts[used].groupby(origins[used]).nunique() > 1).sum())


def check_sources_apart(
    dataset: str, table: pd.DataFrame, parts: pd.DataFrame, splits: Splits, lists: Lists = None
) -> None:
    """Stop where a split that promises whole sources has one in two parts, a part is empty, or training lacks a class.

    Or where it has no fold at all.

    Published lists that have a source in two parts stay as they are: the audit tells of it, and fails.

    Raises:
        DatasetError: naming the split, the fold and the part or classes.
    """
    labelled = one_row_a_label(table)
    for name, split in splits.items():
        columns = columns_of(name, parts)
        if not columns:
            raise DatasetError(f"{dataset}: split {name} has no fold")
        for column in columns:
            trains = parts[column] == "train"
            if absent := sorted(set(labelled["label"]) - set(labelled["label"][trains[labelled.index]])):
                raise DatasetError(f"{dataset}: split {column} has no train window of {', '.join(absent)}")
            for part in PARTS:
                if not (parts[column] == part).any():
                    raise DatasetError(f"{dataset}: split {column} has no {part} window")
            if split.kind == "source" and lists is None and count_straddling(table["group"], parts[column]):
                raise DatasetError(f"{dataset}: split {column} has a source in two parts")
