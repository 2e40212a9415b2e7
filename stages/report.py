"""Scores, curves and features of one data set -> the paper's tables and figures."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from beyond_spectrograms import figures, paper, tables, tabular
from beyond_spectrograms.costs import Costs, read_costs
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.evidence import figures as evidence_figures
from beyond_spectrograms.evidence import ladder
from beyond_spectrograms.evidence.bitrates import bitrates_table, points
from beyond_spectrograms.evidence.comparisons import compare_with_baselines, comparisons_table
from beyond_spectrograms.evidence.convergence import TIDY, convergence_table, mean_curve, tidy_curves
from beyond_spectrograms.evidence.uncertainty import recording_interval, window_interval
from beyond_spectrograms.files import replace_folder, write_text
from beyond_spectrograms.params import Mel, Params, Product, load_params
from beyond_spectrograms.recordings import read_recordings
from beyond_spectrograms.results import (
    Cell,
    Results,
    read_curves,
    read_features,
    read_scores,
    read_splits,
    read_training,
    rows_of,
)
from beyond_spectrograms.windows import open_features, read_windows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def read_results(params: Params, dataset: str, cells: Product, ablations: Product | None = None) -> Results:
    """Read the cells asked for. Files are named, never searched for: what other runs left is not read."""
    ablations = ablations or Product(representations=[], protocols=[])
    every = [*product(cells.representations, cells.protocols), *product(ablations.representations, ablations.protocols)]
    # By protocol, so that whatever lists cells in order keeps those together that are compared.
    every.sort(key=lambda cell: list(params.protocols).index(cell[1]))
    windows = read_windows(Path("data/splits", dataset))
    sources = dict(zip(windows["clip"], windows["group"], strict=True))
    found = {cell: read_cell(params, dataset, *cell, sources) for cell in every}
    names = [*cells.representations, *ablations.representations]
    sizes = {name: Path(f"metrics/features/{dataset}/{name}.json") for name in names}
    return Results(
        dataset=dataset,
        rows=rows_of(cells.representations, params),
        protocols=tuple(cells.protocols),
        ablations=tuple(ablations.representations),
        ablation_protocols=tuple(ablations.protocols),
        params=params,
        splits=read_splits(Path(f"metrics/splits/{dataset}.json")),
        features={name: read_features(path) for name, path in sizes.items() if path.exists()},
        cells={cell: what for cell, what in found.items() if what.scores},
    )


def read_cell(params: Params, dataset: str, representation: str, protocol: str, sources: Mapping[str, str]) -> Cell:
    """Read all that is known of one cell and compute its intervals; an empty cell where it was not run."""
    place = f"{dataset}/{representation}-{protocol}"
    if not Path(f"metrics/scores/{place}.json").exists():
        return Cell()
    recordings = read_recordings(Path(f"plots/recordings/{place}.csv"), sources)
    return Cell(
        scores=read_scores(Path(f"metrics/scores/{place}.json"), dataset, representation, protocol),
        curves=read_curves(Path(f"plots/history/{place}.csv")),
        recordings=recordings,
        window_interval=window_interval(recordings, params.statistics),
        recording_interval=recording_interval(recordings, params.statistics),
        training=read_training(Path(f"metrics/training/{place}.json"), dataset, representation, protocol),
    )


def read_all_costs(results: Results) -> dict[str, Costs]:
    """Read what was measured of each representation, those not measured left out."""
    places = {name: Path(f"metrics/costs/{results.dataset}/{name}.json") for name in results.features}
    return {name: read_costs(place) for name, place in places.items() if place.exists()}


def write_report(results: Results, table_folder: Path, figure_folder: Path, curves: Path) -> None:
    """Write all tables and figures of `results`, each folder anew."""
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
        "costs": tables.costs_table(results, read_all_costs(results)),
        "convergence": convergence_table(results),
    }
    for protocol in results.ablation_protocols:
        written[f"bitrates-{protocol}"] = bitrates_table(results, pairs, protocol)
    with tempfile.TemporaryDirectory(dir=_parent(table_folder)) as beside:
        finished = Path(beside) / "tables"
        for name, table in written.items():
            if table is not None and table.rows:
                write_text(finished / f"{name}.md", tabular.to_markdown(table))
                write_text(finished / f"{name}.csv", tabular.to_csv(table.rows, list(table.rows[0])))
        replace_folder(finished, table_folder)
    with tempfile.TemporaryDirectory(dir=_parent(figure_folder)) as beside:
        finished = Path(beside) / "figures"
        finished.mkdir()
        draw(results, finished)
        replace_folder(finished, figure_folder)
    write_text(curves, tabular.to_csv(tidy_curves(results), TIDY))


def _parent(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder.parent


def draw(results: Results, folder: Path) -> None:
    """Write every figure there are results for into `folder`."""
    if results.features:
        figures.save(_figure_2(results), folder, "figure_2")
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
            title = f"{results.dataset}, protocol {protocol}: {results.label(best.representation)}"
            counts = np.array(best.confusion.counts, dtype=np.int64)
            figures.save(figures.confusion(best.confusion.classes, counts, title), folder, f"confusion-{protocol}")


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


def _figure_2(results: Results) -> Figure:
    """Figure 2: the first mel spectrogram that was run, which also chooses the window, and all latents."""
    windows = read_windows(Path("data/splits", results.dataset))
    arrays = {
        name: open_features(Path("data/features", results.dataset, name), len(windows))
        for name in results.rows
        if name in results.features
    }
    scales = {
        name: known.scale if isinstance(known := results.params.representations[name], Mel) else "latent"
        for name in arrays
    }
    mel = next((name for name in arrays if scales[name] != "latent"), None)
    silent = windows["silent"].to_numpy(dtype=bool)
    row, why = figures.choose_window(arrays[mel] if mel else None, scales[mel] if mel else "", silent)
    clip, start = windows["clip"][row], windows["start_s"][row]
    caption = f"{results.dataset}: {clip}, {start:g} s to {start + results.params.windows.length_s:g} s ({why})"
    if missing := [name for name in paper.INPUTS if name not in arrays]:
        caption += f"\n{tables.NOT_RUN}: {', '.join(missing)}"
    panels = [
        figures.Panel(results.label(name), array[row], scales[name])
        for name, array in arrays.items()
        if name == mel or scales[name] == "latent"
    ]
    return figures.figure_2(panels, results.params.windows.length_s, caption)


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=params.datasets)
    dataset = parser.parse_args().dataset
    results = read_results(params, dataset, params.grid, params.ablations)
    write_report(
        results,
        Path("metrics/tables") / dataset,
        Path("plots/figures") / dataset,
        Path("plots/convergence") / f"{dataset}.csv",
    )


if __name__ == "__main__":
    run_stage(main)
