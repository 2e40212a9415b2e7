"""Features and parts -> weights and learning curve of one protocol, for every fold and seed."""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import cpu_count

from beyond_spectrograms.classifiers import build_network, choose_device
from beyond_spectrograms.code_versions import load_versions
from beyond_spectrograms.epochs import Network, choose_precision
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import replace_folder, write_json
from beyond_spectrograms.foretelling.forecasts import Forecast, compare, spending
from beyond_spectrograms.foretelling.pilot_training import foretell_training, pilot_training
from beyond_spectrograms.memory import memory_can_be_measured, peak_bytes
from beyond_spectrograms.params import load_params
from beyond_spectrograms.runs import RUN_VERSIONS, Job, history_columns, read_history, read_outcome, shuffle_labels
from beyond_spectrograms.training import train_all
from beyond_spectrograms.windows import columns_of, open_features, read_parts, read_windows


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=params.datasets)
    parser.add_argument("representation", choices=params.representations)
    parser.add_argument("protocol", choices=params.protocols)
    arguments = parser.parse_args()
    dataset, representation, name = arguments.dataset, arguments.representation, arguments.protocol
    protocol, cap = params.protocols[name], params.datasets[dataset].max_epochs
    cell = f"{representation}-{name}"
    splits = Path("data/splits", dataset)
    labels, parts = read_windows(splits)["label"], read_parts(splits)
    features = Path("data/features", dataset, representation)
    _, bands, frames = open_features(features, len(labels)).shape
    classes, targets = np.unique(labels.to_numpy(dtype=str), return_inverse=True)
    work = Path("data/partial/models", f"{dataset}-{cell}")
    epochs, device = min(protocol.epochs, cap or protocol.epochs), choose_device(params.device)
    codebook_size = params.representations[representation].codebook_size
    wanted = choose_precision(params.training_precision, device)
    network = build_network(protocol, bands, frames, len(classes), codebook_size)
    # Only layers in between compute in bf16; a classifier without any, as one of prototypes, is fp32 in any case.
    precision = wanted if len(Network.split(network, wanted).body) else "fp32"
    dealt = {column: parts[column].to_numpy(dtype=str) for column in columns_of(protocol.split, parts)}
    targets, versions = targets.astype(np.int64), load_versions().of(*RUN_VERSIONS)
    jobs = [
        Job(
            features=features,
            targets=shuffle_labels(targets, dealt[column], seed) if protocol.shuffle_labels else targets,
            parts=dealt[column],
            classes=tuple(classes.tolist()),
            codebook_size=codebook_size,
            protocol=protocol,
            epochs=epochs,
            fold=fold,
            seed=seed,
            device=device,
            work=work,
            precision=precision,
            versions=versions,
        )
        for seed in protocol.seeds
        for fold, column in enumerate(dealt, start=1)
    ]
    windows = [int((job.parts == "train").sum()) for job in jobs]
    print(
        f"{dataset}, {cell}: {len(jobs)} runs of at most {epochs} epochs, {sum(windows)} training windows "
        f"[{bands}, {frames}] an epoch in all, on {device} in {precision}",
        flush=True,
    )
    pilot, side_by_side = pilot_training(jobs[0]), 1 if device == "cuda" else min(len(jobs), cpu_count())
    foretold = Forecast(
        epochs * sum(windows),
        epochs * sum(windows) * params.windows.length_s,
        foretell_training(pilot.rate, windows, epochs, side_by_side),
        pilot.model_bytes * len(jobs),
        peak_bytes() * side_by_side if memory_can_be_measured() else None,
    )
    print(f"all epochs: {foretold}, on {side_by_side} cores", flush=True)
    with spending() as spent:
        train_all(jobs)
    print(compare(spent, foretold))

    columns = ["fold", "seed", *history_columns(protocol)]
    history = pd.DataFrame([row for job in jobs for row in read_history(job)], columns=columns)
    history.insert(0, "protocol", name)
    history.insert(0, "representation", representation)
    outcomes = {job.name: read_outcome(job) for job in jobs}
    seconds = sum(trained for trained, _ in outcomes.values())
    windows_trained = int(sum(len(read_history(job)) * (job.parts == "train").sum() for job in jobs))
    metrics = {
        "dataset": dataset,
        "representation": representation,
        "protocol": name,
        "runs": len(jobs),
        "epochs": len(history),
        "device": device,
        "precision": precision,
        "seconds_by_run": {run: trained for run, (trained, _) in outcomes.items()},
        # None: every run diverged in its first epoch.
        "seconds_per_epoch": seconds / len(history) if len(history) else None,
        "windows_per_second": windows_trained / seconds if len(history) else None,
        "diverged_at_epoch": {run: epoch for run, (_, epoch) in outcomes.items() if epoch is not None},
        "foretold": foretold.record(),
        "spent": spent,
    }
    write_json(Path("metrics/training", dataset, f"{cell}.json"), metrics)
    finished = work / "finished"
    shutil.rmtree(finished, ignore_errors=True)  # left by a run that was stopped
    finished.mkdir()
    history.to_csv(finished / "history.csv", index=False, lineterminator="\n")
    for job in jobs:
        shutil.copy2(work / f"{job.name}.safetensors", finished)
    replace_folder(finished, Path("data/models", dataset, cell))
    shutil.rmtree(work)


if __name__ == "__main__":
    run_stage(main)
