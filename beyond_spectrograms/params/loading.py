"""The whole of params.yaml, read and checked before any work starts; every problem is told in a line of its own."""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError, model_validator

from beyond_spectrograms.params.datasets import Dataset, FeatureSettings, Split, WeightsRecord, Windows
from beyond_spectrograms.params.protocols import FAMILIES, Audit, Claims, CostSettings, Protocol, Statistics
from beyond_spectrograms.params.representations import (
    Encodec,
    Hear,
    Mel,
    Representation,
    SoundStream,
    decoder_of,
    weights_of,
)
from beyond_spectrograms.params.sections import Name, ParamsError, Section

PARAMS_FILE = Path("params.yaml")
OPTIONAL = ("openvino",)  # what it does can be done without; the features record which engine made them


class Product(Section):
    """Cells: every representation under every protocol."""

    representations: list[Name]
    protocols: list[Name]


class Grid(Product):
    """What `dvc repro` runs."""

    datasets: list[Name]


class PrototypeCells(Grid):
    """The cells of the prototypes and what they are compared with.

    `baselines` are further protocols and `further_datasets` those of the data sets that the grid has not: they have
    stages of their own. `heard` are the protocols whose prototypes are played. `latents` are representations of the
    grid, for prototypes under `latent_protocols`, of which `heard_latents` are played by the codec's decoder.
    """

    baselines: list[Name]
    further_datasets: list[Name]
    heard: list[Name]
    latents: list[Name]
    latent_protocols: list[Name]
    heard_latents: list[Name]


class Run(Section):
    """The one variant `dvc exp run run` trains and publishes."""

    dataset: Name
    representation: Name
    protocol: Name


class Params(Section):
    """The whole of params.yaml."""

    grid: Grid
    ablations: Product  # further representations, under a few protocols: with all of the grid's it would take weeks
    prototypes: PrototypeCells
    statistics: Statistics
    claims: Claims
    audit: Audit
    costs: CostSettings
    demo: Product  # over representations that need no download
    run: Run
    windows: Windows
    features: FeatureSettings
    splits: dict[Name, Split]
    datasets: dict[Name, Dataset]
    representations: dict[Name, Representation]
    weights: dict[Name, WeightsRecord]
    decoders: dict[Name, WeightsRecord]  # of codecs
    protocols: dict[Name, Protocol]
    device: Literal["auto", "cpu", "cuda"]
    training_precision: Literal["auto", "bf16", "fp32"]
    versions: dict[str, str]

    def windows_of(self, dataset: str) -> Windows:
        """How clips of a data set are cut: `windows`, with the data set's own tail if it has one."""
        tail = self.datasets[dataset].source.tail
        return self.windows if tail is None else self.windows.model_copy(update={"tail": tail})

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        if numbered := [name for name in self.splits if re.search(r"_\d+$", name)]:
            raise ValueError(f"splits.{numbered[0]}: a name that ends in _<number> is that of a fold of a split")
        for where, names, known in (
            ("grid.datasets", self.grid.datasets, self.datasets),
            ("grid.representations", self.grid.representations, self.representations),
            ("grid.protocols", self.grid.protocols, self.protocols),
            ("ablations.representations", self.ablations.representations, self.representations),
            ("ablations.protocols", self.ablations.protocols, self.protocols),
            ("prototypes.datasets", self.prototypes.datasets, self.datasets),
            ("prototypes.further_datasets", self.prototypes.further_datasets, self.prototypes.datasets),
            ("prototypes.representations", self.prototypes.representations, self.representations),
            ("prototypes.protocols", self.prototypes.protocols, self.protocols),
            ("prototypes.baselines", self.prototypes.baselines, self.protocols),
            ("prototypes.heard", self.prototypes.heard, self.prototypes.protocols),
            ("prototypes.latents", self.prototypes.latents, self.representations),
            ("prototypes.latent_protocols", self.prototypes.latent_protocols, self.protocols),
            ("prototypes.heard_latents", self.prototypes.heard_latents, self.prototypes.latent_protocols),
            ("claims.baselines", self.claims.baselines, self.representations),
            ("claims.ladder", self.claims.ladder, self.protocols),
            ("demo.representations", self.demo.representations, self.representations),
            ("demo.protocols", self.demo.protocols, self.protocols),
            ("audit.known_pairs", self.audit.known_pairs, self.datasets),
            ("run.dataset", [self.run.dataset], self.datasets),
            ("run.representation", [self.run.representation], self.representations),
            ("run.protocol", [self.run.protocol], self.protocols),
        ):
            for name in names:
                _choose(where, name, known)
        for key, representation in self.representations.items():
            for weights in weights_of(representation):
                _choose(f"representations.{key}.weights", weights, self.weights)
        if names := [name for name in self.claims.baselines if self.representations[name].kind != "mel"]:
            raise ValueError(f"claims.baselines: {names[0]!r} is no spectrogram; codecs are compared with spectrograms")
        for where, names in (("baselines", self.claims.baselines), ("ladder", self.claims.ladder)):
            if len(set(names)) < len(names):
                raise ValueError(f"claims.{where} names one twice: {', '.join(names)}")
        run = [*self.grid.representations, *self.ablations.representations]
        if missing := [name for name in self.claims.baselines if name not in run]:
            raise ValueError(
                f"claims.baselines: {missing[0]!r} is in neither grid.representations nor ablations.representations, "
                "and codecs are compared with it"
            )
        if both := [name for name in self.ablations.representations if name in self.grid.representations]:
            raise ValueError(f"ablations.representations: {both[0]!r} is in grid.representations as well")
        for key, protocol in self.protocols.items():
            _choose(f"protocols.{key}.split", protocol.split, self.splits)
        return self

    @model_validator(mode="after")
    def _prototypes_have_features(self) -> Params:
        if missing := [name for name in self.prototypes.latents if name not in self.grid.representations]:
            raise ValueError(
                f"prototypes.latents: {missing[0]!r} is not in grid.representations, whose features it takes. Put it "
                "there, or take it out here"
            )
        outside = [name for name in self.prototypes.datasets if name not in self.grid.datasets]
        if outside != self.prototypes.further_datasets:
            raise ValueError(
                f"prototypes.further_datasets: {', '.join(self.prototypes.further_datasets) or 'none'}; of "
                f"prototypes.datasets {', '.join(outside) or 'none'} are not in grid.datasets"
            )
        return self

    @model_validator(mode="after")
    def _families_stand_alone(self) -> Params:
        for where, names in (
            ("grid.protocols", self.grid.protocols),
            ("ablations.protocols", self.ablations.protocols),
            ("prototypes.protocols", self.prototypes.protocols),
            ("prototypes.baselines", self.prototypes.baselines),
            ("prototypes.latent_protocols", self.prototypes.latent_protocols),
        ):
            for name in names:
                classifier = self.protocols[name].classifier
                if where not in (places := FAMILIES.get(classifier, (where,))):
                    raise ValueError(
                        f"{where}: {name!r} has the classifier {classifier}, on whose code only the stages of "
                        f"{' and '.join(places)} depend. Put it there"
                    )
        return self

    @model_validator(mode="after")
    def _heard_can_be_played(self) -> Params:
        for where, played, names in (
            ("heard", "spectra", self.prototypes.heard),
            ("heard_latents", "latents", self.prototypes.heard_latents),
        ):
            for name in names:
                if self.protocols[name].classifier != "prototypes":
                    raise ValueError(
                        f"prototypes.{where}: {name!r} has no {played} to play: that takes classifier: prototypes"
                    )
        for name in self.prototypes.latents:
            if decoder_of(self.representations[name]) not in self.decoders:
                raise ValueError(
                    f"prototypes.latents: {name!r} has no latents that a decoder can play. Choose a trained codec "
                    f"without codes, of those under decoders: {', '.join(self.decoders)}"
                )
        return self

    @model_validator(mode="after")
    def _spectra_suit_prototypes(self) -> Params:
        for name in self.prototypes.representations:
            if name in (*self.grid.representations, *self.ablations.representations):
                raise ValueError(
                    f"prototypes.representations: {name!r} is in grid.representations or ablations.representations as "
                    "well, and two stages would make its features"
                )
        for kind, protocols in (
            ("representations", self.prototypes.protocols),
            ("latents", self.prototypes.latent_protocols),
        ):
            for name, key in product(getattr(self.prototypes, kind), protocols):
                record, settings = self.representations[name], self.protocols[key].prototypes
                if settings is None or "pitch" not in settings.transformations:
                    continue
                if record.kind != "mel" or record.sample_rate != 2 * settings.top_hz:
                    reach = f"reaches {record.sample_rate / 2:g} Hz" if record.kind == "mel" else "has no mel bands"
                    raise ValueError(
                        f"protocols.{key}.prototypes.top_hz: {settings.top_hz:g}, but {name!r} of prototypes.{kind} "
                        f"{reach}: its pitch would be shifted wrongly"
                    )
        return self


def _choose(where: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ValueError(f"{where}: {name!r} is not defined. Choose from {', '.join(known)}.")


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: there is no such file, it is not YAML, a key is unknown or missing, a value is out of range, or a
            package's version is not the one installed; the message has a line for each.
    """
    try:
        params = Params.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file. Run stages from the folder that holds it.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not YAML: {error}") from None
    except ValidationError as error:
        raise ParamsError("\n".join(_explain(path, problem) for problem in error.errors())) from None
    if wrong := [line for name, wanted in params.versions.items() if (line := _version_problem(name, wanted))]:
        raise ParamsError("\n".join(f"{path}: {line}" for line in wrong))
    return params


def _version_problem(name: str, wanted: str) -> str:
    try:
        found = version(name)
    except PackageNotFoundError:
        if name in OPTIONAL:
            return ""
        return f"versions.{name}: {wanted} is wanted, none is installed. Install what pyproject.toml pins."
    if found == wanted:
        return ""
    return (
        f"versions.{name}: {wanted} is wanted, {found} is installed. Install what pyproject.toml pins, or change the "
        "version here and there: then what it computes is computed anew."
    )


def _explain(path: Path, problem: Any) -> str:
    """One line: where, what, the value and the choices."""
    location = problem["loc"]
    if location[:1] == ("representations",):
        location = (*location[:2], *location[3:])  # pydantic inserts the kind after the name
    where = [str(part) for part in location]
    if problem["type"] == "extra_forbidden":
        parent, known = ".".join(where[:-1]), ", ".join(_known_keys(problem["loc"][:-1]))
        return f"{path}: unknown key {where[-1]!r} in {parent or 'the top level'}. Known keys: {known}."
    message = problem["msg"].removeprefix("Value error, ")
    place = f"{'.'.join(where)}: " if where else ""
    value = "" if problem["type"] in ("missing", "value_error") else f", not {problem['input']!r}"
    if where[-1:] == ["[key]"]:
        return f"{path}: {'.'.join(where[:-1])}: a name has letters, digits and _ only"
    if problem["type"] == "union_tag_not_found":
        return f"{path}: {place}no kind. Choose from encodec, hear, mel, soundstream."
    if problem["type"] == "union_tag_invalid":
        return f"{path}: {place}unknown kind {problem['input']['kind']!r}. Choose from encodec, hear, mel, soundstream."
    if isinstance(problem["input"], str) and re.fullmatch(r"[\d.]+[eE][-+]?\d+", problem["input"]):
        value += " (YAML reads that as text: write 0.001 or 1.0e-3)"
    return f"{path}: {place}{message}{value}"


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """List the keys of the section at `location`, followed through the models' annotations."""
    kinds: dict[str, type[Section]] = {"mel": Mel, "encodec": Encodec, "soundstream": SoundStream, "hear": Hear}
    section: type[Section] = Params
    for part in location:
        if isinstance(part, int) or part not in section.model_fields:
            section = kinds.get(str(part), section)
            continue
        annotation = section.model_fields[part].annotation
        section = next(model for model in [*_models(annotation), section])
    return list(section.model_fields)


def _models(annotation: Any) -> list[type[Section]]:
    """List the section classes named inside a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]
