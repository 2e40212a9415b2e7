"""All that decides an experiment as one checked object: its grid, and what the names in the grid stand for."""

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from beyond_spectrograms.params.base import Name, Positive, Real, Section, Seed
from beyond_spectrograms.params.codecs import CodecRecipe
from beyond_spectrograms.params.datasets import Dataset, FeatureSettings, Split, Windows
from beyond_spectrograms.params.disturbances import Disturbance
from beyond_spectrograms.params.encoders import TrainedCodec
from beyond_spectrograms.params.protocols import OF_SAMPLES, RECONSTRUCTING, SUMMARISING, ZERO_SHOT, Protocol
from beyond_spectrograms.params.representations import ON_HUB, Hear, Mel, RawWaveform, Representation, weights_of
from beyond_spectrograms.params.transformers import Transformers
from beyond_spectrograms.params.verification import Verification
from beyond_spectrograms.params.weights import HubRecord, WeightsRecord
from beyond_spectrograms.util.patterns import groups_of

BEST_SPECTROGRAM = "best_spectrogram"  # in a contrast: the grid's best by validation accuracy, chosen in every fold


class Statistics(Section):
    """How sure we are: of intervals, the fewest sources and runs for which one is given, and what counts as the same.

    Two accuracies are the same where they differ by less than `margin`, 0 to 1.
    """

    confidence: Annotated[Real, Field(gt=0, lt=1)]
    minimum_sources: Annotated[int, Field(ge=2)]
    minimum_runs: Annotated[int, Field(ge=2)]
    margin: Annotated[Real, Field(gt=0, lt=1)]


class CostSettings(Section):
    """What `measure` times: so many clips drawn by `seed`, in so many rounds, in an order drawn by `seed` too.

    `classifier` is what classifies them, with weights drawn at random.
    """

    clips: Positive
    rounds: Positive
    seed: Seed
    classifier: Literal["conv1d", "mean_linear", "probe_mean", "probe_mean_deviation"]


class Audit(Section):
    """When two clips count as the same sound, and the forest that is shown file-level cues."""

    near_strength: Annotated[Real, Field(gt=0, le=1)]
    trees: Positive
    seed: Seed


class Claims(Section):
    """The rules by which the paper's claims are judged."""

    level: Annotated[Real, Field(gt=0, le=1)]  # of the lower of two plateaus, which convergence counts epochs to
    convergence_margin: Annotated[Real, Field(gt=1)]  # ratios nearer to 1 than this, either way, are "the same"
    baselines: Annotated[list[Name], Field(min_length=2, max_length=2)]  # dvc.yaml names them by place
    ladder: Annotated[list[Name], Field(min_length=2)]


class Contrasts(Section):
    """Pairs that are tested: first - second, `under` each of these protocols.

    Names are of representations, the second may be BEST_SPECTROGRAM; or, in a study of prototypes, of protocols.
    """

    under: list[Name]
    pairs: list[Annotated[list[Name], Field(min_length=2, max_length=2)]]


class Grid(Section):
    """The cells of an experiment: data sets x representations x protocols.

    `only` names for some of the representations the protocols they run under, in place of `protocols`. `beside` are
    representations of the root's experiment whose cells stand in the study's tables too; `heard` are protocols whose
    prototypes are played. `codecs` are trained here; `learning` names studies whose data sets stand beside these in
    what codecs learn, and for their codecs the names they have there. `seeds` names for some data sets and
    representations which of the protocols' seeds run.
    """

    datasets: list[Name]
    representations: list[Name]
    protocols: list[Name]
    only: dict[Name, list[Name]] = Field(default_factory=dict)
    beside: list[Name] = Field(default_factory=list)
    heard: list[Name] = Field(default_factory=list)
    codecs: list[Name] = Field(default_factory=list)
    learning: dict[Name, dict[Name, Name]] = Field(default_factory=dict)
    seeds: dict[Name, Annotated[list[Seed], Field(min_length=1)]] = Field(default_factory=dict)

    def protocols_of(self, representation: str) -> list[str]:
        """List the protocols a representation runs under."""
        return self.only.get(representation, self.protocols)

    def cells(self) -> list[tuple[str, str]]:
        """List (representation, protocol) of every cell of a data set, by representation."""
        return [(name, protocol) for name in self.representations for protocol in self.protocols_of(name)]


class Run(Section):
    """The one variant `dvc exp run run` trains and publishes."""

    dataset: Name
    representation: Name
    protocol: Name


class Params(Section):
    """All that decides an experiment: params.yaml, the study's own where it is one, datasets/ and versions.yaml."""

    grid: Grid
    statistics: Statistics
    claims: Claims
    contrasts: Contrasts
    audit: Audit
    costs: CostSettings
    run: Run
    windows: Windows
    features: FeatureSettings
    splits: dict[Name, Split]
    datasets: dict[Name, Dataset]
    representations: dict[Name, Representation]
    weights: dict[Name, WeightsRecord]
    hub: dict[Name, HubRecord] = Field(default_factory=dict)
    protocols: dict[Name, Protocol]
    disturbances: dict[Name, Disturbance] = Field(default_factory=dict)  # of test sounds, in studies that have any
    codecs: dict[Name, CodecRecipe] = Field(default_factory=dict)  # that are trained here, in studies that do that
    verification: Verification | None = None  # of speakers, in studies that do that in place of classifying
    device: Literal["auto", "cpu", "cuda"]
    training_precision: Literal["auto", "bf16", "fp32"]
    versions: dict[str, int | str]

    def windows_of(self, dataset: str) -> Windows:
        """How clips of a data set are cut: `windows`, with the data set's own tail if it has one."""
        tail = self.datasets[dataset].source.tail
        return self.windows if tail is None else self.windows.model_copy(update={"tail": tail})

    def weights_records(self, representation: str) -> dict[str, WeightsRecord | HubRecord]:
        """Look up the records of a representation's weights, by name."""
        record = self.representations[representation]
        known = self._weights_for(record)
        return {name: known[name] for name in weights_of(record)}

    def trained_on(self, representation: str) -> list[str]:
        """List the corpora that a representation's weights were trained on, as far as their records say."""
        known = [each.trained_on for each in self.weights_records(representation).values()]
        if isinstance(record := self.representations[representation], Hear):
            known.append(record.trained_on)
        return list(dict.fromkeys(corpus for corpora in known for corpus in corpora or []))

    def shared_corpora(self, dataset: str, representation: str) -> list[str]:
        """List the corpora from which a data set was drawn and on which a representation's weights were trained.

        Where there is one, the weights may know sounds that test.
        """
        drawn_from = {dataset, *self.datasets[dataset].drawn_from}
        return [corpus for corpus in self.trained_on(representation) if corpus in drawn_from]

    def _weights_for(self, record: Representation) -> Mapping[str, WeightsRecord | HubRecord]:
        return self.hub if isinstance(record, ON_HUB) else self.weights

    def seeds_of(self, dataset: str, representation: str, protocol: str) -> list[int]:
        """List the seeds of a cell: its protocol's, or those of them that the grid names for it."""
        few = [self.grid.seeds[name] for name in (dataset, representation) if name in self.grid.seeds]
        return [seed for seed in self.protocols[protocol].seeds if all(seed in named for named in few)]

    def epochs_of(self, dataset: str, protocol: str) -> int:
        """Count the epochs that a run is trained: the protocol's, or the fewer that the data set's record allows."""
        most = self.protocols[protocol].epochs
        return min(most, self.datasets[dataset].max_epochs or most)

    def runs_of(self, dataset: str, representation: str, protocol: str, folds: int) -> list[tuple[int, int]]:
        """List (fold, seed) of the runs of a cell, whose split has so many folds."""
        split = self.splits[self.protocols[protocol].split]
        return split.runs(folds, self.seeds_of(dataset, representation, protocol))

    def tests_of_codec(self, codec: str) -> list[tuple[str, int | None]]:
        """List (data set, fold; None: every fold) what tests a codec, and its latents where the grid has any."""
        records = [self.representations[name] for name in self.grid.representations]
        is_probed = any(isinstance(record, TrainedCodec) and record.codec == codec for record in records)
        judged: list[tuple[str, int | None]] = [(each.dataset, each.fold) for each in self.codecs[codec].judged]
        return judged + [(dataset, None) for dataset in self.grid.datasets] * is_probed

    def _cells(self) -> list[tuple[str, str, str]]:
        """List every cell of the grid and the one of `run`: where its representation stands, that, and its protocol."""
        run = ("run.representation", self.run.representation, self.run.protocol)
        return [*(("grid.representations", *cell) for cell in self.grid.cells()), run]

    @property
    def mixtures(self) -> dict[str, str]:
        """Look up the data sets whose sounds are mixed: mixtures -> of."""
        return {key: record.source.mixtures.of for key, record in self.datasets.items() if record.source.mixtures}

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        if numbered := [name for name in self.splits if re.search(r"_\d+$", name)]:
            raise ValueError(f"splits.{numbered[0]}: names that end in _<number> are kept for the folds of a split")
        grid, claims, run = self.grid, self.claims, self.run
        used = {protocol for _, protocol in grid.cells()}
        comparable = [*self.representations, *self.protocols, BEST_SPECTROGRAM]
        choices: tuple[tuple[str, Collection[str], Collection[str]], ...] = (
            ("grid.datasets", grid.datasets, self.datasets),
            ("grid.representations", grid.representations, self.representations),
            ("grid.protocols", grid.protocols, self.protocols),
            ("grid.only", grid.only, grid.representations),
            *((f"grid.only.{name}", under, self.protocols) for name, under in grid.only.items()),
            ("grid.beside", grid.beside, self.representations),
            ("grid.heard", grid.heard, [name for name in self.protocols if name in used]),
            ("grid.codecs", grid.codecs, self.codecs),
            *((f"grid.learning.{study}", list(names.values()), self.codecs) for study, names in grid.learning.items()),
            ("grid.seeds", grid.seeds, [*self.datasets, *self.representations]),
            ("claims.baselines", claims.baselines, self.representations),
            ("claims.ladder", claims.ladder, self.protocols),
            ("contrasts.under", self.contrasts.under, self.protocols),
            *(("contrasts.pairs", pair, comparable) for pair in self.contrasts.pairs),
            *((f"datasets.{key}.source.mixtures.of", [of], self.datasets) for key, of in self.mixtures.items()),
            *((f"run.{key}", [name], getattr(self, f"{key}s")) for key, name in run),
            *(
                (f"codecs.{key}.{place}", names, self.datasets)
                for key, recipe in self.codecs.items()
                for place, names in recipe.named_datasets()
            ),
            *((f"protocols.{key}.split", [protocol.split], self.splits) for key, protocol in self.protocols.items()),
            *(
                (f"representations.{key}.weights", weights_of(record), self._weights_for(record))
                for key, record in self.representations.items()
            ),
        )
        problems = [line for where, names, known in choices for line in _misnamed(where, names, known)]
        problems += [
            f"claims.baselines: {name!r} is no spectrogram; codecs are compared with spectrograms"
            for name in claims.baselines
            if name in self.representations and not isinstance(self.representations[name], Mel)
        ]
        if problems:
            raise ValueError("\n".join(problems))  # all at once; load_params makes a line of each
        return self

    @model_validator(mode="after")
    def _speakers_are_tried(self) -> Self:
        without = [name for name in self.grid.datasets if self.datasets[name].trials is None]
        if self.verification and without:
            raise ValueError(f"grid.datasets: verification takes trials, and {without[0]!r} has none in its record")
        if self.verification and self.grid.protocols:
            raise ValueError(f"grid.protocols: {self.grid.protocols[0]!r} trains, which verification does not")
        return self

    @model_validator(mode="after")
    def _codecs_exist(self) -> Self:
        for name, record in self.representations.items():
            if not isinstance(record, TrainedCodec):
                continue
            where = f"representations.{name}"
            if record.codec not in self.codecs:
                raise ValueError(f"{where}.codec: {record.codec!r} is none of codecs: {', '.join(self.codecs)}")
            recipe = self.codecs[record.codec]
            for key, value, known in (("seed", record.seed, recipe.seeds), ("step", record.step, recipe.steps)):
                if value not in known:
                    raise ValueError(f"{where}.{key}: {value} is none of codecs.{record.codec}.{key}s, {known}")
        return self

    @model_validator(mode="after")
    def _seeds_exist(self) -> Self:
        asked = [
            (f"protocols.{key}.seeds", recipe.seeds, f"splits.{recipe.split}.seeds", self.splits[recipe.split].seeds)
            for key, recipe in self.protocols.items()
        ]
        asked += [
            (f"grid.seeds.{name}", seeds, f"protocols.{key}.seeds", self.protocols[key].seeds)
            for name, seeds in self.grid.seeds.items()
            for key in dict.fromkeys(protocol for _, protocol in self.grid.cells())
        ]
        for where, seeds, place, known in asked:
            if known is not None and (unknown := [seed for seed in seeds if seed not in known]):
                raise ValueError(f"{where}: {unknown[0]} is none of {place}, {known}")
        return self

    @model_validator(mode="after")
    def _classifiers_suit_features(self) -> Self:
        for where, name, key in self._cells():
            if why := misfit(self.representations[name], self.protocols[key]):
                raise ValueError(f"{where.partition('.')[0]}: {name!r} under {key!r}: {why}")
        return self

    @model_validator(mode="after")
    def _features_have_codes(self) -> Self:
        without = [name for name in self.grid.representations if not self.representations[name].has_codes]
        if self.features.dtype == "codes" and without:
            known = [name for name, record in self.representations.items() if record.has_codes]
            raise ValueError(
                f"features.dtype: {without[0]!r} of grid.representations is not quantised by a codec, so it has no "
                f"codes. Choose float32 or float16, or a grid of {', '.join(known) or 'codecs with a bitrate'}."
            )
        return self

    @model_validator(mode="after")
    def _labels_suit_protocols(self) -> Self:
        for key, of in self.mixtures.items():
            other = self.datasets[of].source
            if "fold" not in groups_of(other.name or "") or other.has_several:
                raise ValueError(
                    f"datasets.{key}.source.mixtures.of: {of!r} has several labels a sound, or no published folds in "
                    "its source.name"
                )
        several = [name for name in self.grid.datasets if self.datasets[name].source.has_several]
        for key in dict.fromkeys(protocol for _, protocol in self.grid.cells()):
            if several and self.protocols[key].loss is None:
                raise ValueError(
                    f"protocols.{key}: loss is cross-entropy, which takes one label a sound; those of {several[0]!r} "
                    "of grid.datasets have several: give it loss: binary_cross_entropy"
                )
        if self.datasets[self.run.dataset].source.has_several:
            raise ValueError(f"run.dataset: {self.run.dataset!r} has several labels a sound; run shows one a window")
        if self.protocols[self.run.protocol].loss is not None:
            raise ValueError(f"run.protocol: {self.run.protocol!r} answers with several labels; run shows one a window")
        by_label = [key for key in self.contrasts.under if self.protocols[key].loss is not None]
        if by_label and any(BEST_SPECTROGRAM in pair for pair in self.contrasts.pairs):
            raise ValueError(
                f"contrasts.pairs: {BEST_SPECTROGRAM} is chosen by accuracy, and {by_label[0]!r} of contrasts.under "
                "has several labels a sound"
            )
        return self

    @model_validator(mode="after")
    def _augmentation_suits_features(self) -> Self:
        for where, name, key in self._cells():
            augment = self.protocols[key].augment
            if augment and augment.gain and not self.representations[name].in_decibels:
                raise ValueError(f"protocols.{key}.augment.gain: {name!r} of {where} is not in decibels")
        return self

    @model_validator(mode="after")
    def _prototypes_suit_features(self) -> Self:
        for where, name, key in self._cells():
            record, settings = self.representations[name], self.protocols[key].prototypes
            if settings and "pitch" in settings.transformations:
                reach = f"reaches {record.sample_rate / 2:g} Hz" if isinstance(record, Mel) else "has no mel bands"
                if not isinstance(record, Mel) or record.sample_rate != 2 * settings.top_hz:
                    raise ValueError(
                        f"protocols.{key}.prototypes.top_hz: {settings.top_hz:g}, but {name!r} of {where} "
                        f"{reach}: its pitch would be shifted wrongly"
                    )
            if key in self.grid.heard and where != "run.representation":
                if settings is None:
                    raise ValueError(f"grid.heard: {key!r} has nothing to play: that takes classifier: prototypes")
                if not isinstance(record, Mel) and record.decoder not in self.weights:
                    raise ValueError(
                        f"grid.heard: {key!r} runs on {name!r}, whose latents no decoder can play. Choose a trained "
                        "codec without codes"
                    )
        return self


def misfit(record: Representation, protocol: Protocol) -> str:
    """Say why a protocol's classifier is not for what a record gives; empty where it is.

    Samples are for classifiers of samples alone: conv1d would see 45 of them, 3 ms, and weigh each place in the window,
    and their mean and deviation are an offset and the loudness. Texts are compared with what shares their space alone,
    and weights of stacked layers are learned by gradient.
    """
    is_waveform, wanted = isinstance(record, RawWaveform), protocol.classifier in OF_SAMPLES
    if is_waveform and not wanted:
        return f"{protocol.classifier} is not for the samples of a waveform; {', '.join(OF_SAMPLES)} is"
    if wanted and not is_waveform:
        return f"{protocol.classifier} is for the samples of kind waveform, not for kind {record.kind}"
    if protocol.classifier == ZERO_SHOT and not (isinstance(record, Transformers) and record.layer == "projected"):
        return "zero_shot is for embeddings of sounds and texts: kind transformers with layer: projected"
    if record.stacked and protocol.classifier in (*RECONSTRUCTING, *SUMMARISING, ZERO_SHOT):
        return f"{protocol.classifier} learns no weights of layers: choose join: mean, or a network"
    return ""


def _misnamed(where: str, names: Collection[str], known: Collection[str]) -> list[str]:
    """Say in a line each which of the names at `where` are not among the known ones, or stand there twice."""
    lines = [
        f"{where}: {name!r} is not defined. Choose from {', '.join(known)}." for name in names if name not in known
    ]
    return lines or [f"{where} names one twice: {', '.join(names)}"] * (len(set(names)) < len(names))
