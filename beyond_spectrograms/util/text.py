"""Text from outside, for a terminal and for a spreadsheet: both act on some signs instead of showing them."""

import json
import re
from collections.abc import Callable
from pathlib import Path

# A cell that begins so is computed, by Excel, LibreOffice or Google Sheets; the last four are their wide forms.
FORMULA = re.compile("'*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20].", re.DOTALL)
UNUSUAL = re.compile("[^ -~]")
LONGEST = 200  # signs of one value in a message


def printable(text: str | Path, kept: str = "") -> str:
    """Give text with escapes for signs that steer a terminal or turn the reading order, but for those in `kept`."""
    return _escaped(str(text), lambda sign: sign if sign in kept else repr(sign)[1:-1])


def printable_json(value: object, indent: int | None = None) -> str:
    """Write JSON that a terminal shows as it is: in place of signs that steer it stand JSON's own escapes."""
    text = json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False)
    return _escaped(text, lambda sign: sign if sign == "\n" else json.dumps(sign)[1:-1])


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    return UNUSUAL.sub(lambda found: found[0] if found[0].isprintable() else escape(found[0]), text)


def shorten_value(text: str) -> str:
    """Cut a value that a message quotes; it may be as long as whoever wrote the file liked."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} signs)"


def quoted(value: object) -> str:
    """Write a value for a message as Python does, not longer than `shorten_value` has it."""
    return shorten_value(repr(value))


def some_of(names: list[str], most: int = 5) -> str:
    """List names, or the first of very many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shorten_value, names[:most])) + more


def as_cell(value: object) -> object:
    """Give a cell of a CSV table: before text that a spreadsheet would compute stands an apostrophe, which it hides."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def from_cell(text: str) -> str:
    """Read what `as_cell` gave."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text
