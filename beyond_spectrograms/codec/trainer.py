"""What a codec and its discriminator learn in a step, and all that a checkpoint needs of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from beyond_spectrograms.codec import losses
from beyond_spectrograms.codec.balancer import Balancer
from beyond_spectrograms.codec.discriminator import Discriminator
from beyond_spectrograms.codec.linear_start import fit_linear
from beyond_spectrograms.codec.network import Codec
from beyond_spectrograms.codec.sounds import Windows
from beyond_spectrograms.params.codecs import CodecRecipe
from beyond_spectrograms.util.errors import ProjectError

FITTED_TO = 16  # steps to whose windows a linear codec is fitted
LOGGED = 50  # steps of which a row of the curve is the mean
# Columns of the curve beside the balanced losses.
COMMITMENT, DISCRIMINATOR, LOG_MEL = "commitment", "discriminator", "log_mel"
# What is drawn beside windows, each by a generator of its own.
_WEIGHTS, _START, _STEP, _LOG_MEL = 1, 2, 3, 4


class CodecTrainingError(ProjectError):
    """A codec cannot be trained as asked; the message says why."""


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
            torch.manual_seed(self._drawn(_LOG_MEL, 0))  # so that the codec's weights are those without it
            self._log_mel = None if recipe.log_mel_weight is None else losses.LogMelLoss(network).to(device)
        self._settings = settings
        self._spectral = losses.SpectralLoss(network.sample_rate, settings).to(device)
        adversarial = (losses.ADVERSARIAL, losses.FEATURES)
        weights = settings.weights | dict(recipe.weights)
        names = [name for name in weights if self._discriminator or name not in adversarial]
        self._balancer = Balancer({name: weights[name] for name in names}, recipe.balancer_decay)
        further = {DISCRIMINATOR: self._discriminator, LOG_MEL: self._log_mel}
        self.columns = ["step", *names, COMMITMENT, *(name for name, part in further.items() if part is not None)]
        learning = (self.codec, self._discriminator, self._log_mel)
        self._optimizers = [self._optimizer(each) for each in learning if each is not None]
        self.average = {key: value.clone() for key, value in self._averaged()}
        self.step = 0
        self.curve: list[list[float]] = []
        self._sums: dict[str, list[float]] = {}

    def start(self) -> None:
        """Make the codebooks from the latents of the first step's windows, after the layers were scaled by them."""
        sound = self._sounds(1)
        if self._recipe.start != "drawn":
            self.codec.scale_layers(sound)
        self._make_codebooks(sound)

    def fit(self) -> None:
        """Begin to learn, where the recipe says so: as a linear codec, fitted to the windows of the first steps."""
        if self._recipe.start == "linear":
            sound = torch.cat([self._sounds(step) for step in range(1, FITTED_TO + 1)])
            fit_linear(self.codec, sound)
            self._make_codebooks(sound, FITTED_TO)

    def _make_codebooks(self, sound: torch.Tensor, batches: int = 1) -> None:
        with torch.no_grad(), self._autocast():
            latents = self.codec.latents(sound)
        quantizer = self.codec.quantizer
        quantizer.start(latents.float(), self._generator(_START, 0))
        for found in (quantizer.counts, quantizer.sums):  # those of a batch, which steps average
            found.div_(batches)
        self.average = {key: value.clone() for key, value in self._averaged()}

    def start_from(self, codec: Codec) -> None:
        """Take the weights and codebooks of another codec of the same network.

        Its file has no averages: each entry begins as one that is met as often as all others.
        """
        self.codec.load_state_dict(codec.state_dict())
        recipe, network = self._recipe, self._recipe.network
        vectors = recipe.batch_size * -(-round(recipe.window_s * network.sample_rate) // network.hop_length)
        quantizer = self.codec.quantizer
        quantizer.counts.fill_(vectors / network.entries)
        quantizer.sums.copy_(quantizer.codebooks * quantizer.counts[..., None])
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
            made, quantized, latents = self.codec(sound, stages, self._generator(_STEP, self.step))
        output = made.detach().float().requires_grad_()  # where the balancer looks
        values, noted = self._losses(output, sound), dict[str, float]()
        if self._recipe.discriminator is not None:
            if random.random() < self._recipe.discriminator.share:
                noted[DISCRIMINATOR] = self._train_discriminator(output.detach(), sound)
            values |= self._deceive(output, sound)
        noted |= {name: value.item() for name, value in values.items()}
        direct = commitment = quantized.commitment.mean()
        noted[COMMITMENT] = commitment.item()
        if self._log_mel is not None:
            told = self._log_mel(latents, sound)
            noted[LOG_MEL] = told.item()
            direct = commitment + self._recipe.log_mel_weight * told
        if strange := [name for name, value in noted.items() if not np.isfinite(value)]:
            raise CodecTrainingError(f"seed {self._seed}: {strange[0]} is {noted[strange[0]]} at step {self.step}")
        gradient = self._balancer.gradient(values, output)
        ((made * gradient).sum() + direct).backward()  # made's gradient is the balanced one
        _take_step(self._optimizers[0])
        if self._log_mel is not None:
            _take_step(self._optimizers[-1])
        self._follow()
        self._note(noted)

    def _losses(self, made: torch.Tensor, sound: torch.Tensor) -> dict[str, torch.Tensor]:
        found = {
            losses.TIME: torch.nn.functional.l1_loss(made, sound),
            losses.SPECTRAL: self._spectral(made, sound),
        }
        if losses.SI_SNR in self._balancer.weights:
            found[losses.SI_SNR] = losses.si_snr_loss(made, sound)
        return found

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
            "log_mel": None if self._log_mel is None else self._log_mel.state_dict(),
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
        if self._log_mel is not None:
            self._log_mel.load_state_dict(state["log_mel"])
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
