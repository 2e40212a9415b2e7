"""A table as rows, printed in full as CSV and rounded as Markdown, so that both say the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from beyond_spectrograms.evaluation.records import Interval, format_interval
from beyond_spectrograms.util.files import write_text

Value = str | int | float | None
Row = dict[str, Value]
Show = Callable[[Row], str]
SIGNED = "+z.1f"  # a difference in points


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


def write_tables(tables: Mapping[str, Table], folder: Path) -> None:
    """Write each table as <name>.md and <name>.csv."""
    for name, table in tables.items():
        write_text(folder / f"{name}.md", to_markdown(table))
        write_text(folder / f"{name}.csv", to_csv(table.rows, list(table.rows[0])))


def text(key: str) -> Show:
    """Show a value as it is, "-" for None."""
    return lambda row: "-" if row[key] is None else str(row[key])


def number(key: str, digits: int) -> Show:
    """Show a number with that many decimals, "-" for None."""
    return scaled(key, f".{digits}f")


def scaled(key: str, form: str, times: float = 1, per: float = 1) -> Show:
    """Show `times` a number, divided by `per`, in a format of Python's; "-" for None."""

    def show(row: Row) -> str:
        value = row[key]
        return "-" if value is None else format(times * float(value) / per, form)

    return show


def interval_row(key: str, interval: Interval | None, factor: float = 100, unit: str = "_percent") -> Row:
    """Lay out an interval, as percentages: <key>_percent, <key>_low_percent, <key>_high_percent."""
    values = (interval.value, interval.low, interval.high) if interval else (None, None, None)
    names = (f"{key}{unit}", f"{key}_low{unit}", f"{key}_high{unit}")
    return {name: None if value is None else factor * value for name, value in zip(names, values, strict=True)}


def show_interval(key: str, form: str = "z.1f", unit: str = "_percent") -> Show:
    """Show what `interval_row` laid out as `71.2 [66.0, 76.1]` and, from <key>_mark if there is one, its mark."""

    def show(row: Row) -> str:
        laid_out = (row[f"{key}{part}{unit}"] for part in ("", "_low", "_high"))
        value, low, high = (None if each is None else float(each) for each in laid_out)
        if value is None:
            return "-"
        return f"{format_interval(value, low, high, form)} {row.get(f'{key}_mark') or ''}".strip()

    return show
