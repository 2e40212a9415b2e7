"""versions.yaml: the numbers that results depend on, one a noun of this project's code, and versions of packages.

A number is raised when results of a noun change, and DVC runs again what tracks it. `verification/` has which code
belongs to each noun, and proves whether results change.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.text import quoted
from beyond_spectrograms.util.yaml_files import read_yaml

VERSIONS_FILE = Path("versions.yaml")
SHARED = "shared"  # what all nouns use: without a number of its own
NUMBERED = (
    *("data", "representations", "classifiers", "training", "disturbances", "evaluation", "leakage", "costs"),
    *("label_scores", "trials", "codec", "report", "sonification"),
)
NOUNS = (*NUMBERED, SHARED)


class VersionsError(ProjectError):
    """versions.yaml is not valid, or lacks what is asked for; the message names it and the choices."""


@dataclass(frozen=True)
class Versions:
    """What versions.yaml says: a number a noun, a version a package, and how far the code is proven.

    `code` is noun -> (digest of the code whose results are those of the number, commit that has such code).
    """

    nouns: Mapping[str, int]
    packages: Mapping[str, str]
    code: Mapping[str, tuple[str, str]]


def load_versions(path: Path = VERSIONS_FILE) -> Versions:
    """Read versions.yaml.

    Raises:
        VersionsError: it is not there, or a key or value is not what it should be.
        YamlError: it is not YAML.
    """
    try:
        found = read_yaml(path)
    except FileNotFoundError:
        raise VersionsError(f"{path}: no such file. It stands beside params.yaml.") from None
    if not isinstance(found, dict):
        raise VersionsError(f"{path}: a number for each noun is expected, not {quoted(found)}")
    code = found.pop("code", None)
    for name in NUMBERED:
        if type(number := found.get(name)) is not int or number < 1:
            raise VersionsError(f"{path}: {name}: a whole number from 1 on is expected, not {quoted(number)}")
    packages = {name: value for name, value in found.items() if name not in NUMBERED}
    for name, value in packages.items():
        if isinstance(value, int):
            raise VersionsError(f"{path}: unknown noun {quoted(name)}. Choose from {', '.join(NUMBERED)}.")
        if not isinstance(value, str):
            raise VersionsError(f"{path}: {name}: the version of a package is expected, in quotes, not {quoted(value)}")
    for noun in NOUNS:
        record = code.get(noun) if isinstance(code, dict) else None
        texts = [record.get(key) for key in ("digest", "verified_at")] if isinstance(record, dict) else [None]
        if not all(isinstance(text, str) and re.fullmatch("[0-9a-f]{7,40}", text) for text in texts):
            raise VersionsError(
                f"{path}: code.{noun}: digest and verified_at are expected, in quotes, not {quoted(record)}"
            )
    recorded = {noun: (code[noun]["digest"], code[noun]["verified_at"]) for noun in NOUNS}
    return Versions({noun: found[noun] for noun in NUMBERED}, packages, recorded)
