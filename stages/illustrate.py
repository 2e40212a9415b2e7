"""Features, clips and answers of one data set -> what its results look and sound like.

plots/<dataset>/figure_2: one second in every representation (the paper's Figure 2). data/excerpts/<study>/<dataset>:
the windows that the best cell got wrong with most confidence, to be heard in the report page; not in git.
"""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from beyond_spectrograms.data.windows import FeaturesError, open_features, read_windows
from beyond_spectrograms.evaluation.metrics import tabulate_predictions
from beyond_spectrograms.evaluation.predict import read_predictions
from beyond_spectrograms.evaluation.results import INPUTS, Results
from beyond_spectrograms.params import Mel
from beyond_spectrograms.params.study import CLIPS, SPLITS, Study
from beyond_spectrograms.report import figures
from beyond_spectrograms.report.notes import NOT_RUN
from beyond_spectrograms.report.page.excerpts import BestCell, Excerpt, best_cell, confidently_wrong, cut_excerpts
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import locked, replace_folder, write_json
from stages.arguments import parse
from stages.report import results_of


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    results, windows = results_of(study, dataset), read_windows(SPLITS / dataset)
    place, work = study.plots(dataset) / "figure_2", study.work("illustrate", dataset)
    with locked(work):
        work.mkdir(parents=True, exist_ok=True)
        figures.save(figure_2(study, results, windows), work, "figure_2")
        replace_folder(work, place)
    best = best_cell(results)
    excerpts = cut(study, results, windows, best) if best else []
    write_json(
        Path("data/excerpts", study.name, dataset, "excerpts.json"),
        {"best": asdict(best) if best else None, "excerpts": [asdict(excerpt) for excerpt in excerpts]},
    )
    print(f"{dataset}: {place}, {len(excerpts)} excerpts")


def figure_2(study: Study, results: Results, windows: pd.DataFrame) -> Figure:
    """Draw Figure 2: the first mel spectrogram that was run, which also chooses the window, and all latents."""
    params, dataset = results.params, results.dataset
    places = {name: study.features(dataset, name) for name in results.rows}
    here = {name: place for name, place in places.items() if (place / "features.npy").exists()}
    if not here:
        raise FeaturesError(f"{dataset}: no features are here to draw. Run a featurize stage of it.")
    arrays = {name: open_features(place, len(windows)) for name, place in here.items()}
    records = {name: params.representations[name] for name in here}
    scales = {name: record.scale if isinstance(record, Mel) else "latent" for name, record in records.items()}
    mel = next((name for name in here if scales[name] != "latent"), None)
    silent = windows["silent"].to_numpy(dtype=bool)
    row, why = figures.choose_window(arrays[mel] if mel else None, scales[mel] if mel else "", silent)
    clip, start = windows["clip"][row], windows["start_s"][row]
    caption = f"{dataset}: {clip}, {start:g} s to {start + params.windows.length_s:g} s ({why})"
    if missing := [name for name in INPUTS if name not in arrays]:
        caption += f"\n{NOT_RUN}: {', '.join(missing)}"
    panels = [
        figures.Panel(results.label(name), array[row], scales[name])
        for name, array in arrays.items()
        if name == mel or scales[name] == "latent"
    ]
    return figures.figure_2(panels, params.windows.length_s, caption)


def cut(study: Study, results: Results, windows: pd.DataFrame, best: BestCell) -> list[Excerpt]:
    """Cut what the best cell got wrong, where the data set's licence lets excerpts be passed on."""
    dataset, cell = results.dataset, results.cell(best.representation, best.protocol)
    models = study.models(dataset, best.representation) / best.protocol
    if results.params.datasets[dataset].notice is None or cell.recordings is None:
        return []
    if not models.is_dir():
        print(f"{dataset}: the weights of {best.representation}-{best.protocol} are not here: nothing to hear")
        return []
    paths = sorted(models.glob("*.predictions.safetensors"))
    answers = [read_predictions(path, len(windows)) for path in paths]
    wrong = confidently_wrong(tabulate_predictions(answers, windows, sorted(windows["label"].unique())))
    return cut_excerpts(wrong, cell.recordings, CLIPS / dataset, results.params.windows.length_s)


if __name__ == "__main__":
    run_stage(main)
