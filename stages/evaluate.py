"""Answers of trained classifiers and the test part's labels, which this stage alone reads -> scores of every cell.

Writes metrics/<dataset>: scores.json, predictions.csv.gz (a row a tested recording), curves.csv.gz (a row an epoch) and
accuracy.json (what `dvc metrics` shows). A cell whose weights are not here keeps its committed scores while all that
decides them is the same. Answers to disturbed sounds are scored alike, into metrics/<dataset>/disturbed/<disturbance>.
"""

import pandas as pd

from beyond_spectrograms.data.windows import read_parts, read_windows, split_digests
from beyond_spectrograms.evaluation.records import ResultError, cell_name
from beyond_spectrograms.evaluation.result_files import (
    Evaluation,
    evaluate_cell,
    kept_cell,
    read_evaluation,
    write_evaluation,
)
from beyond_spectrograms.params.study import SPLITS, Study
from beyond_spectrograms.util.commands import run_stage
from stages.arguments import parse


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    for disturbance in (None, *study.params.disturbances):
        evaluate(study, dataset, disturbance)


def evaluate(study: Study, dataset: str, disturbance: str | None) -> None:
    """Write the scores of every cell on sounds as they are, or with a disturbance."""
    place = study.metrics(dataset, disturbance)
    called, whose = (dataset, "weights") if disturbance is None else (f"{dataset}, {disturbance}", "answers")
    found, kept, cells = Evaluation(), [], study.params.grid.cells()
    trained = [cell for cell in cells if all(study.is_trained(dataset, *cell, which) for which in {None, disturbance})]
    # Not read where nothing is kept of it: it may be damaged.
    earlier = Evaluation() if len(trained) == len(cells) else read_evaluation(place, dataset)
    split = read_split(study, dataset) if trained else None
    for cell in cells:
        name, wanted = cell_name(*cell), study.score_provenance(dataset, *cell, disturbance)
        answers = study.answers(dataset, *cell, disturbance)
        if split is not None and cell in trained:
            models, disturbed = study.models(dataset, cell[0]), None if disturbance is None else answers
            found.add(evaluate_cell(study.params, split, models, (dataset, *cell), wanted, disturbed=disturbed))
            continue
        if answers.is_dir():
            print(f"{called}, {name}: its {whose} are of other params, versions or parts than the present ones")
        if known := kept_cell(earlier, *cell, wanted):
            found.add(known)
            kept.append(name)
        elif name in earlier.scores:
            print(f"{called}, {name}: left out: its committed scores, too, are of other params or versions")
    if disturbance is not None:
        found.curves.clear()  # they are those of the weights
    write_evaluation(place, dataset, found)
    if kept:
        print(f"{called}: committed scores kept of {len(kept)} cells whose {whose} are not here: {', '.join(kept)}")
    for name, scores in found.scores.items():
        if name not in kept:
            told = f"{scores['window_accuracy']:.1%} of {scores['windows']} windows right"
            if labels := scores.get("labels"):
                told = f"mAP {labels['recordings']['mean_average_precision']['value']:.1%} by recording"
            print(f"{called}, {name}: {told}")


def read_split(study: Study, dataset: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the table of windows and their parts, which must be those whose digests `split` wrote.

    Raises:
        ResultError: their digests are not those in splits.json.
    """
    table, parts = read_windows(SPLITS / dataset), read_parts(SPLITS / dataset)
    if split_digests(table, parts, study.params.splits) != study.split_record(dataset)["sha256"]:
        raise ResultError(
            f"{SPLITS / dataset}: its windows or parts are not those that splits.json describes. Run split again."
        )
    return table, parts


if __name__ == "__main__":
    run_stage(main)
