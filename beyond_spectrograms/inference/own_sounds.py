"""A folder of one's own sounds -> checked clips, windows and grouped folds, by the functions the stages call."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from beyond_spectrograms.data.archives import copy_sounds
from beyond_spectrograms.data.clips import (
    CLIP_VERSIONS,
    DatasetError,
    check_clips,
    prepare_clips,
    publish_clips,
    read_clips,
)
from beyond_spectrograms.data.splits import Dealt, assign_groups, deal_windows
from beyond_spectrograms.inference.formats import file_name
from beyond_spectrograms.inference.stream_windows import SHORTEST
from beyond_spectrograms.params import Params, Source, Split, Windows

if TYPE_CHECKING:
    import pandas as pd

LONGEST_S = 600.0  # a clip is decoded as a whole
FEWEST_FOLDS = 3  # one trains, one validates, one tests
SPLIT = "source"
BY_FOLDER = r"(?P<group>.*?)(?:__.*)?"  # copy_sounds makes take1__a.wav of <class>/take1/a.wav


@dataclass(frozen=True)
class Grouping:
    """Which recordings share an origin and must stay in one part; by default each is on its own.

    Attributes:
        pattern: regular expression for a file's whole name (without suffix) with the group `group`.
        table: a CSV file with the columns `file` (path below the folder of sounds) and `column`.
    """

    pattern: str | None = None
    table: Path | None = None
    column: str = "group"


@dataclass(frozen=True)
class OwnSounds(Dealt):
    """Sounds ready to train on: clips, windows and their parts.

    Attributes:
        dataset: a name made from the folder's.
        folder: as data/clips/<dataset> of the pipeline.
        set_aside: file and reason of those that cannot be used.
    """

    dataset: str
    folder: Path
    set_aside: dict[str, str]


def prepare_sounds(sounds: Path, work: Path, params: Params, grouping: Grouping, folds: int) -> OwnSounds:
    """Check and convert the sounds of <sounds>/<class>/, group them and deal them to at most `folds` folds.

    Fewer folds where a class has fewer groups. Files that cannot be used are set aside with the reason.

    Raises:
        RawDataError: no such folder, no class folder, a class folder without a sound.
        DatasetError: fewer than two classes, a class without a usable sound or with fewer than three groups, a name or
            table that does not say the group of every clip, a name that is not UTF-8.
    """
    dataset = re.sub(r"[^A-Za-z0-9]+", "_", sounds.resolve().name).strip("_") or "sounds"
    raw, folder, windows = work / "raw", work / "clips", params.windows
    shutil.rmtree(raw, ignore_errors=True)  # left by a run that was stopped
    copy_sounds(str(sounds), raw)
    _check_utf8(sounds, raw)
    source = _source(sounds, windows, grouping)
    versions = {name: params.versions[name] for name in CLIP_VERSIONS}
    outcomes = prepare_clips(raw, work / "clips.partial", source.seconds, versions)
    check_clips(dataset, outcomes)
    publish_clips(outcomes, work / "clips.partial", folder)
    clips = read_clips(folder)
    if clips["label"].nunique() < 2:
        raise DatasetError(f"{sounds}: one class, {clips['label'].iloc[0]!r}. Give at least two, a sub-folder each.")
    if (pattern := grouping.pattern) and (
        strange := [clip for clip in clips["clip"] if not re.fullmatch(pattern, Path(clip).stem)]
    ):
        raise DatasetError(f"{sounds}: --group-pattern {pattern!r} does not match {_few(strange)}")
    if grouping.table:
        listed = _read_groups(grouping.table, grouping.column, clips)
        source = source.model_copy(update={"known_repetitions": {"table": listed}})
    try:
        grouped, _ = assign_groups(dataset, clips, source)
    except DatasetError as error:
        raise DatasetError(f"{error}\n`train` needs three: one trains, one validates, one tests.") from None
    fewest = min(folds, int(grouped.groupby("label")["group"].nunique().min()))
    source = source.model_copy(update={"folds": max(fewest, FEWEST_FOLDS)})
    dealt = deal_windows(dataset, clips, folder, source, windows=windows, splits={SPLIT: Split(kind="source")})
    set_aside = {outcome.clip: outcome.reason for outcome in outcomes if outcome.reason}
    return OwnSounds(**vars(dealt), dataset=dataset, folder=folder, set_aside=set_aside)


def _source(sounds: Path, windows: Windows, grouping: Grouping) -> Source:
    seconds = (SHORTEST * windows.length_s, LONGEST_S)
    try:
        return Source(path=str(sounds), seconds=seconds, name=grouping.pattern, folds=FEWEST_FOLDS, fold_seed=0)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise DatasetError(f"--group-pattern {grouping.pattern!r}: {problem}") from None


def _check_utf8(sounds: Path, raw: Path) -> None:
    for path in sorted(raw.glob("*/*")):
        try:
            path.name.encode(), path.parent.name.encode()
        except UnicodeEncodeError:
            name = file_name(path.relative_to(raw))
            raise DatasetError(f"{sounds}: the name of {name} is not UTF-8. Rename the file or its folder.") from None


def _read_groups(path: Path, column: str, clips: pd.DataFrame) -> list[list[str]]:
    """List the clips of every group of two or more."""
    import pandas

    try:
        table = pandas.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file") from None
    except ValueError as error:  # what pandas raises of all that is no CSV, encodings included
        raise DatasetError(f"{path}: not a CSV table: {error}") from None
    if missing := [name for name in ("file", column) if name not in table.columns]:
        raise DatasetError(f"{path}: no column {missing[0]!r}. Its columns are {', '.join(table.columns)}.")
    names = table["file"].map(_clip_name)
    if double := sorted(names[names.duplicated()]):
        raise DatasetError(f"{path}: {double[0]} is listed twice")
    group_of = dict(zip(names, table[column], strict=True))
    if unknown := [clip for clip in clips["clip"] if not group_of.get(clip)]:
        raise DatasetError(f"{path}: no {column} for {_few(unknown)}")
    groups = clips["clip"].groupby(clips["clip"].map(group_of))
    return [list(members) for _, members in groups if len(members) > 1]


def _clip_name(file: str) -> str:
    """Name a file below the folder of sounds as copy_sounds does: dog/take1/a.wav is dog/take1__a.wav."""
    label, _, inside = file.removeprefix("./").partition("/")
    return f"{label}/{inside.replace('/', '__')}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def warn_of_few(sounds: OwnSounds, minimum: int, warn: Callable[[str], object]) -> None:
    """Warn of every class with fewer than `minimum` groups, and say by how much its score may be off.

    That is half the 95 % interval of a share of one half, 1.96 sqrt(1/4 / n).
    """
    for label, groups in sounds.clips.groupby("label")["group"].nunique().items():
        if groups < minimum:
            clips = int((sounds.clips["label"] == label).sum())
            warn(
                f"class {label!r}: {clips} recordings of {groups} origins, fewer than {minimum}: its score may be off "
                f"by {98 / groups**0.5:.0f} points"
            )
