"""A run is one fold and seed of a protocol: what decides it, how it goes epoch by epoch, and its result on disk."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open

from beyond_spectrograms.classifiers.registry import LAST, build_network
from beyond_spectrograms.data.windows import content_of
from beyond_spectrograms.params import Protocol
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.training.epoch import Outcome, Rows, band_statistics
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import (
    CHECKPOINT_SECONDS,
    digest_file,
    read_sealed,
    take_up,
    write_checkpoint,
    write_sealed,
    write_tensors,
)
from beyond_spectrograms.util.machine import kernels, processor_name

RECORD = {
    *("mark", "device", "precision", "processor", "kernels", "seconds", "diverged_at_epoch"),
    *("columns", "history", "weights_sha256"),
}  # keys of a finished run's record, `mark` its fingerprint; a record of earlier code has less, and its run starts anew
Targets = npt.NDArray[np.int64] | npt.NDArray[np.float32]
HISTORY_COLUMNS = ("epoch", "training_accuracy", "training_loss", "validation_accuracy", "validation_loss")


class TrainingError(ProjectError):
    """A result is not the one expected; the message says what to do."""


@dataclass(frozen=True)
class RunConfig:
    """What decides a run."""

    features: Path  # folder of features [windows, bands, frames]
    targets: Targets  # of every window, as loop.targets_of gives them; -1 or nan in place of the test part's
    parts: npt.NDArray[np.str_]  # of every window [windows]: train, validation, test (never read here) or empty
    classes: tuple[str, ...]  # labels by class index
    codebook_size: int | None  # entries of a codebook where the features are a codec's codes
    protocol: Protocol
    epochs: int
    fold: int
    seed: int
    device: str
    work: Path  # folder for this run's checkpoint and result
    precision: str = "fp32"  # of the convolutions, fp32 or bf16; weights, optimizer and loss are always fp32
    # By name, of the code and packages that decide weights (study.WEIGHTS_BY); none where nothing is kept.
    versions: Mapping[str, int | str] = field(kw_only=True)
    stacked: int | None = field(default=None, kw_only=True)  # layers of a model that the bands are of
    class_vectors: Features | None = field(default=None, kw_only=True)  # of zero_shot [classes, bands]

    @property
    def name(self) -> str:
        """File name of its result, without suffix."""
        return f"fold_{self.fold}-seed_{self.seed}"

    @property
    def result_files(self) -> list[Path]:
        """Its weights, its record, and its answers to the test part's inputs."""
        return [self.work / f"{self.name}{suffix}" for suffix in (".safetensors", ".json", ".predictions.safetensors")]

    def weights_sha256(self) -> str:
        """Digest the file of its weights."""
        return digest_file(self.result_files[0])

    def fingerprint(self) -> str:
        """Digest all that decides the result. A result or checkpoint is only used under the same fingerprint."""
        digest = hashlib.sha256(content_of(self.features))
        used = np.where(self.parts == "test", "", self.parts)
        digest.update(self.targets.tobytes() + "\n".join(used).encode())
        run = (self.codebook_size, self.epochs, self.fold, self.seed, self.device, self.precision)
        recipe = self.protocol.model_dump(exclude={"seeds"})  # which other runs there are decides nothing of this one
        digest.update(repr((recipe, run, sorted(self.versions.items()))).encode())
        if self.stacked is not None:
            digest.update(f"{self.stacked} layers".encode())
        if self.class_vectors is not None:
            digest.update(self.class_vectors.tobytes())
        return digest.hexdigest()


@dataclass
class TrainingState:
    """How far a run is; it ends at `diverged_at_epoch`."""

    best_epoch: int = 0
    best: tuple[float, float] = (-math.inf, -math.inf)
    history: list[list[float]] = field(default_factory=list)
    seconds: float = 0.0
    diverged_at_epoch: int | None = None

    def is_over(self, config: RunConfig) -> bool:
        """Say whether no epoch is left to train."""
        epochs, patience = len(self.history), config.protocol.patience
        out_of_patience = patience is not None and epochs - self.best_epoch >= patience
        return self.diverged_at_epoch is not None or out_of_patience or epochs >= config.epochs

    def note(self, config: RunConfig, training: Outcome, validation: Outcome, more: Sequence[float] = ()) -> bool:
        """Add an epoch to the history; says whether the protocol keeps its weights, the first of equally good ones.

        `more` are values of the trainer's columns.
        """
        epoch = len(self.history) + 1
        if not math.isfinite(training[1]) or not math.isfinite(validation[1]):
            # A finding about the recipe, not a fault: the run ends here with the last weights that were selected.
            losses = f"training loss {training[1]}, validation loss {validation[1]}"
            print(f"{config.name}: diverged at epoch {epoch} ({losses}); keeps epoch {self.best_epoch}")
            self.diverged_at_epoch = epoch
            return False
        self.history.append([epoch, *training, *validation, *more])
        accuracy = validation[0] if config.protocol.select == "best_validation_accuracy" else 0.0
        reached = (accuracy, -validation[1])
        if config.protocol.select != "last" and reached <= tuple(self.best):
            return False
        self.best, self.best_epoch = reached, epoch
        return True


class Checkpoint:
    """What a killed training leaves behind, so that the next one goes on from there with the same bits.

    One file for runs that are trained at once: weights, optimizers and random state, and how far each run is. It
    belongs to runs of these fingerprints, and is ignored where they are others.
    """

    def __init__(self, path: Path, fingerprints: Sequence[str]) -> None:
        self.path, self._fingerprints = path, list(fingerprints)
        self._saved = time.perf_counter()

    def is_due(self) -> bool:
        """Say whether it is time to save."""
        return time.perf_counter() - self._saved > CHECKPOINT_SECONDS

    def save(self, learned: Mapping[str, Any], states: Sequence[TrainingState]) -> None:
        """Write what was learned (tensors and plain values) and the state of each run."""
        values = {
            "fingerprints": self._fingerprints,
            "learned": dict(learned),
            "states": [asdict(state) for state in states],
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        }
        write_checkpoint(self.path, values)
        self._saved = time.perf_counter()

    def load(self) -> tuple[dict[str, Any], list[TrainingState]] | None:
        """Read what was saved and restore the random state; None where there is nothing, or it is not of these runs."""
        saved = take_up(self.path)
        if saved is None or saved["fingerprints"] != self._fingerprints:
            return None
        torch.set_rng_state(saved["random"])
        if saved["cuda_random"] is not None:
            torch.cuda.set_rng_state(saved["cuda_random"])
        return saved["learned"], [TrainingState(**state) for state in saved["states"]]

    def remove(self) -> None:
        """Delete the file, once results are written."""
        self.path.unlink(missing_ok=True)


def rows_of(config: RunConfig) -> dict[str, Rows]:
    """Rows of the features that train, in the run's own order, and that validate.

    Where no window validates, as in a model of all data, those that train do: there is nothing to be chosen by them.
    """
    rows = {part: np.flatnonzero(config.parts == part) for part in ("train", "validation")}
    # The table is sorted by class: without an order of its own, a protocol that does not shuffle each epoch would train
    # on batches of one or two classes.
    rows["train"] = np.random.default_rng([config.seed, config.fold]).permutation(rows["train"])
    return rows if len(rows["validation"]) else rows | {"validation": rows["train"]}


def class_weights_of(config: RunConfig, train_rows: Rows) -> torch.Tensor | None:
    """Weights [classes] of the loss, None where the protocol has none.

    As scikit-learn's `balanced`, windows / (classes * windows of the class); a class without training windows gets 0.
    """
    if config.protocol.class_weights == "none":
        return None
    counts = np.bincount(config.targets[train_rows], minlength=len(config.classes))
    balanced = len(train_rows) / (np.count_nonzero(counts) * counts.clip(min=1))
    return torch.from_numpy(np.where(counts > 0, balanced, 0.0).astype(np.float32))


def seeded_network(config: RunConfig, features: Features, train_rows: Rows) -> torch.nn.Sequential:
    """Build the run's classifier. Seeds torch's generator, so that what is drawn later belongs to the run."""
    torch.manual_seed(config.seed * 1000 + config.fold)
    bands, frames = features.shape[1:]
    network = build_network(
        config.protocol, bands, frames, len(config.classes), config.codebook_size, stacked=config.stacked
    )
    if config.protocol.standardize and config.codebook_size is None:
        network[0].mean, network[0].deviation = map(torch.from_numpy, band_statistics(features, train_rows))
    return network


def write_result(
    config: RunConfig,
    state: TrainingState,
    best: dict[str, torch.Tensor],
    fingerprint: str,
    columns: Sequence[str],
    *,
    last: Mapping[str, torch.Tensor],
) -> None:
    """Write the kept weights and the learning curve, whose rows have `columns` after HISTORY_COLUMNS.

    Where the protocol selects an epoch, the weights of the `last` stand in the same file.
    """
    diverged = state.diverged_at_epoch
    notes = {"epoch": state.best_epoch, "diverged_at_epoch": diverged, "classes": config.classes}
    weights, path, answers = config.result_files
    answers.unlink(missing_ok=True)  # of an earlier training, maybe to other sounds: its weights may be equal
    further = {} if config.protocol.select == "last" else {LAST + key: last[key].clone() for key in last}
    write_tensors(weights, best | further, "notes", notes)
    record = {
        "mark": fingerprint,
        "device": config.device,
        "precision": config.precision,
        "processor": processor_name(),
        "kernels": kernels(),
        "seconds": state.seconds,
        "diverged_at_epoch": diverged,
        "columns": [*HISTORY_COLUMNS, *columns],
        "history": state.history,
        "weights_sha256": config.weights_sha256(),
    }
    write_sealed(path, record)


def is_finished(config: RunConfig, *, report_damage: bool = False) -> bool:
    """Say whether the run's result is there, as it was written, made from the same data, params and versions.

    With `report_damage` a line is printed where it is there but damaged.
    """
    weights, path, _ = config.result_files
    record = read_sealed(path)
    if record and record.keys() == RECORD and weights.exists() and config.weights_sha256() == record["weights_sha256"]:
        return bool(record["mark"] == config.fingerprint()) and _is_of(config)
    if report_damage and path.exists():
        print(f"{path}: damaged, or not of the weights beside it. The run starts anew.", flush=True)
    return False


def _is_of(config: RunConfig) -> bool:
    """Say whether weights are of these classes, which no fingerprint tells, and those of the last epoch there as well.

    Results of earlier code have none of the last epoch.
    """
    with safe_open(config.result_files[0], framework="pt") as stored:
        classes: list[str] = json.loads(stored.metadata()["notes"])["classes"]
        has_last = any(key.startswith(LAST) for key in stored.keys())  # noqa: SIM118
        return classes == list(config.classes) and (config.protocol.select == "last" or has_last)


def keep_finished(configs: Sequence[RunConfig], place: Path) -> None:
    """Copy finished results of the same fingerprint from `place`, where an earlier training left them."""
    for config in configs:
        earlier = replace(config, work=place)
        if not is_finished(config) and is_finished(earlier):
            config.work.mkdir(parents=True, exist_ok=True)
            for path, mine in zip(earlier.result_files, config.result_files, strict=True):
                mine.unlink(missing_ok=True)  # DVC's cached files are read-only, and answers may be of other sounds
                if path.exists():
                    shutil.copyfile(path, mine)


def shuffle_labels(targets: Targets, parts: npt.NDArray[np.str_], seed: int) -> Targets:
    """Shuffle the labels [windows] of training and validation among themselves: a control that must score chance."""
    shuffled, rows = targets.copy(), np.flatnonzero((parts == "train") | (parts == "validation"))
    shuffled[rows] = np.random.default_rng(seed).permutation(targets[rows])
    return shuffled


def _read_record(config: RunConfig) -> Any:
    return json.loads(config.result_files[1].read_text(encoding="utf-8"))


def read_history(config: RunConfig) -> list[dict[str, Any]]:
    """Read the finished run's learning curve: fold, seed and a value for each column, one row an epoch."""
    record = _read_record(config)
    rows = (dict(zip(record["columns"], (int(row[0]), *row[1:]), strict=True)) for row in record["history"])
    return [{"fold": config.fold, "seed": config.seed, **row} for row in rows]


def read_outcome(config: RunConfig) -> tuple[float, int | None]:
    """Read how many seconds the finished run trained, restarts included, and at which epoch it diverged, if it did."""
    record = _read_record(config)
    return record["seconds"], record["diverged_at_epoch"]
