"""Reading YAML, within limits: a small file can stand for any number of values, or for ones nested without end."""

from datetime import date
from pathlib import Path
from typing import Any

import yaml

from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import check_plain
from beyond_spectrograms.util.text import quoted

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is there
MOST_BYTES = 2**24
DEEPEST = 50  # mappings and lists within one another
MOST_VALUES = 300_000  # with those that aliases repeat
MOST_BITS = 64  # bits of a whole number


class YamlError(ProjectError):
    """A file is not YAML, or more than is read of it; the message names it and the place."""


def read_yaml(path: Path) -> Any:
    """Read mappings, lists, texts, numbers, true, false and null.

    Raises:
        FileNotFoundError: there is no such file.
        YamlError: it is not YAML or of no such values, has a key twice, is too large or too deep, or stands for too
            many values.
    """
    try:
        check_plain(path)
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise YamlError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if len(content) > MOST_BYTES:
        raise YamlError(f"{path}: larger than {MOST_BYTES} bytes")
    try:
        return parse_yaml(content.decode("utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        raise YamlError(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def parse_yaml(text: str) -> Any:
    """Read YAML in a text.

    Raises:
        ValueError, yaml.YAMLError: as read_yaml's YamlError; the message is the reason.
    """
    _check_size(text)
    loader = LOADER(text)  # as yaml.load, but that keys are looked at in between
    node = loader.get_single_node()
    _check_keys(node, set())
    try:
        values = None if node is None else loader.construct_document(node)
    except yaml.YAMLError:
        raise
    except Exception as error:  # the constructors raise whatever Python does with the text of a value
        raise ValueError(f"a value is none: {error}") from None
    _check_values(values)
    return values


def _check_size(text: str) -> None:
    """Count values and how deep they lie, as libyaml reads them: it builds them by recursion, without a limit.

    An alias counts as much as what it stands for, since whoever goes through the values meets it again and again.
    """
    total = 0
    begun: list[tuple[str | None, int]] = []  # of each mapping and list that is open: its anchor, and `total` before
    sizes: dict[str | None, int] = {}
    for event in yaml.parse(text, LOADER):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = begun.pop()
            sizes[anchor] = total - before
        elif isinstance(event, yaml.CollectionStartEvent):
            begun.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in begun):
                raise ValueError(f"{_place(event)}: *{event.anchor} stands inside what it stands for")
            total += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            sizes[event.anchor] = 1
        if len(begun) > DEEPEST:
            raise ValueError(f"{_place(event)}: over {DEEPEST} mappings and lists within one another")
        if total > MOST_VALUES:
            raise ValueError(f"{_place(event)}: stands for over {MOST_VALUES} values")


def _check_keys(node: Any, seen: set[int]) -> None:
    """Refuse a key that stands twice in a mapping: PyYAML would keep the last of the two, and say nothing.

    What an anchor merges in is not there yet: a mapping may have one of its keys anew.
    """
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_keys(value, seen)
        return
    first: dict[tuple[str, str], str] = {}
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            if before := first.get((key.tag, key.value)):
                raise ValueError(
                    f"{_place(key)}: {quoted(key.value)} stands in {before} of this mapping too. Make them one."
                )
            first[key.tag, key.value] = _place(key)
        _check_keys(value, seen)


def _place(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def _check_values(values: Any) -> None:
    """Refuse what YAML reads and JSON does not know, and numbers that take more than 64 bits."""
    if isinstance(values, dict):
        for key, value in values.items():
            _check_values(key)
            _check_values(value)
    elif isinstance(values, list):
        for value in values:
            _check_values(value)
    elif isinstance(values, date):
        raise ValueError(f"{values} is read as a date; write it in quotes")
    elif isinstance(values, int) and values.bit_length() > MOST_BITS:
        raise ValueError(f"a whole number takes {values.bit_length()} bits; at most {MOST_BITS} are read")
    elif not isinstance(values, str | int | float | None):
        raise ValueError(f"{quoted(values)} is no mapping, list, text, number, true, false or null")
