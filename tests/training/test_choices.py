"""The test part stays unread until evaluate, and what it says chooses nothing: by train, tables, figures or page."""

import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from beyond_spectrograms.evaluation.result_files import Evaluation, intervals
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.params.study import Study
from beyond_spectrograms.report import tables
from beyond_spectrograms.report.page.excerpts import best_cell
from support import separable
from support.cells import CLASSES, MakeCell, make_cell, read, read_back, write_dataset
from support.common import contents

NAMES = ["mel", "log_mel", "soundstream", "encodec_24khz_untrained"]
PROTOCOLS = ["paper", "source_split", "fair"]


def trained(protocol: str) -> tuple[bytes, object]:
    """Read the weights that a training left, and their learning curve."""
    found = contents(Path("data/models/paper/demo/mel", protocol))
    assert sorted(found) == [
        *(f"fold_1-seed_0.{suffix}" for suffix in ("json", "predictions.safetensors", "safetensors")),
        "provenance.json",
    ]
    return found["fold_1-seed_0.safetensors"], json.loads(found["fold_1-seed_0.json"])["history"]


def store(place: Path, features: npt.NDArray[np.float32]) -> None:
    """Put other features in place; runs are not kept, since their index is another."""
    np.save(place, features)
    place.with_name("index.json").write_text(json.dumps({"sha256": hashlib.sha256(features.tobytes()).hexdigest()}))


@pytest.mark.parametrize("protocol", ["paper", "fair", "shuffled_labels"])
def test_train_writes_the_same_bytes_whatever_the_test_part_holds(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    separable.write(tmp_path, epochs=2)
    monkeypatch.chdir(tmp_path)
    separable.run_stages(protocol, "train")
    honest = trained(protocol)

    tested = (pd.read_csv("data/splits/demo/parts.csv")["source_1"] == "test").to_numpy()
    place = Path("data/features/paper/demo/mel/features.npy")
    features = np.load(place)
    features[tested] = np.nan
    store(place, features)
    windows = pd.read_csv("data/splits/demo/windows.csv", dtype={"label": str})
    windows.loc[tested, "label"] = windows.loc[tested, "label"].to_numpy()[::-1]
    windows.to_csv("data/splits/demo/windows.csv", index=False)
    separable.run_stages(protocol, "train")
    assert trained(protocol) == honest

    features[np.flatnonzero(~tested)[0], 0] += 1  # what is trained on does count
    store(place, features)
    separable.run_stages(protocol, "train")
    assert trained(protocol) != honest


def turned(study: Study, dataset: str, name: str, protocol: str) -> Evaluation:
    """Make a cell in which every figure of the test part is turned around: what was right is wrong, and the reverse."""
    made = make_cell(study, dataset, name, protocol)
    [(cell, scores)], [rows] = made.scores.items(), made.predictions.values()
    for section in (scores, scores["without_silent"], *scores["by_fold"]):
        for key in ("window_accuracy", "recording_accuracy", "class_accuracy"):
            section[key] = 1 - section[key]
    scores["confusion"] = scores["confusion"] | {"counts": np.roll(scores["confusion"]["counts"], 1, 1).tolist()}
    answers = []
    for row in rows.to_dict("records"):
        right = row["predicted"] == row["label"]
        other = CLASSES[(CLASSES.index(row["label"]) + 1) % 3] if right else row["label"]
        answers.append(other)
    rows = rows.assign(predicted=answers, predicted_by_seeds=answers)
    rows["windows_right"] = [str(3 - int(right)) for right in rows["windows_right"]]
    scores |= intervals(study.params, cell, protocol, rows, scores)
    return Evaluation(made.scores, made.features, {cell: rows}, made.curves)


def badly_validated(study: Study, dataset: str, name: str, protocol: str) -> Evaluation:
    """Make a cell whose validation accuracies are turned around."""
    made = make_cell(study, dataset, name, protocol)
    for history in made.curves.values():
        history["validation_accuracy"] = [str(1 - float(accuracy)) for accuracy in history["validation_accuracy"]]
    return made


def read_again(folder: Path, make: MakeCell) -> Results:
    write_dataset(folder, "esc10", NAMES, PROTOCOLS, make=make)
    return read_back(folder, "esc10")


def choices(known: Results) -> dict[str, object]:
    """Name all that tables, figures and page choose between."""
    heard = best_cell(known)
    winners = {protocol: tables.best_of(known, protocol) for protocol in PROTOCOLS}
    return {
        "page": heard and (heard.representation, heard.protocol),
        "figures": {protocol: best and best[0] for protocol, best in winners.items()},
        "table 2": [(row["source"], row["system"]) for row in tables.table_2(known).rows],
        "order": [row["representation"] for row in tables.summary(known, []).rows],
    }


def test_turning_the_test_accuracies_upside_down_changes_no_choice(tmp_path: Path) -> None:
    known = read(tmp_path, "esc10", NAMES, PROTOCOLS)
    before, figures = choices(known), tables.table_2(known).rows
    after = read_again(tmp_path, turned)
    assert choices(after) == before
    assert tables.table_2(after).rows != figures  # what is told of the chosen did change
    told = [each.cell("soundstream", "fair").window_interval for each in (known, after)]
    assert [interval and interval.value for interval in told] == [0.75, 0.25]


def test_turning_the_validation_accuracies_upside_down_does_change_the_choices(tmp_path: Path) -> None:
    known = read(tmp_path, "esc10", NAMES, PROTOCOLS)
    before = choices(known)
    after = choices(read_again(tmp_path, badly_validated))
    assert [key for key in before if after[key] != before[key]] == ["page", "figures", "table 2"]
