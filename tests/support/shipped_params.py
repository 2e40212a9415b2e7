"""The shipped params, with some values replaced."""

import copy
import shutil
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.params import STUDIES, Params, ParamsError, load_params
from support.common import dump_yaml, read_yaml
from support.repository import REPOSITORY

DELETED = object()


def read(name: str) -> dict[str, Any]:
    values: dict[str, Any] = read_yaml((REPOSITORY / name).read_text(encoding="utf-8"))
    return values


# Every file that decides an experiment, by its name without .yaml.
FILES = {
    name.removesuffix(".yaml"): read(name)
    for name in (
        *("params.yaml", "versions.yaml"),
        *(path.relative_to(REPOSITORY).as_posix() for path in sorted(REPOSITORY.glob("datasets/*.yaml"))),
        *(path.relative_to(REPOSITORY).as_posix() for path in sorted(REPOSITORY.glob("studies/*/params.yaml"))),
    )
}
SHIPPED = FILES["params"]
PROTOTYPES = FILES["studies/prototypes/params"]
NAMES = {section: ", ".join(SHIPPED[section]) for section in ("protocols", "representations", "weights")} | {
    "datasets": ", ".join(name.removeprefix("datasets/") for name in FILES if name.startswith("datasets/")),
    "bitrates": ", ".join(FILES["studies/bitrates/params"]["representations"]),
    "prototypes": ", ".join(PROTOTYPES["protocols"]),
    "in the grid": ", ".join(SHIPPED["grid"]["representations"]),
}


def file_of(where: str) -> str:
    """Name the file that a path of keys is in."""
    return next((name for name in FILES if where.startswith(f"{name}/")), "params")


def loads(changes: dict[str, Any]) -> Params:
    """Load the shipped params with some values replaced, each named by its path of keys.

    A path is in params.yaml, or begins with the file it is in: datasets/demo/..., versions/..., studies/demo/params/...
    Where a study's own file is changed, it is the study that is loaded.
    """
    files, study, changed = copy.deepcopy(FILES), Path(), set()
    for where, value in changes.items():
        name = file_of(where)
        if name.startswith("studies/"):
            study = STUDIES / name.split("/")[1]
        changed.add(name)
        section: Any = files[name]
        *parents, last = where.removeprefix(f"{name}/").split("/")
        for key in parents:
            section = section[int(key) if isinstance(section, list) else key]
        if value is DELETED:
            del section[last]
        else:
            section[last] = value
    for name, values in files.items():
        path = Path(f"{name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        if name in changed:
            path.write_text(dump_yaml(values), encoding="utf-8")
        else:
            shutil.copy(REPOSITORY / path, path)
    return load_params(study)


def refusal(changes: dict[str, Any]) -> str:
    with pytest.raises(ParamsError) as caught:
        loads(changes)
    return str(caught.value)


def read_refusals(path: Path) -> list[tuple[dict[str, Any], str]]:
    """Read pairs of changes and the message they get; a comment in the file says how it is laid out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    found = []
    for is_message, block in groupby(lines, lambda line: line.startswith(" ")):
        if not is_message:
            values = read_yaml("\n".join(block))
            changes = {where: DELETED if value == "DELETED" else value for where, value in values.items()}
            continue
        message = " ".join(line.strip() for line in block)
        for section, names in NAMES.items():
            message = message.replace(f"{{{section}}}", names)
        found.append((changes, message if ".yaml: " in message else f"{file_of(next(iter(changes)))}.yaml: {message}"))
    return found
