"""Training a codec: one loop, from its checkpoint if there is one, to the same bytes however often it was killed.

A step's sounds, bitrate and whatever else is drawn follow from the seed and the step's number, so that a checkpoint
needs no state of a random generator. On the CPU one thread computes, because the last bits of a sum depend on how many
share it; on a GPU bits may differ from one run to the next.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from beyond_spectrograms.codec.network import load_codec, save_codec
from beyond_spectrograms.codec.sounds import Corpus, Windows, read_corpus
from beyond_spectrograms.codec.trainer import CodecTrainer, CodecTrainingError
from beyond_spectrograms.data.audio import Format
from beyond_spectrograms.params.codecs import CodecRecipe
from beyond_spectrograms.params.encoders import kept_codec
from beyond_spectrograms.params.study import CLIPS
from beyond_spectrograms.util.cluster.pieces import note_progress
from beyond_spectrograms.util.files import (
    CHECKPOINT_SECONDS,
    digest_file,
    read_sealed,
    take_up,
    write_checkpoint,
    write_sealed,
    written_beside,
)
from beyond_spectrograms.util.machine import compute_alike, kernels, processor_name
from beyond_spectrograms.util.progress import counting

RECORD, CURVE, HEARD, CHECKPOINT = "run.json", "curve.csv", "heard.csv", "checkpoint.pt"


@dataclass(frozen=True)
class CodecRun:
    """What decides a training: the recipe, one of its seeds, the clips heard (`choose_clips`), device and versions."""

    recipe: CodecRecipe
    seed: int
    heard: pd.DataFrame
    device: str
    versions: Mapping[str, int | str]
    work: Path  # folder in which that of its checkpoint and of what it keeps is
    begin: Path | None = None  # a codec whose weights it begins with; by default they are drawn

    def fingerprint(self) -> str:
        """Digest all that decides the result; a checkpoint is only used under the same.

        How many steps are taken is no part of it: a training goes on from the last of a shorter one. Nor are settings
        that have a default, where they are at it: those came later, and trainings from before are the same.
        """
        recipe = self.recipe.model_dump(exclude={"seeds", "judged", "steps"}, exclude_defaults=True)
        decides = [recipe, self.seed, self.device, sorted(self.versions.items())]
        if self.begin is not None:
            decides.append(digest_file(self.begin))
        return hashlib.sha256((repr(decides) + self.heard.to_csv(index=False)).encode()).hexdigest()

    @property
    def place(self) -> Path:
        """The folder of its files."""
        return self.work / f"seed_{self.seed}"

    def kept(self, step: int) -> Path:
        """Where the codec after so many steps is kept."""
        return self.work / kept_codec(self.seed, step)

    def is_of_same(self) -> bool:
        """Say whether what is kept here is of the same recipe, clips and versions, if maybe of fewer steps."""
        record = read_sealed(self.place / RECORD)
        return record is not None and bool(record["mark"] == self.fingerprint())

    def is_finished(self) -> bool:
        """Say whether the training is done, and what it kept is as it was written."""
        record = read_sealed(self.place / RECORD)
        return (
            record is not None
            and record["mark"] == self.fingerprint()
            and {self.kept(step).name for step in self.recipe.steps} <= record["files"].keys()
            and all(
                (self.place / name).is_file() and digest_file(self.place / name) == digest
                for name, digest in record["files"].items()
            )
        )


def train_codec(run: CodecRun, corpus: Corpus) -> None:
    """Train a codec, and write to run.place the codec after each of the recipe's steps, its curve and its record.

    Raises:
        CodecTrainingError: bf16 on a CPU, or a loss that is not finite.
    """
    check_precision(run)
    compute_alike(run.device)
    began, mark, path = time.perf_counter(), run.fingerprint(), run.place / CHECKPOINT
    trainer = CodecTrainer(run.recipe, run.seed, Windows(corpus, run.recipe, run.seed), run.device)
    saved, seconds, kept = take_up(path), 0.0, dict[str, str]()
    if saved is not None and saved["mark"] == mark and _can_go_on(run, saved):
        trainer.load(saved["trainer"])
        seconds, kept = saved["seconds"], saved["kept"]
    total, last_saved = run.recipe.steps[-1], began

    def save() -> float:
        spent = seconds + time.perf_counter() - began
        write_checkpoint(path, {"mark": mark, "trainer": trainer.state(), "seconds": spent, "kept": kept})
        return spent

    with counting("train a codec, steps", total, lambda: trainer.step):
        if trainer.step == 0:
            if run.begin is None:
                trainer.start()
            else:
                trainer.start_from(load_codec(run.begin)[0])
            shutil.rmtree(run.place, ignore_errors=True)  # what another training left there
            _keep(run, trainer, kept)
            if run.begin is None:
                trainer.fit()
        while trainer.step < total:
            trainer.train_step()
            _keep(run, trainer, kept)
            note_progress()
            if time.perf_counter() - last_saved > CHECKPOINT_SECONDS and trainer.step < total:
                save()
                last_saved = time.perf_counter()
    spent = save()  # whence more steps may go on
    _write_table(run.place / CURVE, pd.DataFrame(trainer.curve, columns=trainer.columns))
    _write_table(run.place / HEARD, run.heard)
    files = [*(run.kept(step).name for step in run.recipe.steps), CURVE, HEARD]
    record = {
        "mark": mark,
        "device": run.device,
        "precision": run.recipe.precision,
        "processor": processor_name(),
        "kernels": kernels(),
        "seconds": spent,
        "files": {name: digest_file(run.place / name) for name in files},
    }
    write_sealed(run.place / RECORD, record)


def train_codec_by_clips(run: CodecRun) -> None:
    """Train a codec by what it hears of data/clips.

    Raises:
        CodecTrainingError: as train_codec.
    """
    network = run.recipe.network
    form = Format(network.sample_rate, network.channels)
    train_codec(run, read_corpus(run.heard, CLIPS, form, run.recipe.level_db))


def check_precision(run: CodecRun) -> None:
    """Check that the device computes in the recipe's precision.

    Raises:
        CodecTrainingError: it does not.
    """
    if run.recipe.precision == "bf16" and run.device == "cpu":
        raise CodecTrainingError("precision: bf16 is for a GPU: choose fp32, or device: cuda")


def _can_go_on(run: CodecRun, saved: Mapping[str, Any]) -> bool:
    """Say whether a checkpoint is of use: all that is to be kept before it is there, as that training wrote it."""
    step: int = saved["trainer"]["step"]
    kept: dict[str, str] = saved.get("kept", {})  # a checkpoint of earlier code tells of none
    before = [run.kept(each) for each in run.recipe.steps if each <= step]
    return 0 < step <= run.recipe.steps[-1] and all(
        path.exists() and digest_file(path) == kept.get(path.name) for path in before
    )


def _keep(run: CodecRun, trainer: CodecTrainer, kept: dict[str, str]) -> None:
    """Write the codec where the recipe keeps it after this step, and note its digest in `kept`."""
    if trainer.step in run.recipe.steps:
        path, told = run.kept(trainer.step), {"step": trainer.step, "seed": run.seed, "losses": run.recipe.losses}
        save_codec(path, trainer.codec, trainer.average, told)
        kept[path.name] = digest_file(path)


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with written_beside(path) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")
