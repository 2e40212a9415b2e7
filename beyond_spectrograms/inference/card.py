"""card.json, which says what a model is: every key known and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from beyond_spectrograms.inference.results import BACKGROUND, NONE, Probabilities
from beyond_spectrograms.params import Protocol, Representation, Windows
from beyond_spectrograms.params.base import Name, Positive, Real, Section, Seed, is_unset
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import read_sealed
from beyond_spectrograms.util.text import shorten_value

FORMAT = "beyond-spectrograms model"
VERSION = 1  # raised whenever an older program would misread a newer folder
CARD_FILE = "card.json"
CARD_BYTES = 4_000_000
MOST_VALUES = 100_000_000  # of a window, and of what the classifier is given of one
WRONG = 20  # keys that a message lists

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ModelError(ProjectError):
    """A model cannot be read, written or exported; the message says what to do."""


class StoredFile(Section):
    """A file's name, size and digest; the name is a plain one, without a folder."""

    file: str
    bytes: Positive
    sha256: Sha256

    @field_validator("file")
    @classmethod
    def _plain(cls, file: str) -> str:
        if file in ("", ".", "..") or "/" in file or "\\" in file:
            raise ValueError(f"{file!r} is no plain file name")
        return file


class EncoderFile(StoredFile):
    """Weights of the representation. `included`: copied into the folder, which their licence allows.

    `revision` is the commit of a model of the hub, or says that nothing proves it.
    """

    url: str
    licence: str
    included: bool
    revision: str | None = Field(default=None, exclude_if=is_unset)


class Encoder(Section):
    """The representation: its record in params.yaml and what follows from it.

    A window is `channels` x windows.length_s x `sample_rate` samples, and becomes [bands, frames]. `packages` are the
    versions it was computed with when the classifier was trained.
    """

    name: Name
    record: Representation
    sample_rate: Positive
    channels: Positive
    bands: Positive
    frames: Positive
    packages: dict[str, str]


class Recipe(Section):
    """The protocol that trained the classifier; it says which network it is and whether bands are standardised.

    The statistics of the standardisation are tensors of the classifier's file, `0.mean` and `0.deviation`.
    """

    name: Name
    record: Protocol


class Training(Section):
    """What the classifier learned from: `manifest_sha256` digests the names and bytes of its `clips` training clips.

    That is sha256 over the sorted lines `<sha256>  <label>/<file>`, each with its line end.
    """

    dataset: Name
    licences: list[str]
    clips: Positive
    manifest_sha256: Sha256
    fold: Annotated[int, Field(ge=0)]  # 0: none was kept from it, it was trained on all clips
    seed: Seed
    epoch: Annotated[int, Field(ge=0)]
    diverged_at_epoch: Positive | None


class Scores(Section):
    """Fractions right, and the file and commit they are read from.

    They are of the test part of this very fold and seed; of a classifier trained on all clips, of the folds that its
    recipe was scored on, with the interval of the share of recordings where there is one.
    """

    file: str
    commit: str | None
    window_accuracy: Real
    recording_accuracy: Real
    class_accuracy: Real
    recording_accuracy_low: Real | None = Field(default=None, exclude_if=is_unset)
    recording_accuracy_high: Real | None = Field(default=None, exclude_if=is_unset)


class MultiLabel(Section):
    """That a sound may have several classes: each from a probability of `thresholds` on; and how good that is.

    The folds' scores (evaluation/label_scores.py), the mean average precision with its interval where there is one.
    What is right in Scores is then the whole set of classes, and in `class_accuracy` each class by itself.
    """

    thresholds: dict[str, Annotated[Real, Field(ge=0, le=1)]]
    mean_average_precision: Real
    mean_average_precision_low: Real | None = Field(default=None, exclude_if=is_unset)
    mean_average_precision_high: Real | None = Field(default=None, exclude_if=is_unset)
    lwlrap: Real
    f1: Real


class Confidence(Section):
    """How sure an answer is, found by the folds' validation parts (inference/rejection.py).

    The classifier's numbers are divided by `temperature` before they become probabilities. With `thresholds`, of every
    class but BACKGROUND, an answer of a lower probability counts as NONE, and so does every answer of BACKGROUND.
    """

    temperature: Annotated[Real, Field(gt=0)]
    thresholds: dict[str, Annotated[Real, Field(ge=0, le=1)]] | None = Field(default=None, exclude_if=is_unset)


class Card(Section):
    """All that is needed to use a model and to judge it."""

    format: Literal["beyond-spectrograms model"]
    version: Literal[1]
    classes: Annotated[list[str], Field(min_length=2)]
    windows: Windows
    representation: Encoder
    untrained_encoder: bool
    encoder_files: list[EncoderFile]
    classifier_file: StoredFile
    protocol: Recipe
    training: Training
    scores: Scores
    confidence: Confidence | None = Field(default=None, exclude_if=is_unset)
    multi_label: MultiLabel | None = Field(default=None, exclude_if=is_unset)
    remarks: list[str]

    @model_validator(mode="after")
    def _agrees(self) -> Card:
        if self.untrained_encoder != self.representation.record.is_untrained:
            raise ValueError("untrained_encoder and representation.record.weights contradict each other")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes name one twice")
        if "" in self.classes:
            raise ValueError("a class has no name")
        encoder, samples = self.representation, self.windows.length_s * self.representation.sample_rate
        if max(encoder.bands * encoder.frames, encoder.channels * samples) > MOST_VALUES:
            raise ValueError(f"a window has more than {MOST_VALUES} values")
        if self.multi_label is not None:
            if set(self.multi_label.thresholds) != set(self.classes):
                raise ValueError("multi_label.thresholds are of other classes")
            if self.protocol.record.loss is None or self.confidence is not None:
                raise ValueError("multi_label goes with the loss binary_cross_entropy, and without confidence")
        known = None if self.confidence is None else self.confidence.thresholds
        if known is not None and set(known) != set(self.classes) - {BACKGROUND}:
            raise ValueError("confidence.thresholds are of other classes")
        if self.thresholds is not None and NONE in self.classes:
            raise ValueError(f"a class is named {NONE!r}, which stands for none of them")
        return self

    @property
    def temperature(self) -> float:
        """What the classifier's numbers are divided by before they become probabilities."""
        return 1.0 if self.confidence is None else self.confidence.temperature

    @property
    def thresholds(self) -> Probabilities | None:
        """From which probability an answer of each class counts [classes], never one of BACKGROUND; None: always."""
        if self.multi_label is not None:
            return np.array([self.multi_label.thresholds[label] for label in self.classes], np.float32)
        if self.confidence is None or self.confidence.thresholds is None:
            return None
        return np.array([self.confidence.thresholds.get(label, np.inf) for label in self.classes], np.float32)

    @property
    def warning(self) -> str:
        """What a user of the model must know; empty where there is nothing."""
        name = self.representation.name
        told = f"the encoder of {name} is untrained, its weights are random: a control, and no result of the codec"
        return told if self.untrained_encoder else ""


def read_card(path: Path) -> Card:
    """Read and check card.json.

    Raises:
        ModelError: it is no card, of a version this program does not read, has missing, unknown or wrong keys, or is
            not as it was written: its `sha256` is of all other keys. A card of earlier programs has none.
    """
    size = path.stat().st_size
    if size > CARD_BYTES:
        raise ModelError(f"{path}: {size} bytes; a card has at most {CARD_BYTES}. Copy or export the model again.")
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, no UTF-8, or a number of thousands of digits
        raise ModelError(f"{path}: not JSON: {error}. Copy or export the model again.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{path}: not the card of a model: its format is not {FORMAT!r}. Export the model again.")
    found = content.get("version")
    if (type(found), found) != (int, VERSION):  # true and 1.0 are equal to 1
        raise ModelError(
            f"{path}: version {found!r} of the format; this program reads {VERSION}. Use the "
            "beyond-spectrograms that exported the model, or export it again with this one."
        )
    sealed = content.pop("sha256", None) is not None
    try:
        card = Card.model_validate_json(json.dumps(content) if sealed else text)
    except ValidationError as error:
        lines = [f"{path}: {_explain(problem)}" for problem in error.errors()[:WRONG]]
        lines += [f"and {error.error_count() - WRONG} more"] * (error.error_count() > WRONG)
        raise ModelError("\n".join([*lines, "Copy the model again, or export it again with this program."])) from None
    if sealed and read_sealed(path) is None:
        raise ModelError(
            f"{path}: not as it was written: damaged, or edited. Copy the model again; to use an edited card, take its "
            "sha256 out."
        )
    return card


def _explain(problem: Any) -> str:
    place = shorten_value(".".join(map(str, problem["loc"])))
    value = "" if problem["type"] in ("missing", "value_error") else f", not {shorten_value(repr(problem['input']))}"
    return f"{place + ': ' if place else ''}{problem['msg'].removeprefix('Value error, ')}{value}."
