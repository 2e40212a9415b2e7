"""Sections of params.yaml about training: protocols, and the prototypes some of them learn."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from beyond_spectrograms.params.base import Positive, Real, Section, Seed

# Classifiers whose windows have a reconstruction error (a test compares this with classifiers.registry).
RECONSTRUCTING = ("kmeans", "prototypes", "apnet", "apnet_kmeans", "autoencoder_kmeans")


class PrototypeSettings(Section):
    """Prototypes that can be heard: how many, of what, learned how (beyond_spectrograms/classifiers/prototypes).

    `offset` and `scale` bring features to about 0 to 1: (value + offset) / scale. `transformations` are learned in the
    order given here, but always applied in one: time, pitch, level, gain, filters. `top_hz` is the upper edge of the
    highest mel band; only pitch needs it. `cross_entropy` is its weight in the loss, `tau` where the temperature
    starts. A step of the curriculum ends after `step_patience` epochs without a lower loss or `step_epochs` in all
    (None, as in the paper: no limit), none before `warm_up` batches. Without supervision a prototype with less than
    `restart_share` of an even share of the windows is restarted.
    """

    supervised: bool
    per_class: Positive
    frames: Positive
    offset: Real
    scale: Annotated[Real, Field(gt=0)]
    transformations: list[Literal["gain", "pitch", "filters", "level", "time"]]
    top_hz: Annotated[Real, Field(gt=0)]
    cross_entropy: Annotated[Real, Field(ge=0)]
    tau: Real
    tau_learning_rate: Annotated[Real, Field(ge=0)]
    weight_decay: Annotated[Real, Field(ge=0)]
    step_patience: Positive
    step_epochs: Positive | None
    warm_up: Annotated[int, Field(ge=0)]
    restart_share: Annotated[Real, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.transformations)) < len(self.transformations):
            raise ValueError(f"transformations {', '.join(self.transformations)} name one twice")
        if self.cross_entropy and not self.supervised:
            raise ValueError("cross_entropy needs supervised: true")
        if "time" in self.transformations and self.frames < 2:
            raise ValueError(f"time needs prototypes of several frames, got {self.frames}")
        if {"time", "pitch"} <= set(self.transformations):
            raise ValueError("time and pitch are not learned together: one is for latents, the other for spectra")
        return self


class Protocol(Section):
    """How a classifier is trained, selected and tested.

    `class_weights`: balanced = windows of classes with few training windows count more in the loss. `select`: the epoch
    that is tested; of equally high validation accuracies the one of lower loss counts as better.
    """

    classifier: Literal[
        "conv1d",
        "conv2d",
        "mean_linear",
        "kmeans",
        "prototypes",
        "apnet",
        "apnet_kmeans",
        "autoencoder_kmeans",
        "temporal_cnn",
    ]
    split: str
    standardize: bool
    shuffle_labels: bool
    class_weights: Literal["none", "balanced"] = "none"
    optimizer: Literal["sgd", "adam", "adamw"]
    learning_rate: Annotated[Real, Field(gt=0)]
    batch_size: Positive
    shuffle_each_epoch: bool
    epochs: Positive
    patience: Positive | None
    dropout_at_evaluation: bool
    select: Literal["last", "best_validation_loss", "best_validation_accuracy"]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    prototypes: PrototypeSettings | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.classifier == "prototypes") != (self.prototypes is not None):
            raise ValueError("prototypes belongs to classifier: prototypes, and only there")
        if (self.classifier == "prototypes") != (self.optimizer == "adamw"):
            raise ValueError("optimizer adamw belongs to classifier: prototypes, and only there")
        if self.classifier in (*RECONSTRUCTING, "temporal_cnn") and self.class_weights != "none":
            raise ValueError(f"class_weights {self.class_weights} is not for {self.classifier}")
        if self.classifier in RECONSTRUCTING and self.standardize:
            raise ValueError(f"standardize is not for {self.classifier}, whose error is in the features' own unit")
        if self.patience is not None and self.select == "last":
            raise ValueError("patience needs select: best_validation_loss or best_validation_accuracy")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} name one twice")
        return self
