"""A small data set's results as the earlier stages leave them: three classes, twelve recordings, three folds."""

import contextlib
import gzip
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from beyond_spectrograms.data.windows import read_parts, read_windows, split_digests
from beyond_spectrograms.evaluation import result_files
from beyond_spectrograms.evaluation.records import cell_name
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.params.study import PAPER, Study, load_study
from stages.report import results_of
from support.common import dump_yaml, read_yaml
from support.hands import measured
from support.repository import REPOSITORY

CLASSES = ["bird", "engine", "rain"]
FOLDS = 3
WINDOWS = 36
SHAPES = {"mel": (128, 173), "log_mel": (128, 173), "soundstream": (64, 50)}
SILENT_ROW, LOUDEST_ROW = 5, 7  # row 5 would be the loudest if it were not marked silent
# Recordings of which all three windows are right; of three more it is two. So mel has 18 of 36 windows right.
WHOLLY_RIGHT = {"mel": 4, "log_mel": 5, "soundstream": 7, "encodec_24khz_untrained": 3}

MakeCell = Callable[[Study, str, str, str], result_files.Evaluation]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    write(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def write_gzip(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        file.write(text)


def write_gzip_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    write_gzip(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def write_params(folder: Path, study: str = PAPER, **changes: Any) -> None:
    """Copy what decides the project's experiments, with some top-level sections of one study's file changed."""
    shutil.copytree(REPOSITORY / "datasets", folder / "datasets", dirs_exist_ok=True)
    shutil.copy(REPOSITORY / "versions.yaml", folder)
    for name in dict.fromkeys((PAPER, study)):
        file = Path("params.yaml") if name == PAPER else Path("studies", name, "params.yaml")
        if name == study or not (folder / file).exists():
            params = read_yaml((REPOSITORY / file).read_text(encoding="utf-8"))
            params |= changes if name == study else {}
            write(folder / file, dump_yaml(params))


def write_record(folder: Path, dataset: str, source: Mapping[str, Any], **more: Any) -> None:
    """Write datasets/<dataset>.yaml of a data set from this source."""
    told = {"source": dict(source), "max_epochs": None, "notice": None, "drawn_from": [], "known_pairs": []}
    write(folder / f"datasets/{dataset}.yaml", dump_yaml(told | more))


def edit_params(folder: Path, change: Callable[[dict[str, Any]], Any], file: str = "params.yaml") -> None:
    """Change params.yaml in `folder`, or another YAML file."""
    params = read_yaml((folder / file).read_text(encoding="utf-8"))
    change(params)
    write(folder / file, dump_yaml(params))


def study_in(folder: Path, name: str = PAPER) -> Study:
    """Load a study that is in `folder`."""
    with contextlib.chdir(folder):
        return load_study(name)


def grid(dataset: str, representations: Sequence[str], protocols: Sequence[str], **more: Any) -> dict[str, Any]:
    """Make the section `grid` of params.yaml."""
    names = {"representations": list(dict.fromkeys(representations)), "protocols": list(protocols)}
    return {"datasets": [dataset]} | names | more


def read(folder: Path, dataset: str, names: Sequence[str], protocols: Sequence[str], **changes: Any) -> Results:
    """Write results of those cells, and read them back as the report does."""
    write_params(folder, grid=grid(dataset, names, protocols), **changes)
    write_dataset(folder, dataset, names, protocols)
    return read_back(folder, dataset)


def read_back(folder: Path, dataset: str, study: str = PAPER) -> Results:
    """Read a data set's results as the report does: stages name their files from where they run."""
    with contextlib.chdir(folder):
        return results_of(load_study(study), dataset)


def write_dataset(
    folder: Path,
    dataset: str,
    representations: Sequence[str],
    protocols: Sequence[str],
    *,
    study: str = PAPER,
    make: MakeCell | None = None,
) -> None:
    """Write all that the report reads; `make` makes a cell's results."""
    rows = [recording | {"start_s": float(start), "silent": 0} for recording in list_recordings() for start in range(3)]
    rows[SILENT_ROW]["silent"] = 1
    write_rows(folder / f"data/splits/{dataset}/windows.csv", rows)
    source = {f"source_{fold}": {"recordings_in_two_parts": 0} for fold in range(1, FOLDS + 1)}
    record: dict[str, Any] = {"splits": {"window": {"window": {"recordings_in_two_parts": 11}}, "source": source}}
    record |= {"dataset": dataset, "windows": WINDOWS, "recordings": 12, "clips_sha256": "made"}
    record["sha256"] = dict.fromkeys(record["splits"], "made")
    known = study_in(folder, study)
    write(folder / known.metrics(dataset) / "splits.json", json.dumps(record))
    found = result_files.Evaluation()
    for name in representations:
        write_features(folder, dataset, name, study)
        for protocol in protocols:
            with contextlib.chdir(folder):
                found.add((make or make_cell)(known, dataset, name, protocol))
    result_files.write_evaluation(folder / known.metrics(dataset), dataset, found)
    write_costs(folder / known.metrics(dataset) / "costs.json", dataset, representations)


def write_split_record(folder: Path, dataset: str, study: str = PAPER) -> None:
    """Write what `split` tells of the table of windows and the parts that are in data/splits."""
    known, splits = study_in(folder, study), folder / "data/splits" / dataset
    table, parts = read_windows(splits), read_parts(splits)
    record = {"sha256": split_digests(table, parts, known.params.splits), "clips_sha256": "made"}
    write(folder / known.metrics(dataset) / "splits.json", json.dumps(record))


def write_cell(
    folder: Path, dataset: str, name: str, protocol: str, *, study: str = PAPER, make: MakeCell | None = None
) -> None:
    """Add a cell to a data set's results, or put it in place of one that is there."""
    known = study_in(folder, study)
    found = result_files.read_evaluation(folder / known.metrics(dataset), dataset)
    with contextlib.chdir(folder):
        found.add((make or make_cell)(known, dataset, name, protocol))
    result_files.write_evaluation(folder / known.metrics(dataset), dataset, found)


def change_scores(folder: Path, dataset: str, cell: str, **changes: Any) -> None:
    """Put other values into a cell's scores."""
    path = folder / f"metrics/{dataset}/scores.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    told["cells"][cell] |= changes
    write(path, json.dumps(told))


def list_recordings() -> list[dict[str, Any]]:
    """List the twelve recordings, each from a source of its own."""
    return [
        {"clip": f"{label}/{number}.wav", "label": label, "group": f"{label}{number}", "fold": number % FOLDS + 1}
        for label in CLASSES
        for number in range(4)
    ]


def shape_of(name: str) -> tuple[int, int]:
    """Give the bands and frames of a second."""
    return SHAPES.get(name, (128, 150 if "48" in name else 75))


def write_features(folder: Path, dataset: str, name: str, study: str = PAPER) -> None:
    """Write the array that `illustrate` draws a second of."""
    values = np.random.default_rng(len(name)).normal(size=(WINDOWS, *shape_of(name))).astype(np.float32)
    if name == "mel":
        values = np.abs(values)
        values[SILENT_ROW] *= 1000
        values[LOUDEST_ROW] *= 100
    place = folder / f"data/features/{study}/{dataset}/{name}/features.npy"
    place.parent.mkdir(parents=True, exist_ok=True)
    np.save(place, values)


def put_features(place: Path, values: np.ndarray, **told: Any) -> None:
    """Write features [windows, bands, frames] as `featurize` leaves them."""
    write(place / "index.json", "{}")
    np.save(place / "features.npy", values)
    sizes = dict(zip(("windows", "bands", "frames"), values.shape, strict=True))
    write(place / "features.json", json.dumps(sizes | {"bytes": values.nbytes} | told))


def write_costs(path: Path, dataset: str, names: Sequence[str]) -> None:
    """Write what classifying costs in six rounds: mel's seconds, and half of them for all others."""
    mel = [0.002 * turn for turn in range(1, 7)]
    half = [seconds / 2 for seconds in mel]
    costs = {name: measured(name, {name: half} | {"mel": mel}, mark=name, dataset=dataset) for name in names}
    write(path, json.dumps({"representations": costs}))


def make_cell(study: Study, dataset: str, name: str, protocol: str) -> result_files.Evaluation:
    """Make what evaluate leaves of a cell; under `fair` each fold stops at another epoch."""
    folds, whole = (1 if protocol == "paper" else FOLDS), WHOLLY_RIGHT.get(name, 6)
    recordings = []
    for place, recording in enumerate(list_recordings()):
        rank = place * 5 % 12  # so that what is right is spread over the classes
        right = 3 if rank < whole else 2 if rank < whole + 3 else 0
        label = recording["label"]
        guess = label if right else CLASSES[(CLASSES.index(label) + 1) % 3]
        of_the_clip = {"clip": recording["clip"], "group": recording["group"], "label": label, "windows": 3}
        fold = {"fold": 1 if protocol == "paper" else recording["fold"], "seed": 0}
        recordings.append(
            fold | of_the_clip | {"windows_right": right, "predicted": guess, "predicted_by_seeds": guess}
        )
    accuracy = (3 * whole + 6) / WINDOWS
    epochs = {fold: 12 + 2 * fold if protocol == "fair" else 20 for fold in range(1, folds + 1)}
    history = [
        {"fold": fold, "seed": 0, "epoch": epoch}
        | {"training_accuracy": min(1.0, accuracy * epoch / 10), "training_loss": 3.0 / epoch}
        | {"validation_accuracy": accuracy * epoch / (epoch + 2), "validation_loss": 4.0 / epoch}
        for fold, run in epochs.items()
        for epoch in range(1, run + 1)
    ]
    scores = make_scores(accuracy, epochs) | {"provenance": study.score_provenance(dataset, name, protocol)}
    return gather((name, protocol), scores, recordings, history)


def gather(
    cell: tuple[str, str],
    scores: dict[str, Any],
    recordings: Sequence[Mapping[str, Any]],
    history: Sequence[Mapping[str, Any]],
) -> result_files.Evaluation:
    """Bring a cell into the form of result files; accuracies by recording and by class are those of its rows."""
    name, (bands, frames) = cell_name(*cell), shape_of(cell[0])
    table = pd.DataFrame(recordings)
    counted = table.groupby("label")[["windows", "windows_right"]].sum()
    scores |= {
        "recording_accuracy": float((table["predicted"] == table["label"]).mean()),
        "class_accuracy": float((counted["windows_right"] / counted["windows"]).mean()),
    }
    rows = result_files.as_text(pd.DataFrame(recordings), *cell, result_files.PREDICTION_COLUMNS)
    return result_files.Evaluation(
        scores={name: scores},
        features={
            cell[0]: {"representation": cell[0], "windows": WINDOWS, "bands": bands, "frames": frames}
            | {"bytes": WINDOWS * bands * frames * 4, "variance": {}}
        },
        predictions={name: rows},
        curves={name: result_files.as_text(pd.DataFrame(history), *cell, result_files.CURVE_COLUMNS)},
    )


def make_scores(accuracy: float, epochs: dict[int, int]) -> dict[str, Any]:
    """Make the scores of a cell whose runs, one a fold, were tested at their last epoch."""
    both = {"window_accuracy": accuracy, "recording_accuracy": (WINDOWS * accuracy + 3) / WINDOWS}
    both["class_accuracy"] = accuracy - 0.0625
    runs = [
        {"fold": fold, "seed": 0, "epoch": epoch, "diverged_at_epoch": None, "weights_sha256": "0" * 64} | both
        for fold, epoch in epochs.items()
    ]
    counts = {"folds": len(epochs), "seeds": 1, "windows": WINDOWS, "silent_windows": 1, "recordings": 12}
    scores = {"diverged_runs": 0, "by_fold": runs} | counts | both
    scores |= {"without_silent": {key: value + 0.03125 for key, value in both.items()}}
    scores |= {"confusion": {"classes": CLASSES, "counts": [[10, 2, 0], [3, 9, 0], [0, 0, 12]]}}
    seconds = {f"fold_{fold}-seed_0": 0.5 * run for fold, run in epochs.items()}
    return scores | {"training": {"device": "cpu", "precision": "fp32", "seconds_by_run": seconds}}
