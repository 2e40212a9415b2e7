"""A run is one fold and seed of a protocol: what decides it, how it goes epoch by epoch, and its result on disk."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.classifiers import build_network, family_of
from beyond_spectrograms.epochs import band_statistics
from beyond_spectrograms.errors import ProjectError
from beyond_spectrograms.files import write_json, written_beside

if TYPE_CHECKING:
    import torch

    from beyond_spectrograms.params import Protocol
    from beyond_spectrograms.representations.base import Features

CHECKPOINT_SECONDS = 30.0  # what a killed training loses at most
RUN_VERSIONS = ("classifiers", "training", "numpy", "torch", "scikit-learn")  # of versions.yaml: what decides a result
HISTORY_COLUMNS = ("epoch", "training_accuracy", "training_loss", "validation_accuracy", "validation_loss")


class TrainingError(ProjectError):
    """What a killed run left cannot be used, or another run meddled; the message says what to do."""


@dataclass(frozen=True)
class Job:
    """One classifier to train.

    Attributes:
        features: folder with features.npy [windows, bands, frames].
        targets: class index of every window [windows].
        parts: part of every window [windows]: train, validation, test or empty. Test rows are never read here.
        classes: labels by class index.
        codebook_size: entries of a codebook where the features are a codec's codes, else None.
        precision: of the convolutions, fp32 or bf16; weights, optimizer and loss are always fp32.
        work: folder for this job's checkpoint and result.
        versions: of RUN_VERSIONS, by name; none where nothing is kept.
    """

    features: Path
    targets: npt.NDArray[np.int64]
    parts: npt.NDArray[np.str_]
    classes: tuple[str, ...]
    codebook_size: int | None
    protocol: Protocol
    epochs: int
    fold: int
    seed: int
    device: str
    work: Path
    precision: str = "fp32"
    versions: Mapping[str, int | str] = field(kw_only=True)

    @property
    def name(self) -> str:
        """File name of its result, without suffix."""
        return f"fold_{self.fold}-seed_{self.seed}"

    def mark(self) -> str:
        """Digest all that decides the result: what a killed run left is only continued under the same mark."""
        digest = hashlib.sha256((self.features / "index.json").read_bytes())
        used = np.where(self.parts == "test", "", self.parts)
        digest.update(self.targets.tobytes() + "\n".join(used).encode())
        run = (self.codebook_size, self.epochs, self.fold, self.seed, self.device, self.precision)
        digest.update(repr((self.protocol.model_dump(), run, sorted(self.versions.items()))).encode())
        return digest.hexdigest()


@dataclass
class Course:
    """How a run has gone so far; after `diverged_at_epoch` it does not go on."""

    best_epoch: int = 0
    best_loss: float = math.inf
    history: list[list[float]] = field(default_factory=list)
    seconds: float = 0.0
    diverged_at_epoch: int | None = None

    def is_over(self, job: Job) -> bool:
        """Say whether no epoch is left to train."""
        epochs, patience = len(self.history), job.protocol.patience
        tired = patience is not None and epochs - self.best_epoch >= patience
        return self.diverged_at_epoch is not None or tired or epochs >= job.epochs

    def note(
        self, job: Job, training: tuple[float, float], validation: tuple[float, float], more: Sequence[float] = ()
    ) -> bool:
        """Note an epoch's accuracies and losses, and what `more` its family tells of it.

        Says whether its weights are those to keep by the protocol.
        """
        epoch = len(self.history) + 1
        if not math.isfinite(training[1]) or not math.isfinite(validation[1]):
            # A finding about the recipe, not a fault: the run ends here with the last weights that were selected.
            losses = f"training loss {training[1]}, validation loss {validation[1]}"
            print(f"{job.name}: diverged at epoch {epoch} ({losses}); keeps epoch {self.best_epoch}")
            self.diverged_at_epoch = epoch
            return False
        self.history.append([epoch, *training, *validation, *more])
        if job.protocol.select == "best_validation_loss" and validation[1] >= self.best_loss:
            return False
        self.best_loss, self.best_epoch = validation[1], epoch
        return True


def rows_of(job: Job) -> dict[str, npt.NDArray[np.int64]]:
    """Rows of the features that train, in the run's own order, and that validate."""
    rows = {part: np.flatnonzero(job.parts == part) for part in ("train", "validation")}
    # The table is sorted by class: without an order of its own, a protocol that does not shuffle each epoch would train
    # on batches of one or two classes.
    rows["train"] = np.random.default_rng([job.seed, job.fold]).permutation(rows["train"])
    return rows


def class_weights_of(job: Job, train_rows: npt.NDArray[np.int64]) -> torch.Tensor | None:
    """Weights [classes] of the loss, None where the protocol has none.

    As scikit-learn's `balanced`, windows / (classes * windows of the class); a class without training windows, of which
    nothing can be learnt, gets 0.
    """
    import torch

    if job.protocol.class_weights == "none":
        return None
    counts = np.bincount(job.targets[train_rows], minlength=len(job.classes))
    balanced = len(train_rows) / (np.count_nonzero(counts) * counts.clip(min=1))
    return torch.from_numpy(np.where(counts > 0, balanced, 0.0).astype(np.float32))


def seeded_network(job: Job, features: Features, train_rows: npt.NDArray[np.int64]) -> torch.nn.Sequential:
    """Build the run's classifier; seeds torch's generator, so that what is drawn later is the run's own too."""
    import torch

    torch.manual_seed(job.seed * 1000 + job.fold)
    bands, frames = features.shape[1:]
    network = build_network(job.protocol, bands, frames, len(job.classes), job.codebook_size)
    if job.protocol.standardize and job.codebook_size is None:
        network[0].mean, network[0].deviation = map(torch.from_numpy, band_statistics(features, train_rows))
    return network


def write_result(job: Job, course: Course, best: dict[str, torch.Tensor], mark: str) -> None:
    """Write the kept weights and the learning curve."""
    from safetensors.torch import save_file

    diverged = course.diverged_at_epoch
    notes = {"epoch": course.best_epoch, "diverged_at_epoch": diverged, "classes": job.classes}
    with written_beside(job.work / f"{job.name}.safetensors") as beside:
        save_file(best, beside, metadata={"notes": json.dumps(notes)})  # several keys would come in any order
    record = {"mark": mark, "seconds": course.seconds, "diverged_at_epoch": diverged, "history": course.history}
    write_json(job.work / f"{job.name}.json", record)


def is_finished(job: Job) -> bool:
    """Say whether the job's result is there, made from the same data and params by the same versions."""
    record = job.work / f"{job.name}.json"
    return record.exists() and json.loads(record.read_text(encoding="utf-8"))["mark"] == job.mark()


def shuffle_labels(targets: npt.NDArray[np.int64], parts: npt.NDArray[np.str_], seed: int) -> npt.NDArray[np.int64]:
    """Deal the labels [windows] of training and validation anew among themselves: a control that must score chance."""
    shuffled, rows = targets.copy(), np.flatnonzero((parts == "train") | (parts == "validation"))
    shuffled[rows] = np.random.default_rng(seed).permutation(targets[rows])
    return shuffled


def history_columns(protocol: Protocol) -> list[str]:
    """List what a learning curve tells of an epoch: HISTORY_COLUMNS and those of the classifier's family."""
    family = family_of(protocol.classifier)
    return [*HISTORY_COLUMNS, *(family.learner.columns if family else ())]


def read_history(job: Job) -> list[dict[str, Any]]:
    """Read the finished job's learning curve: fold, seed and its history_columns, one row an epoch."""
    columns = history_columns(job.protocol)
    history = json.loads((job.work / f"{job.name}.json").read_text(encoding="utf-8"))["history"]
    rows = (dict(zip(columns, (int(row[0]), *row[1:]), strict=True)) for row in history)
    return [{"fold": job.fold, "seed": job.seed, **row} for row in rows]


def read_outcome(job: Job) -> tuple[float, int | None]:
    """Read how many seconds the finished job trained, restarts included, and at which epoch it diverged, if it did."""
    record = json.loads((job.work / f"{job.name}.json").read_text(encoding="utf-8"))
    return record["seconds"], record["diverged_at_epoch"]
