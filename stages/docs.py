"""Write the tables of README and docs that show results, by docs/tables.yaml, from files in git: `make tables`.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. A cell is looked up in a Markdown table that another
stage wrote: in `file`, below the `heading` if there are several, in the row whose first column is `key` (and whose
other columns are as `where` says), in `column`; `absent` stands where there is none. The table says what all its cells
share; a row or a column adds what is its own. `sentence` keeps the first sentence of a long cell. `measured` is a
table of docs/measurements.yaml, `whole` all of a file's first one, `others` what others report (report/published.py).
"""

import argparse
import re
from pathlib import Path
from typing import Any

import yaml

from beyond_spectrograms.report.published import list_all
from beyond_spectrograms.report.table import pad_cells, read_tables
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import write_text

PAGES = (Path("README.md"), *sorted(Path("docs").glob("*.md")))
TABLES, MEASUREMENTS = Path("docs/tables.yaml"), Path("docs/measurements.yaml")
MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
Row = dict[str, str]


class DocsError(ProjectError):
    """A table of the docs asks for a cell that no file has; the message names the table, the file and the cell."""


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (made := make_tables(text)) != text:
            write_text(page, made)
            print(f"{page}: tables written")


def make_tables(text: str) -> str:
    """Put the tables of a page's markers in place."""
    return MARKED.sub(lambda found: f"{found[1]}{make_table(found[2])}{found[3]}", text)


def make_table(name: str) -> str:
    """Make one table as Markdown.

    Raises:
        DocsError: TABLES does not have it, or a file does not have a cell of it.
    """
    tables = yaml.safe_load(TABLES.read_text(encoding="utf-8"))
    if name not in tables:
        raise DocsError(f"{TABLES}: no table {name!r}. Choose from {', '.join(tables)}.")
    table = tables[name]
    if "measured" in table:
        measured = yaml.safe_load(MEASUREMENTS.read_text(encoding="utf-8"))["tables"][table["measured"]]
        return lay_out([measured["columns"], *measured["rows"]])
    if "others" in table:
        return lay_out(list_all())
    if "whole" in table:
        return lay_out(read_tables(Path(table["whole"]))[0].lines)
    columns = {head: {"column": head} | (column or {}) for head, column in table["columns"].items()}
    lines = [[table.get("corner", ""), *columns]]
    for label, row in table["rows"].items():
        shared = {"key": label} | {key: value for key, value in table.items() if key not in ("rows", "columns")}
        lines.append([label, *(find(name, {**shared, **(row or {}), **column}) for column in columns.values())])
    return lay_out(lines)


def find(name: str, cell: dict[str, Any]) -> str:
    """Look a cell up."""
    files = [cell["file"]] if isinstance(cell["file"], str) else cell["file"]
    wanted = cell.get("where", {})
    for row in (row for file in files for row in read_rows(Path(file), cell.get("heading", ""))):
        first = next(iter(row.values()))
        if first == cell["key"] and cell["column"] in row and wanted.items() <= row.items():
            text = row[cell["column"]]
            return text.partition(". ")[0].removesuffix(".") if cell.get("sentence") else text
    if "absent" in cell:
        return str(cell["absent"])
    raise DocsError(f"{TABLES}: {name}: no {cell['column']!r} of {cell['key']!r} {wanted or ''} in {', '.join(files)}.")


def read_rows(path: Path, heading: str) -> list[Row]:
    """Read the rows of a file's tables below headings that contain `heading`."""
    tables = [table for table in read_tables(path) if heading in table.title]
    return [dict(zip(table.lines[0], row, strict=True)) for table in tables for row in table.lines[1:]]


def lay_out(lines: list[list[Any]]) -> str:
    """Lay rows of cells out as a Markdown table with straight columns."""
    cells = pad_cells([list(map(str, line)) for line in lines])
    cells.insert(1, ["-" * len(cell) for cell in cells[0]])
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


if __name__ == "__main__":
    run(main)
