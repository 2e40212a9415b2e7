"""Tables of the report page: Markdown of tabular.to_markdown read back as cells, so that both say the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from beyond_spectrograms.util.errors import ProjectError

# A cell of figures: 71.2 [66.0, 76.1] *, 44.6 / 45.8, < 0.0001, 20-28, 5 x 1, 4.5 (4 to 9), 12 never, or "-".
_FIGURE = re.compile(r"-|[<>+\-]?\s*[\d.,]+(?:[\d\s.,:+\-/()\[\]<>*†‡§%x±]|to|never|inf)*")


class PageError(ProjectError):
    """The report page cannot be made of what is there; the message names the file, the place and what to do."""


@dataclass(frozen=True)
class PageTable:
    """A table as it is shown: `rows` [rows][columns] of text; `figures` [columns] says which hold figures alone."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    figures: tuple[bool, ...]

    @property
    def place(self) -> str:
        """An id for a link: letters, digits and dashes."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def read_tables(path: Path) -> list[PageTable]:
    """Read the tables of a Markdown file: each a `# title`, a `|` table and `- ` notes.

    Raises:
        PageError: a row has not the header's number of cells, or a table has no title.
    """
    tables: list[PageTable] = []
    title, lines, notes = "", list[tuple[str, ...]](), list[str]()
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), "# "], start=1):
        if line.startswith("# "):
            if lines:
                tables.append(_table(title, lines, notes))
            title, lines, notes = line.removeprefix("# ").strip(), [], []
        elif line.startswith("|") and not re.fullmatch(r"[|\-: ]+", line):
            parts = re.split(r"(?<!\\)\|", line.strip())[1:-1]
            cells = tuple(part.strip().replace(r"\|", "|") for part in parts)
            if not title:
                raise PageError(f"{path}, line {number}: a table without a title. Run its stage again.")
            if lines and len(cells) != len(lines[0]):
                raise PageError(
                    f"{path}, line {number}: {len(cells)} cells for a header of {len(lines[0])}. Run its stage again."
                )
            lines.append(cells)
        elif line.startswith("- "):
            notes.append(line.removeprefix("- "))
    return tables


def _table(title: str, lines: list[tuple[str, ...]], notes: list[str]) -> PageTable:
    header, *rows = lines
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    figures = tuple(bool(any(column)) and all(_FIGURE.fullmatch(cell) for cell in column if cell) for column in columns)
    return PageTable(title, header, tuple(rows), tuple(notes), figures)
