"""Everything the other stages wrote -> one HTML file to read, hear and pass on; with --demo, over the demo's cells."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import write_text
from beyond_spectrograms.page.excerpts import (
    PERMITTED,
    BestCell,
    Excerpt,
    best_cell,
    confidently_wrong,
    cut_excerpts,
    read_predictions,
)
from beyond_spectrograms.page.provenance import commit, durations, lock_digests, machine, origin, versions
from beyond_spectrograms.page.rendering import DatasetPart, Made, render
from beyond_spectrograms.page.tables import PageTable, read_tables
from beyond_spectrograms.page.verdicts import read_verdicts
from beyond_spectrograms.params import Params, load_params
from beyond_spectrograms.results import Results
from stages.report import read_results

PAGE, DEMO_PAGE = Path("plots/report/index.html"), Path("plots/demo/report/index.html")
VERDICTS, DEMO_VERDICTS = Path("metrics/claims.json"), Path("metrics/demo/claims.json")
DEMO_TABLES = Path("metrics/demo")
TITLE = "Beyond Spectrograms"
# In the order in which the page shows them; bitrates-<protocol> come last.
TABLES = (
    "results",
    "ladder",
    "advantage",
    "leakage_gap",
    "comparisons",
    "convergence",
    "costs",
    "table_1",
    "table_2",
    "sizes",
)


def write_page(
    params: Params, all_results: Sequence[Results], tables: dict[str, Path], verdicts: Path, page: Path
) -> None:
    """Write the page over `all_results`; what is not there is named in it.

    Args:
        params: of the project.
        all_results: a data set each.
        tables: data set -> the folder of its tables.
        verdicts: claims.json.
        page: the file to write.
    """
    absent = [] if verdicts.exists() else [str(verdicts)]
    digests = lock_digests(Path("dvc.lock"))
    # What real sound says comes first.
    ordered = sorted(all_results, key=lambda results: params.datasets[results.dataset].source.synthetic is not None)
    parts = []
    for results in ordered:
        dataset = results.dataset
        best, excerpts = read_excerpts(results)
        source, counts = Path("data/raw", dataset, "source.json"), Path("metrics/datasets", f"{dataset}.json")
        absent += [str(path) for path in (source, counts) if not path.exists()]
        parts.append(
            DatasetPart(
                results=results,
                tables=read_all_tables(results, tables[dataset], absent),
                best=best,
                excerpts=excerpts,
                origin=origin(dataset, source, counts, digests),
                durations=durations(results),
            )
        )
    made = Made(commit(), machine(), versions(params), Path("params.yaml").read_text(encoding="utf-8"), absent)
    judged = read_verdicts(verdicts) if verdicts.exists() else None
    write_text(page, render(TITLE, parts, judged, made))
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB, {', '.join(part.results.dataset for part in parts)}")


def read_all_tables(results: Results, folder: Path, absent: list[str]) -> list[PageTable]:
    """Read a data set's tables and its audit's; the paths of those that are not there go to `absent`."""
    names = [*TABLES, *(f"bitrates-{protocol}" for protocol in results.ablation_protocols)]
    paths = [*(folder / f"{name}.md" for name in names), Path("metrics/audit", f"{results.dataset}.md")]
    absent += [str(path) for path in paths if not path.exists()]
    return [table for path in paths if path.exists() for table in read_tables(path)]


def read_excerpts(results: Results) -> tuple[BestCell | None, list[Excerpt]]:
    """Choose the best cell and cut its excerpts, where the data set's licence permits them to be passed on."""
    best = best_cell(results)
    if best is None or results.dataset not in PERMITTED:
        return best, []
    cell = f"{results.dataset}/{best.representation}-{best.protocol}.csv"
    wrong = confidently_wrong(read_predictions(Path("plots/predictions", cell)))
    recordings = results.cell(best.representation, best.protocol).recordings
    clips, length_s = Path("data/clips", results.dataset), results.params.windows.length_s
    return best, cut_excerpts(wrong, recordings, clips, length_s) if recordings else []


def write_demo_page(params: Params) -> None:
    """Write the demo's page over its cells and tables."""
    results = read_results(params, "demo", params.demo)
    write_page(params, [results], {"demo": DEMO_TABLES}, DEMO_VERDICTS, DEMO_PAGE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", action="store_true", help="the demo's cells alone")
    params = load_params()
    if parser.parse_args().demo:
        write_demo_page(params)
        return
    split = [name for name in params.grid.datasets if Path("metrics/splits", f"{name}.json").exists()]
    run = [results for name in split if (results := read_results(params, name, params.grid, params.ablations)).cells]
    write_page(params, run, {name: Path("metrics/tables", name) for name in split}, VERDICTS, PAGE)


if __name__ == "__main__":
    run_stage(main)
