"""Print a study's results and where its tables, pictures and page are: what `make demo` ends with. Computes nothing."""

import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from beyond_spectrograms.report.table import read_tables
from beyond_spectrograms.util.commands import run
from stages.arguments import parse


def main() -> None:
    study, _ = parse(__doc__)
    for dataset in study.params.grid.datasets:
        tables, plots = study.metrics(dataset) / "tables", study.plots(dataset)
        if (tables / "results.md").exists():
            print(tell(tables / "results.md", shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
            print("Tables:", *sorted(tables.glob("*.md")), sep="\n  ")
            print("Pictures (also as .svg):", *sorted(plots.rglob("*.png")), sep="\n  ")
    page = study.folder / "plots/report/index.html"
    if page.exists():
        print(f"All of it in one page: {page}")


def tell(path: Path, width: int | None) -> str:
    """Give the tables of a Markdown file as they stand or, for a terminal, in no more than `width` columns."""
    if width is None:
        return path.read_text(encoding="utf-8")
    console = Console(width=width, markup=False, emoji=False, highlight=False, color_system=None)
    with console.capture() as capture:
        for table in read_tables(path):
            laid_out = Table(*table.lines[0], title=table.title)
            for row in table.lines[1:]:
                laid_out.add_row(*row)
            console.print(laid_out, *(f"- {note}" for note in table.notes), sep="\n")
    return capture.get()


if __name__ == "__main__":
    run(main)
