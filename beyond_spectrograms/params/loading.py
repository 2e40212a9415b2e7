"""Reading params.yaml, a study's own, datasets/ and versions.yaml; each problem found is one line of the error."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from beyond_spectrograms.params.base import ParamsError, Section
from beyond_spectrograms.params.disturbances import DISTURBANCES
from beyond_spectrograms.params.encoders import TrainedCodec
from beyond_spectrograms.params.experiment import Params
from beyond_spectrograms.params.representations import KINDS
from beyond_spectrograms.util.code_versions import VERSIONS_FILE, load_versions
from beyond_spectrograms.util.text import quoted, shorten_value
from beyond_spectrograms.util.yaml_files import read_yaml

PARAMS_FILE = Path("params.yaml")
DATASETS, STUDIES = Path("datasets"), Path("studies")  # folders beside it
# What openvino does can be done without, and the features record which engine made them. The others are needed by some
# kinds of representation alone, which say so.
OPTIONAL = ("onnxruntime", "openvino", "snac", "tokenizers", "torchaudio", "transformers")
PACKAGED = Path(__file__).parents[1] / "defaults"  # where setup.py puts the checkout's settings into a wheel
UNIONS = {"representations": KINDS, "disturbances": DISTURBANCES}  # sections whose records are of a kind each
UNITED = ("representations", "protocols", "hub")  # sections to which a study adds
# What a study has in place of the root's.
OWN = ("grid", "features", "training_precision", "contrasts", "costs", "disturbances", "codecs", "verification")


def load_params(study: Path = Path(), root: Path = Path(), *, pinned: bool = True) -> Params:
    """Read and check all that decides an experiment.

    `study` is the folder of its params.yaml below `root`, which holds params.yaml, datasets/ and versions.yaml; Path()
    is the root's own experiment. `pinned` packages must have the versions that versions.yaml names.

    Raises:
        ParamsError: a file is missing, a key is unknown or missing, a value is out of range, or a package's version is
            not the one installed; the message has a line for each.
        YamlError: a file is not YAML.
    """
    file, own = root / PARAMS_FILE, root / study / PARAMS_FILE
    values = _read(file)
    if own != file:
        values = _unite(_united_of(values, file), _united_of(_read(own), own), own)
    if "datasets" in values:
        raise ParamsError(
            f"{own}: unknown key 'datasets' in the top level. A data set is a file, datasets/<name>.yaml."
        )
    records = sorted((root / DATASETS).glob("*.yaml"))
    values["datasets"] = {path.stem: _read(path) for path in records}
    versions = load_versions(root / VERSIONS_FILE)
    packages = versions.packages if pinned else {name: _installed(name) or "none" for name in versions.packages}
    values["versions"] = {**versions.nouns, **packages}
    try:
        params = Params.model_validate(values)
    except ValidationError as error:
        sections = {} if own == file else _read(own)

        def file_of(where: Sequence[str]) -> Path:
            if where[0] == "datasets" and len(where) > 1:
                return root / DATASETS / f"{where[1]}.yaml"
            section = sections.get(where[0])
            return own if section and (where[0] not in UNITED or len(where) < 2 or where[1] in section) else file

        problems = [one for problem in error.errors() for one in _one_by_one(problem)]
        raise ParamsError("\n".join(_explain(problem, file_of) for problem in problems)) from None
    if pinned and (wrong := [line for name, want in packages.items() if (line := _version_problem(name, want))]):
        raise ParamsError("\n".join(f"{root / VERSIONS_FILE}: {line}" for line in wrong))
    return params


def _read(path: Path) -> dict[str, Any]:
    try:
        values = read_yaml(path)
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file. Run stages from the folder that holds it.") from None
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: a mapping of sections is expected, not {quoted(values)}.")
    return values


def _united_of(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """Check that the sections of UNITED are mappings, where a file has them."""
    for section in UNITED:
        if not isinstance(values.get(section, {}), dict):
            raise ParamsError(f"{path}: {section}: a mapping of names is expected, not {quoted(values[section])}.")
    return values


def _unite(values: dict[str, Any], own: dict[str, Any], path: Path) -> dict[str, Any]:
    """Put what a study has of OWN in place of the root's; to the sections of UNITED it adds, under names of its own."""
    if other := [section for section in own if section not in (*OWN, *UNITED)]:
        known = ", ".join((*OWN, *UNITED))
        raise ParamsError(f"{path}: a study has no {other[0]!r} of its own; it is the root's. A study has {known}.")
    for section in UNITED:
        if both := [name for name in own.get(section, {}) if name in values.get(section, {})]:
            raise ParamsError(
                f"{path}: {section}.{both[0]} stands in the root's params.yaml too. Give it another name."
            )
    return values | own | {section: values.get(section, {}) | own.get(section, {}) for section in UNITED}


@cache  # asked for at every reading of params, and slow to tell
def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _version_problem(name: str, wanted: str) -> str:
    found = _installed(name)
    if found is None:
        if name in OPTIONAL:
            return ""
        return f"{name}: {wanted} is wanted, none is installed. Install what requirements.lock has."
    if found.partition("+")[0] == wanted:  # 2.11.0+cpu is 2.11.0, built for processors alone
        return ""
    return (
        f"{name}: {wanted} is wanted, {found} is installed. Install what requirements.lock has, or change "
        "the version here and there: then what it computes is computed again."
    )


def _one_by_one(problem: Any) -> list[dict[str, Any]]:
    """Part a problem of several lines into one a line."""
    return [{**problem, "msg": line} for line in problem["msg"].splitlines()]


def _explain(problem: Any, file_of: Callable[[Sequence[str]], Path]) -> str:
    """Say in one line what pydantic's `problem` is; `file_of` finds the file that holds a key, given as its path."""
    location, kind, given = problem["loc"], problem["type"], problem["input"]
    union = UNIONS.get(location[0], {}) if location else {}
    if location[2:3] and location[2] in union:
        location = (*location[:2], *location[3:])  # pydantic inserts the kind after the name
    message = problem["msg"].removeprefix("Value error, ")
    where = [shorten_value(str(part)) for part in location]
    path = file_of(where or message.partition(":")[0].split("."))
    if where[:1] == ["datasets"]:
        where = where[2:]
    if kind == "extra_forbidden":
        parent, known = ".".join(where[:-1]), ", ".join(_known_keys(problem["loc"][:-1]))
        return f"{path}: unknown key {where[-1]!r} in {parent or 'the top level'}. Known keys: {known}."
    if where[-1:] == ["[key]"]:
        return f"{path}: {'.'.join(where[:-1])}: a name has letters, digits and _ only"
    place = f"{'.'.join(where)}: " if where else ""
    if kind.startswith("union_tag"):
        what = "no kind" if kind == "union_tag_not_found" else f"unknown kind {quoted(given['kind'])}"
        return f"{path}: {place}{what}. Choose from {', '.join(sorted(union))}."
    value = "" if kind in ("missing", "value_error") else f", not {quoted(given)}"
    if isinstance(given, str) and re.fullmatch(r"[\d.]+[eE][-+]?\d+", given):
        value += " (YAML reads that as text: write 0.001 or 1.0e-3)"
    return f"{path}: {place}{message}{value}"


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """List the keys of the section at `location`, followed through the models' annotations."""
    if not location:
        return [name for name in Params.model_fields if name not in ("datasets", "versions")]  # files of their own
    section: type[Section] = Params
    for part in location:
        if part in section.model_fields:
            section = next(iter(_models(section.model_fields[part].annotation)), section)
        else:  # an index, a name of one's own, or the kind of a representation
            section = UNIONS.get(location[0], {}).get(part, section)
    return list(section.model_fields)


def _models(annotation: Any) -> list[type[Section]]:
    """List the section classes named inside a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


def is_project(folder: Path = Path()) -> bool:
    """Say whether a folder is a checkout of this project, or laid out as one."""
    return (folder / PARAMS_FILE).is_file() and (folder / VERSIONS_FILE).is_file()


def load_all_params() -> Params:
    """Read the root's params with the representations and protocols of every study beside its own.

    For what belongs to no study: models of one's own sounds, and the HEAR API. Latents of a study's own codecs are left
    out: these are where the study was run. Packages may have any version: `versions` holds those installed ("none" for
    one that is not). The root is the current folder if it is a checkout, else the settings that the installed package
    carries.

    Raises:
        ParamsError: as load_params.
    """
    root = next(filter(is_project, (Path(), PACKAGED)), PACKAGED.parents[1])  # last: an editable install
    params = load_params(root=root, pinned=False)
    for path in sorted((root / STUDIES).glob(f"*/{PARAMS_FILE}")):
        own = load_params(path.parent.relative_to(root), root, pinned=False)
        united = {key: getattr(params, key) | getattr(own, key) for key in UNITED}
        params = params.model_copy(update=united)
    outside = {name: each for name, each in params.representations.items() if not isinstance(each, TrainedCodec)}
    return params.model_copy(update={"representations": outside})
