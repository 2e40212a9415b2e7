"""Features and parts -> weights, learning curves and answers to the test part's inputs, of every protocol of the grid.

A run is a fold and seed of a protocol. Runs that an earlier training finished are kept where all that decides them is
the same: an edited protocol trains its own alone. Labels of the test part are not read.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from beyond_spectrograms.data.windows import check_content, columns_of, open_features, read_parts, read_windows
from beyond_spectrograms.estimates.training import timed_protocols
from beyond_spectrograms.evaluation.metrics import variance_of
from beyond_spectrograms.evaluation.predict import answer_test_part
from beyond_spectrograms.params.protocols import RECONSTRUCTING
from beyond_spectrograms.params.study import SPLITS, Study
from beyond_spectrograms.training.loop import runs_of_protocol
from beyond_spectrograms.training.run import RunConfig, TrainingError
from beyond_spectrograms.training.tuning import TRIALS_FILE
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import locked, read_told, replace_folder, write_json
from stages.arguments import parse


def main() -> None:
    study, (dataset, name) = parse(__doc__, "dataset", "representation")
    work = study.work("models", dataset, name)
    with locked(work):
        configs = plan(study, dataset, name, study.params.grid.protocols_of(name), work)
        configs = timed_protocols(f"{dataset}, {name}", configs, study.models(dataset, name))
        publish(study, dataset, name, configs, work)
        replace_folder(work / "finished", study.models(dataset, name), required=("features.json",))
        shutil.rmtree(work)


def plan(study: Study, dataset: str, name: str, protocols: Sequence[str], work: Path) -> dict[str, list[RunConfig]]:
    """List the runs of each protocol."""
    params, splits, features = study.params, SPLITS / dataset, study.features(dataset, name)
    table, parts = read_windows(splits), read_parts(splits)
    open_features(features, len(table))  # checks that rows are windows
    check_content(features, f"{dataset} as {name}")
    described = read_told(features / "features.json")
    if not study.is_of_now(described, dataset, name):
        raise TrainingError(
            f"{features}: made of other clips, params or versions than those that stand now. Run its featurize stage "
            "again."
        )
    settings = {"features": features, "table": table, "parts": parts, "max_epochs": params.datasets[dataset].max_epochs}
    return {
        protocol: runs_of_protocol(params, (dataset, name, protocol), work=work / protocol, **settings)
        for protocol in protocols
    }


def publish(study: Study, dataset: str, name: str, configs: dict[str, list[RunConfig]], work: Path) -> None:
    """Lay out in work/finished what later stages take: of every run weights, record and answers; features.json."""
    finished, folder, splits = work / "finished", study.features(dataset, name), SPLITS / dataset
    parts = read_parts(splits)
    features = open_features(folder, len(parts))
    shutil.rmtree(finished, ignore_errors=True)  # left by a run that was stopped
    variance = {}
    for protocol, of_protocol in configs.items():
        answer_test_part(of_protocol, features)
        (finished / protocol).mkdir(parents=True)
        for config in of_protocol:
            for path in config.result_files:
                shutil.copyfile(path, finished / protocol / path.name)
        if study.params.protocols[protocol].trials:
            for path in [*(work / protocol).glob("trial_*/*"), work / protocol / TRIALS_FILE]:
                (to := finished / protocol / path.relative_to(work / protocol)).parent.mkdir(exist_ok=True)
                shutil.copyfile(path, to)
        write_json(finished / protocol / "provenance.json", study.weights_provenance(dataset, name, protocol))
        recipe = study.params.protocols[protocol]
        if recipe.classifier in RECONSTRUCTING and recipe.split not in variance:
            tested = (parts[columns_of(recipe.split, parts)] == "test").any(axis=1)
            variance[recipe.split] = variance_of(features, np.flatnonzero(tested))
    described = read_told(folder / "features.json")
    del described["provenance"]  # part of that of the weights
    write_json(finished / "features.json", {**described, "variance": variance})


if __name__ == "__main__":
    run_stage(main)
