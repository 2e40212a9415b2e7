"""Learning curves of all data sets of a study -> the paper's Figure 4, a column a data set: <study>/plots/figure_4."""

import shutil

from beyond_spectrograms.evaluation.records import SCORES_FILE
from beyond_spectrograms.params.study import Study
from beyond_spectrograms.report.dataset_report import figure_4
from beyond_spectrograms.report.figures import save
from beyond_spectrograms.report.published import PROTOCOLS
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import fresh_work, replace_folder
from stages.arguments import parse
from stages.report import results_of


def main() -> None:
    study, _ = parse(__doc__)
    if not write_figures(study):
        print(f"{study.folder}: none of the paper's data sets was run under {' or '.join(PROTOCOLS)}: nothing to draw")


def write_figures(study: Study) -> int:
    """Draw it for each protocol that was run of those beside which the paper's figures stand.

    Returns:
        how many there are.
    """
    scored = [name for name in study.params.grid.datasets if (study.metrics(name) / SCORES_FILE).exists()]
    found, work, place = [results_of(study, name) for name in scored], study.work("draw"), study.plots("figure_4")
    made = {protocol: figure for protocol in PROTOCOLS if (figure := figure_4(found, protocol))}
    with fresh_work(work):
        for protocol, figure in made.items():
            save(figure, work, f"figure_4-{protocol}")
        if made:
            replace_folder(work, place)
        elif place.exists():  # of cells that are gone
            shutil.rmtree(place)
    return len(made)


if __name__ == "__main__":
    run_stage(main)
