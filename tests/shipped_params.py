"""The shipped params, with some values replaced."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY

from beyond_spectrograms.params import (
    Params,
    ParamsError,
    load_params,
)

DELETED = object()


SHIPPED = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))


KNOWN = {
    section: f"Choose from {', '.join(SHIPPED[section])}." for section in ("protocols", "representations", "weights")
}


def loads(changes: dict[str, Any]) -> Params:
    """Load the shipped params with some values replaced, each named by its path of keys."""
    params = copy.deepcopy(SHIPPED)
    for where, value in changes.items():
        section, keys = params, where.split("/")
        for key in keys[:-1]:
            section = section[int(key) if isinstance(section, list) else key]
        if value is DELETED:
            del section[keys[-1]]
        else:
            section[keys[-1]] = value
    Path("changed.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return load_params(Path("changed.yaml"))


def refusal(changes: dict[str, Any]) -> str:
    with pytest.raises(ParamsError) as caught:
        loads(changes)
    return str(caught.value)
