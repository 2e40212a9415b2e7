"""Sounds of one's own -> a model and its scores, by what the stages featurize, train and evaluate call."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.data.windows import open_features
from beyond_spectrograms.estimates.extraction import timed_extraction
from beyond_spectrograms.estimates.training import timed_training
from beyond_spectrograms.evaluation.predict import answer_test_part
from beyond_spectrograms.evaluation.records import cell_name
from beyond_spectrograms.evaluation.result_files import ACCURACIES, evaluate_cell
from beyond_spectrograms.inference.card import Scores
from beyond_spectrograms.inference.export import write_model
from beyond_spectrograms.inference.folder import data_folder
from beyond_spectrograms.inference.own_sounds import SPLIT, OwnSounds
from beyond_spectrograms.params import Params
from beyond_spectrograms.representations.feature_cache import describe_features, request_features
from beyond_spectrograms.training.protocol_runs import runs_of_protocol
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.util.files import replace_folder, write_json

if TYPE_CHECKING:
    import pandas as pd

SEED = 0


@dataclass(frozen=True)
class Plan:
    """What to train: `representation` and `protocol` by their names in `params`, for at most `epochs` epochs."""

    params: Params
    representation: str
    protocol: str
    epochs: int


def plan_training(params: Params, representation: str, protocol: str, epochs: int) -> Plan:
    """Adapt params to sounds of one's own: sources kept apart, rare classes weighted up, tails reflected, one seed."""
    changes = {"split": SPLIT, "class_weights": "balanced", "seeds": [SEED]}
    recipe = params.protocols[protocol].model_copy(update=changes)
    windows = params.windows.model_copy(update={"tail": "reflect"})
    adapted = {"windows": windows, "protocols": {**params.protocols, protocol: recipe}}
    return Plan(params.model_copy(update=adapted), representation, protocol, epochs)


def train_model(plan: Plan, sounds: OwnSounds, work: Path, out: Path, report: Path) -> dict[str, Any]:
    """Train a classifier for every fold, write the first one's model to `out` and all scores to `report`.

    `report` gets scores.json, recordings.csv (a row a tested recording), history.csv and, where matplotlib is
    installed, confusion.png and .svg. A run that is killed goes on from what it left in `work`.

    Returns:
        what is in scores.json: the scores of the cell (`class_accuracy` is the balanced accuracy), and of what.

    Raises:
        ModelError: `out` is taken.
        DownloadError: the encoder's weights cannot be had.
    """
    params, name = plan.params, plan.representation
    data = data_folder()
    weights = fetch_encoder(params, name, data)
    request = request_features(params, name, weights, sounds.table, sounds.folder)
    extraction = timed_extraction(request, work / "features", work / "features.partial", name)
    runs = plan_runs(plan, sounds, work)
    timed_training(name, runs)
    write_json(work / "models/features.json", describe_features(request, extraction))
    scores = _evaluate(plan, sounds, runs, work, report)
    first = runs[0]
    write_model(
        out,
        first.result_files[0],
        params=params,
        cell=(sounds.dataset, name, plan.protocol),
        run=(first.fold, SEED),
        weights=data / "weights" / name,
        licences=[],
        clips=sounds.clips[sounds.clips["clip"].isin(sounds.table["clip"][first.parts == "train"])],
        scores=Scores(
            file=f"{report.name}/scores.json", commit=None, **{key: scores["by_fold"][0][key] for key in ACCURACIES}
        ),
    )
    shutil.rmtree(work)
    return scores


def plan_runs(plan: Plan, sounds: OwnSounds, work: Path) -> list[RunConfig]:
    """List what is to be trained: a classifier a fold."""
    return runs_of_protocol(
        plan.params, (sounds.dataset, plan.representation, plan.protocol),
        features=work / "features", table=sounds.table, parts=sounds.parts, max_epochs=plan.epochs,
        work=work / "models" / plan.protocol,
    )  # fmt: skip


def _evaluate(plan: Plan, sounds: OwnSounds, runs: list[RunConfig], work: Path, report: Path) -> dict[str, Any]:
    cell = (plan.representation, plan.protocol)
    answer_test_part(runs, open_features(work / "features", len(sounds.table)))
    found = evaluate_cell(plan.params, (sounds.table, sounds.parts), work / "models", (sounds.dataset, *cell), {})
    recordings = found.predictions[cell_name(*cell)].drop(columns=["representation", "protocol", "predicted_by_seeds"])
    known = sounds.clips.set_index("clip").loc[recordings["clip"]]
    recordings["seconds"] = known["seconds"].to_numpy()
    recordings["reflected"] = (recordings["seconds"] < plan.params.windows.length_s - 1e-9).astype(int)
    scores = {
        "dataset": sounds.dataset,
        "representation": plan.representation,
        "protocol": {"name": plan.protocol, **plan.params.protocols[plan.protocol].model_dump()},
        **found.scores[cell_name(*cell)],
        "recordings_by_class": sounds.clips["label"].value_counts().sort_index().to_dict(),
        "origins_by_class": sounds.clips.groupby("label")["group"].nunique().to_dict(),
        "shorter_than_a_window": recordings["clip"][recordings["reflected"] == 1].tolist(),
        "set_aside": sounds.set_aside,
    }
    history = found.curves[cell_name(*cell)].drop(columns=["representation", "protocol"])
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
        _draw_confusion(scores, beside)
    replace_folder(beside, report)


def _draw_confusion(scores: dict[str, Any], folder: Path) -> None:
    import matplotlib as mpl

    from beyond_spectrograms.report import figures

    title = f"{scores['dataset']}, {scores['representation']}: windows of recordings not trained on"
    counts = np.array(scores["confusion"]["counts"], dtype=np.int64)
    with mpl.rc_context({"text.parse_math": False}):  # a class may have $ in its name
        figures.save(figures.confusion(scores["confusion"]["classes"], counts, title), folder, "confusion")
