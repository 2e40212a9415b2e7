"""A table as rows, printed in full as CSV and rounded as Markdown, so that both say the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field

Value = str | int | float | None
Row = dict[str, Value]
Show = Callable[[Row], str]


@dataclass(frozen=True)
class Table:
    """`rows` hold full precision and all have the same keys; `columns` say how Markdown shows them."""

    title: str
    rows: list[Row]
    columns: dict[str, Show]
    notes: list[str] = field(default_factory=list)


def to_csv(rows: list[Row], keys: list[str]) -> str:
    """Lay out all rows under the header `keys`, numbers in full precision, nothing for None."""
    output = io.StringIO()
    writer = csv.DictWriter(output, keys, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return output.getvalue()


def to_markdown(table: Table) -> str:
    """Lay out the title, the table padded so that its source is legible too, and the notes."""
    shown = [list(table.columns), *([show(row) for show in table.columns.values()] for row in table.rows)]
    cells = [[cell.replace("|", r"\|") for cell in row] for row in shown]  # a bar of a name is no border
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"# {table.title}", "", *lines, *([""] if notes else []), *notes]) + "\n"


def text(key: str) -> Show:
    """Show a value as it is, "-" for None."""
    return lambda row: "-" if row[key] is None else str(row[key])


def number(key: str, digits: int) -> Show:
    """Show a number with that many decimals, "-" for None."""
    return lambda row: "-" if row[key] is None else f"{row[key]:.{digits}f}"


def signed(key: str) -> Show:
    """Show a change in % with its sign and two decimals, as the paper does."""
    return lambda row: "-" if row[key] is None else f"{row[key]:+.2f}"
