"""The test part stays unread until evaluate, and what it says chooses nothing: by train, tables, figures or page."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import separable
from cells import CLASSES, read, write, write_rows

from beyond_spectrograms import tables
from beyond_spectrograms.page.excerpts import best_cell
from beyond_spectrograms.params import Product
from beyond_spectrograms.results import Results
from stages import report

NAMES = ["mel", "log_mel", "soundstream", "encodec_24khz_untrained"]
PROTOCOLS = ["paper", "source_split", "fair"]
Contents = Callable[[Path], dict[str, bytes]]


@pytest.mark.parametrize("protocol", ["paper", "fair", "shuffled_labels"])
def test_train_writes_the_same_bytes_whatever_the_test_part_holds(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: Contents
) -> None:
    separable.write(tmp_path, epochs=2)
    monkeypatch.chdir(tmp_path)
    separable.run_stage("train", protocol, monkeypatch)
    models = Path(f"data/models/demo/mel-{protocol}")
    honest = contents(models)
    assert sorted(honest) == ["fold_1-seed_0.safetensors", "history.csv"]

    tested = (pd.read_csv("data/splits/demo/parts.csv")["source_1"] == "test").to_numpy()
    place = Path("data/features/demo/mel/features.npy")
    features = np.load(place)
    features[tested] = np.nan
    np.save(place, features)
    windows = pd.read_csv("data/splits/demo/windows.csv", dtype={"label": str})
    windows.loc[tested, "label"] = windows.loc[tested, "label"].to_numpy()[::-1]
    windows.to_csv("data/splits/demo/windows.csv", index=False)
    separable.run_stage("train", protocol, monkeypatch)
    assert contents(models) == honest

    features[np.flatnonzero(~tested)[0], 0] += 1  # what is trained on does count
    np.save(place, features)
    separable.run_stage("train", protocol, monkeypatch)
    assert contents(models) != honest


def upside_down(folder: Path) -> None:
    """Turn every figure of the test part around: what was right is wrong, and the other way about."""
    for path in folder.glob("metrics/scores/*/*.json"):
        scores = json.loads(path.read_text(encoding="utf-8"))
        for section in (scores, scores["without_silent"]):
            for key in ("window_accuracy", "recording_accuracy", "class_accuracy"):
                section[key] = 1 - section[key]
        scores["confusion"]["counts"] = np.roll(scores["confusion"]["counts"], 1, axis=1).tolist()
        write(path, json.dumps(scores))
    for path in folder.glob("plots/recordings/*/*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        for row in rows:
            right = row["predicted"] == row["label"]
            other = CLASSES[(CLASSES.index(row["label"]) + 1) % 3] if right else row["label"]
            row |= {"windows_right": 3 - int(row["windows_right"]), "predicted": other, "predicted_by_seeds": other}
        write_rows(path, rows)


def read_again(folder: Path, known: Results, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.chdir(folder)
    cells = Product(representations=NAMES, protocols=PROTOCOLS)
    return report.read_results(known.params, known.dataset, cells)


def choices(known: Results) -> dict[str, object]:
    """Name all that tables, figures and page choose between."""
    best = best_cell(known)
    winners = {protocol: tables.best_of(known, protocol) for protocol in PROTOCOLS}
    return {
        "page": best and (best.representation, best.protocol),
        "figures": {protocol: scores and scores.representation for protocol, scores in winners.items()},
        "table 2": [(row["source"], row["system"]) for row in tables.table_2(known).rows],
        "order": [row["representation"] for row in tables.summary(known, []).rows],
    }


def test_turning_the_test_accuracies_upside_down_changes_no_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = read(tmp_path, "esc10", NAMES, PROTOCOLS)
    before, figures = choices(known), tables.table_2(known).rows
    upside_down(tmp_path)
    turned = read_again(tmp_path, known, monkeypatch)
    assert choices(turned) == before
    assert tables.table_2(turned).rows != figures  # what is told of the chosen did change
    intervals = [each.cell("soundstream", "fair").window_interval for each in (known, turned)]
    assert [interval and interval.value for interval in intervals] == [0.75, 0.25]


def test_turning_the_validation_accuracies_upside_down_does_change_the_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = read(tmp_path, "esc10", NAMES, PROTOCOLS)
    before = choices(known)
    for path in tmp_path.glob("plots/history/*/*.csv"):
        history = pd.read_csv(path)
        history["validation_accuracy"] = 1 - history["validation_accuracy"]
        history.to_csv(path, index=False)
    after = choices(read_again(tmp_path, known, monkeypatch))
    assert [key for key in before if after[key] != before[key]] == ["page", "figures", "table 2"]
