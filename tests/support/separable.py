"""Features of classes that are easy to tell apart, as the earlier stages leave them, and stages run in this process."""

import json
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from support.cells import edit_params, grid, put_features, study_in, write_params, write_rows, write_split_record
from support.common import read_yaml
from support.repository import REPOSITORY, run_here

CLASSES, RECORDINGS, WINDOWS, FRAMES = 20, 8, 3, 49
PARTS = ["train"] * 5 + ["validation"] * 2 + ["test"]  # of a class's recordings


def write(folder: Path, epochs: int = 10) -> None:
    """Write the data set `demo` as mel: 20 classes of 8 recordings of 3 windows, a class's own band raised by 4."""
    files = ("params.yaml", "studies/prototypes/params.yaml")
    paper, further = (read_yaml((REPOSITORY / file).read_text(encoding="utf-8"))["protocols"] for file in files)
    protocols = paper | further
    for protocol in protocols.values():
        protocol |= {"batch_size": 16, "epochs": epochs, "seeds": [0]}
    write_params(folder, device="cpu", protocols=protocols)
    rows: list[dict[str, Any]] = [
        {"clip": f"{label:02d}/{number}.wav", "label": f"{label:02d}", "start_s": float(start), "group": "", "fold": 1}
        for label in range(CLASSES)
        for number in range(RECORDINGS)
        for start in range(WINDOWS)
    ]
    splits = folder / "data/splits/demo"
    write_rows(splits / "windows.csv", [row | {"silent": 0} for row in rows])
    parts = np.tile(np.repeat(PARTS, WINDOWS), CLASSES)
    write_rows(splits / "parts.csv", [{"window": part, "source_1": part} for part in parts])
    write_split_record(folder, "demo")
    values = np.random.default_rng(0).standard_normal((len(rows), CLASSES, FRAMES)).astype(np.float32)
    for row, values_of_window in zip(rows, values, strict=True):
        values_of_window[int(row["label"])] += 4
    study = study_in(folder)
    described = {"dtype": "float32", "frame_rate": float(FRAMES), "engine": "none", "largest_rounding": 0.0}
    with chdir(folder):
        described |= {"values_stored_as_zero": 0, "provenance": study.feature_provenance("demo", "mel")}
    put_features(folder / study.features("demo", "mel"), values, **described)


def cell_of(name: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """Read what evaluate left of a cell of the data set, in the folder we are in: its scores, its tested recordings."""
    scores: dict[str, Any] = json.loads(Path("metrics/demo/scores.json").read_text(encoding="utf-8"))["cells"][name]
    rows = pd.read_csv("metrics/demo/predictions.csv.gz", dtype={"label": str, "predicted": str})
    return scores, rows[rows["representation"] + "-" + rows["protocol"] == name]


def run_stages(protocol: str, *stages: str) -> None:
    """Run train or evaluate on the data set under one protocol, in the folder we are in."""
    edit_params(Path(), lambda params: params.update(grid=grid("demo", ["mel"], [protocol])))
    for stage in stages:
        run_here(stage, "demo", *["mel"] * (stage == "train"))
