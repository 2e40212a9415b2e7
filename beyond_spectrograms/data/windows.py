"""The table of windows as the later stages read it: what each window is, its part, and its features."""

import hashlib
import json
import mmap
import re
import tokenize
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import read_sealed

if TYPE_CHECKING:
    from beyond_spectrograms.params import Protocol

PARTS = ("train", "validation", "test")
ARRAY, SHARDED = "features.npy", "index.parquet"  # one of them is in a folder of features
AGAIN = "Run its featurize stage again (dvc repro -f)."
BROKEN = (ValueError, EOFError, SyntaxError, tokenize.TokenError)  # what numpy raises of a damaged .npy


class ExamplesError(ProjectError):
    """A class has fewer training recordings than a protocol wants; the message names it."""


class FeaturesError(ProjectError):
    """A stored array does not belong to the table of windows; the message names it and what to do."""


def read_windows(folder: Path) -> pd.DataFrame:
    """Read <folder>/windows.csv: clip, label, start_s, group, fold, silent; row i is row i of every feature array.

    Raises:
        FeaturesError: it is not there.
    """
    return _read(folder / "windows.csv", {"clip": str, "label": str, "group": str})


def deal_labels(table: pd.DataFrame, seed: int | None) -> pd.DataFrame:
    """Give recordings other labels than their own, every class as often as any other; with `seed` None their own.

    They are drawn from the seed and the recordings' names alone, for all parts: a control that scores above chance
    where windows of one recording stand in training and test, and chance where they do not.
    """
    if seed is None:
        return table
    clips, classes = np.unique(table["clip"]), np.unique(table["label"])
    dealt = pd.Series(np.resize(classes, len(clips)), np.random.default_rng(seed).permutation(clips))
    return table.assign(label=table["clip"].map(dealt))


def keep_share(parts: npt.NDArray[np.str_], table: pd.DataFrame, share: float, seed: int) -> npt.NDArray[np.str_]:
    """Take all but a share of each class's training recordings out of a run's parts [windows]; at least one stays.

    Which ones follows from the seed and the recordings' names alone, so that a smaller share lies within a larger one.
    """
    kept: set[str] = set()
    for clips in _drawn(table[parts == "train"], seed).values():
        kept |= set(clips[: max(1, round(share * len(clips)))])
    return np.where((parts == "train") & ~table["clip"].isin(kept).to_numpy(), "", parts)


def keep_examples(parts: npt.NDArray[np.str_], table: pd.DataFrame, count: int, seed: int) -> npt.NDArray[np.str_]:
    """Leave `count` training recordings of each class in a run's parts [windows], and at most as many that validate.

    Drawn as by `keep_share`. The validation part shrinks likewise, since what chooses epochs and settings is labelled
    too: with all of it the scores would not be those of a few examples (Perez et al., "True few-shot learning with
    language models", NeurIPS 2021).

    Raises:
        ExamplesError: a class has fewer training recordings.
    """
    kept: set[str] = set()
    for part in ("train", "validation"):
        for label, clips in _drawn(table[parts == part], seed).items():
            if part == "train" and len(clips) < count:
                raise ExamplesError(
                    f"examples_per_class is {count}, and class {label!r} has {len(clips)} training recordings: take "
                    f"{len(clips)} or fewer"
                )
            kept |= set(clips[:count])
    return np.where(np.isin(parts, ["train", "validation"]) & ~table["clip"].isin(kept).to_numpy(), "", parts)


def _drawn(table: pd.DataFrame, seed: int) -> dict[str, list[str]]:
    """List the recordings of each class in the order in which a seed draws them."""
    return {
        str(label): sorted(of_class.unique(), key=lambda clip: hashlib.sha256(f"{seed} {clip}".encode()).digest())
        for label, of_class in table.groupby("label")["clip"]
    }


def parts_of_run(
    protocol: "Protocol", parts: pd.DataFrame, table: pd.DataFrame, fold: int, seed: int
) -> npt.NDArray[np.str_]:
    """Look up the part of every window [windows] in a run; empty: in none."""
    column = columns_of(protocol.split, parts)[fold - 1]
    mine = parts[column].to_numpy(dtype=str)
    if protocol.examples_per_class is not None:
        return keep_examples(mine, table, protocol.examples_per_class, seed)
    return mine if protocol.training_share is None else keep_share(mine, table, protocol.training_share, seed)


def read_parts(folder: Path) -> pd.DataFrame:
    """Read <folder>/parts.csv: a column a split and fold, values of PARTS or empty, rows as in windows.csv.

    Raises:
        FeaturesError: it is not there.
    """
    return _read(folder / "parts.csv", str)


def _read(path: Path, types: Any) -> pd.DataFrame:
    if not path.exists():
        raise FeaturesError(f"{path}: missing. Run the split stage of {path.parent.name}.")
    return pd.read_csv(path, dtype=types, keep_default_na=False)


def split_digests(table: pd.DataFrame, parts: pd.DataFrame, splits: Iterable[str]) -> dict[str, str]:
    """Digest, for each split, every window and the part it is in: what scores of that split are scores of."""
    windows = table[["clip", "start_s", "silent", "group", "label"]]
    digests = {}
    for split in splits:
        dealt = windows.join(parts[columns_of(split, parts)])
        digests[split] = hashlib.sha256(dealt.to_csv(index=False, lineterminator="\n").encode()).hexdigest()
    return digests


def columns_of(split: str, parts: pd.DataFrame) -> list[str]:
    """List the columns of parts that belong to a split, one a fold, in order."""
    return [column for column in parts.columns if column == split or re.fullmatch(rf"{split}_\d+", column)]


def has_features(folder: Path) -> bool:
    """Say whether features are in a folder, as an array or in shards."""
    return (folder / ARRAY).exists() or (folder / SHARDED).exists()


def open_features(folder: Path, windows: int) -> npt.NDArray[np.float32]:
    """Map the features in a folder, [windows, bands, frames], read-only, as `map_features` does.

    Raises:
        FeaturesError: they are damaged, or have not one row for each of `windows` windows.
    """
    features = map_features(folder)
    if len(features) != windows:
        raise FeaturesError(f"{folder}: {len(features)} rows for {windows} windows. {AGAIN}")
    return features


def map_features(folder: Path) -> npt.NDArray[np.float32]:
    """Map the features in a folder: <folder>/features.npy, or shards, which are read as an array is.

    Raises:
        FeaturesError: they are damaged.
        FileNotFoundError: there are none.
    """
    if (folder / SHARDED).exists():
        from beyond_spectrograms.data.feature_shards import Shards

        return cast("npt.NDArray[np.float32]", Shards(folder))  # stands in for one
    try:
        features: npt.NDArray[np.float32] = np.load(folder / ARRAY, mmap_mode="r")
    except BROKEN:
        raise FeaturesError(f"{folder}: {ARRAY} is cut short or damaged. {AGAIN}") from None
    return features


def content_of(folder: Path) -> bytes:
    """Return what identifies the features in `folder`: the digests of each clip's rows, as their index has them.

    Keys of rows are left out: features that came out the same under another version train the same.
    """
    if (folder / SHARDED).exists():
        from beyond_spectrograms.data.shard_index import content_of_shards

        return content_of_shards(folder)
    index = read_index(folder)
    if not index["clips"]:
        return (folder / "index.json").read_bytes()
    rows = [[first, count, index["rows"][key]] for _, first, count, key, *_ in index["clips"]]
    return json.dumps(rows).encode()


def read_index(folder: Path) -> dict[str, Any]:
    """Read <folder>/index.json: `shape` of the array, `clips` with their rows, and the digests of these `rows` by key.

    No clips where the array was made, not extracted.

    Raises:
        FeaturesError: it is not as it was written.
        FileNotFoundError: it is not there.
    """
    path = folder / "index.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        told = None
    if isinstance(told, dict) and told.keys() <= {"sha256"}:
        return {"clips": []}
    if isinstance(told, dict) and told.keys() == {"shape", "clips", "sha256"}:  # of earlier code, which did not seal it
        return {"shape": told["shape"], "clips": told["clips"], "rows": told["sha256"]}
    if (index := read_sealed(path)) is None:
        raise FeaturesError(f"{path}: damaged. {AGAIN}")
    return index


def check_content(folder: Path, called: str) -> None:
    """Check that the rows of the features in `folder` are those that were written there.

    Raises:
        FeaturesError: some are not; they are computed again by the stage that made them.
    """
    if (folder / SHARDED).exists():
        from beyond_spectrograms.data.shard_index import check_shards

        return check_shards(folder, called)
    index = read_index(folder)
    array = map_features(folder)
    damaged = [
        clip
        for clip, first, count, key, *_ in index["clips"]
        if digest_rows(array, slice(first, first + count)) != index["rows"][key]
    ]
    return name_damaged(folder, damaged, called)


def name_damaged(folder: Path, damaged: list[str], called: str) -> None:
    """Raise a FeaturesError that counts these clips of `called` and names the first; nothing where there is none."""
    if damaged:
        raise FeaturesError(
            f"{folder}: rows of {len(damaged)} clips of {called} are not what was written, {damaged[0]} first. {AGAIN}"
        )


def digest_rows(array: npt.NDArray[Any], rows: slice) -> str:
    """Digest rows of a mapped array, and let go of their pages."""
    digest = hashlib.sha256(np.ascontiguousarray(array[rows]).data).hexdigest()
    release(array)
    return digest


def release(array: npt.NDArray[Any]) -> None:
    """Release the pages of a mapped array that were read or written; an array in memory is left as it is.

    They stay in the system's cache, or on their way to disk, but no longer count as this process's: however many
    windows a file holds, those of a batch are all that is held of it.
    """
    if not isinstance(array, np.ndarray):  # shards
        array.release()
        return
    if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.base.madvise(mmap.MADV_DONTNEED)
