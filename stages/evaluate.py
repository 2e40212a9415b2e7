"""Weights of every fold and seed -> scores and predictions on the test part, which this stage alone reads."""

import argparse
from pathlib import Path

import numpy as np

from beyond_spectrograms.classifiers import choose_device
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import write_json, write_text, written_beside
from beyond_spectrograms.params import load_params
from beyond_spectrograms.scores import predict, score, tabulate_predictions, tabulate_recordings
from beyond_spectrograms.windows import columns_of, open_features, read_parts, read_windows


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=params.datasets)
    parser.add_argument("representation", choices=params.representations)
    parser.add_argument("protocol", choices=params.protocols)
    arguments = parser.parse_args()
    dataset, representation, name = arguments.dataset, arguments.representation, arguments.protocol
    protocol, cell = params.protocols[name], f"{representation}-{name}"
    table, parts = read_windows(Path("data/splits", dataset)), read_parts(Path("data/splits", dataset))
    features = open_features(Path("data/features", dataset, representation), len(table))
    classes = sorted(table["label"].unique().tolist())
    device, models = choose_device(params.device), Path("data/models", dataset, cell)

    runs = [
        predict(
            models / f"fold_{fold}-seed_{seed}.safetensors",
            protocol,
            features,
            rows=np.flatnonzero(parts[column] == "test"),
            classes=classes,
            codebook_size=params.representations[representation].codebook_size,
            fold=fold,
            seed=seed,
            device=device,
        )
        for seed in protocol.seeds
        for fold, column in enumerate(columns_of(protocol.split, parts), start=1)
    ]
    predictions = tabulate_predictions(runs, table, classes)

    names = {"dataset": dataset, "representation": representation, "protocol": name}
    scores = {**names, "device": device, **score(runs, predictions, classes)}
    write_json(Path("metrics/scores", dataset, f"{cell}.json"), scores)
    windows = predictions.drop(columns=[column for column in predictions if column.startswith("p_")])
    # In git, beside the predictions: data/models is not.
    write_text(Path("plots/history", dataset, f"{cell}.csv"), (models / "history.csv").read_text(encoding="utf-8"))
    for kind, rows in (("predictions", windows), ("recordings", tabulate_recordings(predictions, classes))):
        rows.insert(0, "protocol", name)
        rows.insert(0, "representation", representation)
        with written_beside(Path("plots", kind, dataset, f"{cell}.csv")) as beside:
            rows.to_csv(beside, index=False, lineterminator="\n", float_format="%.6g")
    print(f"{dataset}, {cell}: {scores['window_accuracy']:.1%} of {len(predictions)} windows right")


if __name__ == "__main__":
    run_stage(main)
