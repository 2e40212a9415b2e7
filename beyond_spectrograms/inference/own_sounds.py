"""A folder of one's own sounds -> a model and its scores, by the functions that the stages call."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from beyond_spectrograms.data import clips as stored_clips
from beyond_spectrograms.data.archives import copy_sounds
from beyond_spectrograms.data.clips import DatasetError
from beyond_spectrograms.data.downloads import fetch_encoder
from beyond_spectrograms.data.splits import Dealt, assign_groups, deal_windows
from beyond_spectrograms.data.windows import open_features
from beyond_spectrograms.estimates.preparation import timed_extraction
from beyond_spectrograms.estimates.training import timed_protocols
from beyond_spectrograms.evaluation.predict import answer_test_part
from beyond_spectrograms.evaluation.records import cell_name
from beyond_spectrograms.evaluation.result_files import ACCURACIES, evaluate_cell
from beyond_spectrograms.inference.card import Scores
from beyond_spectrograms.inference.export import write_model
from beyond_spectrograms.inference.folder import data_folder
from beyond_spectrograms.inference.formats import file_name
from beyond_spectrograms.inference.stream_windows import SHORTEST
from beyond_spectrograms.params import Params, Source, Split, Windows
from beyond_spectrograms.representations.feature_cache import describe_features, request_features
from beyond_spectrograms.training.loop import runs_of_protocol
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.util.files import replace_folder, write_json

SEED = 0
Cell = tuple[str, str, str]  # data set, representation, protocol
LONGEST_S = 600.0  # a clip is decoded as a whole
FEWEST_FOLDS = 3  # one trains, one validates, one tests
SPLIT = "source"
BY_FOLDER = r"(?P<group>.*?)(?:__.*)?"  # copy_sounds makes take1__a.wav of <class>/take1/a.wav


@dataclass(frozen=True)
class Grouping:
    """Which recordings share an origin and must stay in one part; by default each is on its own."""

    pattern: str | None = None  # regular expression for a file's whole name (without suffix) with the group `group`
    table: Path | None = None  # a CSV file with the columns `file` (path below the folder of sounds) and `column`
    column: str = "group"


@dataclass(frozen=True)
class OwnSounds(Dealt):
    """Sounds ready to train on: clips, windows and their parts."""

    dataset: str  # a name made from the folder's
    folder: Path  # as data/clips/<dataset> of the pipeline
    set_aside: dict[str, str]  # file and reason of those that cannot be used
    left_out: dict[str, int]  # how many files are named like no sound, by suffix
    paths: dict[str, str]  # of each clip, below the folder of sounds


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
    copied = copy_sounds(str(sounds), raw)
    for path in sorted(raw.glob("*/*")):
        if (name := file_name(path.relative_to(raw))) != str(path.relative_to(raw)):
            raise DatasetError(f"{sounds}: the name of {name} is not UTF-8. Rename the file or its folder.")
    source = _source(sounds, windows, grouping)
    versions = {name: params.versions[name] for name in stored_clips.CLIP_VERSIONS}
    outcomes = stored_clips.prepare_clips(raw, work / "clips.partial", source.seconds, versions)
    stored_clips.check_clips(dataset, outcomes, source)
    stored_clips.publish_clips(outcomes, work / "clips.partial", folder)
    clips = stored_clips.read_clips(folder)
    if clips["label"].nunique() < 2:
        raise DatasetError(f"{sounds}: one class, {clips['label'].iloc[0]!r}. Give at least two, a sub-folder each.")
    if (pattern := grouping.pattern) and (
        strange := [clip for clip in clips["clip"] if not re.fullmatch(pattern, Path(clip).stem)]
    ):
        raise DatasetError(f"{sounds}: --group-pattern {pattern!r} does not match {_few(strange)}")
    if grouping.table:
        listed = _read_groups(grouping.table, grouping.column, clips, copied.paths)
        source = source.model_copy(update={"known_repetitions": {"table": listed}})
    try:
        grouped, _ = assign_groups(dataset, clips, source)
    except DatasetError as error:
        raise DatasetError(f"{error}\n`train` needs three: one trains, one validates, one tests.") from None
    fewest = min(folds, int(grouped.groupby("label")["group"].nunique().min()))
    source = source.model_copy(update={"folds": max(fewest, FEWEST_FOLDS)})
    splits = {SPLIT: Split(kind="source")}
    dealt = deal_windows(dataset, clips, folder, source, windows=windows, splits=splits, lists=None)
    set_aside = {outcome.clip: outcome.reason for outcome in outcomes if outcome.reason}
    return OwnSounds(**vars(dealt), dataset=dataset, folder=folder, set_aside=set_aside, **vars(copied))


def _source(sounds: Path, windows: Windows, grouping: Grouping) -> Source:
    seconds = (SHORTEST * windows.length_s, LONGEST_S)
    try:
        return Source(path=str(sounds), seconds=seconds, name=grouping.pattern, folds=FEWEST_FOLDS, fold_seed=0)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise DatasetError(f"--group-pattern {grouping.pattern!r}: {problem}") from None


def _read_groups(path: Path, column: str, clips: pd.DataFrame, paths: Mapping[str, str]) -> list[list[str]]:
    """List the clips of every group of two or more; `paths` are those of each clip below the folder of sounds."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file") from None
    except ValueError as error:  # what pandas raises of all that is no CSV, encodings included
        raise DatasetError(f"{path}: not a CSV table: {error}") from None
    if len(table.columns) == 1 and ";" in table.columns[0]:
        raise DatasetError(f"{path}: its columns are parted by semicolons. Save it with commas.")
    if missing := [name for name in ("file", column) if name not in table.columns]:
        raise DatasetError(f"{path}: no column {missing[0]!r}. Its columns are {', '.join(table.columns)}.")
    files = table["file"].str.removeprefix("./")
    if absolute := [file for file in files if file.startswith("/")]:
        raise DatasetError(f"{path}: {absolute[0]} is an absolute path. Give paths below the folder of sounds.")
    clip_of = {file: clip for clip, file in paths.items()}
    names = files.map(lambda file: clip_of.get(file, file))
    if double := sorted(names[names.duplicated()]):
        raise DatasetError(f"{path}: {double[0]} is listed twice")
    group_of = dict(zip(names, table[column], strict=True))
    if unknown := [clip for clip in clips["clip"] if not group_of.get(clip)]:
        raise DatasetError(f"{path}: no {column} for {_few(unknown)}")
    groups = clips["clip"].groupby(clips["clip"].map(group_of))
    return [list(members) for _, members in groups if len(members) > 1]


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def warnings_of_doubles(sounds: OwnSounds) -> Iterator[str]:
    """Name recordings of the same bytes under two labels: one of the labels is wrong, or the sound is no help."""
    for _, same in sounds.clips.groupby("sha256"):
        if same["label"].nunique() > 1:
            yield f"{_few(same['clip'].tolist())}: the same bytes under {same['label'].nunique()} labels"


def warnings_of_few(sounds: OwnSounds, minimum: int) -> Iterator[str]:
    """Name every class with fewer than `minimum` groups, and say by how much its score may be off.

    That is half the 95 % interval of a share of one half, 1.96 sqrt(1/4 / n).
    """
    for label, groups in sounds.clips.groupby("label")["group"].nunique().items():
        if groups < minimum:
            clips = int((sounds.clips["label"] == label).sum())
            off = f"its score may be off by {98 / groups**0.5:.0f} points"
            yield f"class {label!r}: {clips} recordings of {groups} origins, fewer than {minimum}: {off}"


def adapt_params(params: Params, protocol: str) -> Params:
    """Adapt a protocol to one's own sounds: sources kept apart, rare classes weighted up, tails reflected, one seed."""
    changes = {"split": SPLIT, "class_weights": "balanced", "seeds": [SEED]}
    recipe = params.protocols[protocol].model_copy(update=changes)
    windows = params.windows.model_copy(update={"tail": "reflect"})
    return params.model_copy(update={"windows": windows, "protocols": {**params.protocols, protocol: recipe}})


def train_model(
    params: Params, name: str, protocol: str, epochs: int, *, sounds: OwnSounds, work: Path, out: Path, report: Path
) -> dict[str, Any]:
    """Train a classifier for every fold, write the first one's model to `out` and all scores to `report`.

    The representation `name` and the protocol are those of `params`, which `adapt_params` has adapted.

    `report` gets scores.json, recordings.csv (a row a tested recording), history.csv and, where matplotlib is
    installed, confusion.png and .svg. A run that is killed goes on from what it left in `work`.

    Returns:
        what is in scores.json: the scores of the cell (`class_accuracy` is the balanced accuracy), and of what.

    Raises:
        ModelError: `out` is taken.
        DownloadError: the encoder's weights cannot be had.
    """
    data, cell = data_folder(), (sounds.dataset, name, protocol)
    weights = fetch_encoder(params, name, data)
    request = request_features(params, name, weights, sounds.table, sounds.folder)
    extraction = timed_extraction(request, work / "features", work / "features.partial", name)
    runs = list_runs(params, cell, epochs, sounds, work)
    runs = timed_protocols(name, {protocol: runs})[protocol]
    write_json(work / "models/features.json", describe_features(request, extraction))
    answer_test_part(runs, open_features(work / "features", len(sounds.table)))
    scores = _evaluate(params, cell, sounds, work, report)
    first, accuracies = runs[0], {key: scores["by_fold"][0][key] for key in ACCURACIES}
    write_model(
        out,
        first.result_files[0],
        params=params,
        cell=cell,
        run=(first.fold, SEED),
        weights=data / "weights" / name,
        licences=[],
        clips=sounds.clips[sounds.clips["clip"].isin(sounds.table["clip"][first.parts == "train"])],
        scores=Scores(file=f"{report.name}/scores.json", commit=None, **accuracies),
    )
    shutil.rmtree(work)
    return scores


def list_runs(params: Params, cell: Cell, epochs: int, sounds: OwnSounds, work: Path) -> list[RunConfig]:
    """List what is to be trained: a classifier a fold."""
    places = {"features": work / "features", "work": work / "models" / cell[2]}
    return runs_of_protocol(params, cell, table=sounds.table, parts=sounds.parts, max_epochs=epochs, **places)


def _evaluate(params: Params, cell: Cell, sounds: OwnSounds, work: Path, report: Path) -> dict[str, Any]:
    (dataset, representation, protocol), name = cell, cell_name(*cell[1:])
    found = evaluate_cell(params, (sounds.table, sounds.parts), work / "models", cell, {})
    recordings = found.predictions[name].drop(columns=["representation", "protocol", "predicted_by_seeds"])
    recordings.insert(recordings.columns.get_loc("clip") + 1, "file", recordings["clip"].map(sounds.paths))
    known = sounds.clips.set_index("clip").loc[recordings["clip"]]
    recordings["seconds"] = known["seconds"].to_numpy()
    recordings["reflected"] = (recordings["seconds"] < params.windows.length_s - 1e-9).astype(int)
    scores = {
        "dataset": dataset,
        "representation": representation,
        "protocol": {"name": protocol, **params.protocols[protocol].model_dump()},
        **found.scores[name],
        "recordings_by_class": sounds.clips["label"].value_counts().sort_index().to_dict(),
        "origins_by_class": sounds.clips.groupby("label")["group"].nunique().to_dict(),
        "shorter_than_a_window": recordings["clip"][recordings["reflected"] == 1].tolist(),
        "set_aside": sounds.set_aside,
        "left_out": sounds.left_out,
    }
    history = found.curves[name].drop(columns=["representation", "protocol"])
    _write_report(report, scores, {"recordings": recordings, "history": history})
    return scores


def _write_report(report: Path, scores: dict[str, Any], tables: dict[str, pd.DataFrame]) -> None:
    beside = report.with_name(f"{report.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)  # left by a run that was stopped
    beside.mkdir(parents=True)
    write_json(beside / "scores.json", scores)
    for name, table in tables.items():
        table.to_csv(beside / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")
    if find_spec("matplotlib"):
        import matplotlib as mpl

        from beyond_spectrograms.report import figures

        title = f"{scores['dataset']}, {scores['representation']}: windows of recordings not trained on"
        counts = np.array(scores["confusion"]["counts"], dtype=np.int64)
        with mpl.rc_context({"text.parse_math": False}):  # a class may have $ in its name
            figures.save(figures.confusion(scores["confusion"]["classes"], counts, title), beside, "confusion")
    replace_folder(beside, report)
