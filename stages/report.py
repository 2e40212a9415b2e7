"""Result files of one data set -> the paper's tables and figures, with intervals, and the paper's claims judged.

Reads metrics/<dataset> alone, which is in git: on a bare clone `make tables` makes all of it again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from beyond_spectrograms.evaluation import ladder
from beyond_spectrograms.evaluation.bitrates import bitrates_table, points
from beyond_spectrograms.evaluation.claims import CLAIMS, claims_table, judge, rules
from beyond_spectrograms.evaluation.comparisons import compare_with_baselines, comparisons_table
from beyond_spectrograms.evaluation.convergence import TIDY, convergence_table, mean_curve, tidy_curves
from beyond_spectrograms.evaluation.costs import Costs, read_costs
from beyond_spectrograms.evaluation.results import SCORES_FILE, ResultError, Results, read_results
from beyond_spectrograms.params.study import PAPER, Study, folder_of
from beyond_spectrograms.report import evidence_figures, figures, tables
from beyond_spectrograms.report import table as tabular
from beyond_spectrograms.util.errors import run_stage
from beyond_spectrograms.util.files import locked, replace_folder, write_json, write_text
from stages.arguments import parse


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    write_report(study, dataset)


def write_report(study: Study, dataset: str) -> None:
    """Write all tables, verdicts and figures of a data set.

    Raises:
        ResultError: no cell of the grid has scores.
    """
    results, costs = results_of(study, dataset), read_costs(study.metrics(dataset) / "costs.json")
    if not results.cells:
        raise ResultError(
            f"{study.metrics(dataset) / SCORES_FILE}: no cell of the grid is there. Train and evaluate some."
        )
    work = study.work("report", dataset)
    with locked(work):
        shutil.rmtree(work, ignore_errors=True)  # left by a run that was stopped
        write_tables(results, costs, study.metrics(dataset), work)
        drawn = work / "figures"
        drawn.mkdir(parents=True)
        draw(results, drawn)
        replace_folder(drawn, study.plots(dataset) / "figures")
        write_text(study.plots(dataset) / "convergence.csv", tabular.to_csv(tidy_curves(results), TIDY))
        shutil.rmtree(work)


def results_of(study: Study, dataset: str) -> Results:
    """Read a data set's results, and those of the paper's experiment that stand beside them."""
    return read_results(study.params, dataset, study.metrics(dataset), folder_of(PAPER) / "metrics" / dataset)


def write_tables(results: Results, costs: Mapping[str, Costs], place: Path, work: Path) -> None:
    """Write place/tables anew, in `work` first, and the verdicts: place/claims.json and tables/claims.md."""
    pairs = compare_with_baselines(results)
    written = {
        "results": tables.summary(results, pairs),
        "table_1": tables.table_1(results),
        "table_2": tables.table_2(results),
        "ladder": ladder.ladder_table(results, pairs),
        "advantage": ladder.advantage_table(results, pairs),
        "leakage_gap": ladder.leakage_table(results),
        "comparisons": comparisons_table(results, pairs),
        "sizes": tables.sizes_table(results),
        "costs": tables.costs_table(results, costs),
        "convergence": convergence_table(results),
    }
    for protocol in results.ablation_protocols:
        written[f"bitrates-{protocol}"] = bitrates_table(results, pairs, protocol)
    verdicts = judge(results, costs)
    judged = [claims_table(results, verdicts, claim) for claim in CLAIMS]
    finished = work / "tables"
    for name, table in written.items():
        if table is not None and table.rows:
            write_text(finished / f"{name}.md", tabular.to_markdown(table))
            write_text(finished / f"{name}.csv", tabular.to_csv(table.rows, list(table.rows[0])))
    about = "Each codec against each spectrogram; a control is an untrained encoder."
    shown = [f"#{tabular.to_markdown(table)}" for table in judged if table.rows]
    write_text(finished / "claims.md", "\n".join([f"# The paper's claims, judged\n\n{about}\n", *shown]))
    replace_folder(finished, place / "tables")
    write_json(place / "claims.json", {"rules": rules(results), "verdicts": [asdict(verdict) for verdict in verdicts]})


def draw(results: Results, folder: Path) -> None:
    """Write every figure there are results for into `folder`."""
    chosen = figures.styles([*results.params.representations])
    _draw_evidence(results, chosen, folder)
    for protocol in results.protocols:
        whole = {name: results.cell(name, protocol).whole_curves for name in results.rows}
        curves = {name: mean_curve(runs) for name, runs in whole.items() if runs}
        best = tables.best_of(results, protocol)
        if curves:
            title = f"{results.dataset}, protocol {protocol}"
            labels = {name: _legend(results, name, protocol) for name in curves}
            figures.save(figures.figure_4(curves, chosen, labels, title), folder, f"figure_4-{protocol}")
        if best:
            name, scores = best
            title = f"{results.dataset}, protocol {protocol}: {results.label(name)}"
            counts = np.array(scores.confusion.counts, dtype=np.int64)
            figures.save(figures.confusion(scores.confusion.classes, counts, title), folder, f"confusion-{protocol}")


def _draw_evidence(results: Results, chosen: dict[str, figures.Style], folder: Path) -> None:
    """Draw the ladder where at least two of its rungs were asked for, and the bitrates where some were run."""
    scores = next((cell.scores for cell in results.cells.values() if cell.scores), None)
    if scores is None:
        return
    if len(ladder.rungs(results)) > 1:
        chance = 1 / len(scores.confusion.classes)
        figures.save(evidence_figures.figure_ladder(results, chosen, chance), folder, "ladder")
    for protocol in results.ablation_protocols:
        run = [point for point in points(results, protocol) if point.interval]
        if any(point.bitrate for point in run):
            baselines = {name: results.cell(name, protocol).window_interval for name in results.params.claims.baselines}
            references = {name: interval for name, interval in baselines.items() if interval}
            title = f"{results.dataset}, protocol {protocol}: accuracy of a codec's latents against its bitrate"
            figure = evidence_figures.figure_bitrates(results, run, chosen, references, title)
            figures.save(figure, folder, f"bitrates-{protocol}")


def _legend(results: Results, name: str, protocol: str) -> str:
    """Name a line of Figure 4, and say if runs diverged, which are left out of it."""
    scores = results.cell(name, protocol).scores
    if scores is None or not scores.diverged_runs:
        return results.label(name)
    return f"{results.label(name)}: {tables.diverged(scores)}, left out"


if __name__ == "__main__":
    run_stage(main)
