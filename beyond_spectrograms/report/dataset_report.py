"""All tables and figures of one data set's report, and the paper's Figure 4 of several."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from beyond_spectrograms.data.windows import FeaturesError, has_features, open_features
from beyond_spectrograms.evaluation.comparisons import Pair
from beyond_spectrograms.evaluation.convergence import MeanCurve, mean_curve
from beyond_spectrograms.evaluation.costs import Costs
from beyond_spectrograms.evaluation.results import INPUTS, Results
from beyond_spectrograms.params import Mel
from beyond_spectrograms.report import figures, learning_curves, published, tables
from beyond_spectrograms.report.bitrates import bitrates_table
from beyond_spectrograms.report.calibration import calibration_table
from beyond_spectrograms.report.comparisons import classes_table, comparisons_table, contrasts_table
from beyond_spectrograms.report.convergence import convergence_table
from beyond_spectrograms.report.costs import costs_table, pareto_table, sizes_table
from beyond_spectrograms.report.evidence_figures import (
    figure_bitrates,
    figure_ladder,
    figure_pareto,
    figure_reliability,
    figure_robustness,
)
from beyond_spectrograms.report.ladder import advantage_table, ladder_table, leakage_table
from beyond_spectrograms.report.notes import NOT_RUN, diverged
from beyond_spectrograms.report.reproduction import published_table
from beyond_spectrograms.report.robustness import robustness_table
from beyond_spectrograms.report.table import Table
from beyond_spectrograms.report.training_share import training_share_figures, training_share_tables
from beyond_spectrograms.report.tuning import tuning_table


def tabulate(results: Results, pairs: Sequence[Pair], costs: Mapping[str, Costs]) -> dict[str, Table]:
    """Make every table that has a row, by the name of its file."""
    made = {
        "results": tables.summary(results, pairs),
        "published": published_table(results),
        "contrasts": contrasts_table(results, pairs),
        "classes": classes_table(results, pairs),
        "calibration": calibration_table(results),
        "ladder": ladder_table(results, pairs),
        "advantage": advantage_table(results, pairs),
        "leakage_gap": leakage_table(results),
        **training_share_tables(results),
        "tuning": tuning_table(results),
        "robustness": robustness_table(results),
        "comparisons": comparisons_table(results, pairs),
        "convergence": convergence_table(results),
        "costs": costs_table(results, costs),
        "pareto": pareto_table(results, costs),
        "table_1": tables.table_1(results),
        "table_2": tables.table_2(results),
        "sizes": sizes_table(results),
    }
    made |= {
        f"bitrates-{protocol}": bitrates_table(results, pairs, protocol) for protocol in results.ablation_protocols
    }
    return {name: table for name, table in made.items() if table is not None and table.rows}


def draw(results: Results, costs: Mapping[str, Costs], folder: Path) -> None:
    """Write every figure there are results for into `folder`."""
    for name, figure in _figures(results, costs):
        if figure is not None:
            figures.save(figure, folder, name)


def _figures(results: Results, costs: Mapping[str, Costs]) -> Iterator[tuple[str, Figure | None]]:
    """Draw one figure after the other, by the name of its file; None where there are no results for it."""
    yield "ladder", figure_ladder(results)
    yield from training_share_figures(results).items()
    yield "pareto", figure_pareto(results, costs)
    for protocol in results.ablation_protocols:
        yield f"bitrates-{protocol}", figure_bitrates(results, protocol)
    chosen = figures.styles(results.params.representations)
    for protocol in results.protocols:
        title = f"{results.dataset}, protocol {protocol}"
        learns = not results.params.protocols[protocol].is_fitted_at_once
        if learns and (curves := _mean_curves(results, protocol)):
            labels = {name: _legend(results, name, protocol) for name in curves}
            yield f"figure_4-{protocol}", learning_curves.figure_4(curves, chosen, labels, title)
        if best := tables.best_of(results, protocol):
            name, scores = best
            told, counts = f"{title}: {results.label(name)}", np.array(scores.confusion.counts, dtype=np.int64)
            yield f"confusion-{protocol}", figures.confusion(scores.confusion.classes, counts, told)
        yield f"reliability-{protocol}", figure_reliability(results, protocol)
        yield f"robustness-{protocol}", figure_robustness(results, protocol)


def figure_4(found: Sequence[Results], protocol: str) -> Figure | None:
    """Draw the paper's Figure 4, a column for each of its data sets that was run; None where none was.

    Args:
        found: the results of a study, a data set each.
        protocol: one of those beside which the paper's figures stand.
    """
    columns: dict[str, dict[str, MeanCurve]] = {}
    letters: dict[str, tuple[str, str]] = {}
    labels: dict[str, str] = {}
    said: list[str] = []
    for name, panels in published.FIGURE_4.items():
        mine = [results for results in found if published.EDITIONS.get(results.dataset, results.dataset) == name]
        known = [(results, curves) for results in mine if (curves := _mean_curves(results, protocol))]
        said += [] if known else [f"{name}: {NOT_RUN}"]
        for results, curves in known:
            columns[results.dataset], letters[results.dataset] = curves, panels
            labels |= {each: results.label(each) for each in curves}
            cells = {each: results.cell(each, protocol).scores for each in curves}
            said += [
                f"{results.dataset}, {each}: {diverged(of)}" for each, of in cells.items() if of and of.diverged_runs
            ]
    if not columns:
        return None
    chosen = figures.styles(found[0].params.representations)
    title = f"Figure 4 under the protocol {protocol}: validation accuracy and loss\n{fill('; '.join(said), 90)}".strip()
    return learning_curves.figure_4_of_datasets(columns, letters, chosen, labels, title)


def figure_2(results: Results, features: Mapping[str, Path], windows: pd.DataFrame) -> Figure:
    """Draw Figure 2: the first mel spectrogram that was run, which also chooses the window, and all latents.

    Args:
        results: of the data set.
        features: where the features of each representation would be.
        windows: the data set's, with the columns clip, start_s and silent.

    Raises:
        FeaturesError: none are there.
    """
    here = {name: place for name, place in features.items() if has_features(place)}
    if not here:
        raise FeaturesError(f"{results.dataset}: no features are here to draw. Run a featurize stage of it.")
    arrays = {name: open_features(place, len(windows)) for name, place in here.items()}
    records = {name: results.params.representations[name] for name in here}
    scales = {name: record.scale if isinstance(record, Mel) else "latent" for name, record in records.items()}
    mel = next((name for name in here if scales[name] in ("power", "db")), None)
    silent, length_s = windows["silent"].to_numpy(dtype=bool), results.params.windows.length_s
    row, why = figures.choose_window(arrays[mel] if mel else None, scales[mel] if mel else "", silent)
    start = windows["start_s"][row]
    caption = f"{results.dataset}: {windows['clip'][row]}, {start:g} s to {start + length_s:g} s ({why})"
    if missing := [name for name in INPUTS if name not in arrays]:
        caption += f"\n{NOT_RUN}: {', '.join(missing)}"
    shown = [name for name in here if name == mel or (scales[name] == "latent" and records[name].kind != "waveform")]
    panels = [figures.Panel(results.label(name), arrays[name][row], scales[name]) for name in shown]
    return figures.figure_2(panels, length_s, caption)


def _mean_curves(results: Results, protocol: str) -> dict[str, MeanCurve]:
    """Average every representation's runs, but for those that diverged."""
    whole = {name: results.cell(name, protocol).whole_curves for name in results.rows}
    return {name: mean_curve(runs) for name, runs in whole.items() if runs}


def _legend(results: Results, name: str, protocol: str) -> str:
    """Name a line of Figure 4, and say if runs diverged: they are left out of it."""
    scores = results.cell(name, protocol).scores
    if scores is None or not scores.diverged_runs:
        return results.label(name)
    return f"{results.label(name)}: {diverged(scores)}, left out"
