"""Scores, curves and features of one data set -> the paper's tables and figures."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from beyond_spectrograms import figures, paper, tables, tabular
from beyond_spectrograms.convergence import TIDY, convergence_table, mean_curve, tidy_curves
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import replace_folder, write_text
from beyond_spectrograms.params import Mel, Params, load_params
from beyond_spectrograms.results import Cell, Results, read_curves, read_features, read_scores, read_splits, rows_of
from beyond_spectrograms.windows import open_features, read_windows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def read_results(params: Params, dataset: str, representations: Sequence[str], protocols: Sequence[str]) -> Results:
    """Read the cells asked for. Files are named, never searched for: what other runs left is not read."""
    sizes = {name: Path(f"metrics/features/{dataset}/{name}.json") for name in representations}
    cells = {}
    for name in representations:
        for protocol in protocols:
            scores = Path(f"metrics/scores/{dataset}/{name}-{protocol}.json")
            if scores.exists():
                history = Path(f"plots/history/{dataset}/{name}-{protocol}.csv")
                cells[name, protocol] = Cell(read_scores(scores, dataset, name, protocol), read_curves(history))
    features = {name: read_features(path) for name, path in sizes.items() if path.exists()}
    rows, splits = rows_of(representations, params), read_splits(Path(f"metrics/splits/{dataset}.json"))
    return Results(dataset, rows, tuple(protocols), params, splits, features, cells)


def write_report(results: Results, table_folder: Path, figure_folder: Path, curves: Path) -> tabular.Table:
    """Write all tables and figures of `results`, each folder anew; return the summary."""
    summary = tables.summary(results)
    written = {
        "results": summary,
        "table_1": tables.table_1(results),
        "table_2": tables.table_2(results),
        "sizes": tables.sizes_table(results),
        "times": tables.times_table(results),
        "convergence": convergence_table(results),
    }
    with tempfile.TemporaryDirectory(dir=_parent(table_folder)) as beside:
        finished = Path(beside) / "tables"
        for name, table in written.items():
            write_text(finished / f"{name}.md", tabular.to_markdown(table))
            write_text(finished / f"{name}.csv", tabular.to_csv(table.rows, list(table.rows[0])))
        replace_folder(finished, table_folder)
    with tempfile.TemporaryDirectory(dir=_parent(figure_folder)) as beside:
        finished = Path(beside) / "figures"
        finished.mkdir()
        draw(results, finished)
        replace_folder(finished, figure_folder)
    write_text(curves, tabular.to_csv(tidy_curves(results), TIDY))
    return summary


def _parent(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder.parent


def draw(results: Results, folder: Path) -> None:
    """Write every figure there are results for into `folder`."""
    if results.features:
        figures.save(_figure_2(results), folder, "figure_2")
    chosen = figures.styles([*results.params.representations])
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
    results = read_results(params, dataset, params.grid.representations, params.grid.protocols)
    write_report(
        results,
        Path("metrics/tables") / dataset,
        Path("plots/figures") / dataset,
        Path("plots/convergence") / f"{dataset}.csv",
    )


if __name__ == "__main__":
    run_stage(main)
