"""Features, clips and answers of one data set -> what its results look and sound like.

plots/<dataset>/figure_2: one second in every representation (the paper's Figure 2). data/excerpts/<study>/<dataset>:
the windows that the best cell got wrong with most confidence, to be heard in the report page; not in git.
"""

from dataclasses import asdict
from pathlib import Path

from beyond_spectrograms.data.windows import read_windows
from beyond_spectrograms.params.study import CLIPS, SPLITS
from beyond_spectrograms.report import figures
from beyond_spectrograms.report.dataset_report import figure_2
from beyond_spectrograms.report.page.excerpts import best_cell, excerpts_of
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import fresh_work, replace_folder, write_json
from stages.arguments import parse
from stages.report import results_of


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    results, windows = results_of(study, dataset), read_windows(SPLITS / dataset)
    place, work = study.plots(dataset) / "figure_2", study.work("illustrate", dataset)
    with fresh_work(work):
        features = {name: study.features(dataset, name) for name in results.rows}
        figures.save(figure_2(results, features, windows), work, "figure_2")
        replace_folder(work, place)
    best = best_cell(results)
    excerpts = []
    if best:
        models = study.models(dataset, best.representation) / best.protocol
        excerpts = excerpts_of(results, best, models, windows, CLIPS / dataset)
    write_json(
        Path("data/excerpts", study.name, dataset, "excerpts.json"),
        {"best": asdict(best) if best else None, "excerpts": [asdict(excerpt) for excerpt in excerpts]},
    )
    print(f"{dataset}: {place}, {len(excerpts)} excerpts")


if __name__ == "__main__":
    run_stage(main)
