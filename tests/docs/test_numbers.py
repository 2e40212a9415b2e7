"""Results in README and docs: tables are those that `make tables` writes, numbers in prose stand in files in git."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.docs import MARKED, MEASUREMENTS, TABLES, lay_out, make_tables
from support.repository import REPOSITORY

PAGES = ["README.md", *(path.relative_to(REPOSITORY).as_posix() for path in sorted(REPOSITORY.glob("docs/*.md")))]
NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?"
INTERVAL = re.compile(rf"({NUMBER}) +\[({NUMBER}), ({NUMBER})\]")
UNIT = r"(?: ?(?:%|[GMk]?B|m?s|kbps)(?!\w)| (?:points?|times|minutes?|min|hours?|dB|megabytes?)\b)"
# A result has a fraction or a unit; what else is counted here is said by code and params.
RESULT = re.compile(rf"(?<![\w.,^/-])({NUMBER})({UNIT})?")
NO_PROSE = re.compile(
    r"```.*?```|`[^`]*`|<!-- table.*?<!-- end -->|<!--.*?-->|(?<=\])\([^)]*\)|\[doi [^]]*\]", re.DOTALL
)


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.parametrize("page", PAGES)
def test_tables_of_results_are_those_that_are_written_from_files_in_git(page: str) -> None:
    text = Path(page).read_text(encoding="utf-8")
    assert make_tables(text) == text, f"{page}: its tables are stale. Run: python -m stages.docs"


def test_a_bar_in_a_cell_is_no_border() -> None:
    assert lay_out([["a"], ["x|y"]]) == "| a    |\n| ---- |\n| x\\|y |\n"


def test_every_described_table_stands_in_a_page() -> None:
    shown = {name for page in PAGES for _, name, _ in MARKED.findall(Path(page).read_text(encoding="utf-8"))}
    assert shown == set(yaml.safe_load(TABLES.read_text(encoding="utf-8")))


def bare(number: str) -> str:
    return number.lstrip("+-").replace(",", "")


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def sources(text: str) -> tuple[str, list[float]]:
    """Gather what the result files that a page links to print, and MEASUREMENTS; then the numbers JSON holds there."""
    folders = {Path(found) for found in re.findall(r"(?:studies/\w+/)?(?:metrics|plots)/\w+", text)}
    files = [path for folder in folders for path in (folder.rglob("*") if folder.is_dir() else folder.parent.glob("*"))]
    printed = [path.read_text(encoding="utf-8").replace(" | [", " [") for path in files if path.suffix == ".md"]
    measured = yaml.safe_load(MEASUREMENTS.read_text(encoding="utf-8"))
    printed += [number for kind in ("numbers", "settings") for each in measured[kind] for number in each["numbers"]]
    printed += [str(cell) for table in measured["tables"].values() for row in table["rows"] for cell in row]
    kept = [path for path in files if path.parent.name == "heard" or path.name == "accuracy.json"]
    return "\n".join(printed), [
        abs(v) for path in kept for v in numbers_in(json.loads(path.read_text(encoding="utf-8")))
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if "adding-a-" not in page])
def test_every_number_in_prose_that_is_a_result_stands_in_a_file_in_git(page: str) -> None:
    text = Path(page).read_text(encoding="utf-8")
    printed, held = sources(text)
    intervals = {tuple(map(bare, found)) for found in INTERVAL.findall(printed)}
    known = {bare(number) for number in re.findall(NUMBER, printed)}
    prose = NO_PROSE.sub("", text)
    absent = [found[0] for found in INTERVAL.finditer(prose) if tuple(map(bare, found.groups())) not in intervals]
    prose = INTERVAL.sub("", prose)
    for found in RESULT.finditer(prose):
        number = bare(found[1])
        digits = len(number.partition(".")[2])
        rounded = {round(value * scale, digits) for value in held for scale in (1, 100)}
        rounded |= {round(float(value), digits) for value in known} if not digits else set()
        if (digits or found[2]) and number not in known and float(number) not in rounded:
            absent.append(prose[max(0, found.start() - 30) : found.end() + 10].replace("\n", " "))
    assert absent == [], f"{page}: in no file in git that it links to, nor in {MEASUREMENTS}"
