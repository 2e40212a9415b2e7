"""Sounds of one's own -> a model and its scores: featurize, train and evaluate of the pipeline, in one go."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import cpu_count

from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.data.windows import open_features
from beyond_spectrograms.estimates.forecasts import Forecast, compare, spending
from beyond_spectrograms.estimates.pilot_extraction import pilot_extraction
from beyond_spectrograms.estimates.pilot_training import foretell_runs
from beyond_spectrograms.evaluation.metrics import (
    answer_test_part,
    read_predictions,
    score,
    tabulate_predictions,
    tabulate_recordings,
)
from beyond_spectrograms.inference.card import EncoderFile, Recipe, Scores
from beyond_spectrograms.inference.export import describe_training, write_model
from beyond_spectrograms.inference.folder import WEIGHTS_FOLDER, read_weights_record
from beyond_spectrograms.inference.own_sounds import SPLIT, OwnSounds
from beyond_spectrograms.params import Params, Windows
from beyond_spectrograms.params.study import WEIGHTS_BY
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.feature_cache import FEATURE_VERSIONS, FeatureRequest, extract, fingerprint
from beyond_spectrograms.training.epoch import choose_precision
from beyond_spectrograms.training.loop import train_all
from beyond_spectrograms.training.run import RunConfig, list_runs, read_history
from beyond_spectrograms.training.trainers.registry import history_columns
from beyond_spectrograms.util.device import choose_device
from beyond_spectrograms.util.files import replace_folder, write_json

if TYPE_CHECKING:
    import pandas as pd

SEED = 0


@dataclass(frozen=True)
class Plan:
    """What to train: `representation` and `protocol` by their names in `params`, for at most so many epochs."""

    params: Params
    windows: Windows
    representation: str
    protocol: Recipe
    epochs: int


def plan_training(params: Params, representation: str, protocol: str, epochs: int) -> Plan:
    """Fit params to sounds of one's own: whole sources apart, rare classes weighed up, tails reflected, one seed."""
    changes = {"split": SPLIT, "class_weights": "balanced", "seeds": [SEED]}
    recipe = params.protocols[protocol].model_copy(update=changes)
    windows = params.windows.model_copy(update={"tail": "reflect"})
    return Plan(params, windows, representation, Recipe(name=protocol, record=recipe), min(epochs, recipe.epochs))


def train_model(plan: Plan, sounds: OwnSounds, work: Path, out: Path, report: Path) -> dict[str, Any]:
    """Train a classifier for every fold, write the first one's model to `out` and all scores to `report`.

    `report` gets scores.json, recordings.csv (a row a tested recording), history.csv and confusion.png and .svg. A run
    that is killed goes on from what it left in `work`.

    Returns:
        what is in scores.json: scores.score's figures (`class_accuracy` is the balanced accuracy) and what they are of.

    Raises:
        ModelError: `out` is taken.
        DownloadError: the encoder's weights cannot be had.
    """
    files, paths = _find_weights(plan.params, plan.representation, work)
    _featurize(plan, sounds, paths, work)
    configs = make_runs(plan, sounds, work)
    _train(plan, configs)
    scores = _evaluate(plan, sounds, configs, work, report)
    trained = configs[0].work / f"{configs[0].name}.safetensors"
    own = {name: scores["by_fold"][0][name] for name in ("window_accuracy", "recording_accuracy", "class_accuracy")}
    used = set(sounds.table["clip"][configs[0].parts == "train"])
    training = describe_training(trained, sounds.dataset, [], sounds.clips, used, fold=configs[0].fold, seed=SEED)
    write_model(
        out,
        trained,
        windows=plan.windows,
        name=plan.representation,
        record=plan.params.representations[plan.representation],
        encoder_files=files,
        paths=paths,
        recipe=plan.protocol,
        training=training,
        scores=Scores(file=f"{report.name}/scores.json", commit=None, **own),
    )
    shutil.rmtree(work)
    return scores


def _find_weights(params: Params, name: str, work: Path) -> tuple[Sequence[EncoderFile], list[Path]]:
    """Find the encoder's files where the pipeline keeps them, or fetch them there as its stage featurize does.

    There `load_model` finds those that their licence keeps out of the model's folder.
    """
    paths = fetch_encoder(params, name, downloads=work / "downloads", work=work / "weights")
    return read_weights_record(WEIGHTS_FOLDER / name), paths


def _featurize(plan: Plan, sounds: OwnSounds, weights: list[Path], work: Path) -> None:
    record, length_s = plan.params.representations[plan.representation], plan.windows.length_s
    representation = create_representation(plan.representation, record, weights)
    versions = {name: plan.params.versions[name] for name in FEATURE_VERSIONS}
    decided = fingerprint(representation, record.model_dump(), weights, length_s, versions)
    request = FeatureRequest(representation, sounds.table, sounds.folder, length_s, decided, plan.params.features.dtype)
    count, rate = len(sounds.table), pilot_extraction(representation, sounds.table, sounds.folder, length_s)
    foretold = Forecast(count, count * length_s, rate.seconds(count), request.bytes, None)
    print(f"{plan.representation}: {foretold}, if no window is kept from an earlier run", flush=True)
    with spending() as spent:
        extract(request, work / "features", work / "features.partial", called=plan.representation)
    print(f"{plan.representation}: {compare(spent, foretold)}", flush=True)


def make_runs(plan: Plan, sounds: OwnSounds, work: Path) -> list[RunConfig]:
    """Say what is to be trained: a classifier a fold."""
    params, device = plan.params, choose_device(plan.params.device)
    return list_runs(
        plan.protocol.record,
        work / "features",
        sounds.table["label"].to_numpy(dtype=str),
        sounds.parts,
        codebook_size=params.representations[plan.representation].codebook_size,
        epochs=plan.epochs,
        device=device,
        precision=choose_precision(params.training_precision, device),
        versions={name: params.versions[name] for name in WEIGHTS_BY},
        work=work / "runs",
    )


def _train(plan: Plan, configs: list[RunConfig]) -> None:
    foretold = foretell_runs(configs, 1 if configs[0].device == "cuda" else cpu_count(), plan.windows.length_s)
    print(f"{len(configs)} folds, at most {plan.epochs} epochs each, on {configs[0].device}: {foretold}", flush=True)
    with spending() as spent:
        train_all(configs)
    print(f"training: {compare(spent, foretold)}", flush=True)


def _evaluate(plan: Plan, sounds: OwnSounds, configs: list[RunConfig], work: Path, report: Path) -> dict[str, Any]:
    import pandas

    features = open_features(work / "features", len(sounds.table))
    classes = list(configs[0].classes)
    answer_test_part(configs, features)
    runs = [read_predictions(config.result_files[-1], len(features)) for config in configs]
    predictions = tabulate_predictions(runs, sounds.table, classes)
    recordings = tabulate_recordings(predictions, classes).drop(columns="predicted_by_seeds")
    known = sounds.clips.set_index("clip").loc[recordings["clip"]]
    recordings["group"], recordings["seconds"] = known["group"].to_numpy(), known["seconds"].to_numpy()
    recordings["reflected"] = (recordings["seconds"] < plan.windows.length_s - 1e-9).astype(int)
    scores = {
        "dataset": sounds.dataset,
        "representation": plan.representation,
        "protocol": {"name": plan.protocol.name, **plan.protocol.record.model_dump()},
        **score(runs, predictions, classes),
        "recordings_by_class": sounds.clips["label"].value_counts().sort_index().to_dict(),
        "origins_by_class": sounds.clips.groupby("label")["group"].nunique().to_dict(),
        "shorter_than_a_window": recordings["clip"][recordings["reflected"] == 1].tolist(),
        "set_aside": sounds.set_aside,
    }
    columns = ["fold", "seed", *history_columns(plan.protocol.record)]
    history = pandas.DataFrame([row for config in configs for row in read_history(config)], columns=columns)
    _write_report(report, scores, recordings, history)
    return scores


def _write_report(report: Path, scores: dict[str, Any], recordings: pd.DataFrame, history: pd.DataFrame) -> None:
    import matplotlib as mpl

    from beyond_spectrograms.report import figures

    beside = report.with_name(f"{report.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)  # left by a run that was stopped
    beside.mkdir(parents=True)
    write_json(beside / "scores.json", scores)
    for name, table in (("recordings", recordings), ("history", history)):
        table.to_csv(beside / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")
    title = f"{scores['dataset']}, {scores['representation']}: windows of recordings not trained on"
    counts = np.array(scores["confusion"]["counts"], dtype=np.int64)
    with mpl.rc_context({"text.parse_math": False}):  # a class may have $ in its name
        figures.save(figures.confusion(scores["confusion"]["classes"], counts, title), beside, "confusion")
    replace_folder(beside, report)
