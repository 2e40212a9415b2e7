"""What trained classifiers answer to the test part, and their scores: by window, by recording, by class.

Training stores the answers, class probabilities of inputs whose labels it does not know; `evaluate` alone sets labels
beside them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beyond_spectrograms.data.windows import release
from beyond_spectrograms.evaluation.clip_results import ERROR
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import written_beside

if TYPE_CHECKING:
    from beyond_spectrograms.params import Protocol
    from beyond_spectrograms.representations.base import Features
    from beyond_spectrograms.training.run import RunConfig

BATCH = 256  # windows a forward pass; does not change any result
NOTES = ("fold", "seed", "epoch", "diverged_at_epoch", "weights_sha256")  # stored beside the arrays


class ModelError(ProjectError):
    """A stored classifier does not fit the data or the protocol; the message names the file and what to do."""


@dataclass(frozen=True)
class Predictions:
    """Class probabilities [windows, classes] of one fold and seed's test windows, which are `rows` of the table.

    `epoch` is the epoch whose weights were selected; `diverged_at_epoch` where training ended in a loss that is not
    finite; `weights_sha256` is that of the file of weights; `measures` [windows] are what the classifier's family tells
    of each window.
    """

    fold: int
    seed: int
    epoch: int
    diverged_at_epoch: int | None
    weights_sha256: str
    rows: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    measures: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


def predict(
    model: Path,
    protocol: Protocol,
    features: Features,
    *,
    rows: npt.NDArray[np.int64],
    classes: list[str],
    codebook_size: int | None,
    fold: int,
    seed: int,
    device: str,
) -> Predictions:
    """Classify rows of features [windows, bands, frames] with a stored classifier.

    With `dropout_at_evaluation` dropout stays active, as in the paper's released code, drawn from fold and seed.

    Raises:
        ModelError: the file was trained for other classes or another network.
    """
    import torch
    from safetensors import safe_open

    from beyond_spectrograms.classifiers.registry import CLASSIFIERS, build_network

    with safe_open(model, framework="pt") as stored:
        notes = json.loads(stored.metadata()["notes"])
        state = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  not a mapping
    if notes.pop("classes") != classes:
        raise ModelError(f"{model}: trained for other classes than the data's. Run its train stage again.")
    network = build_network(protocol, features.shape[1], features.shape[2], len(classes), codebook_size)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        size = f"{features.shape[1]} bands x {features.shape[2]} frames"
        raise ModelError(f"{model}: not a {protocol.classifier} for windows of {size}. {error}") from error
    network.to(device).train(protocol.dropout_at_evaluation)
    torch.set_num_threads(1)  # the last bits of a sum depend on how many threads share it
    measure = CLASSIFIERS[protocol.classifier].measure
    probabilities, measured = [], []
    with torch.inference_mode():
        torch.manual_seed(seed * 1000 + fold)
        for first in range(0, len(rows), BATCH):
            windows = torch.from_numpy(features[rows[first : first + BATCH]]).float().to(device)
            release(features)
            probabilities.append(network(windows).softmax(1).cpu().numpy())
            measured.append(measure(network, windows))
    measures = {name: torch.cat([batch[name] for batch in measured]).cpu().numpy() for name in measured[0]}
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    return Predictions(
        fold, seed, **notes, weights_sha256=digest, rows=rows, probabilities=np.concatenate(probabilities),
        measures=measures,
    )  # fmt: skip


def answer_test_part(configs: Sequence[RunConfig], features: Features) -> None:
    """Store the answers of finished runs of one protocol to the inputs of the test part, beside their weights.

    Answers that are there already, of the same weights to the same windows, are kept.

    Raises:
        ModelError: a fold tests no window.
    """
    for config in configs:
        path, rows = config.work / f"{config.name}.predictions.safetensors", np.flatnonzero(config.parts == "test")
        if not len(rows):
            raise ModelError(
                f"{path.parent}: no window is in the test part of fold {config.fold}. Deal the split anew."
            )
        if path.exists():
            known = read_predictions(path, len(features))
            if known.weights_sha256 == config.weights_sha256() and np.array_equal(known.rows, rows):
                continue
        found = predict(
            config.work / f"{config.name}.safetensors", config.protocol, features,
            rows=rows, classes=list(config.classes), codebook_size=config.codebook_size,
            fold=config.fold, seed=config.seed, device=config.device,
        )  # fmt: skip
        write_predictions(path, found)


def variance_of(features: Features, rows: npt.NDArray[np.int64]) -> float:
    """Mean squared difference of rows of features [windows, bands, frames] from each band's mean over them."""
    total = squares = np.zeros(features.shape[1])
    for first in range(0, len(rows), BATCH):
        windows = np.asarray(features[rows[first : first + BATCH]], dtype=np.float64)
        total, squares = total + windows.sum((0, 2)), squares + np.square(windows).sum((0, 2))
        release(features)
    values = len(rows) * features.shape[2]
    return float((squares / values - (total / values) ** 2).mean())


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Store the answers of one run."""
    from safetensors.numpy import save_file

    notes = {key: getattr(predictions, key) for key in NOTES}
    arrays: dict[str, npt.NDArray[Any]] = {"rows": predictions.rows, "probabilities": predictions.probabilities}
    arrays |= {f"measure.{name}": np.ascontiguousarray(values) for name, values in predictions.measures.items()}
    with written_beside(path) as beside:
        save_file(arrays, beside, metadata={"notes": json.dumps(notes)})


def read_predictions(path: Path, windows: int) -> Predictions:
    """Read the answers of one run to some of so many `windows`.

    Raises:
        ModelError: the file is missing, damaged, or of another table of windows.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as stored:
            notes = json.loads(stored.metadata()["notes"])
            arrays = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  not a mapping
        measures = {key.removeprefix("measure."): value for key, value in arrays.items() if key.startswith("measure.")}
        found = Predictions(**notes, rows=arrays["rows"], probabilities=arrays["probabilities"], measures=measures)
    except FileNotFoundError:
        raise ModelError(f"{path}: missing. Run its train stage again.") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: not the answers of a classifier: {error}. Run its train stage again.") from None
    if len(found.rows) and found.rows.max() >= windows:
        raise ModelError(f"{path}: answers to window {found.rows.max()} of {windows}. Run its train stage again.")
    return found


def tabulate_predictions(runs: list[Predictions], table: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """One row a tested window.

    fold, seed, clip, start_s, silent, group, label, predicted, probability, label_probability.

    Then what the classifier's family measures. A last block of columns, p_<class number>, keeps every probability for
    the scores of recordings.
    """
    frames = []
    for run in runs:
        frame = table.iloc[run.rows][["clip", "start_s", "silent", "group", "label"]].reset_index(drop=True)
        target = np.searchsorted(classes, frame["label"])
        best = run.probabilities.argmax(1)
        frame["predicted"] = np.asarray(classes)[best]
        frame["probability"] = run.probabilities.max(1)
        frame["label_probability"] = run.probabilities[np.arange(len(target)), target]
        frame = frame.assign(**run.measures)
        frame.insert(0, "seed", run.seed)
        frame.insert(0, "fold", run.fold)
        every = pd.DataFrame(run.probabilities, columns=[f"p_{index}" for index in range(len(classes))])
        frames.append(pd.concat([frame, every], axis=1))
    return pd.concat(frames, ignore_index=True)


def accuracies(predictions: pd.DataFrame, classes: list[str]) -> dict[str, float | None]:
    """Fractions right: of windows, of recordings (by the mean of their windows' probabilities), mean over classes.

    None each where there is no window to judge by.
    """
    if predictions.empty:
        return dict.fromkeys(("window_accuracy", "recording_accuracy", "class_accuracy"))
    right = predictions["predicted"] == predictions["label"]
    columns = [f"p_{index}" for index in range(len(classes))]
    recordings = predictions.groupby(["fold", "seed", "clip"], sort=True)
    means = recordings[columns].mean().to_numpy()
    recording_right = np.asarray(classes)[means.argmax(1)] == recordings["label"].first().to_numpy()
    return {
        "window_accuracy": float(right.mean()),
        "recording_accuracy": float(recording_right.mean()),
        "class_accuracy": float(right.groupby(predictions["label"]).mean().mean()),
    }


def tabulate_recordings(predictions: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """One row a tested recording, for each fold and seed: what intervals and paired tests are made of.

    fold, seed, clip, group, label, windows, windows_right, predicted (the class of the mean of its windows'
    probabilities), predicted_by_seeds (the same over all seeds' windows: one decision a recording, as McNemar's test
    needs), and where the classifier reconstructs reconstruction_error (the sum over its windows).
    """
    columns = [f"p_{index}" for index in range(len(classes))]
    counted = predictions.assign(right=predictions["predicted"] == predictions["label"])
    recordings = counted.groupby(["fold", "seed", "clip"], sort=True)
    table = recordings.agg(
        group=("group", "first"), label=("label", "first"), windows=("right", "size"), windows_right=("right", "sum")
    )
    table["predicted"] = np.asarray(classes)[recordings[columns].mean().to_numpy().argmax(1)]
    by_seeds = predictions.groupby(["fold", "clip"], sort=True)[columns].mean()
    decided = pd.Series(np.asarray(classes)[by_seeds.to_numpy().argmax(1)], by_seeds.index)
    if ERROR in predictions:
        table[ERROR] = recordings[ERROR].sum()
    table = table.reset_index()
    table["predicted_by_seeds"] = decided.loc[list(zip(table["fold"], table["clip"], strict=True))].to_numpy()
    return table


def summarise(predictions: pd.DataFrame, measures: Iterable[str]) -> dict[str, float]:
    """Mean over one run's windows of each measure; of `cluster`, how well the clusters agree with the classes.

    The agreement is corrected for chance: 0 is what random clusters get, 1 are clusters that are the classes.
    """
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    scores = {}
    for name in measures:
        if name == "cluster":
            pair = predictions["label"], predictions["cluster"]
            scores["adjusted_rand"] = float(adjusted_rand_score(*pair))
            scores["adjusted_mutual_information"] = float(adjusted_mutual_info_score(*pair))
            scores["clusters"] = float(predictions["cluster"].nunique())
        else:
            scores[name] = float(predictions[name].mean())
    return scores


def score(runs: list[Predictions], predictions: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
    """Pool the tested windows of all folds and seeds into a cell's scores, but for intervals (results.Scores).

    A recording counts once for each fold and seed that tested it. `class_accuracy` is the mean over classes of the
    fraction of a class' windows that were right. What a family measures is summarised run by run, and the mean over
    runs stands beside the accuracies: a cluster's number means nothing in another run. Confusion counts are [true
    class, predicted class].
    """
    from sklearn.metrics import confusion_matrix

    by_fold, summaries = [], []
    for run in runs:
        mine = predictions[(predictions["fold"] == run.fold) & (predictions["seed"] == run.seed)]
        told = {key: getattr(run, key) for key in NOTES}
        summaries.append(summarise(mine, run.measures))
        by_fold.append({**told, **accuracies(mine, classes), **summaries[-1]})
    counts = confusion_matrix(predictions["label"], predictions["predicted"], labels=classes)
    return {
        "folds": len({run.fold for run in runs}),
        "seeds": len({run.seed for run in runs}),
        "diverged_runs": sum(run.diverged_at_epoch is not None for run in runs),
        "windows": len(predictions),
        "silent_windows": int(predictions["silent"].sum()),
        "recordings": int(predictions["clip"].nunique()),
        **accuracies(predictions, classes),
        **{name: float(np.mean([summary[name] for summary in summaries])) for name in summaries[0]},
        "without_silent": accuracies(predictions[predictions["silent"] == 0], classes),
        "by_fold": by_fold,
        "confusion": {"classes": classes, "counts": counts.tolist()},
    }
