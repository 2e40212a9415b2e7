"""The frame of a simulation of coverage: so many experiments for each case, then a record of all cases and a table."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from beyond_spectrograms.params import load_params
from beyond_spectrograms.params.loading import STUDIES
from beyond_spectrograms.report.table import Table, to_markdown
from beyond_spectrograms.util.files import write_json, write_text
from beyond_spectrograms.util.progress import counting


def simulate_cases(
    about: str | None,
    study: str,
    designs: Sequence[tuple[Any, ...]],
    *,
    simulate: Callable[..., Any],
    tabulate: Callable[[list[Any], int], Table],
    results: Path,
) -> None:
    """Simulate every design under a study's params, and write what was counted to `results` and, as a table, beside it.

    `simulate` takes params, what a design says, and how many experiments are drawn; it gives a record, a dataclass.
    `tabulate` takes all of these, and that number. `about` is the program's description.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=500, help="simulated experiments a case")
    draws, params = parser.parse_args().draws, load_params(STUDIES / study)
    made: list[Any] = []
    with counting("cases", len(designs), lambda: len(made)):
        for design in designs:
            made.append(simulate(params, *design, draws))
    write_json(results, {"draws": draws, "cases": [asdict(case) for case in made]})
    told = to_markdown(tabulate(made, draws))
    write_text(results.with_suffix(".md"), told)
    print(told)
