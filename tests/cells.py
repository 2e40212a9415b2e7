"""A small data set's results as the earlier stages leave them: three classes, twelve recordings, three folds."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

CLASSES = ["bird", "engine", "rain"]
FOLDS = 3
WINDOWS = 36
SHAPES = {"mel": (128, 173), "log_mel": (128, 173), "soundstream": (64, 50)}
SILENT_ROW, LOUDEST_ROW = 5, 7  # row 5 would be the loudest if it were not marked silent
ACCURACY = {"mel": 0.5, "log_mel": 0.6, "soundstream": 0.75, "encodec_24khz_untrained": 0.4}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_params(folder: Path, **changes: Any) -> None:
    """Copy the project's params.yaml with some top-level sections changed."""
    params = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8"))
    write(folder / "params.yaml", yaml.safe_dump(params | changes, sort_keys=False))


def write_dataset(folder: Path, dataset: str, representations: Sequence[str], protocols: Sequence[str]) -> None:
    """Write everything the report reads."""
    rows = [
        {
            "clip": f"{label}/{number}.wav",
            "label": label,
            "start_s": float(start),
            "group": f"{label}{number}",
            "fold": number % FOLDS + 1,
            "silent": 0,
        }
        for label in CLASSES
        for number in range(4)
        for start in range(3)
    ]
    rows[SILENT_ROW]["silent"] = 1
    write_rows(folder / f"data/splits/{dataset}/windows.csv", rows)
    columns = {"window": {"window": 11}, "source": {f"source_{fold}": 0 for fold in range(1, FOLDS + 1)}}
    splits = {
        split: {column: {"recordings_in_two_parts": count} for column, count in folds.items()}
        for split, folds in columns.items()
    }
    write(
        folder / f"metrics/splits/{dataset}.json",
        json.dumps({"dataset": dataset, "windows": WINDOWS, "recordings": 12, "splits": splits}),
    )
    for name in representations:
        write_features(folder, dataset, name)
        for protocol in protocols:
            write_cell(folder, dataset, name, protocol)


def write_features(folder: Path, dataset: str, name: str) -> None:
    bands, frames = SHAPES.get(name, (128, 150 if "48" in name else 75))
    generator = np.random.default_rng(len(name))
    values = generator.normal(size=(WINDOWS, bands, frames)).astype(np.float32)
    if name == "mel":
        values = np.abs(values)
        values[SILENT_ROW] *= 1000
        values[LOUDEST_ROW] *= 100
    place = folder / f"data/features/{dataset}/{name}/features.npy"
    place.parent.mkdir(parents=True, exist_ok=True)
    np.save(place, values)
    record = {"representation": name, "windows": WINDOWS, "bands": bands, "frames": frames, "bytes": values.nbytes}
    write(folder / f"metrics/features/{dataset}/{name}.json", json.dumps(record | {"seconds_per_window": 0.00125}))


def write_cell(folder: Path, dataset: str, name: str, protocol: str) -> None:
    """Write scores, history and predictions; under `fair` each fold stops at another epoch."""
    folds, accuracy = (1 if protocol == "paper" else FOLDS), ACCURACY.get(name, 0.7)
    cell = f"{dataset}/{name}-{protocol}"
    counts = {"folds": folds, "seeds": 1, "windows": WINDOWS, "silent_windows": 1, "recordings": 12}
    runs = [{"fold": fold, "seed": 0, "diverged_at_epoch": None} for fold in range(1, folds + 1)]
    counts |= {"diverged_runs": 0, "by_fold": runs}
    both = {"window_accuracy": accuracy, "recording_accuracy": accuracy + 0.125, "class_accuracy": accuracy - 0.0625}
    without = {key: value + 0.03125 for key, value in both.items()}
    scores = {"dataset": dataset, "representation": name, "protocol": protocol, "device": "cpu"} | counts | both
    scores |= {"without_silent": without, "seconds_per_window": {"representation": 0.00125, "classifier": 0.0001}}
    scores |= {"confusion": {"classes": CLASSES, "counts": [[10, 2, 0], [3, 9, 0], [0, 0, 12]]}}
    write(folder / f"metrics/scores/{cell}.json", json.dumps(scores))
    names = {"representation": name, "protocol": protocol}
    history = [
        names
        | {"fold": fold, "seed": 0, "epoch": epoch}
        | {"training_accuracy": min(1.0, accuracy * epoch / 10), "training_loss": 3.0 / epoch}
        | {"validation_accuracy": accuracy * epoch / (epoch + 2), "validation_loss": 4.0 / epoch}
        for fold in range(1, folds + 1)
        for epoch in range(1, (12 + 2 * fold if protocol == "fair" else 20) + 1)
    ]
    write_rows(folder / f"plots/history/{cell}.csv", history)
    tested = {"fold": 1, "seed": 0, "clip": "bird/0.wav", "start_s": 0.0, "silent": 0}
    predictions = [
        names | tested | {"label": label, "predicted": guess, "probability": 0.5, "label_probability": 0.4}
        for label in CLASSES
        for guess in CLASSES
    ]
    write_rows(folder / f"plots/predictions/{cell}.csv", predictions)
