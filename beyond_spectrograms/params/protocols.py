"""How a classifier is trained, selected and tested: a protocol of params.yaml."""

from itertools import product
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from beyond_spectrograms.params.base import AboveZero, Positive, Real, Section, Seed, is_unset

# Classifiers whose windows have a reconstruction error (a test compares this with classifiers.registry).
Reconstructing = Literal["kmeans", "prototypes", "apnet", "apnet_kmeans", "autoencoder_kmeans"]
RECONSTRUCTING = get_args(Reconstructing)
# Those that are fitted at once to a summary of each window (classifiers/summaries.py).
Summarising = Literal["probe_mean", "probe_mean_deviation", "nearest_neighbour", "knn_euclidean", "knn_cosine"]
SUMMARISING = get_args(Summarising)
Learning = Literal["temporal_cnn", "attention_pooling", "m5"]
VOTING = ("knn_euclidean", "knn_cosine")
OF_SAMPLES = ("m5",)  # those that take kind: waveform, and nothing else
# Those trained by cross-entropy alone.
TUNABLE = ("conv1d", "conv2d", "temporal_cnn", "mean_linear", "attention_pooling", "m5")
# Those that know class weights.
WEIGHTED = (*TUNABLE, "probe_mean", "probe_mean_deviation")
AUGMENTED = ("conv1d", "conv2d")  # those whose training windows can be changed at random
DROPPING_OUT = ("conv1d", "conv2d", "temporal_cnn")
ZERO_SHOT = "zero_shot"  # learns nothing: classifiers/zero_shot.py
LABEL = "{label}"  # stands in a prompt where the class's name goes
SEVERAL = "|"  # between the labels of one sound
Dropout = Annotated[Real, Field(ge=0, lt=1)]  # share of values that are set to zero


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
    scale: AboveZero
    transformations: list[Literal["gain", "pitch", "filters", "level", "time"]]
    top_hz: AboveZero
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


class Trials(Section):
    """What a tuned protocol tries in place of its own values: every combination of these.

    Each representation gets the same number of trials. A fold's first run is trained under each; the highest
    validation accuracy chooses for all runs of the fold (training/tuning.py).
    """

    learning_rate: Annotated[list[AboveZero], Field(min_length=1)] | None = None
    standardize: Annotated[list[bool], Field(min_length=1)] | None = None
    dropout: Annotated[list[Dropout], Field(min_length=1)] | None = None


class Augmentation(Section):
    """How training windows are changed at random, anew in every epoch (training/augmentation.py); what is unset is not.

    `mixup`: both parameters of the beta distribution that shares are drawn from. `gain`: up to so many dB louder or
    softer, for spectrograms in decibels. `time_shift`: up to such a share of the window. `noise`: its deviation in that
    of the features' band.
    """

    mixup: AboveZero | None = Field(default=None, exclude_if=is_unset)
    gain: AboveZero | None = Field(default=None, exclude_if=is_unset)
    time_shift: Annotated[AboveZero, Field(le=0.5)] | None = Field(default=None, exclude_if=is_unset)
    noise: AboveZero | None = Field(default=None, exclude_if=is_unset)


class Protocol(Section):
    """How a classifier is trained, selected and tested.

    `class_weights`: balanced = windows of classes with few training windows count more in the loss. `select`: the epoch
    that is tested; of equally high validation accuracies the one of lower loss counts as better. `deal_labels`: a
    seed, from which recordings are dealt labels in place of their own, in every part (data.windows.deal_labels).
    `inverse_penalty` of a probe, and `neighbours` (k) of k-NN: None lets the validation part choose. `dropout`: None is
    the paper's, 0.5. `training_share`: of each class's training recordings, those trained on (data.windows.keep_share);
    None is all. `examples_per_class`: so many of them, and at most as many that validate (data.windows.keep_examples).
    `augment` changes training windows alone. `loss`: None is cross-entropy; binary_cross_entropy takes labels such as
    owl|rain for several, each of which a window has or has not. `prompts` of zero_shot say what a class sounds like,
    each with {label} in place of its name.
    """

    classifier: Literal["conv1d", "conv2d", "mean_linear", Reconstructing, Summarising, Learning, "zero_shot"]
    split: str
    standardize: bool
    shuffle_labels: bool
    class_weights: Literal["none", "balanced"] = "none"
    optimizer: Literal["sgd", "adam", "adamw"]
    learning_rate: AboveZero
    batch_size: Positive
    shuffle_each_epoch: bool
    epochs: Positive
    patience: Positive | None
    dropout_at_evaluation: bool
    select: Literal["last", "best_validation_loss", "best_validation_accuracy"]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    prototypes: PrototypeSettings | None = None
    deal_labels: Positive | None = Field(default=None, exclude_if=is_unset)
    inverse_penalty: AboveZero | None = Field(default=None, exclude_if=is_unset)
    neighbours: Positive | None = Field(default=None, exclude_if=is_unset)
    dropout: Dropout | None = Field(default=None, exclude_if=is_unset)
    training_share: Annotated[Real, Field(gt=0, le=1)] | None = Field(default=None, exclude_if=is_unset)
    examples_per_class: Positive | None = Field(default=None, exclude_if=is_unset)
    trials: Trials | None = Field(default=None, exclude_if=is_unset)
    augment: Augmentation | None = Field(default=None, exclude_if=is_unset)
    loss: Literal["binary_cross_entropy"] | None = Field(default=None, exclude_if=is_unset)
    prompts: Annotated[list[str], Field(min_length=1)] | None = Field(default=None, exclude_if=is_unset)

    @property
    def is_control(self) -> bool:
        """Whether it trains on other labels than the recordings' own."""
        return self.shuffle_labels or bool(self.deal_labels)

    @property
    def is_fitted_at_once(self) -> bool:
        """Whether there is nothing to see of how it learns: no curve, no convergence."""
        return self.classifier in SUMMARISING or self.classifier == ZERO_SHOT

    def recipes(self) -> list["Protocol"]:
        """List what is trained: a protocol for every combination of the trials' values, or this one alone."""
        if self.trials is None:
            return [self]
        tried = {key: values for key, values in self.trials if values}
        combinations = product(*tried.values())
        return [
            self.model_copy(update={**dict(zip(tried, each, strict=True)), "trials": None}) for each in combinations
        ]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.classifier == "prototypes") != (self.prototypes is not None):
            raise ValueError("prototypes belongs to classifier: prototypes, and only there")
        if (self.classifier == "prototypes") != (self.optimizer == "adamw"):
            raise ValueError("optimizer adamw belongs to classifier: prototypes, and only there")
        if self.classifier not in WEIGHTED and self.class_weights != "none":
            raise ValueError(f"class_weights {self.class_weights} is not for {self.classifier}")
        if self.classifier in RECONSTRUCTING and self.standardize:
            raise ValueError(f"standardize is not for {self.classifier}, whose error is in the features' own unit")
        if self.classifier in SUMMARISING and self.standardize:
            raise ValueError(f"standardize is not for {self.classifier}, which standardises its own summaries")
        if self.inverse_penalty is not None and not self.classifier.startswith("probe"):
            raise ValueError(
                f"inverse_penalty is not for {self.classifier}; it is for probe_mean, probe_mean_deviation"
            )
        if self.neighbours is not None and self.classifier not in VOTING:
            raise ValueError(f"neighbours is not for {self.classifier}; it is for {', '.join(VOTING)}")
        if self.shuffle_labels and self.deal_labels:
            raise ValueError("shuffle_labels and deal_labels are two ways to do one thing: choose one")
        if self.training_share is not None and self.examples_per_class is not None:
            raise ValueError("training_share and examples_per_class are two ways to do one thing: choose one")
        if self.classifier == "m5" and self.dropout_at_evaluation:
            raise ValueError(
                "dropout_at_evaluation is not for m5, whose batch normalisation would learn from validation"
            )
        if self.patience is not None and self.select == "last":
            raise ValueError("patience needs select: best_validation_loss or best_validation_accuracy")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} name one twice")
        return self

    @model_validator(mode="after")
    def _prompts(self) -> Self:
        if (self.classifier == ZERO_SHOT) != (self.prompts is not None):
            raise ValueError("prompts belong to classifier: zero_shot, and only there")
        if self.prompts is None:
            return self
        if without := [prompt for prompt in self.prompts if LABEL not in prompt]:
            raise ValueError(f"prompts: {without[0]!r} does not say where the class's name goes: {LABEL}")
        if self.standardize or self.is_control:
            raise ValueError("standardize, shuffle_labels and deal_labels are not for zero_shot, which learns nothing")
        return self

    @model_validator(mode="after")
    def _tunes(self) -> Self:
        tries_dropout = self.trials is not None and self.trials.dropout is not None
        if (self.dropout is not None or tries_dropout) and self.classifier not in DROPPING_OUT:
            raise ValueError(f"dropout is not for {self.classifier}; it is for {', '.join(DROPPING_OUT)}")
        if self.trials is not None and self.classifier not in TUNABLE:
            raise ValueError(f"trials are not for {self.classifier}; they are for {', '.join(TUNABLE)}")
        if self.trials is not None and self.select != "best_validation_accuracy":
            raise ValueError(f"trials need select: best_validation_accuracy, by which one is chosen, not {self.select}")
        if self.trials is not None and len({str(each) for each in self.recipes()}) < 2:
            raise ValueError("trials need two different combinations of values or more")
        return self

    @model_validator(mode="after")
    def _loses(self) -> Self:
        if self.loss is None:
            return self
        if self.classifier not in WEIGHTED:
            raise ValueError(f"loss {self.loss} is not for {self.classifier}; it is for {', '.join(WEIGHTED)}")
        if self.class_weights != "none":
            raise ValueError(f"class_weights {self.class_weights} is not for loss {self.loss}")
        if self.select == "best_validation_accuracy":
            raise ValueError(f"select {self.select} is not for loss {self.loss}; take best_validation_loss")
        if self.is_control or self.training_share is not None or self.examples_per_class is not None:
            few = "shuffle_labels, deal_labels, training_share and examples_per_class"
            raise ValueError(f"{few} are not for loss {self.loss}")
        return self

    @model_validator(mode="after")
    def _augments(self) -> Self:
        if self.augment is None:
            return self
        if not self.augment.model_dump():
            raise ValueError("augment names nothing: give mixup, gain, time_shift or noise")
        if self.classifier not in AUGMENTED:
            raise ValueError(f"augment is not for {self.classifier}; it is for {', '.join(AUGMENTED)}")
        if not all(recipe.standardize for recipe in self.recipes()):
            raise ValueError("augment needs standardize: true, for its strengths are of standardised features")
        return self
