"""Result files of one data set -> the paper's tables and figures, with intervals, and the paper's claims judged.

Of a study that verifies speakers: the table and DET curves of its trials. Reads metrics/<dataset> alone, which is in
git: on a bare clone `make tables` makes all of it again.
"""

from dataclasses import asdict

from beyond_spectrograms.evaluation.claims import judge, rules
from beyond_spectrograms.evaluation.comparisons import compare_pairs
from beyond_spectrograms.evaluation.costs import read_costs
from beyond_spectrograms.evaluation.records import SCORES_FILE, ResultError
from beyond_spectrograms.evaluation.results import Results, read_results
from beyond_spectrograms.evaluation.verification import TRIALS_FILE, read_trial_scores
from beyond_spectrograms.params.study import PAPER, Study, folder_of
from beyond_spectrograms.report.claims import print_claims
from beyond_spectrograms.report.convergence import TIDY, tidy_curves
from beyond_spectrograms.report.dataset_report import draw, tabulate
from beyond_spectrograms.report.figures import save
from beyond_spectrograms.report.label_scores import figure_labels, tabulate_labels
from beyond_spectrograms.report.table import to_csv, write_tables
from beyond_spectrograms.report.verification import figure_det, trials_table
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import fresh_work, replace_folder, write_json, write_text
from stages.arguments import parse


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    (write_trials if study.params.verification else write_report)(study, dataset)


def write_report(study: Study, dataset: str) -> None:
    """Write all tables, verdicts and figures of a data set.

    Raises:
        ResultError: no cell of the grid has scores.
    """
    place, plots = study.metrics(dataset), study.plots(dataset)
    results, of_several = scored_results_of(study, dataset).by_labels()
    costs, work = read_costs(place / "costs.json"), study.work("report", dataset)
    with fresh_work(work):
        (work / "figures").mkdir()
        write_tables(tabulate_labels(of_several), work / "tables")
        if (figure := figure_labels(of_several)) is not None:
            save(figure, work / "figures", "label_scores")
        if results.cells:
            verdicts = judge(results, costs)
            write_tables(tabulate(results, compare_pairs(results), costs), work / "tables")
            write_text(work / "tables/claims.md", print_claims(results, verdicts))
            draw(results, costs, work / "figures")
            told = {"rules": rules(results), "verdicts": [asdict(each) for each in verdicts]}
            write_json(place / "claims.json", told)
            write_text(plots / "convergence.csv", to_csv(tidy_curves(results), TIDY))
        replace_folder(work / "tables", place / "tables")
        replace_folder(work / "figures", plots / "figures")


def write_trials(study: Study, dataset: str) -> None:
    """Write the table and the DET curves of a data set's trials.

    Raises:
        ResultError: no embedding has scores.
    """
    place, work = study.metrics(dataset), study.work("report", dataset)
    found = read_trial_scores(place, dataset)
    if not found.cells:
        raise ResultError(f"{place / TRIALS_FILE}: no embedding is there. Featurize, and score trials.")
    with fresh_work(work):
        write_tables({"trials": trials_table(found, study.params)}, work / "tables")
        (work / "figures").mkdir()
        for embedding in dict.fromkeys(cell.embedding for cell in found.cells.values()):
            cells = [cell for cell in found.cells.values() if cell.embedding == embedding]
            save(figure_det(dataset, embedding, cells), work / "figures", f"det-{embedding}")
        replace_folder(work / "tables", place / "tables")
        replace_folder(work / "figures", study.plots(dataset) / "figures")


def results_of(study: Study, dataset: str) -> Results:
    """Read a data set's results, and those of the paper's experiment that stand beside them."""
    root = folder_of(PAPER) / "metrics" / dataset
    return read_results(study.params, dataset, study.metrics(dataset), root, study.split_file(dataset))


def scored_results_of(study: Study, dataset: str) -> Results:
    """Read results, of which there must be some.

    Raises:
        ResultError: no cell of the grid has scores.
    """
    results = results_of(study, dataset)
    if not results.cells:
        path = study.metrics(dataset) / SCORES_FILE
        raise ResultError(f"{path}: no cell of the grid is there. Train and evaluate some.")
    return results


if __name__ == "__main__":
    run_stage(main)
