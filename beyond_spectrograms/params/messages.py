"""What is wrong with params, in one line: which file, where in it, what, the value and the choices."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from beyond_spectrograms.params.base import Section
from beyond_spectrograms.params.experiment import Params
from beyond_spectrograms.params.representations import KINDS


def explain(problem: Any, file_of: Callable[[Sequence[str]], Path]) -> str:
    """Say in one line what pydantic's `problem` is; `file_of` finds the file that holds a key, given as its path."""
    location, kind, given = problem["loc"], problem["type"], problem["input"]
    if location[:1] == ("representations",):
        location = (*location[:2], *location[3:])  # pydantic inserts the kind after the name
    message = problem["msg"].removeprefix("Value error, ")
    where = [str(part) for part in location]
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
        what = "no kind" if kind == "union_tag_not_found" else f"unknown kind {given['kind']!r}"
        return f"{path}: {place}{what}. Choose from {', '.join(sorted(KINDS))}."
    value = "" if kind in ("missing", "value_error") else f", not {given!r}"
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
            section = KINDS.get(part, section)
    return list(section.model_fields)


def _models(annotation: Any) -> list[type[Section]]:
    """List the section classes named inside a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]
