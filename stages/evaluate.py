"""Answers of trained classifiers and the test part's labels, which this stage alone reads -> scores of every cell.

Writes metrics/<dataset>: scores.json, predictions.csv.gz (a row a tested recording), curves.csv.gz (a row an epoch) and
accuracy.json (what `dvc metrics` shows). A cell whose weights are not here keeps its committed scores while all that
decides them is the same.
"""

from __future__ import annotations

from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.evaluating import Evaluation, evaluate_cell, kept_cell, read_evaluation, write_evaluation
from beyond_spectrograms.results import cell_name
from beyond_spectrograms.study import SPLITS
from beyond_spectrograms.windows import read_parts, read_windows
from stages.arguments import parse


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    table, parts = read_windows(SPLITS / dataset), read_parts(SPLITS / dataset)
    earlier, found, told = read_evaluation(study.metrics(dataset), dataset), Evaluation(), []
    for representation, protocol in study.params.grid.cells():
        name, wanted = (
            cell_name(representation, protocol),
            study.score_provenance(dataset, representation, protocol),
        )
        models = study.models(dataset, representation)
        if (models / protocol).is_dir():
            found.add(evaluate_cell(study.params, (table, parts), models, (representation, protocol), wanted))
        elif kept := kept_cell(study.params, earlier, representation, protocol, wanted):
            found.add(kept)
            told.append(name)
        elif name in earlier.scores:
            print(f"{dataset}, {name}: left out: its scores are of other params or versions, its weights are not here")
    write_evaluation(study.metrics(dataset), dataset, found, study.params.statistics)
    if told:
        print(f"{dataset}: weights are not here, scores kept: {', '.join(told)}")
    for name, scores in found.scores.items():
        if name not in told:
            print(f"{dataset}, {name}: {scores['window_accuracy']:.1%} of {scores['windows']} windows right")


if __name__ == "__main__":
    run_stage(main)
