"""Train, test and publish the one variant `run` of params.yaml: run/metrics.json, run/history.csv, run/predictions.csv.

Two experiments with different `run` then show side by side in `dvc metrics diff` and `dvc plots diff`. Runs that
`train` finished are taken over where all that decides them is the same.
"""

import argparse
import shutil
from pathlib import Path

from beyond_spectrograms.data.windows import read_parts, read_windows
from beyond_spectrograms.estimates.training import timed_protocols
from beyond_spectrograms.evaluation.result_files import evaluate_cell, write_variant
from beyond_spectrograms.params.study import SPLITS, load_study
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import locked
from stages.train import plan, publish


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    study = load_study()
    variant = study.params.run
    cell = dataset, representation, protocol = variant.dataset, variant.representation, variant.protocol
    work, splits = study.work("run", *cell), SPLITS / dataset
    with locked(work):
        configs = plan(study, dataset, representation, [protocol], work)
        configs = timed_protocols(f"{dataset}, {representation}", configs, study.models(dataset, representation))
        publish(study, dataset, representation, configs, work)
        split, provenance = (read_windows(splits), read_parts(splits)), study.score_provenance(*cell)
        found = evaluate_cell(study.params, split, work / "finished", cell, provenance)
        write_variant(Path("run"), variant.model_dump(), found)
        shutil.rmtree(work)
    [(name, scores)] = found.scores.items()
    print(f"{dataset}, {name}: {scores['window_accuracy']:.1%} of {scores['windows']} windows right")


if __name__ == "__main__":
    run_stage(main)
