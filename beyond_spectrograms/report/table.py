"""A table as rows: nine digits as CSV, rounded as Markdown; Markdown read back for the page and the docs."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import write_text
from beyond_spectrograms.util.text import as_cell

Value = str | int | float | None
Row = dict[str, Value]
Show = Callable[[Row], str]
SIGNED = "+z.1f"  # a difference in points
# A cell of figures: 71.2 [66.0, 76.1] *, 44.6 / 45.8, < 0.0001, 20-28, 5 x 1, 4.5 (4 to 9), 12 never, or "-".
_FIGURE = re.compile(r"-|[<>+\-]?\s*[\d.,]+(?:[\d\s.,:+\-/()\[\]<>*†‡§%x±¶#]|to|never|inf)*")


class TableError(ProjectError):
    """A Markdown table is damaged; the message names the file and the line."""


@dataclass(frozen=True)
class Table:
    """`rows` hold figures as computed and all have the same keys; `columns` say how Markdown shows them."""

    title: str
    rows: list[Row]
    columns: dict[str, Show]
    notes: list[str] = field(default_factory=list)


def to_csv(rows: list[Row], keys: list[str]) -> str:
    """Lay out all rows under the header `keys`, nothing for None.

    Nine significant digits are kept, as in the files of results: those beyond depend on the processor.
    """
    output = io.StringIO()
    writer = csv.DictWriter(output, keys, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: as_cell(_nine_digits(value)) for key, value in row.items()})
    return output.getvalue()


def _nine_digits(value: Value) -> Value:
    return float(f"{value:.9g}") if isinstance(value, float) else value


def pad_cells(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Pad the cells of a Markdown table's rows, so that its source is legible too; a bar in a cell is no border."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    return [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]


def to_markdown(table: Table) -> str:
    """Lay out the title, the table and the notes."""
    shown = [list(table.columns), *([show(row) for show in table.columns.values()] for row in table.rows)]
    cells = pad_cells(shown)
    lines = [f"| {' | '.join(row)} |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (len(cell) + 2) for cell in cells[0]) + "|")
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"# {table.title}", "", *lines, *([""] if notes else []), *notes]) + "\n"


@dataclass
class ShownTable:
    """A table as Markdown shows it: `lines` [rows][columns] of text, the header first.

    `picture` is base64 of a PNG of the same figures, where a page is to show one.
    """

    title: str
    lines: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    picture: str = ""

    @cached_property
    def figures(self) -> list[bool]:
        """Say of each column whether it holds figures alone."""
        columns = list(zip(*self.lines[1:], strict=True)) or [()] * len(self.lines[0])
        return [any(column) and all(_FIGURE.fullmatch(cell) for cell in column if cell) for column in columns]


def read_tables(path: Path) -> list[ShownTable]:
    """Read the tables of a Markdown file: each a heading, a `|` table and `- ` notes.

    Raises:
        TableError: a row has not the header's number of cells, or a table has no title.
    """
    tables: list[ShownTable] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if heading := re.match(r"#+ +(.*)", line):
            tables.append(ShownTable(heading[1].strip()))
        elif line.startswith("|") and not re.fullmatch(r"[|\-: ]+", line):
            cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
            if not tables:
                raise TableError(f"{path}, line {number}: a table without a title. Run its stage again.")
            lines = tables[-1].lines
            if lines and len(cells) != len(lines[0]):
                raise TableError(
                    f"{path}, line {number}: {len(cells)} cells for a header of {len(lines[0])}. Run its stage again."
                )
            lines.append(cells)
        elif line.startswith("- ") and tables:
            tables[-1].notes.append(line.removeprefix("- "))
    return [table for table in tables if table.lines]


def write_tables(tables: Mapping[str, Table], folder: Path) -> None:
    """Write each table as <name>.md and <name>.csv."""
    for name, table in tables.items():
        write_text(folder / f"{name}.md", to_markdown(table))
        write_text(folder / f"{name}.csv", to_csv(table.rows, list(table.rows[0])))


def texts(*keys: str) -> dict[str, Show]:
    """Make columns that show values as they are, each headed by its key."""
    return {key: text(key) for key in keys}


def joined(*notes: str | None, by: str = "; ") -> str:
    """Put together those notes that say something."""
    return by.join(note for note in notes if note)


def text(key: str) -> Show:
    """Show a value as it is, "-" for None."""
    return lambda row: "-" if row[key] is None else str(row[key])


def number(key: str, digits: int) -> Show:
    """Show a number with that many decimals, "-" for None."""
    return scaled(key, f".{digits}f")


def show_range(key: str, digits: int, over: str = "seeds", limits: tuple[str, str] = ("_low", "_high")) -> Show:
    """Show the mean over what `over` counts with the lowest and the highest, <key><limit>; one value as it is."""

    def show(row: Row) -> str:
        mean, low, high = (number(f"{key}{part}", digits)(row) for part in ("", *limits))
        return mean if row[key] is None or row[over] in (None, 1) else f"{mean} ({low} to {high})"

    return show


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
        return f"{Interval(value, low, high).shown(form)} {row.get(f'{key}_mark') or ''}".strip()

    return show


def show_p(key: str) -> Show:
    """Show a p-value, "-" for None."""

    def show(row: Row) -> str:
        p = row[key]
        return "-" if p is None else f"{p:.4f}" if float(p) >= 0.0001 else "< 0.0001"

    return show
