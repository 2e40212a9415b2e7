"""What trained classifiers answer to the test part: class probabilities of its windows, stored beside the weights.

Nothing here knows a label of the test part; `evaluate` alone sets labels beside answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.windows import release
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import write_tensors

if TYPE_CHECKING:
    from beyond_spectrograms.params import Protocol
    from beyond_spectrograms.representations.base import Features
    from beyond_spectrograms.training.run import RunConfig

BATCH = 256  # windows a forward pass; does not change any result
ANSWERS = ("probabilities", "last")  # class probabilities at the epoch tested, and at the last
NOTES = ("fold", "seed", "epoch", "diverged_at_epoch", "weights_sha256")  # stored beside the arrays


class ModelError(ProjectError):
    """Stored answers do not fit the data; the message names the file and what to do."""


@dataclass(frozen=True)
class Predictions:
    """Answers of one fold and seed to its test windows."""

    fold: int
    seed: int
    epoch: int  # the one whose weights were selected
    diverged_at_epoch: int | None  # the one whose loss was not finite
    weights_sha256: str  # of the file of weights
    rows: npt.NDArray[np.int64]  # [windows] of the table
    probabilities: npt.NDArray[np.float32]  # [windows, classes]
    last: npt.NDArray[np.float32] | None = None  # the same at the last epoch, where the protocol selects another
    measures: dict[str, npt.NDArray[Any]] = field(
        default_factory=dict
    )  # [windows], by name: of the classifier's family


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
    stacked: int | None = None,
) -> Predictions:
    """Classify rows of features [windows, bands, frames] with a stored classifier.

    With `dropout_at_evaluation` dropout stays active, as in the paper's released code, drawn from fold and seed.

    Raises:
        ClassifierError: the file is not there, or was trained for other classes or another network.
    """
    import torch

    from beyond_spectrograms.classifiers.registry import measure, read_network

    torch.set_num_threads(1)  # the last bits of a sum depend on how many threads share it
    answers, measured = [], []
    for of_last in (False, *[True] * (protocol.select != "last")):
        network, notes = read_network(
            model, protocol, features.shape[1:], classes, codebook_size, stacked=stacked, last=of_last
        )
        network.to(device).train(protocol.dropout_at_evaluation)
        batches = []
        with torch.inference_mode():
            torch.manual_seed(seed * 1000 + fold)
            for first in range(0, len(rows), BATCH):
                windows = torch.from_numpy(features[rows[first : first + BATCH]]).float().to(device)
                release(features)
                logits = network(windows)
                answer = logits.softmax(1) if protocol.loss is None else logits.sigmoid()
                batches.append(answer.cpu().numpy())
                if not of_last:
                    measured.append(measure(network, windows))
        answers.append(np.concatenate(batches))
    measures = {name: torch.cat([batch[name] for batch in measured]).cpu().numpy() for name in measured[0]}
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    probabilities, *last = answers
    return Predictions(
        fold, seed, **notes, weights_sha256=digest, rows=rows, probabilities=probabilities,
        last=next(iter(last), None), measures=measures,
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
            try:
                known = read_predictions(path, len(features))
            except ModelError:
                print(f"{path}: damaged. The classifier is asked again.", flush=True)
            else:
                if known.weights_sha256 == config.weights_sha256() and np.array_equal(known.rows, rows):
                    continue
        found = predict(
            config.work / f"{config.name}.safetensors", config.protocol, features,
            rows=rows, classes=list(config.classes), codebook_size=config.codebook_size,
            fold=config.fold, seed=config.seed, device=config.device, stacked=config.stacked,
        )  # fmt: skip
        write_predictions(path, found)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Store the answers of one run."""
    import torch

    notes = {key: getattr(predictions, key) for key in NOTES}
    arrays: dict[str, npt.NDArray[Any]] = {"rows": predictions.rows}
    arrays |= {name: found for name in ANSWERS if (found := getattr(predictions, name)) is not None}
    arrays |= {f"measure.{name}": np.ascontiguousarray(values) for name, values in predictions.measures.items()}
    tensors = {name: torch.tensor(values) for name, values in arrays.items()}
    write_tensors(path, tensors, "notes", notes | {"sha256": _digest(notes, arrays)})


def _digest(notes: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype} {values.shape}".encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def read_predictions(path: Path, windows: int, stage: str = "train") -> Predictions:
    """Read the answers of one run to some of so many `windows`, as `stage` left them.

    Raises:
        ModelError: the file is missing, damaged, or of another table of windows.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as stored:
            notes = json.loads(stored.metadata()["notes"])
            arrays = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  not a mapping
        sha256 = notes.pop("sha256", None)
        if sha256 is not None and sha256 != _digest(notes, arrays):  # None: of earlier code
            raise ValueError("not as they were written")
        measures = {key.removeprefix("measure."): value for key, value in arrays.items() if key.startswith("measure.")}
        answers = {"probabilities": arrays["probabilities"], "last": arrays.get("last")}
        found = Predictions(**notes, rows=arrays["rows"], **answers, measures=measures)
    except FileNotFoundError:
        raise ModelError(f"{path}: missing. Run its {stage} stage again.") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: not the answers of a classifier: {error}. Run its {stage} stage again.") from None
    if len(found.rows) and found.rows.max() >= windows:
        raise ModelError(f"{path}: answers to window {found.rows.max()} of {windows}. Run its {stage} stage again.")
    return found
