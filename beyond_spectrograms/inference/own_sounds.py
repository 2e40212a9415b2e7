"""A folder of one's own sounds -> checked clips, windows and folds, by the functions that the stages call."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from beyond_spectrograms.data import clips as stored_clips
from beyond_spectrograms.data.clips import DatasetError, TooFewGroupsError
from beyond_spectrograms.data.folders import copy_sounds
from beyond_spectrograms.data.label_sets import FEWEST_FOLDS, one_row_a_label
from beyond_spectrograms.data.splits import Dealt, assign_groups, deal_windows
from beyond_spectrograms.inference import overlaps
from beyond_spectrograms.inference.formats import file_name
from beyond_spectrograms.inference.label_table import (
    ABSOLUTE,
    Labelled,
    LabelledSounds,
    describe_rows,
    read_table,
    write_clips,
)
from beyond_spectrograms.inference.results import BACKGROUND, NONE
from beyond_spectrograms.inference.stream_windows import SHORTEST
from beyond_spectrograms.params import Params, Protocol, Source, Split, Windows, misfit
from beyond_spectrograms.params.protocols import SEVERAL
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import real
from beyond_spectrograms.util.patterns import match_whole

SEED = 0
LONGEST_S = 600.0  # a clip is decoded as a whole
SPLIT = "source"
WEIGHTED_UNASKED = ("conv1d", "conv2d", "mean_linear")  # classifiers whose rare classes weigh more by default
STRENGTHS = {"mixup": 0.2, "gain": 6.0, "time_shift": 0.2, "noise": 0.1}  # of Augmentation, where one is asked for


@dataclass(frozen=True)
class Grouping:
    """Which recordings share an origin and must stay in one part; by default each is on its own."""

    by_folder: bool = False  # those in one sub-folder of their classes' folders, of whatever class
    pattern: str | None = None  # regular expression for a file's whole name (without suffix) with the group `group`
    table: Path | None = None  # a CSV file with the columns `file` (path below the folder of sounds) and `column`
    column: str = "group"
    labels: LabelledSounds | None = None  # of a table that says labels and groups


@dataclass(frozen=True)
class OwnSounds(Dealt):
    """Sounds ready to train on: clips, windows and their parts; with `multi_label` a label is a set of labels."""

    dataset: str  # a name made from the folder's
    folder: Path  # as data/clips/<dataset> of the pipeline
    set_aside: dict[str, str]  # file and reason of those that cannot be used
    left_out: dict[str, int]  # how many files are named like no sound, by suffix
    paths: dict[str, str]  # of each clip, below the folder of sounds
    multi_label: bool = False

    @property
    def labelled(self) -> pd.DataFrame:
        """The clips, with several labels one row each."""
        return one_row_a_label(self.clips) if self.multi_label else self.clips


def prepare_sounds(
    sounds: Path, work: Path, params: Params, grouping: Grouping, folds: int, *, shortest_s: float | None = None
) -> OwnSounds:
    """Check and convert the sounds of <sounds>/<class>/, group them and deal them to at most `folds` folds.

    A table of labels says which sounds, or parts of them, are of which class instead. Fewer folds where a class has
    fewer groups. Files that cannot be used, or are shorter than `shortest_s` (a tenth of a window where it is not
    given), are set aside with the reason.

    Raises:
        RawDataError: no such folder, no class folder, a class folder without a sound.
        DatasetError: fewer than two classes, a class without a usable sound or with fewer than three groups, a name or
            table that does not say the group of every clip, a name that is not UTF-8, a table of labels with an error.
    """
    dataset = re.sub(r"[^A-Za-z0-9]+", "_", real(sounds).name).strip("_") or "sounds"
    raw, folder, windows = work / "raw", work / "clips", params.windows
    shutil.rmtree(raw, ignore_errors=True)  # left by a run that was stopped
    labelled = grouping.labels.clips if grouping.labels else {}
    copied = describe_rows(labelled, sounds) if labelled else copy_sounds(str(sounds), raw)
    for clip in sorted(copied.paths):
        if (name := file_name(Path(clip))) != clip:
            raise DatasetError(f"{sounds}: the name of {name} is not UTF-8. Rename the file or its folder.")
    source = _group(sounds, _source(sounds, windows, grouping, shortest_s), grouping, copied.paths, labelled)
    failed = write_clips(labelled, raw)
    versions = {name: params.versions[name] for name in stored_clips.CLIP_VERSIONS}
    outcomes = [*stored_clips.prepare_clips(raw, work / "clips.partial", source.seconds, versions), *failed]
    stored_clips.check_clips(dataset, outcomes, source)
    stored_clips.publish_clips(outcomes, work / "clips.partial", folder)
    clips = stored_clips.read_clips(folder)
    where = grouping.labels.table if grouping.labels else sounds
    try:
        grouped, _ = assign_groups(dataset, clips, source)
    except TooFewGroupsError as error:  # once files were set aside, or are the same
        lost = [
            f"  set aside {each.clip}: {each.reason}"
            for each in outcomes
            if each.reason and each.clip.startswith(f"{error.label}/")
        ]
        raise DatasetError("\n".join([str(_too_few(where, error.label, error.groups)), *lost])) from None
    splits, multi_label = {SPLIT: Split(kind="source")}, grouping.labels is not None and grouping.labels.multi_label
    if multi_label:
        dealt = overlaps.deal_windows(where, grouped, labelled, folder, windows=windows, splits=splits, most=folds)
    else:
        fewest = min(folds, int(grouped.groupby("label")["group"].nunique().min()))
        source = source.model_copy(update={"folds": max(fewest, FEWEST_FOLDS)})
        dealt = deal_windows(dataset, clips, folder, source, windows=windows, splits=splits, lists=None)
    set_aside = {outcome.clip: outcome.reason for outcome in outcomes if outcome.reason}
    told: dict[str, Any] = {"dataset": dataset, "folder": folder, "set_aside": set_aside, "multi_label": multi_label}
    return OwnSounds(**vars(dealt), **told, **vars(copied))


def _group(
    sounds: Path, source: Source, grouping: Grouping, paths: Mapping[str, str], labelled: Mapping[str, Labelled]
) -> Source:
    """Add the groups of a table to the source, and check by names alone that there are classes and groups enough.

    Raises:
        DatasetError: one class; a file of no group; a class of fewer than FEWEST_FOLDS groups.
    """
    clips, where = sorted(paths), grouping.labels.table if grouping.labels else sounds
    multi_label = grouping.labels is not None and grouping.labels.multi_label
    labels_of = {clip: [clip.split("/")[0]] for clip in clips}
    labels_of |= {clip: row.label.split(SEVERAL) for clip, row in labelled.items()}
    labels = dict.fromkeys(label for clip in clips for label in labels_of[clip])
    if len(labels) < 2:
        told = f"one class, {next(iter(labels))!r}. Give at least two"
        raise DatasetError(f"{where}: {told}." if labelled else f"{where}: {told}, a sub-folder each.")
    group_of = {clip: clip for clip in clips}
    if pattern := grouping.pattern:
        found = {clip: match_whole("--group-pattern", pattern, Path(clip).stem) for clip in clips}
        if strange := [clip for clip, match in found.items() if match is None or match["group"] is None]:
            raise DatasetError(f"{sounds}: --group-pattern {pattern!r} does not match {_few(strange)}")
        group_of = {clip: match["group"] for clip, match in found.items() if match}
    if grouping.by_folder:
        group_of = {clip: _folder_of(path) for clip, path in paths.items()}
    if grouping.table:
        group_of = _read_groups(grouping.table, grouping.column, paths)
    if labelled:
        group_of = {clip: row.group for clip, row in labelled.items()}
    if grouping.by_folder or grouping.table or labelled:
        groups = pd.Series(clips).groupby([group_of[clip] for clip in clips])
        listed = [members.tolist() for _, members in groups if len(members) > 1]
        source = source.model_copy(update={"known_repetitions": {"table": listed}})
    for label in labels:
        with_label = {group for clip, group in group_of.items() if label in labels_of[clip]}
        without = {group for clip, group in group_of.items() if label not in labels_of[clip]}
        if len(with_label) < FEWEST_FOLDS:
            raise _too_few(where, label, len(with_label))
        if multi_label and len(without) < FEWEST_FOLDS:
            raise _too_few(where, label, len(without), "is absent from")
    return source


def _folder_of(path: str) -> str:
    """Give the sub-folder of <class>/<sub-folder>/..., and of a sound right in its class' folder its own path."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else path


def _too_few(where: Path, label: str, groups: int, verb: str = "has") -> DatasetError:
    told = f"{where}: class {label!r} {verb} {groups} group{'s' * (groups != 1)} of recordings; `train` needs "
    why = "one trains, one validates, one tests. Add recordings of another origin, or group them otherwise."
    return DatasetError(f"{told}{FEWEST_FOLDS}: {why}")


def _source(sounds: Path, windows: Windows, grouping: Grouping, shortest_s: float | None) -> Source:
    seconds = (SHORTEST * windows.length_s if shortest_s is None else shortest_s, LONGEST_S)
    try:
        return Source(path=str(sounds), seconds=seconds, name=grouping.pattern, folds=FEWEST_FOLDS, fold_seed=0)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        if problem.startswith("folds "):
            problem = "(?P<fold>...) is for data sets of the pipeline; `train` deals folds itself. Leave it out."
        raise DatasetError(f"--group-pattern {grouping.pattern!r}: {problem.removeprefix('name ')}") from None


def _read_groups(path: Path, column: str, paths: Mapping[str, str]) -> dict[str, str]:
    """Read the group of every clip, whose `paths` are those below the folder of sounds."""
    table = read_table(path, "file", column)
    files = table["file"].str.removeprefix("./")
    if absolute := [file for file in files if file.startswith("/")]:
        raise DatasetError(f"{path}: {absolute[0]} {ABSOLUTE}")
    clip_of = {file: clip for clip, file in paths.items()}
    names = files.map(lambda file: clip_of.get(file, file))
    if double := sorted(names[names.duplicated()]):
        raise DatasetError(f"{path}: {double[0]} is listed twice")
    group_of = dict(zip(names, table[column], strict=True))
    if unknown := [paths[clip] for clip in sorted(paths) if not group_of.get(clip)]:
        raise DatasetError(f"{path}: no {column} for {_few(unknown)}")
    return {clip: group_of[clip] for clip in paths}


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def warnings_of_doubles(sounds: OwnSounds) -> Iterator[str]:
    """Name recordings of the same bytes under two labels: one of the labels is wrong, or the sound is no help."""
    for _, same in sounds.clips.groupby("sha256"):
        if same["label"].nunique() > 1:
            yield f"{_few(same['clip'].tolist())}: the same bytes under {same['label'].nunique()} labels"


def warnings_of_background(sounds: OwnSounds, *, reject: bool) -> Iterator[str]:
    """Say what becomes of a class BACKGROUND where nothing is rejected."""
    if not reject and BACKGROUND in set(sounds.clips["label"]):
        yield f"class {BACKGROUND!r} is trained as any other; with --reject an answer of it counts as {NONE!r}"


def warnings_of_few(sounds: OwnSounds, minimum: int) -> Iterator[str]:
    """Name every class with fewer than `minimum` groups, and say by how much its score may be off.

    That is half the 95 % interval of a share of one half, 1.96 sqrt(1/4 / n).
    """
    for label, groups in sounds.labelled.groupby("label")["group"].nunique().items():
        if groups < minimum:
            clips = int((sounds.labelled["label"] == label).sum())
            off = f"its score may be off by {98 / groups**0.5:.0f} points"
            yield f"class {label!r}: {clips} recordings of {groups} origins, fewer than {minimum}: {off}"


def check_settings(
    folds: int, epochs: int, seconds: dict[str, float | None], named: Callable[[str], str] = str
) -> None:
    """Check settings of a training before any work; those in seconds by their names, None: not given.

    Raises:
        ProjectError: one is out of its range; it is called what `named` makes of its name.
    """
    for name, value in seconds.items():
        if value is not None and not 0 < value <= LONGEST_S:
            raise ProjectError(f"{named(name)} is {value:g} s; it must be above 0 and at most {LONGEST_S:g} s")
    for name, number, least in (("folds", folds, FEWEST_FOLDS), ("epochs", epochs, 1)):
        if number < least:
            raise ProjectError(f"{named(name)} is {number}; it must be at least {least}")


def choose_classifier(params: Params, protocol: str, representation: str, classifier: str | None) -> tuple[Params, str]:
    """Put a classifier in place of a protocol's; a probe has a protocol of its own name.

    Returns:
        the params, and the name of the protocol to take.

    Raises:
        ProjectError: the protocol's other settings are not for that classifier, or it is not for the representation.
    """
    if classifier in params.protocols:
        protocol = classifier
    elif classifier is not None:
        wrong = f"--classifier {classifier} does not go with --protocol {protocol}"
        if params.protocols[protocol].is_fitted_at_once:
            raise ProjectError(f"{wrong}, which is fitted at once. Leave --protocol out.")
        params = _change(params, protocol, {"classifier": classifier}, wrong)
    if why := misfit(params.representations[representation], params.protocols[protocol]):
        raise ProjectError(f"--representation {representation} does not go with --protocol {protocol}: {why}")
    return params, protocol


def choose_learning(
    params: Params, protocol: str, representation: str, class_weights: str | None, augment: str | None
) -> Params:
    """Set a protocol's class weights (none, balanced) and augmentation (names parted by commas), where given.

    Raises:
        ProjectError: an augmentation is unknown or not for the representation, or one of both not for the classifier.
    """
    if class_weights is not None:
        wrong = f"--class-weights {class_weights} does not go with --protocol {protocol}"
        params = _change(params, protocol, {"class_weights": class_weights}, wrong)
    if augment is not None:
        wrong = f"--augment {augment}"
        names = augment.split(",")
        if unknown := [name for name in names if name not in STRENGTHS]:
            raise ProjectError(f"{wrong}: {unknown[0]!r} is unknown. Choose from {', '.join(STRENGTHS)}.")
        record = params.representations[representation]
        if "gain" in names and not record.in_decibels:
            raise ProjectError(f"{wrong}: gain is for spectrograms in decibels, which {representation} is not")
        if record.codebook_size is not None:
            raise ProjectError(f"{wrong}: {representation} gives numbers of codes, which cannot be changed by a little")
        strengths = {name: STRENGTHS[name] for name in names}
        params = _change(params, protocol, {"augment": strengths}, f"{wrong} does not go with --protocol {protocol}")
    return params


def _change(params: Params, protocol: str, changes: dict[str, Any], wrong: str) -> Params:
    try:
        changed = Protocol.model_validate(params.protocols[protocol].model_dump() | changes)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ProjectError(f"{wrong}: {problem}") from None
    return params.model_copy(update={"protocols": {**params.protocols, protocol: changed}})


def adapt_params(
    params: Params,
    *protocols: str,
    window_s: float | None = None,
    hop_s: float | None = None,
    multi_label: bool = False,
) -> Params:
    """Adapt protocols to one's own sounds: sources kept apart, rare classes weighted up, tails reflected, one seed.

    Windows are as in the params or of `window_s` seconds, and follow each other without a gap or every `hop_s`. Where
    sounds have several labels, the loss is binary cross-entropy and no class weighs more.

    Raises:
        ProjectError: no encoder takes such windows, the hop is longer, or a protocol is for one label a sound.
    """
    of_several = {"loss": "binary_cross_entropy", "class_weights": "none"}
    for name in protocols if multi_label else ():
        params = _change(params, name, of_several, f"several labels of a sound do not go with --protocol {name}")
    adapted = dict(params.protocols)
    for name in protocols:
        weighted = adapted[name].classifier in (() if multi_label else WEIGHTED_UNASKED)
        weights = {"class_weights": "balanced"} if weighted else {}
        adapted[name] = adapted[name].model_copy(update={"split": SPLIT, "seeds": [SEED], **weights})
    length_s = params.windows.length_s if window_s is None else window_s
    if hop_s is None:
        hop_s = min(params.windows.hop_s, length_s) if window_s is None else length_s
    try:
        windows = Windows(length_s=length_s, hop_s=hop_s, tail="reflect")
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ").removeprefix("length_s ")
        raise ProjectError(f"--window {length_s:g}, --hop {hop_s:g}: {problem}") from None
    if hop_s > length_s:
        raise ProjectError(f"--hop is {hop_s:g} s; it must be at most a window, {length_s:g} s")
    return params.model_copy(update={"windows": windows, "protocols": adapted})
