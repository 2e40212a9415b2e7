"""The whole of params.yaml, read and checked before any work starts; every problem is told in a line of its own."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from beyond_spectrograms.params.base import Name, ParamsError, Section
from beyond_spectrograms.params.datasets import Dataset, FeatureSettings, Split, WeightsRecord, Windows
from beyond_spectrograms.params.protocols import Audit, Claims, CostSettings, Protocol, Statistics
from beyond_spectrograms.params.representations import (
    Encodec,
    Hear,
    Mel,
    Representation,
    SoundStream,
    decoder_of,
    weights_of,
)
from beyond_spectrograms.util.code_versions import VERSIONS_FILE, load_versions

PARAMS_FILE = Path("params.yaml")
DATASETS, STUDIES = Path("datasets"), Path("studies")  # folders beside it
OPTIONAL = ("openvino",)  # what it does can be done without; the features record which engine made them
UNITED = ("representations", "protocols")  # sections to which a study adds; beside them it has a grid


class Grid(Section):
    """The cells of an experiment: data sets x representations x protocols.

    `only` names for some of the representations the protocols they run under, in place of `protocols`. `beside` are
    representations of the root's experiment whose cells stand in the study's tables too; `heard` are protocols whose
    prototypes are played.
    """

    datasets: list[Name]
    representations: list[Name]
    protocols: list[Name]
    only: dict[Name, list[Name]] = Field(default_factory=dict)
    beside: list[Name] = Field(default_factory=list)
    heard: list[Name] = Field(default_factory=list)

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
    audit: Audit
    costs: CostSettings
    run: Run
    windows: Windows
    features: FeatureSettings
    splits: dict[Name, Split]
    datasets: dict[Name, Dataset]
    representations: dict[Name, Representation]
    weights: dict[Name, WeightsRecord]
    protocols: dict[Name, Protocol]
    device: Literal["auto", "cpu", "cuda"]
    training_precision: Literal["auto", "bf16", "fp32"]
    versions: dict[str, int | str]

    def windows_of(self, dataset: str) -> Windows:
        """How clips of a data set are cut: `windows`, with the data set's own tail if it has one."""
        tail = self.datasets[dataset].source.tail
        return self.windows if tail is None else self.windows.model_copy(update={"tail": tail})

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        if numbered := [name for name in self.splits if re.search(r"_\d+$", name)]:
            raise ValueError(f"splits.{numbered[0]}: a name that ends in _<number> is that of a fold of a split")
        protocols = {protocol for _, protocol in self.grid.cells()}
        choices: tuple[tuple[str, Collection[str], Collection[str]], ...] = (
            ("grid.datasets", self.grid.datasets, self.datasets),
            ("grid.representations", self.grid.representations, self.representations),
            ("grid.protocols", self.grid.protocols, self.protocols),
            ("grid.only", self.grid.only, self.grid.representations),
            *((f"grid.only.{name}", under, self.protocols) for name, under in self.grid.only.items()),
            ("grid.beside", self.grid.beside, self.representations),
            ("grid.heard", self.grid.heard, [name for name in self.protocols if name in protocols]),
            ("claims.baselines", self.claims.baselines, self.representations),
            ("claims.ladder", self.claims.ladder, self.protocols),
            ("run.dataset", [self.run.dataset], self.datasets),
            ("run.representation", [self.run.representation], self.representations),
            ("run.protocol", [self.run.protocol], self.protocols),
        )
        for where, names, known in choices:
            for name in names:
                _choose(where, name, known)
            if len(set(names)) < len(names):
                raise ValueError(f"{where} names one twice: {', '.join(names)}")
        for key, representation in self.representations.items():
            for weights in weights_of(representation):
                _choose(f"representations.{key}.weights", weights, self.weights)
        if names := [name for name in self.claims.baselines if self.representations[name].kind != "mel"]:
            raise ValueError(f"claims.baselines: {names[0]!r} is no spectrogram; codecs are compared with spectrograms")
        for key, protocol in self.protocols.items():
            _choose(f"protocols.{key}.split", protocol.split, self.splits)
        return self

    @model_validator(mode="after")
    def _prototypes_suit_features(self) -> Params:
        for name, key in self.grid.cells():
            record, settings = self.representations[name], self.protocols[key].prototypes
            if settings is None or "pitch" not in settings.transformations:
                continue
            if record.kind != "mel" or record.sample_rate != 2 * settings.top_hz:
                reach = f"reaches {record.sample_rate / 2:g} Hz" if record.kind == "mel" else "has no mel bands"
                raise ValueError(
                    f"protocols.{key}.prototypes.top_hz: {settings.top_hz:g}, but {name!r} of grid.representations "
                    f"{reach}: its pitch would be shifted wrongly"
                )
        for name, key in self.grid.cells():
            if key not in self.grid.heard:
                continue
            if self.protocols[key].prototypes is None:
                raise ValueError(f"grid.heard: {key!r} has nothing to play: that takes classifier: prototypes")
            if self.representations[name].kind != "mel" and decoder_of(self.representations[name]) not in self.weights:
                raise ValueError(
                    f"grid.heard: {key!r} runs on {name!r}, of which no decoder can play the latents. Choose a trained "
                    "codec without codes"
                )
        return self


def _choose(where: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ValueError(f"{where}: {name!r} is not defined. Choose from {', '.join(known)}.")


def load_params(study: Path = Path(), root: Path = Path()) -> Params:
    """Read and check all that decides an experiment.

    Args:
        study: the folder of its params.yaml, below `root`; `Path()` is the root's own experiment.
        root: the folder that holds params.yaml, datasets/ and versions.yaml.

    Raises:
        ParamsError: a file is missing or not YAML, a key is unknown or missing, a value is out of range, or a package's
            version is not the one installed; the message has a line for each.
    """
    file, own = root / PARAMS_FILE, root / study / PARAMS_FILE
    values = _read(file)
    if own != file:
        values = _unite(values, _read(own), own)
    if "datasets" in values:
        raise ParamsError(
            f"{own}: unknown key 'datasets' in the top level. A data set is a file, datasets/<name>.yaml."
        )
    records = sorted((root / DATASETS).glob("*.yaml"))
    values["datasets"] = {path.stem: _read(path) for path in records}
    versions = load_versions(root / VERSIONS_FILE)
    values["versions"] = {**versions.nouns, **versions.packages}
    try:
        params = Params.model_validate(values)
    except ValidationError as error:
        sections = {} if own == file else _read(own)
        raise ParamsError("\n".join(_explain(problem, root, own, sections) for problem in error.errors())) from None
    if wrong := [line for name, wanted in versions.packages.items() if (line := _version_problem(name, wanted))]:
        raise ParamsError("\n".join(f"{root / VERSIONS_FILE}: {line}" for line in wrong))
    return params


def load_all_params(root: Path = Path()) -> Params:
    """Read the root's params with the representations and protocols of every study beside its own.

    For what is no study's: models of one's own sounds, and the HEAR API.

    Raises:
        ParamsError: as load_params.
    """
    params = load_params(root=root)
    for path in sorted((root / STUDIES).glob(f"*/{PARAMS_FILE}")):
        own = load_params(path.parent.relative_to(root), root)
        united = {key: getattr(params, key) | getattr(own, key) for key in UNITED}
        params = params.model_copy(update=united)
    return params


def _read(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is there
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506  both are safe loaders
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file. Run stages from the folder that holds it.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: a mapping of sections is expected, not {values!r}.")
    return values


def _unite(values: dict[str, Any], own: dict[str, Any], path: Path) -> dict[str, Any]:
    """Put a study's grid in place of the root's; to the sections of UNITED it adds, under names of its own."""
    if other := [section for section in own if section not in ("grid", *UNITED)]:
        known = ", ".join(("grid", *UNITED))
        raise ParamsError(f"{path}: a study has no {other[0]!r} of its own; it is the root's. A study has {known}.")
    for section in UNITED:
        if both := [name for name in own.get(section, {}) if name in values[section]]:
            raise ParamsError(
                f"{path}: {section}.{both[0]} stands in the root's params.yaml too. Give it another name."
            )
    return values | own | {section: values[section] | own.get(section, {}) for section in UNITED}


def _version_problem(name: str, wanted: str) -> str:
    try:
        found = version(name)
    except PackageNotFoundError:
        if name in OPTIONAL:
            return ""
        return f"{name}: {wanted} is wanted, none is installed. Install what pyproject.toml pins."
    if found == wanted:
        return ""
    return (
        f"{name}: {wanted} is wanted, {found} is installed. Install what pyproject.toml pins, or change the "
        "version here and there: then what it computes is computed anew."
    )


def _explain(problem: Any, root: Path, own: Path, sections: dict[str, Any]) -> str:
    """One line: which file, where in it, what, the value and the choices; `sections` are those of a study's file."""
    location = problem["loc"]
    if location[:1] == ("representations",):
        location = (*location[:2], *location[3:])  # pydantic inserts the kind after the name
    message = problem["msg"].removeprefix("Value error, ")
    where = [str(part) for part in location]
    path = _file_of(where or message.partition(":")[0].split("."), root, own, sections)
    if where[:1] == ["datasets"]:
        where = where[2:]
    if problem["type"] == "extra_forbidden":
        parent, known = ".".join(where[:-1]), ", ".join(_known_keys(problem["loc"][:-1]))
        return f"{path}: unknown key {where[-1]!r} in {parent or 'the top level'}. Known keys: {known}."
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


def _file_of(where: Sequence[str], root: Path, own: Path, sections: dict[str, Any]) -> Path:
    """Find the file that holds the key `where`."""
    if where[0] == "datasets" and len(where) > 1:
        return root / DATASETS / f"{where[1]}.yaml"
    section = sections.get(where[0])
    mine = section is not None and (where[0] not in UNITED or len(where) < 2 or where[1] in section)
    return own if mine else root / PARAMS_FILE


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """List the keys of the section at `location`, followed through the models' annotations."""
    if not location:
        return [name for name in Params.model_fields if name not in ("datasets", "versions")]  # files of their own
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
