"""A language model of a codec's codes: what it foretells well takes few bits. The encodec package's network, small.

It is trained on codes of sounds, at a bitrate that is drawn for each step, and is of use to that codec alone.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field, ValidationError
from torch.nn import functional

from beyond_spectrograms.codec.ecdc import DIGITS, Codes, Layout
from beyond_spectrograms.codec.entropy import LanguageModel
from beyond_spectrograms.codec.files import ENCODEC
from beyond_spectrograms.params.base import Positive, Section
from beyond_spectrograms.params.codecs import CodecNetwork
from beyond_spectrograms.util.errors import ProjectError, one_line
from beyond_spectrograms.util.files import (
    CHECKPOINT_SECONDS,
    UnreadableError,
    digest_file,
    read_checkpoint,
    take_up,
    write_checkpoint,
    write_tensors,
)
from beyond_spectrograms.util.progress import counting

if TYPE_CHECKING:
    from encodec.model import LMModel

DIM, LAYERS, CONTEXT_S = 64, 3, 3.5  # the package's are 200 and 5
SEQUENCE_S, BATCH, LEARNING_RATE = 2.0, 8, 0.002
TIMED = 2  # steps, behind one that prepares much
NOTES = "language_model"  # the key of a file's metadata


class LanguageModelError(ProjectError):
    """A file is no language model for a codec; the message names it and what is wrong."""


class _Size(Section):
    """What decides the network, and for which codec it is."""

    codec: str
    codebooks: Positive
    entries: Positive
    dim: Annotated[int, Field(ge=8, le=1024, multiple_of=8)]
    layers: Annotated[int, Field(ge=1, le=32)]
    context: Annotated[int, Field(ge=1, le=100_000)]
    steps: int
    seed: int


def _build(codebooks: int, entries: int, dim: int, layers: int, context: int) -> LMModel:
    from encodec.model import LMModel

    return LMModel(codebooks, entries, dim=dim, num_layers=layers, past_context=context).eval()


class LmTrainer:
    """A language model as it learns from codes [codebooks, frames] of sounds; `codec` is the digest of its file.

    What a step draws follows from the seed and the step's number, so that a checkpoint has no state of a generator.
    """

    def __init__(self, heard: Sequence[Codes], network: CodecNetwork, *, codec: str, steps: int, seed: int) -> None:
        self._heard, self._network = heard, network
        self.size = _Size(
            codec=codec, codebooks=len(heard[0]), entries=network.entries, dim=DIM, layers=LAYERS,
            context=round(CONTEXT_S * network.frame_rate), steps=steps, seed=seed,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            size = self.size
            self.lm = _build(size.codebooks, size.entries, size.dim, size.layers, size.context).train()
        self._optimizer, self.step = torch.optim.Adam(self.lm.parameters(), LEARNING_RATE), 0

    def train_step(self) -> None:
        """Take a step, at a bitrate that is drawn."""
        random = np.random.default_rng([self.size.seed, self.step])
        stages = self._network.stages_at(int(random.choice(self._network.bitrates)))
        length = round(SEQUENCE_S * self._network.frame_rate)
        loss = _bits(self.lm, _draw(self._heard, length, random)[:, :stages]).mean()
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        self._optimizer.step()
        self.step += 1

    def fingerprint(self) -> str:
        """Digest all that decides the weights; a checkpoint is only used under the same."""
        decides = (self.size.model_dump(), self._network.model_dump(), SEQUENCE_S, BATCH, LEARNING_RATE)
        digest = hashlib.sha256(repr((*decides, torch.__version__)).encode())
        for codes in self._heard:
            digest.update(repr(codes.shape).encode() + np.ascontiguousarray(codes).tobytes())
        return digest.hexdigest()

    def state(self) -> dict[str, Any]:
        """Give what a checkpoint keeps."""
        return {"step": self.step, "lm": self.lm.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.step = state["step"]
        self.lm.load_state_dict(state["lm"])
        self._optimizer.load_state_dict(state["optimizer"])


def time_lm_step(heard: Sequence[Codes], network: CodecNetwork) -> float:
    """Measure how many seconds a step takes, by some that are thrown away."""
    trainer = LmTrainer(heard, network, codec="", steps=TIMED, seed=0)
    trainer.train_step()  # prepares much
    began = time.perf_counter()
    for _ in range(TIMED):
        trainer.train_step()
    return (time.perf_counter() - began) / TIMED


def take_up_lm(trainer: LmTrainer, checkpoint: Path) -> bool:
    """Let a trainer go on from the checkpoint of a run that was stopped; say whether there is one of the same work."""
    saved = take_up(checkpoint)
    if saved is None or saved["mark"] != trainer.fingerprint():
        return False
    trainer.load(saved["trainer"])
    return True


def train_lm(trainer: LmTrainer, checkpoint: Path) -> None:
    """Train a language model to its last step, leaving a checkpoint now and then.

    On one thread: the same seed gives the same weights on the same processor, however often it was stopped.
    """
    mark, last_saved = trainer.fingerprint(), time.perf_counter()
    with counting("train a language model, steps", trainer.size.steps, lambda: trainer.step):
        while trainer.step < trainer.size.steps:
            trainer.train_step()
            if time.perf_counter() - last_saved > CHECKPOINT_SECONDS:
                write_checkpoint(checkpoint, {"mark": mark, "trainer": trainer.state()})
                last_saved = time.perf_counter()
    trainer.lm.eval()


def bits_left(lm: LMModel, judged: Sequence[Codes], network: CodecNetwork) -> dict[int, float]:
    """Count the bits a second that a language model leaves of codes it was not trained on, by bitrate."""
    left = {}
    with torch.inference_mode():
        for bitrate in network.bitrates:
            stages = network.stages_at(bitrate)
            bits = [float(_bits(lm, torch.from_numpy(codes[None, :stages].astype(np.int64))).sum()) for codes in judged]
            left[bitrate] = sum(bits) / sum(codes.shape[1] for codes in judged) * network.frame_rate
    return left


def _draw(heard: Sequence[Codes], length: int, random: np.random.Generator) -> torch.Tensor:
    """Draw as many sequences [batch, codebooks, frames] as a step takes; a shorter sound begins again at its end."""
    drawn = []
    for place in random.integers(len(heard), size=BATCH):
        codes = heard[place]
        first = int(random.integers(max(1, codes.shape[1] - length + 1)))
        drawn.append(np.take(codes, np.arange(first, first + length) % codes.shape[1], axis=1))
    return torch.from_numpy(np.stack(drawn).astype(np.int64))


def _bits(lm: LMModel, codes: torch.Tensor) -> torch.Tensor:
    """Compute how many bits each of the codes [batch, codebooks, frames] takes, given those before it."""
    before = functional.pad(codes + 1, (1, 0))[:, :, :-1]  # 0 is for no frame
    expected, _, _ = lm(before)  # [batch, entries, codebooks, frames]
    bits: torch.Tensor = -expected.clamp(min=1e-9).log2().gather(1, codes[:, None])[:, 0]
    return bits


def save_lm(path: Path, lm: LMModel, size: _Size) -> None:
    """Write a language model as safetensors. The same weights give the same bytes."""
    state = {key: value.detach().contiguous() for key, value in lm.state_dict().items()}
    write_tensors(path, state, NOTES, size.model_dump())


def open_lm(path: Path, layout: Layout) -> LanguageModel:
    """Open the language model of a codec whose files have the `layout`: one of ours, or EnCodec's published one.

    Raises:
        LanguageModelError: there is none, or it is another codec's.
    """
    if not path.is_file():
        raise LanguageModelError(f"{path}: no such file. --lm takes a language model, as `codec train-lm` writes it.")
    with torch.random.fork_rng(devices=[]):
        if layout.name in ENCODEC:
            theirs = ENCODEC[layout.name]
            lm, digest = _build(theirs.codebooks, theirs.entries, 200, 5, int(CONTEXT_S * theirs.frame_rate)), ""
            state = _read_theirs(path)
        else:
            state, size = _read_ours(path)
            if size.codec != layout.digest:
                told = f"of a codec whose file's SHA-256 begins with {size.codec!r}, not with {layout.digest!r}"
                raise LanguageModelError(f"{path}: the language model {told}")
            if (size.codebooks, size.entries) != (layout.codebooks, 1 << layout.bits):
                raise LanguageModelError(f"{path}: damaged: its network is {size.model_dump()}")
            lm = _build(size.codebooks, size.entries, size.dim, size.layers, size.context)
            digest = digest_file(path)[:DIGITS]
    try:
        lm.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise LanguageModelError(f"{path}: not the language model of {layout.name}. {one_line(error)}") from None
    return LanguageModel(lm.eval(), digest)


def _read_theirs(path: Path) -> Mapping[str, Any]:
    try:
        state: Mapping[str, Any] = read_checkpoint(path)
    except UnreadableError as error:
        raise LanguageModelError(f"{path}: no checkpoint of EnCodec's language model. {one_line(error)}") from None
    return state


def _read_ours(path: Path) -> tuple[dict[str, torch.Tensor], _Size]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            size = _Size.model_validate(json.loads((stored.metadata() or {})[NOTES]))
            return {key: stored.get_tensor(key) for key in stored.keys()}, size  # noqa: SIM118
    except (SafetensorError, LookupError, TypeError, ValueError, ValidationError, RecursionError) as error:
        raise LanguageModelError(f"{path}: no language model of ours. {one_line(error)}") from None
