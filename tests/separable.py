"""Features of classes that are easy to tell apart, as the earlier stages leave them, and stages run in this process."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY

CLASSES, RECORDINGS, WINDOWS, FRAMES = 20, 8, 3, 49
PARTS = ["train"] * 5 + ["validation"] * 2 + ["test"]  # of a class's recordings


def write(folder: Path, epochs: int = 10) -> None:
    """Write the data set `demo` as mel: 20 classes of 8 recordings of 3 windows, a class's own band raised by 4."""
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    for protocol in params["protocols"].values():
        protocol |= {"batch_size": 16, "epochs": epochs, "seeds": [0]}
    params |= {"device": "cpu"}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    shutil.copy(REPOSITORY / "versions.yaml", folder)
    rows: list[dict[str, Any]] = [
        {"clip": f"{label:02d}/{number}.wav", "label": f"{label:02d}", "start_s": float(start), "group": "", "fold": 1}
        for label in range(CLASSES)
        for number in range(RECORDINGS)
        for start in range(WINDOWS)
    ]
    splits = folder / "data/splits/demo"
    splits.mkdir(parents=True)
    pd.DataFrame(rows).assign(silent=0).to_csv(splits / "windows.csv", index=False)
    parts = np.tile(np.repeat(PARTS, WINDOWS), CLASSES)
    pd.DataFrame({"window": parts, "source_1": parts}).to_csv(splits / "parts.csv", index=False)
    values = np.random.default_rng(0).standard_normal((len(rows), CLASSES, FRAMES)).astype(np.float32)
    for row, values_of_window in zip(rows, values, strict=True):
        values_of_window[int(row["label"])] += 4
    place = folder / "data/features/demo/mel"
    place.mkdir(parents=True)
    np.save(place / "features.npy", values)
    (place / "index.json").write_text("{}")


def run_stage(stage: str, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a stage on the data set, in the folder we are in."""
    monkeypatch.setattr(sys, "argv", [f"{stage}.py", "demo", "mel", protocol])
    runpy.run_path(str(REPOSITORY / "stages" / f"{stage}.py"), run_name="__main__")
