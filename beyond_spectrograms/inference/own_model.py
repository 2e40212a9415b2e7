"""Prepared sounds of one's own -> scores of every fold, plain ways beside them, and a model trained on all of them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median, median_low, mode
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.data.windows import columns_of, open_features
from beyond_spectrograms.estimates.preparation import timed_extraction
from beyond_spectrograms.estimates.training import timed_protocols, timed_training
from beyond_spectrograms.evaluation.clip_results import Recordings, recordings_of
from beyond_spectrograms.evaluation.predict import answer_test_part
from beyond_spectrograms.evaluation.records import Interval, cell_name
from beyond_spectrograms.evaluation.result_files import ACCURACIES, Evaluation, evaluate_cell
from beyond_spectrograms.evaluation.uncertainty import compare, recording_interval, window_interval
from beyond_spectrograms.inference.card import Scores
from beyond_spectrograms.inference.export import write_model
from beyond_spectrograms.inference.folder import data_folder, make_way
from beyond_spectrograms.inference.own_sounds import SEED, SPLIT, OwnSounds
from beyond_spectrograms.inference.rejection import find_and_measure
from beyond_spectrograms.params import Params, misfit, weights_folder
from beyond_spectrograms.params.protocols import VOTING
from beyond_spectrograms.representations.base import check_hears_windows
from beyond_spectrograms.representations.feature_cache import describe_features, request_features
from beyond_spectrograms.training.loop import runs_of_protocol, targets_of
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.util.files import replace_folder, write_json
from beyond_spectrograms.util.text import as_cell

ON_ALL = 0  # the fold of a model that no part was kept from
PLAIN = "probe_mean_deviation"  # the protocol of the plain ways
MFCC = "mfcc"  # and the representation of one of them


@dataclass(frozen=True)
class Asked:
    """What is to be trained: names of a representation and a protocol of the params, and how many epochs at most.

    `plain_ways`: the params by which what needs no network is scored beside it, None: nothing is.
    """

    representation: str
    protocol: str
    epochs: int
    plain_ways: Params | None = None
    calibrate: bool = False  # find a temperature for probabilities
    reject: bool = False  # and from which one on an answer counts


def train_model(
    params: Params, asked: Asked, *, sounds: OwnSounds, work: Path, out: Path, report: Path
) -> dict[str, Any]:
    """Score a classifier in every fold, write one of the same recipe, trained on all sounds, to `out`.

    The params are those that own_sounds.adapt_params has adapted. `report` gets scores.json, recordings.csv (a row a
    tested recording), history.csv and, where matplotlib is installed, confusion.png and .svg. A run that is killed
    goes on from what it left in `work`, which is the caller's to remove.

    Returns:
        what is in scores.json: the scores of the folds (`class_accuracy` is the balanced accuracy), and of what.

    Raises:
        ModelError: `out` is taken, by another model than this.
        DownloadError: the encoder's weights cannot be had.
    """
    cell = cell_name(asked.representation, asked.protocol)
    runs, found = score_folds(params, asked, sounds, work)
    recordings = recordings_of(cell, found.predictions[cell], report)
    intervals = {
        "recordings": recording_interval(recordings, params.statistics),
        "windows": window_interval(recordings, params.statistics),
    }
    intervals = {unit: exact_where_few(interval, recordings, params) for unit, interval in intervals.items()}
    confidence, known = None, {}
    if asked.calibrate or asked.reject:
        confidence, known["confidence"] = find_and_measure(runs, sounds, reject=asked.reject)
    plain = score_plain_ways(asked.plain_ways, asked, recordings, sounds, work) if asked.plain_ways else []
    final = train_on_all(runs, [run["epoch"] for run in found.scores[cell]["by_fold"]], sounds)
    tested = found.predictions[cell].drop(columns=["representation", "protocol", "predicted_by_seeds"])
    tested = with_clips(tested, sounds, params)
    tables = {"recordings": tested, "history": found.curves[cell].drop(columns=["representation", "protocol"])}
    scores = {
        **found.scores[cell],
        **describe_sounds(sounds, tested),
        "intervals": {unit: asdict(interval) for unit, interval in intervals.items()},
        "plain_ways": plain,
        **known,
    }
    return write_all(params, asked, sounds, final, scores, tables=tables, out=out, report=report, confidence=confidence)


def write_all(
    params: Params, asked: Asked, sounds: OwnSounds, final: RunConfig, scores: dict[str, Any],
    *, tables: dict[str, pd.DataFrame], out: Path, report: Path, **found: Any,
) -> dict[str, Any]:  # fmt: skip
    """Write the report of the folds' scores, and the model of the run `final`, whose card says what else was `found`.

    Returns:
        what is in scores.json: the scores, of what, and which model.

    Raises:
        ModelError: `out` is taken, by another model than this.
    """
    name, protocol, trained = asked.representation, asked.protocol, final.result_files[0]
    told = {
        "dataset": sounds.dataset,
        "representation": name,
        "protocol": {"name": protocol, **params.protocols[protocol].model_dump()},
        **scores,
        "model": {"epochs": final.epochs, "recordings": len(sounds.clips)},
    }
    write_report(report, told, **tables)
    of_folds = {key: scores[key] for key in ACCURACIES}
    if interval := scores["intervals"].get("recordings"):  # of one label a sound
        of_folds |= {f"recording_accuracy_{end}": interval[end] for end in ("low", "high")}
    make_way(out, trained)
    write_model(
        out,
        trained,
        params=params,
        recipe=final.protocol,
        cell=(sounds.dataset, name, protocol),
        run=(ON_ALL, SEED),
        weights=data_folder() / "weights" / weights_folder(name, params.representations[name]),
        licences=[],
        clips=sounds.clips,
        scores=Scores(file=f"{report.name}/scores.json", commit=None, **of_folds),
        **found,
    )
    return told


def exact_where_few(interval: Interval, recordings: Recordings, params: Params) -> Interval:
    """Give an interval without limits, because there are too few origins, the exact ones of Clopper and Pearson.

    They are of the share of origins, each counting once, as in evaluation/uncertainty.py where all is right.
    """
    if interval.low is not None:
        return interval
    from scipy.stats import binomtest

    origins = len(set(recordings.sources))
    confidence = params.statistics.confidence
    limits = binomtest(round(interval.value * origins), origins).proportion_ci(confidence, method="exact")
    remark = f"{origins} origins: exact limits (Clopper-Pearson), an origin counting once."
    return replace(interval, low=float(limits.low), high=float(limits.high), reason=None, remark=remark)


def train_folds(params: Params, asked: Asked, sounds: OwnSounds, work: Path) -> list[RunConfig]:
    """Train a classifier for every fold; gives the runs as they were trained."""
    name, protocol = asked.representation, asked.protocol
    cell, place, models = (sounds.dataset, name, protocol), work / "features" / name, work / "models" / name
    check_hears_windows(name, params.representations[name])
    weights = fetch_encoder(params, name, data_folder())
    request = request_features(params, name, weights, sounds.table, sounds.folder)
    extraction = timed_extraction(request, place, work / f"features-{name}.partial", name)
    runs = runs_of_protocol(
        params, cell, features=place, table=sounds.table, parts=sounds.parts, max_epochs=asked.epochs,
        work=models / protocol, data=data_folder(),
    )  # fmt: skip
    runs = timed_protocols(f"{name}, {protocol}", {protocol: runs})[protocol]
    write_json(models / "features.json", describe_features(request, extraction))
    return runs


def score_folds(params: Params, asked: Asked, sounds: OwnSounds, work: Path) -> tuple[list[RunConfig], Evaluation]:
    """Train and test a classifier for every fold.

    Returns:
        the runs as they were trained, and what they scored.
    """
    runs = train_folds(params, asked, sounds, work)
    answer_test_part(runs, open_features(runs[0].features, len(sounds.table)))
    cell, models = (sounds.dataset, asked.representation, asked.protocol), work / "models" / asked.representation
    return runs, evaluate_cell(params, (sounds.table, sounds.parts), models, cell, {})


def train_on_all(runs: Sequence[RunConfig], tested: Sequence[int], sounds: OwnSounds) -> RunConfig:
    """Train on every window, by the recipe that the folds scored; nothing is left to choose by.

    The epochs are the median of those at which the folds' classifiers were `tested`, the penalty of a probe and the
    k of k-NN the lower median of theirs, and the recipe of a tuned protocol that of most folds.

    Returns:
        the finished run.
    """
    recipes = [run.protocol for run in runs]
    recipe = recipes[[*map(repr, recipes)].index(mode(map(repr, recipes)))]
    epochs = max(1, round(median(tested)))
    changes: dict[str, Any] = {"epochs": epochs, "select": "last", "patience": None, "trials": None}
    stored = (load_file(run.result_files[0]) for run in runs)
    if recipe.classifier.startswith("probe"):
        changes["inverse_penalty"] = median_low(float(each["1.inverse_penalty"]) for each in stored)
    if recipe.classifier in VOTING:
        changes["neighbours"] = median_low(int(each["1.k"]) for each in stored)
    _, targets = targets_of(sounds.table["label"].to_numpy(dtype=str), recipe)
    final = replace(
        runs[0],
        protocol=recipe.model_copy(update=changes),
        parts=np.full(len(targets), "train"),
        targets=targets,
        epochs=epochs,
        fold=ON_ALL,
        work=runs[0].work / "all",
    )
    timed_training(f"on all {len(sounds.clips)} recordings", [final])
    return final


def score_plain_ways(
    params: Params, asked: Asked, ours: Recordings, sounds: OwnSounds, work: Path
) -> list[dict[str, Any]]:
    """Score on the same folds what needs no network: the majority class, and logistic regression on mean and deviation.

    Each says what it is, its shares of recordings and windows right, and but for the first how its share of recordings
    differs from ours: `difference` (theirs - ours, with low and high) and whether it is `surely better`.
    """
    told: list[dict[str, Any]] = [{"way": "the most frequent class"} | _majority(sounds)]
    for way in probes_beside(params, asked):
        name = way["representation"]
        cell = cell_name(name, PLAIN)
        _, found = score_folds(params, Asked(name, PLAIN, 1), sounds, work)
        theirs = recordings_of(cell, found.predictions[cell], work)
        difference = compare(theirs.by_recording(), ours.by_recording(), params.statistics).difference
        told.append(way | {key: found.scores[cell][key] for key in ACCURACIES} | tell_difference(difference))
    return told


def probes_beside(params: Params, asked: Asked) -> list[dict[str, Any]]:
    """List the plain ways that are probes, but for what is asked itself: of MFCC, and of the same representation.

    There is no probe for codes, samples or stacked layers.
    """
    record = params.representations[asked.representation]
    is_probed = record.codebook_size is None and not misfit(record, params.protocols[PLAIN])
    return [
        {"way": f"logistic regression on mean and deviation of {name}", "representation": name, "protocol": PLAIN}
        for name in dict.fromkeys([MFCC, *[asked.representation] * is_probed])
        if (name, PLAIN) != (asked.representation, asked.protocol)
    ]


def tell_difference(difference: Interval) -> dict[str, Any]:
    """Tell how a plain way's score differs from ours, and whether it is surely the better one."""
    return {"difference": asdict(difference), "surely better": difference.low is not None and difference.low > 0}


def _majority(sounds: OwnSounds) -> dict[str, float]:
    """Answer each fold's most frequent class of training recordings; by name where some are equal."""
    right: dict[str, list[bool]] = {"recording_accuracy": [], "window_accuracy": []}
    for column in columns_of(SPLIT, sounds.parts):
        part = sounds.parts[column]
        recordings = sounds.table[["clip", "label"]].assign(part=part).drop_duplicates("clip")
        answer = recordings.loc[recordings["part"] == "train", "label"].mode()[0]
        right["recording_accuracy"] += (recordings.loc[recordings["part"] == "test", "label"] == answer).tolist()
        right["window_accuracy"] += (sounds.table.loc[part == "test", "label"] == answer).tolist()
    return {key: float(np.mean(values)) for key, values in right.items()}


def with_clips(rows: pd.DataFrame, sounds: OwnSounds, params: Params) -> pd.DataFrame:
    """Add each tested recording's file after its clip, its seconds, and whether it is shorter than a window."""
    rows.insert(int(rows.columns.get_indexer(["clip"])[0]) + 1, "file", rows["clip"].map(sounds.paths))
    rows["seconds"] = sounds.clips.set_index("clip").loc[rows["clip"], "seconds"].to_numpy()
    rows["reflected"] = (rows["seconds"] < params.windows.length_s - 1e-9).astype(int)
    return rows


def describe_sounds(sounds: OwnSounds, tested: pd.DataFrame) -> dict[str, Any]:
    """Say what sounds there were, of which `tested` are those of with_clips."""
    return {
        "recordings_by_class": sounds.labelled["label"].value_counts().sort_index().to_dict(),
        "origins_by_class": sounds.labelled.groupby("label")["group"].nunique().to_dict(),
        "shorter_than_a_window": tested["clip"][tested["reflected"] == 1].tolist(),
        "set_aside": sounds.set_aside,
        "left_out": sounds.left_out,
    }


def write_report(report: Path, scores: dict[str, Any], **tables: pd.DataFrame) -> None:
    """Write scores.json, a CSV file a table and, of one label a sound, the confusion matrix as figures."""
    beside = report.with_name(f"{report.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)  # left by a run that was stopped
    beside.mkdir(parents=True)
    try:
        write_json(beside / "scores.json", scores)
        for name, table in tables.items():
            table.map(as_cell).to_csv(beside / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")
        if "confusion" in scores and find_spec("matplotlib"):
            from beyond_spectrograms.report import figures

            title = f"{scores['dataset']}, {scores['representation']}: windows of recordings not trained on"
            counts = np.array(scores["confusion"]["counts"], dtype=np.int64)
            figures.save(figures.confusion(scores["confusion"]["classes"], counts, title), beside, "confusion")
        replace_folder(beside, report)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
