"""Result files of a data set -> tables of prototypes beside what they are compared with, metrics/<dataset>/tables.

For each representation <name>.csv and .md, and <name>-differences.csv: what the leaky split, each transformation and
the cross-entropy change.
"""

from beyond_spectrograms.params.study import Study
from beyond_spectrograms.report.prototypes import cells_of, tabulate_cells, tabulate_changes
from beyond_spectrograms.report.table import to_csv, to_markdown
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import fresh_work, replace_folder, write_text
from stages.arguments import parse
from stages.report import scored_results_of


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    write_tables(study, dataset)


def write_tables(study: Study, dataset: str) -> None:
    """Write the tables of every representation that was run, anew."""
    results, work = scored_results_of(study, dataset), study.work("ablate", dataset)
    with fresh_work(work):
        for name in study.params.grid.representations:
            if not (cells := cells_of(results, name)):
                continue
            every = tabulate_cells(dataset, name, cells, study.params.statistics)
            changes = tabulate_changes(dataset, name, cells, study.params)
            rows = [row for table in changes for row in table.rows]
            write_text(work / f"{name}.csv", to_csv(every.rows, list(every.rows[0])))
            write_text(work / f"{name}-differences.csv", to_csv(rows, list(rows[0]) if rows else ["change"]))
            write_text(work / f"{name}.md", "\n".join(map(to_markdown, (every, *changes))))
        replace_folder(work, study.metrics(dataset) / "tables")


if __name__ == "__main__":
    run_stage(main)
