"""Train, test and publish the one variant `run` of params.yaml: run/metrics.json, run/history.csv, run/predictions.csv.

Two experiments with different `run` then show side by side in `dvc metrics diff` and `dvc plots diff`. Runs that
`train` finished are taken over where all that decides them is the same.
"""

import argparse
import shutil
from itertools import product
from pathlib import Path

import pandas as pd

from beyond_spectrograms.data.windows import read_parts, read_windows
from beyond_spectrograms.estimates.training import timed_training
from beyond_spectrograms.evaluation.records import cell_name
from beyond_spectrograms.evaluation.result_files import evaluate_cell
from beyond_spectrograms.params.study import SPLITS, Study, load_study
from beyond_spectrograms.training.run import keep_finished
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import locked, write_json, written_beside
from stages.train import plan, publish

PLACE = Path("run")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    study = load_study()
    variant = study.params.run
    dataset, representation, protocol = variant.dataset, variant.representation, variant.protocol
    work = study.work("run", dataset, representation, protocol)
    with locked(work):
        configs = plan(study, dataset, representation, [protocol], work)
        keep_finished(configs[protocol], study.models(dataset, representation) / protocol)
        timed_training(f"{dataset}, {representation}", configs[protocol])
        publish(study, dataset, representation, configs, work)
        test(study, work)
        shutil.rmtree(work)


def test(study: Study, work: Path) -> None:
    """Score the variant that was trained in `work` and write PLACE."""
    variant = study.params.run
    cell = variant.dataset, variant.representation, variant.protocol
    name, splits = cell_name(*cell[1:]), SPLITS / variant.dataset
    split = read_windows(splits), read_parts(splits)
    found = evaluate_cell(study.params, split, work / "finished", cell, study.score_provenance(*cell))
    scores = found.scores[name]
    told = {key: scores[key] for key in ("window_accuracy", "recording_accuracy", "class_accuracy", "diverged_runs")}
    write_json(PLACE / "metrics.json", {**variant.model_dump(), **told})
    classes, counts = scores["confusion"]["classes"], scores["confusion"]["counts"]
    answers = [
        (classes[label], classes[predicted])
        for label, predicted in product(range(len(classes)), repeat=2)
        for _ in range(counts[label][predicted])
    ]
    predictions = pd.DataFrame(answers, columns=["label", "predicted"])  # a row a tested window
    for file, rows in (("history", found.curves[name]), ("predictions", predictions)):
        with written_beside(PLACE / f"{file}.csv") as beside:
            rows.to_csv(beside, index=False, lineterminator="\n")
    print(f"{variant.dataset}, {name}: {scores['window_accuracy']:.1%} of {scores['windows']} windows right")


if __name__ == "__main__":
    run_stage(main)
