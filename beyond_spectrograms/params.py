"""Typed, validated view of params.yaml: every key known, every value checked, before any work starts."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from beyond_spectrograms.errors import ProjectError

PARAMS_FILE = Path("params.yaml")
SAMPLE_RATES = (16_000, 22_050, 24_000, 48_000)  # Hz, of the formats in which clips are stored
# Bits per second at which the quantisers run: encodec's target_bandwidths; lyra_config.cc of Lyra 1.3.2 (64, 120 and 184
# bits for each of 50 frames a second).
BITRATES = {
    "24khz": (1_500, 3_000, 6_000, 12_000, 24_000),
    "48khz": (3_000, 6_000, 12_000, 24_000),
    "soundstream": (3_200, 6_000, 9_200),
}
NAME = r"^[A-Za-z0-9_]+$"  # names become stage names, file names and DVC parameter paths: no dots, dashes or slashes


class ParamsError(ProjectError):
    """params.yaml holds a key or a value the project does not know; the message names it and the choices."""


class Section(BaseModel):
    """A mapping of params.yaml. Unknown keys are errors and values do not change type on the way in."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _tuple(value: Any) -> Any:
    """YAML has lists only; fixed-length ones are tuples here."""
    return tuple(value) if isinstance(value, list) else value


def _number(value: Any) -> Any:
    """`5` is as good as `5.0` where a real number is meant (but true is not)."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Real = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Pair = Annotated[tuple[Real, Real], BeforeValidator(_tuple)]
Triple = Annotated[tuple[Real, Real, Real], BeforeValidator(_tuple)]
Name = Annotated[str, Field(pattern=NAME)]
Positive = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]


class Grid(Section):
    """What `dvc repro` runs."""

    datasets: list[Name]
    representations: list[Name]
    protocols: list[Name]


class Ablations(Section):
    """Further representations, each under a few protocols alone: their product with the grid would take weeks."""

    representations: list[Name]
    protocols: list[Name]


class Run(Section):
    """The one variant `dvc exp run run` trains and publishes."""

    dataset: Name
    representation: Name
    protocol: Name


class Windows(Section):
    """How clips are cut. Lengths in seconds."""

    length_s: Annotated[Real, Field(gt=0)]
    hop_s: Annotated[Real, Field(gt=0)]
    tail: Literal["drop", "reflect"]

    @model_validator(mode="after")
    def _whole_samples(self) -> Windows:
        for rate in SAMPLE_RATES:
            if abs(self.length_s * rate - round(self.length_s * rate)) > 1e-6:
                raise ValueError(
                    f"length_s {self.length_s:g} is not a whole number of samples at {rate} Hz; take a multiple of 0.02"
                )
        return self


class Split(Section):
    """How windows are dealt to train, validation and test."""

    kind: Literal["window", "source"]
    fractions: Triple | None = None
    seed: Seed | None = None

    @model_validator(mode="after")
    def _keys_of_window(self) -> Split:
        for key in ("fractions", "seed"):
            if (self.kind == "window") != (getattr(self, key) is not None):
                raise ValueError(f"{key} belongs to kind window, and only there")
        if self.fractions is not None and min(self.fractions) < 0:
            raise ValueError(f"fractions are {', '.join(map(str, self.fractions))}; none may be negative")
        if self.fractions is not None and abs(sum(self.fractions) - 1) > 1e-9:
            raise ValueError(f"fractions add up to {sum(self.fractions):g}, not 1")
        return self


class Archive(Section):
    """A file to download. Without `sha256` the file's bytes are not stable and what is inside is checked instead."""

    url: Annotated[str, Field(pattern=r"^https://|^http://127\.0\.0\.1[:/]")]
    licence: str
    bytes: Positive | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")] | None = None


class WeightsRecord(Archive):
    """Pretrained weights: size and checksum are not optional."""

    bytes: Positive
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]


class SplitList(Section):
    """A published list of the files of one part."""

    url: Annotated[str, Field(pattern=r"^https://|^http://127\.0\.0\.1[:/]")]
    bytes: Positive
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    entries: Positive


class SplitLists(Section):
    """The three parts' lists."""

    train: SplitList
    validation: SplitList
    test: SplitList


class LabelTable(Section):
    """A table inside the archive that names each file's label."""

    member: str
    bytes: Positive
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    file: str
    label: str


class Synthetic(Section):
    """Sounds this project makes itself. `seconds` is the length of one clip."""

    seed: Seed
    clips_per_class: Positive
    seconds: Annotated[Real, Field(ge=1, le=600)]  # room for a chord or a phrase


class Source(Section):
    """What a data set is and where it comes from: exactly one of `archives`, `synthetic`, `path`.

    Whatever can change a result has no default here: DVC sees params.yaml, not this file.
    """

    archives: list[Archive] | None = None
    synthetic: Synthetic | None = None
    path: str | None = None
    members: str | None = None
    label_table: LabelTable | None = None
    manifest_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    clips: Positive | None = None
    classes: Positive | None = None
    known_bad: list[str] = []
    seconds: Pair
    name: str | None = None
    folds: Annotated[int, Field(ge=3)] | None = None
    fold_seed: Seed | None = None
    lists: SplitLists | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Source:
        if self.seconds[0] > self.seconds[1]:
            raise ValueError(f"seconds are {list(self.seconds)}: the shortest comes first")
        given = [key for key in ("archives", "synthetic", "path") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of archives, synthetic, path; has {', '.join(given) or 'none'}")
        for key, pattern in (("members", self.members), ("name", self.name)):
            try:
                groups = re.compile(pattern or "").groupindex
            except re.error as error:
                raise ValueError(f"{key} is not a regular expression: {error}") from error
            if pattern and key == "name" and "group" not in groups:
                raise ValueError("name has no (?P<group>...)")
            if pattern and key == "members" and "file" not in groups:
                raise ValueError("members has no (?P<file>...)")
            if pattern and key == "members" and "label" not in groups and self.label_table is None:
                raise ValueError("members has no (?P<label>...), and there is no label_table")
        if (self.archives is not None) != (self.members is not None):
            raise ValueError("archives and members go together")
        published = self.lists is not None or "fold" in re.compile(self.name or "").groupindex
        for key in ("folds", "fold_seed"):
            if published != (getattr(self, key) is None):
                why = "has no use: folds or lists are published" if published else "is missing: it deals the folds"
                raise ValueError(f"{key} {why}")
        for archive in self.archives or []:
            if archive.sha256 is None and self.manifest_sha256 is None and None in (self.clips, self.classes):
                raise ValueError("an archive without sha256 needs clips and classes, or manifest_sha256")
        return self


class Dataset(Section):
    """A data set and the most epochs a protocol may spend on it (None: no cap)."""

    source: Source
    max_epochs: Positive | None


class Mel(Section):
    """A mel spectrogram. `sample_rate` and `pooled_frame_rate` in Hz, `n_fft` and `hop_length` in samples."""

    kind: Literal["mel"]
    weights: None
    sample_rate: Literal[16000, 22050, 24000]
    n_fft: Positive
    hop_length: Positive
    n_mels: Positive
    window: Literal["hamming", "hann"]
    scale: Literal["power", "db"]
    pooled_frame_rate: Positive | None = None

    @model_validator(mode="after")
    def _pools(self) -> Mel:
        rate = self.pooled_frame_rate
        if rate is not None and (self.sample_rate % rate or self.sample_rate / rate < self.hop_length):
            raise ValueError(
                f"pooled_frame_rate {rate} must divide sample_rate {self.sample_rate} and be at most its "
                f"{self.sample_rate / self.hop_length:g} frames per second"
            )
        return self

    @property
    def codebook_size(self) -> None:
        """A spectrogram has no codes."""


class Codec(Section):
    """What a codec's records share: latents before the quantiser, or what it makes of them at `bitrate` (bits/s).

    Then the array holds the dequantised latents or, with `codes`, the numbers of the codebooks' entries.
    """

    bitrate: Positive | None = None
    codes: bool = False

    def _check_bitrate(self, choices: tuple[int, ...]) -> None:
        if self.codes and self.bitrate is None:
            raise ValueError("codes need a bitrate")
        if self.bitrate is not None and self.bitrate not in choices:
            raise ValueError(f"bitrate is {self.bitrate} bits per second. Choose from {', '.join(map(str, choices))}.")


class Encodec(Codec):
    """EnCodec's encoder, and its quantiser where there is a bitrate. `weights: untrained` draws them from `seed`."""

    kind: Literal["encodec"]
    weights: str
    model: Literal["24khz", "48khz"]
    seed: Seed | None = None

    @property
    def codebook_size(self) -> int | None:
        """Entries of a codebook, where the array holds codes (encodec.model: bins=1024)."""
        return 1024 if self.codes else None

    @model_validator(mode="after")
    def _seed_of_untrained(self) -> Encodec:
        if (self.weights == "untrained") != (self.seed is not None):
            raise ValueError("seed belongs to weights: untrained, and only there")
        if self.weights == "untrained" and self.bitrate is not None:
            raise ValueError("an untrained quantiser's codebooks are all zero: leave bitrate out")
        self._check_bitrate(BITRATES[self.model])
        return self


class SoundStream(Codec):
    """Lyra v2's SoundStream encoder; with a bitrate `weights` names its file and the quantiser's."""

    kind: Literal["soundstream"]
    weights: str | list[str]

    @model_validator(mode="after")
    def _two_files(self) -> SoundStream:
        self._check_bitrate(BITRATES["soundstream"])
        wanted = 1 if self.bitrate is None else 2
        if len(weights_of(self)) != wanted:
            raise ValueError(
                f"weights name {len(weights_of(self))} files, and {'with' if self.bitrate else 'without'} a bitrate "
                f"there are {wanted}: the encoder's{' and the quantiser' + chr(39) + 's' if self.bitrate else ''}"
            )
        return self

    @property
    def codebook_size(self) -> int | None:
        """Entries of a codebook, where the array holds codes: 4 bits (quantizer.tflite's own second output)."""
        return 16 if self.codes else None


Representation = Annotated[Mel | Encodec | SoundStream, Field(discriminator="kind")]


def weights_of(representation: Mel | Encodec | SoundStream) -> tuple[str, ...]:
    """List the records under `weights` whose files a representation needs."""
    named = representation.weights
    if named is None or named == "untrained":
        return ()
    return (named,) if isinstance(named, str) else tuple(named)


class Protocol(Section):
    """How a classifier is trained, selected and tested."""

    classifier: Literal["conv1d", "conv2d", "mean_linear"]
    split: str
    standardize: bool
    shuffle_labels: bool
    optimizer: Literal["sgd", "adam"]
    learning_rate: Annotated[Real, Field(gt=0)]
    batch_size: Positive
    shuffle_each_epoch: bool
    epochs: Positive
    patience: Positive | None
    dropout_at_evaluation: bool
    select: Literal["last", "best_validation_loss"]
    seeds: Annotated[list[Seed], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Protocol:
        if self.patience is not None and self.select == "last":
            raise ValueError("patience needs select: best_validation_loss")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} name one twice")
        return self


class Demo(Section):
    """The cells of the demo, over representations that need no download."""

    representations: list[Name]
    protocols: list[Name]


class Statistics(Section):
    """How sure we are: intervals by bootstrap, and the fewest recordings and runs for which one is given."""

    confidence: Annotated[Real, Field(gt=0, lt=1)]
    resamples: Annotated[int, Field(ge=999)]
    seed: Seed
    minimum_recordings: Annotated[int, Field(ge=2)]
    minimum_runs: Annotated[int, Field(ge=2)]


class Claims(Section):
    """The rules by which the paper's claims are judged, fixed before the run."""

    baselines: Annotated[list[Name], Field(min_length=1)]
    ladder: Annotated[list[Name], Field(min_length=2)]


class Params(Section):
    """The whole of params.yaml."""

    grid: Grid
    ablations: Ablations
    statistics: Statistics
    claims: Claims
    demo: Demo
    run: Run
    windows: Windows
    splits: dict[Name, Split]
    datasets: dict[Name, Dataset]
    representations: dict[Name, Representation]
    weights: dict[Name, WeightsRecord]
    protocols: dict[Name, Protocol]
    device: Literal["auto", "cpu", "cuda"]
    versions: dict[str, str]

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
            ("claims.baselines", self.claims.baselines, self.representations),
            ("claims.ladder", self.claims.ladder, self.protocols),
            ("demo.representations", self.demo.representations, self.representations),
            ("demo.protocols", self.demo.protocols, self.protocols),
            ("run.dataset", [self.run.dataset], self.datasets),
            ("run.representation", [self.run.representation], self.representations),
            ("run.protocol", [self.run.protocol], self.protocols),
        ):
            for name in names:
                _choose(where, name, known)
        for key, representation in self.representations.items():
            for weights in weights_of(representation):
                _choose(f"representations.{key}.weights", weights, self.weights)
        if both := [name for name in self.ablations.representations if name in self.grid.representations]:
            raise ValueError(f"ablations.representations: {both[0]!r} is in grid.representations as well")
        for key, protocol in self.protocols.items():
            _choose(f"protocols.{key}.split", protocol.split, self.splits)
        return self


def _choose(where: str, name: str, known: dict[str, Any]) -> None:
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
        return f"{path}: {place}no kind. Choose from encodec, mel, soundstream."
    if problem["type"] == "union_tag_invalid":
        return f"{path}: {place}unknown kind {problem['input']['kind']!r}. Choose from encodec, mel, soundstream."
    if isinstance(problem["input"], str) and re.fullmatch(r"[\d.]+[eE][-+]?\d+", problem["input"]):
        value += " (YAML reads that as text: write 0.001 or 1.0e-3)"
    return f"{path}: {place}{message}{value}"


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """List the keys of the section at `location`, followed through the models' annotations."""
    kinds: dict[str, type[Section]] = {"mel": Mel, "encodec": Encodec, "soundstream": SoundStream}
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
