"""A small data set's results as the earlier stages leave them: three classes, twelve recordings, three folds."""

import contextlib
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from beyond_spectrograms.params import Product, load_params
from beyond_spectrograms.results import Results
from stages.report import read_results

CLASSES = ["bird", "engine", "rain"]
FOLDS = 3
WINDOWS = 36
SHAPES = {"mel": (128, 173), "log_mel": (128, 173), "soundstream": (64, 50)}
SILENT_ROW, LOUDEST_ROW = 5, 7  # row 5 would be the loudest if it were not marked silent
# Recordings of which all three windows are right; of three more it is two. So mel has 18 of 36 windows right.
WHOLLY_RIGHT = {"mel": 4, "log_mel": 5, "soundstream": 7, "encodec_24khz_untrained": 3}


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
    rows = [recording | {"start_s": float(start), "silent": 0} for recording in list_recordings() for start in range(3)]
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
        write_costs(folder, dataset, name)
        for protocol in protocols:
            write_cell(folder, dataset, name, protocol)


def read(
    folder: Path,
    dataset: str,
    representations: Sequence[str],
    protocols: Sequence[str],
    ablations: Sequence[str] = (),
    **changes: Any,
) -> Results:
    """Write results of those cells, the ablations' under `fair`, and read them back as the report does."""
    write_params(folder, **changes)
    write_dataset(folder, dataset, representations, protocols)
    for name in ablations:
        write_features(folder, dataset, name)
        write_cell(folder, dataset, name, "fair")
    cells, further = (
        Product(representations=list(names), protocols=list(under))
        for names, under in ((representations, protocols), (ablations, ["fair"] if ablations else []))
    )
    with contextlib.chdir(folder):
        return read_results(load_params(), dataset, cells, further)


def list_recordings() -> list[dict[str, Any]]:
    """List the twelve recordings, each from a source of its own."""
    return [
        {"clip": f"{label}/{number}.wav", "label": label, "group": f"{label}{number}", "fold": number % FOLDS + 1}
        for label in CLASSES
        for number in range(4)
    ]


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
    write(folder / f"metrics/features/{dataset}/{name}.json", json.dumps(record))


def write_costs(folder: Path, dataset: str, name: str) -> None:
    """Write what classifying costs in six rounds: as much as mel costs, half of it where the name is longer."""

    def one(seconds: float) -> dict[str, Any]:
        times = ("cached_s_per_s", "file_s_per_s", "encoding_s_per_s", "training_s_per_window")
        sizes = {f"{way}_{kind}_bytes": 1_000_000 for way in ("cached", "file") for kind in ("peak", "total")}
        sizes |= {"cached_bytes_per_s": 1000.0, "raw_bytes_per_s": 88_200.0, "coded_bytes_per_s": None}
        return {**{key: [seconds * turn for turn in range(1, 7)] for key in times}, **sizes, "parameters": 10}

    measured = {"mel": one(0.002), name: one(0.002 if name == "mel" else 0.001)}
    costs = {"dataset": dataset, "representation": name, "clips": 12, "seconds_of_sound": 36.0, "rounds": 6}
    costs |= {"threads": 1, "processor": "any", "representations": measured}
    write(folder / f"metrics/costs/{dataset}/{name}.json", json.dumps(costs))


def write_cell(folder: Path, dataset: str, name: str, protocol: str) -> None:
    """Write all that train and evaluate leave of a cell; under `fair` each fold stops at another epoch."""
    folds, whole = (1 if protocol == "paper" else FOLDS), WHOLLY_RIGHT.get(name, 6)
    accuracy, cell = (3 * whole + 6) / WINDOWS, f"{dataset}/{name}-{protocol}"
    epochs = {fold: 12 + 2 * fold if protocol == "fair" else 20 for fold in range(1, folds + 1)}
    names = {"representation": name, "protocol": protocol}
    write_scores(folder / f"metrics/scores/{cell}.json", {"dataset": dataset, **names}, accuracy, epochs)
    seconds = {f"fold_{fold}-seed_0": 0.5 * run for fold, run in epochs.items()}
    training = {"dataset": dataset, **names, "device": "cpu", "seconds_by_run": seconds}
    write(folder / f"metrics/training/{cell}.json", json.dumps(training))
    history = [
        names
        | {"fold": fold, "seed": 0, "epoch": epoch}
        | {"training_accuracy": min(1.0, accuracy * epoch / 10), "training_loss": 3.0 / epoch}
        | {"validation_accuracy": accuracy * epoch / (epoch + 2), "validation_loss": 4.0 / epoch}
        for fold, run in epochs.items()
        for epoch in range(1, run + 1)
    ]
    write_rows(folder / f"plots/history/{cell}.csv", history)
    tested = {"fold": 1, "seed": 0, "clip": "bird/0.wav", "start_s": 0.0, "silent": 0}
    predictions = [
        names | tested | {"label": label, "predicted": guess, "probability": 0.5, "label_probability": 0.4}
        for label in CLASSES
        for guess in CLASSES
    ]
    write_rows(folder / f"plots/predictions/{cell}.csv", predictions)
    recordings = []
    for place, recording in enumerate(list_recordings()):
        rank = place * 5 % 12  # so that what is right is spread over the classes
        right = 3 if rank < whole else 2 if rank < whole + 3 else 0
        label = recording["label"]
        guess = label if right else CLASSES[(CLASSES.index(label) + 1) % 3]
        of_the_clip = {"clip": recording["clip"], "label": label, "windows": 3, "windows_right": right}
        fold = {"fold": 1 if protocol == "paper" else recording["fold"], "seed": 0}
        recordings.append(names | fold | of_the_clip | {"predicted": guess, "predicted_by_seeds": guess})
    write_rows(folder / f"plots/recordings/{cell}.csv", recordings)


def write_scores(path: Path, names: dict[str, str], accuracy: float, epochs: dict[int, int]) -> None:
    """Write the scores of a cell whose runs, one a fold, were tested at their last epoch."""
    runs = [{"fold": fold, "seed": 0, "epoch": epoch, "diverged_at_epoch": None} for fold, epoch in epochs.items()]
    counts = {"folds": len(epochs), "seeds": 1, "windows": WINDOWS, "silent_windows": 1, "recordings": 12}
    both = {
        "window_accuracy": accuracy,
        "recording_accuracy": (WINDOWS * accuracy + 3) / WINDOWS,
        "class_accuracy": accuracy - 0.0625,
    }
    without = {key: value + 0.03125 for key, value in both.items()}
    scores = {**names, "device": "cpu", "diverged_runs": 0, "by_fold": runs} | counts | both
    scores |= {"without_silent": without}
    scores |= {"confusion": {"classes": CLASSES, "counts": [[10, 2, 0], [3, 9, 0], [0, 0, 12]]}}
    write(path, json.dumps(scores))
