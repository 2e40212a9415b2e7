"""All tables and figures of one data set's report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from beyond_spectrograms.evaluation.bitrates import points
from beyond_spectrograms.evaluation.comparisons import Pair
from beyond_spectrograms.evaluation.convergence import mean_curve
from beyond_spectrograms.evaluation.costs import Costs
from beyond_spectrograms.evaluation.ladder import rungs
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report import evidence_figures, figures, tables
from beyond_spectrograms.report.bitrates import bitrates_table
from beyond_spectrograms.report.comparisons import comparisons_table
from beyond_spectrograms.report.convergence import convergence_table
from beyond_spectrograms.report.costs import costs_table, sizes_table
from beyond_spectrograms.report.ladder import advantage_table, ladder_table, leakage_table
from beyond_spectrograms.report.notes import diverged
from beyond_spectrograms.report.table import Table


def tabulate(results: Results, pairs: Sequence[Pair], costs: Mapping[str, Costs]) -> dict[str, Table]:
    """Make every table that has a row, by the name of its file, in the order in which the page shows them."""
    made = {
        "results": tables.summary(results, pairs),
        "ladder": ladder_table(results, pairs),
        "advantage": advantage_table(results, pairs),
        "leakage_gap": leakage_table(results),
        "comparisons": comparisons_table(results, pairs),
        "convergence": convergence_table(results),
        "costs": costs_table(results, costs),
        "table_1": tables.table_1(results),
        "table_2": tables.table_2(results),
        "sizes": sizes_table(results),
    }
    made |= {
        f"bitrates-{protocol}": bitrates_table(results, pairs, protocol) for protocol in results.ablation_protocols
    }
    return {name: table for name, table in made.items() if table is not None and table.rows}


def draw(results: Results, folder: Path) -> None:
    """Write every figure there are results for into `folder`."""
    chosen = figures.styles([*results.params.representations])
    scores = next((cell.scores for cell in results.cells.values() if cell.scores), None)
    if scores is not None and len(rungs(results)) > 1:
        chance = 1 / len(scores.confusion.classes)
        figures.save(evidence_figures.figure_ladder(results, chosen, chance), folder, "ladder")
    for protocol in results.ablation_protocols:
        run = [point for point in points(results, protocol) if point.interval]
        if any(point.bitrate for point in run):
            title = f"{results.dataset}, protocol {protocol}: accuracy of a codec's latents against its bitrate"
            baselines = results.params.claims.baselines
            references = {name: known for name in baselines if (known := results.cell(name, protocol).window_interval)}
            figure = evidence_figures.figure_bitrates(results, run, chosen, references, title)
            figures.save(figure, folder, f"bitrates-{protocol}")
    for protocol in results.protocols:
        title = f"{results.dataset}, protocol {protocol}"
        whole = {name: results.cell(name, protocol).whole_curves for name in results.rows}
        if curves := {name: mean_curve(runs) for name, runs in whole.items() if runs}:
            labels = {name: _legend(results, name, protocol) for name in curves}
            figures.save(figures.figure_4(curves, chosen, labels, title), folder, f"figure_4-{protocol}")
        if best := tables.best_of(results, protocol):
            name, scores = best
            counts = np.array(scores.confusion.counts, dtype=np.int64)
            figure = figures.confusion(scores.confusion.classes, counts, f"{title}: {results.label(name)}")
            figures.save(figure, folder, f"confusion-{protocol}")


def _legend(results: Results, name: str, protocol: str) -> str:
    """Name a line of Figure 4, and say if runs diverged: they are left out of it."""
    scores = results.cell(name, protocol).scores
    if scores is None or not scores.diverged_runs:
        return results.label(name)
    return f"{results.label(name)}: {diverged(scores)}, left out"
