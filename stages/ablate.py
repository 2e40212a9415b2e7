"""Result files of a data set -> tables of prototypes beside what they are compared with, metrics/<dataset>/tables.

For each representation <name>.csv and .md, and <name>-differences.csv: what the leaky split, each transformation and
the cross-entropy change.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from beyond_spectrograms.evaluation.results import SCORES_FILE, ResultError, Results
from beyond_spectrograms.params.study import Study
from beyond_spectrograms.report.prototypes import (
    Cell,
    count_recordings,
    find_leaks,
    find_steps,
    sum_errors,
    tabulate_cells,
    tabulate_differences,
)
from beyond_spectrograms.report.table import to_csv, to_markdown
from beyond_spectrograms.util.errors import run_stage
from beyond_spectrograms.util.files import locked, replace_folder, write_text
from stages.arguments import parse
from stages.report import results_of


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    write_tables(study, dataset)


def write_tables(study: Study, dataset: str) -> None:
    """Write the tables of every representation that was run, anew."""
    results, place, work = results_of(study, dataset), study.metrics(dataset), study.work("ablate", dataset)
    if not results.cells:
        raise ResultError(f"{place / SCORES_FILE}: no cell of the grid is there. Train and evaluate some.")
    with locked(work):
        shutil.rmtree(work, ignore_errors=True)  # left by a run that was stopped
        for name in study.params.grid.representations:
            if cells := cells_of(results, name):
                write(results, name, cells, work)
        replace_folder(work, place / "tables")


def cells_of(results: Results, representation: str) -> dict[str, Cell]:
    """Gather what is tabulated of each protocol that a representation was run under, in the order of the grid."""
    params, cells = results.params, {}
    for protocol in params.grid.protocols_of(representation):
        known = results.cell(representation, protocol)
        if known.scores is None or known.recordings is None:
            continue
        recipe = params.protocols[protocol]
        unit = recipe.prototypes.scale**2 if recipe.prototypes else 1.0
        cells[protocol] = Cell(
            runs=[run.model_dump() for run in known.scores.by_fold],
            right=count_recordings(known.recordings),
            errors=sum_errors(known.recordings, unit),
            variance=results.features[representation].variance.get(recipe.split, 0.0),
        )
    return cells


def write(results: Results, representation: str, cells: dict[str, Cell], folder: Path) -> None:
    """Write one representation's tables."""
    dataset, params = results.dataset, results.params
    protocols = {name: params.protocols[name] for name in cells}
    every = tabulate_cells(dataset, representation, cells, params.statistics)
    differences = [
        tabulate_differences(f"{dataset}, {representation}: {what}", cells, pairs, params.statistics)
        for what, pairs in (
            ("what the leaky split adds", find_leaks(protocols, params.splits)),
            ("what each part of prototypes changes", find_steps(protocols)),
        )
        if pairs
    ]
    rows = [row for table in differences for row in table.rows]
    write_text(folder / f"{representation}.csv", to_csv(every.rows, list(every.rows[0])))
    write_text(folder / f"{representation}-differences.csv", to_csv(rows, list(rows[0]) if rows else ["change"]))
    write_text(folder / f"{representation}.md", "\n".join(to_markdown(table) for table in (every, *differences)))


if __name__ == "__main__":
    run_stage(main)
