"""The shipped params, with some values replaced."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from beyond_spectrograms.params import STUDIES, Params, ParamsError, load_params
from support.repository import REPOSITORY

DELETED = object()


def read(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((REPOSITORY / name).read_text(encoding="utf-8"))
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
BITRATES = FILES["studies/bitrates/params"]
DATASETS = ", ".join(name.removeprefix("datasets/") for name in FILES if name.startswith("datasets/"))

KNOWN = {
    section: f"Choose from {', '.join(SHIPPED[section])}." for section in ("protocols", "representations", "weights")
}


def loads(changes: dict[str, Any]) -> Params:
    """Load the shipped params with some values replaced, each named by its path of keys.

    A path is in params.yaml, or begins with the file it is in: datasets/demo/..., versions/..., studies/demo/params/...
    Where a study's own file is changed, it is the study that is loaded.
    """
    files, study = copy.deepcopy(FILES), Path()
    for where, value in changes.items():
        name = next((name for name in files if where.startswith(f"{name}/")), "params")
        if name.startswith("studies/"):
            study = STUDIES / name.split("/")[1]
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
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return load_params(study)


def refusal(changes: dict[str, Any]) -> str:
    with pytest.raises(ParamsError) as caught:
        loads(changes)
    return str(caught.value)


def told(message: str) -> str:
    """Put the file before a message: params.yaml, where none is named."""
    return message if ".yaml: " in message else f"params.yaml: {message}"
