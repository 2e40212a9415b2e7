"""Features and parts -> weights, learning curves and answers to the test part's inputs, of every protocol of the grid.

A run is a fold and seed of a protocol. Runs that an earlier training finished are kept where all that decides them is
the same: an edited protocol trains its own alone. Labels of the test part are not read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from joblib import cpu_count

from beyond_spectrograms.data.windows import check_content, columns_of, open_features, read_parts, read_windows
from beyond_spectrograms.estimates.forecasts import compare, spending
from beyond_spectrograms.estimates.pilot_training import foretell_runs
from beyond_spectrograms.evaluation.metrics import answer_test_part, variance_of
from beyond_spectrograms.params.protocols import RECONSTRUCTING
from beyond_spectrograms.params.study import SPLITS, WEIGHTS_BY, Study
from beyond_spectrograms.training.epoch import choose_precision
from beyond_spectrograms.training.loop import train_all
from beyond_spectrograms.training.run import RunConfig, TrainingError, is_finished, keep_finished, list_runs
from beyond_spectrograms.util.device import choose_device
from beyond_spectrograms.util.errors import run_stage
from beyond_spectrograms.util.files import locked, replace_folder, write_json
from stages.arguments import parse


def main() -> None:
    study, (dataset, name) = parse(__doc__, "dataset", "representation")
    work = study.work("models", dataset, name)
    with locked(work):
        configs = plan(study, dataset, name, study.params.grid.protocols_of(name), work)
        for protocol, of_protocol in configs.items():
            keep_finished(of_protocol, study.models(dataset, name) / protocol)
        train(study, f"{dataset}, {name}", configs)
        publish(study, dataset, name, configs, work)
        replace_folder(work / "finished", study.models(dataset, name), required=("features.json",))
        shutil.rmtree(work)


def train(study: Study, called: str, configs: dict[str, list[RunConfig]]) -> None:
    """Train the runs that are not finished, and say beforehand what it will take."""
    every = [config for of_protocol in configs.values() for config in of_protocol]
    todo = [config for config in every if not is_finished(config)]
    print(f"{called}: {len(every)} runs of {len(configs)} protocols, {len(every) - len(todo)} kept", flush=True)
    if not todo:
        return
    foretold = foretell_runs(todo, 1 if todo[0].device == "cuda" else cpu_count(), study.params.windows.length_s)
    precisions = " and ".join(sorted({config.precision for config in todo}))
    print(f"{len(todo)} to train on {todo[0].device} in {precisions}, all epochs: {foretold}", flush=True)
    with spending() as spent:
        train_all(every)
    print(compare(spent, foretold))


def plan(study: Study, dataset: str, name: str, protocols: Sequence[str], work: Path) -> dict[str, list[RunConfig]]:
    """List the runs of each protocol."""
    params, splits, features = study.params, SPLITS / dataset, study.features(dataset, name)
    table, parts = read_windows(splits), read_parts(splits)
    open_features(features, len(table))  # checks that rows are windows
    check_content(features, f"{dataset} as {name}")
    described = json.loads((features / "features.json").read_text(encoding="utf-8"))
    if described["provenance"] != study.feature_provenance(name):
        raise TrainingError(
            f"{features}: made under other params or versions than those that stand now. Run its featurize stage again."
        )
    device, cap = choose_device(params.device), params.datasets[dataset].max_epochs
    versions = {noun: params.versions[noun] for noun in WEIGHTS_BY}
    return {
        protocol: list_runs(
            params.protocols[protocol],
            features,
            table["label"].to_numpy(dtype=str),
            parts,
            codebook_size=params.representations[name].codebook_size,
            epochs=min(params.protocols[protocol].epochs, cap or params.protocols[protocol].epochs),
            device=device,
            precision=choose_precision(params.training_precision, device),
            versions=versions,
            work=work / protocol,
        )
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
        write_json(finished / protocol / "provenance.json", study.provenance(dataset, name, protocol))
        recipe = study.params.protocols[protocol]
        if recipe.classifier in RECONSTRUCTING and recipe.split not in variance:
            tested = (parts[columns_of(recipe.split, parts)] == "test").any(axis=1)
            variance[recipe.split] = variance_of(features, np.flatnonzero(tested))
    described = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    del described["provenance"]  # part of that of the weights
    write_json(finished / "features.json", {**described, "variance": variance})


if __name__ == "__main__":
    run_stage(main)
