"""The frame of a simulation of coverage: so many experiments for each case, then a record of all cases and a table."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.results import publish
from beyond_spectrograms.params import Params, load_params
from beyond_spectrograms.params.study import folder_of
from beyond_spectrograms.report.table import Table
from beyond_spectrograms.util.progress import counting


def simulate_cases(
    about: str | None,
    study: str,
    designs: Sequence[tuple[Any, ...]],
    *,
    simulate: Callable[..., Any],
    tabulate: Callable[[list[Any], int], Table],
    results: Path,
    further: Mapping[str, Callable[[Params, int], Any]] | None = None,
) -> None:
    """Simulate every design under a study's params, and write what was counted to `results` and, as a table, beside it.

    `simulate` takes params, what a design says, and how many experiments are drawn; it gives a record, a dataclass.
    `tabulate` takes all of these, and that number. `about` is the program's description. What is counted `further`, by
    its name in the record, is printed last.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=500, help="simulated experiments a case")
    draws, params = parser.parse_args().draws, load_params(folder_of(study))
    made: list[Any] = []
    with counting("cases", len(designs), lambda: len(made)):
        for design in designs:
            made.append(simulate(params, *design, draws))
    counted = {name: count(params, draws) for name, count in (further or {}).items()}
    publish(results, {"draws": draws, "cases": [asdict(case) for case in made], **counted}, tabulate(made, draws))
    for one in counted.values():
        print(one)


def error_of_coverage(draws: int) -> str:
    """Say how sure a share of intervals is."""
    return f"a share of 95 % of so many has a standard error of {100 * (0.95 * 0.05 / draws) ** 0.5:.1f} points."
