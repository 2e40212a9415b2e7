"""Training a codec: one loop, from its checkpoint if there is one, to the same bytes however often it was killed.

A step's sounds, bitrate and whatever else is drawn follow from the seed and the step's number, so that a checkpoint
needs no state of a random generator. On the CPU one thread computes, because the last bits of a sum depend on how many
share it; on a GPU bits may differ from one run to the next.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from beyond_spectrograms.codec import losses
from beyond_spectrograms.codec.balancer import Balancer
from beyond_spectrograms.codec.discriminator import Discriminator
from beyond_spectrograms.codec.network import Codec, save_codec
from beyond_spectrograms.codec.sounds import Corpus, Windows
from beyond_spectrograms.params.codecs import CodecRecipe
from beyond_spectrograms.params.encoders import kept_codec
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import (
    digest_file,
    read_sealed,
    take_up,
    write_checkpoint,
    write_sealed,
    written_beside,
)
from beyond_spectrograms.util.machine import kernels, processor_name
from beyond_spectrograms.util.progress import counting

CHECKPOINT_SECONDS = 30.0  # what a killed training loses at most
LOGGED = 50  # steps of which a row of the curve is the mean
COMMITMENT, DISCRIMINATOR = "commitment", "discriminator"  # columns of the curve beside the balanced losses
RECORD, CURVE, HEARD, CHECKPOINT = "run.json", "curve.csv", "heard.csv", "checkpoint.pt"
# What is drawn beside windows, each by a generator of its own.
_WEIGHTS, _START, _STEP = 1, 2, 3


class CodecTrainingError(ProjectError):
    """A codec cannot be trained as asked; the message says why."""


@dataclass(frozen=True)
class CodecRun:
    """What decides a training: the recipe, one of its seeds, the clips heard (`choose_clips`), device and versions."""

    recipe: CodecRecipe
    seed: int
    heard: pd.DataFrame
    device: str
    versions: Mapping[str, int | str]
    work: Path  # folder in which that of its checkpoint and of what it keeps is

    def fingerprint(self) -> str:
        """Digest all that decides the result; a checkpoint is only used under the same.

        How many steps are taken is no part of it: a training goes on from the last of a shorter one.
        """
        recipe = self.recipe.model_dump(exclude={"seeds", "judged", "steps"})
        decides = [recipe, self.seed, self.device, sorted(self.versions.items())]
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
    if run.recipe.precision == "bf16" and run.device == "cpu":
        raise CodecTrainingError("precision: bf16 is for a GPU: choose fp32, or device: cuda")
    torch.use_deterministic_algorithms(run.device == "cpu")
    torch.set_num_threads(1)
    began, mark, path = time.perf_counter(), run.fingerprint(), run.place / CHECKPOINT
    trainer = CodecTrainer(run.recipe, run.seed, Windows(corpus, run.recipe, run.seed), run.device)
    saved, seconds = take_up(path), 0.0
    if saved is not None and saved["mark"] == mark and _can_go_on(run, saved["trainer"]["step"]):
        trainer.load(saved["trainer"])
        seconds = saved["seconds"]
    total, last_saved = run.recipe.steps[-1], began

    def save() -> float:
        spent = seconds + time.perf_counter() - began
        write_checkpoint(path, {"mark": mark, "trainer": trainer.state(), "seconds": spent})
        return spent

    with counting("train a codec, steps", total, lambda: trainer.step):
        if trainer.step == 0:
            trainer.start()
            _keep(run, trainer)
        while trainer.step < total:
            trainer.train_step()
            _keep(run, trainer)
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


def _can_go_on(run: CodecRun, step: int) -> bool:
    """Say whether a checkpoint after so many steps is of use: none of what is to be kept before it is missing."""
    return step <= run.recipe.steps[-1] and all(run.kept(each).exists() for each in run.recipe.steps if each <= step)


def _keep(run: CodecRun, trainer: CodecTrainer) -> None:
    """Write the codec where the recipe keeps it after this step."""
    if trainer.step in run.recipe.steps:
        told = {"step": trainer.step, "seed": run.seed, "losses": run.recipe.losses}
        save_codec(run.kept(trainer.step), trainer.codec, trainer.average, told)


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with written_beside(path) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")


class CodecTrainer:
    """The codec and its discriminator as they learn; `average` is what is kept of the codec, averaged over steps."""

    def __init__(self, recipe: CodecRecipe, seed: int, windows: Windows, device: str) -> None:
        self._recipe, self._seed, self._windows, self._device = recipe, seed, windows, device
        network, settings = recipe.network, losses.LOSSES[recipe.losses]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._drawn(_WEIGHTS, 0))
            self.codec = Codec(
                network,
                decay=recipe.codebook_decay,
                dead_below=recipe.dead_below,
                start_iterations=recipe.start_iterations,
            ).to(device)
            against = recipe.discriminator
            self._discriminator = (
                None
                if against is None
                else Discriminator(against.n_ffts, network.channels, against.filters, settings.slope).to(device)
            )
        self._settings = settings
        self._spectral = losses.SpectralLoss(network.sample_rate, settings).to(device)
        adversarial = (losses.ADVERSARIAL, losses.FEATURES)
        names = [name for name in settings.weights if self._discriminator or name not in adversarial]
        weights = settings.weights | dict(recipe.weights)
        self._balancer = Balancer({name: weights[name] for name in names}, recipe.balancer_decay)
        self.columns = ["step", *names, COMMITMENT, *([DISCRIMINATOR] if self._discriminator else [])]
        self._optimizers = [self._optimizer(each) for each in (self.codec, self._discriminator) if each is not None]
        self.average = {key: value.clone() for key, value in self._averaged()}
        self.step = 0
        self.curve: list[list[float]] = []
        self._sums: dict[str, list[float]] = {}

    def start(self) -> None:
        """Make the codebooks from the latents of the first step's windows, after the layers were scaled by them."""
        sound = self._sounds(1)
        if self._recipe.start == "scaled":
            self.codec.scale_layers(sound)
        with torch.no_grad(), self._autocast():
            latents = self.codec.latents(sound)
        self.codec.quantizer.start(latents.float(), self._generator(_START, 0))
        self.average = {key: value.clone() for key, value in self._averaged()}

    def train_step(self) -> None:
        """Take a step of the discriminator, if it is drawn, and one of the codec.

        Raises:
            CodecTrainingError: a loss is not finite.
        """
        self.step += 1
        random = np.random.default_rng(self._drawn(_STEP, self.step))
        network = self._recipe.network
        stages = network.stages_at(int(random.choice(network.bitrates)))
        sound = self._sounds(self.step)
        self.codec.train()
        with self._autocast():
            made, quantized = self.codec(sound, stages, self._generator(_STEP, self.step))
        output = made.detach().float().requires_grad_()  # where the balancer looks
        values, noted = self._losses(output, sound), dict[str, float]()
        if self._recipe.discriminator is not None:
            if random.random() < self._recipe.discriminator.share:
                noted[DISCRIMINATOR] = self._train_discriminator(output.detach(), sound)
            values |= self._deceive(output, sound)
        noted |= {name: value.item() for name, value in values.items()}
        commitment = quantized.commitment.mean()
        noted[COMMITMENT] = commitment.item()
        if strange := [name for name, value in noted.items() if not np.isfinite(value)]:
            raise CodecTrainingError(f"seed {self._seed}: {strange[0]} is {noted[strange[0]]} at step {self.step}")
        gradient = self._balancer.gradient(values, output)
        ((made * gradient).sum() + commitment).backward()  # made's gradient is the balanced one
        _take_step(self._optimizers[0])
        self._follow()
        self._note(noted)

    def _losses(self, made: torch.Tensor, sound: torch.Tensor) -> dict[str, torch.Tensor]:
        return {
            losses.TIME: torch.nn.functional.l1_loss(made, sound),
            losses.SPECTRAL: self._spectral(made, sound),
        }

    def _deceive(self, made: torch.Tensor, sound: torch.Tensor) -> dict[str, torch.Tensor]:
        assert self._discriminator is not None
        with self._autocast():
            of_made = self._discriminator(made)
            with torch.no_grad():
                of_sound = self._discriminator(sound)
        return {
            losses.ADVERSARIAL: losses.adversarial_loss(of_made, hinge=self._settings.hinge),
            losses.FEATURES: losses.feature_loss(of_made, of_sound, relative=self._settings.relative),
        }

    def _train_discriminator(self, made: torch.Tensor, sound: torch.Tensor) -> float:
        assert self._discriminator is not None
        with self._autocast():
            loss = losses.discriminator_loss(self._discriminator(made), self._discriminator(sound))
        torch.autograd.backward(loss)
        _take_step(self._optimizers[1])
        return loss.item()

    def _follow(self) -> None:
        """Let the average follow the weights; that of the first steps is not pulled to where they began."""
        decay = self._recipe.average_decay
        share = (1 - decay) / (1 - decay**self.step) if decay < 1 else 1 / self.step
        for key, value in self._averaged():
            self.average[key].lerp_(value, share)

    def _averaged(self) -> Iterable[tuple[str, torch.Tensor]]:
        state = self.codec.state_dict()
        return ((key, value.detach()) for key, value in state.items() if value.is_floating_point())

    def _note(self, noted: Mapping[str, float]) -> None:
        for name, value in noted.items():
            self._sums.setdefault(name, []).append(value)
        if self.step % LOGGED == 0:
            means = [float(np.mean(self._sums[name])) if name in self._sums else np.nan for name in self.columns[1:]]
            self.curve.append([self.step, *means])
            self._sums = {}

    def state(self) -> dict[str, Any]:
        """Give what a checkpoint keeps, tensors and plain values."""
        return {
            "step": self.step,
            "codec": self.codec.state_dict(),
            "average": self.average,
            "discriminator": None if self._discriminator is None else self._discriminator.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "balancer": self._balancer.state(),
            "curve": self.curve,
            "sums": self._sums,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.step, self.curve, self._sums = state["step"], state["curve"], state["sums"]
        self.codec.load_state_dict(state["codec"])
        self.average = {key: value.to(self._device) for key, value in state["average"].items()}
        if self._discriminator is not None:
            self._discriminator.load_state_dict(state["discriminator"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._balancer.load(state["balancer"])

    def _optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(module.parameters(), self._recipe.learning_rate, betas=self._recipe.betas)

    def _sounds(self, step: int) -> torch.Tensor:
        return torch.from_numpy(self._windows.batch(step)).to(self._device)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._recipe.precision == "bf16":
            return torch.autocast(self._device, torch.bfloat16)
        return nullcontext()

    def _drawn(self, what: int, step: int) -> int:
        return int(np.random.SeedSequence([self._seed, step, what]).generate_state(1, np.uint64)[0] >> 1)

    def _generator(self, what: int, step: int) -> torch.Generator:
        return torch.Generator().manual_seed(self._drawn(what, step))


def _take_step(optimizer: torch.optim.Optimizer) -> None:
    optimizer.step()
    optimizer.zero_grad()
