"""Real stages on small sounds, from their synthesis to a table of what disturbances change."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from beyond_spectrograms.evaluation.predict import Predictions, read_predictions, write_predictions
from beyond_spectrograms.evaluation.records import cell_name
from beyond_spectrograms.params.study import load_study
from beyond_spectrograms.report.table import read_tables
from beyond_spectrograms.util.errors import ProjectError
from stages.tables import stale_cells
from support.cells import edit_params, grid, write_params
from support.common import contents, refusal
from support.repository import Capture, run_here

SOUNDS = {"seed": 0, "clips_per_class": 4, "seconds": 2.5}  # of six classes: 24 clips of two windows
RECIPE = {"classifier": "mean_linear", "standardize": True, "shuffle_labels": False, "optimizer": "adam"}
RECIPE |= {"learning_rate": 0.01, "batch_size": 16, "shuffle_each_epoch": False, "epochs": 3, "patience": None}
RECIPE |= {"dropout_at_evaluation": False, "select": "best_validation_loss"}
# Each of one run, which this process trains by itself; they test other windows.
PROTOCOLS = {"once": RECIPE | {"split": "window", "seeds": [0]}}
PROTOCOLS["second"] = RECIPE | {"split": "window_by_seed", "seeds": [1]}
DISTURBANCES = {"nothing": {"kind": "gain", "db": 0}, "noise": {"kind": "noise", "snr_db": 0}}
DISTURBANCES["mp3"] = {"kind": "mp3", "bitrate_kbps": 64}
RAW, SPLITS, ANSWERS = Path("data/raw/demo/audio"), Path("data/splits/demo"), Path("data/disturbed/robustness/demo/mel")
MODELS, RESULTS = Path("data/models/robustness/demo/mel"), Path("studies/robustness/metrics/demo")
WORK = Path("data/partial/disturbed/robustness-demo-mel")
PARAMS = "studies/robustness/params.yaml"
pytestmark = pytest.mark.usefixtures("project")


def stage(name: str, *of: str) -> None:
    run_here(name, "--study=robustness", *of)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one representation under two protocols, run up to its scores."""
    folder = tmp_path_factory.mktemp("finished")
    asked = grid("demo", ["mel"], list(PROTOCOLS))
    own = {"protocols": PROTOCOLS, "disturbances": DISTURBANCES, "contrasts": {"under": ["once"], "pairs": []}}
    write_params(folder, "robustness", grid=asked, **own)
    edit_params(folder, lambda params: params.update(device="cpu"))
    edit_params(folder, lambda demo: demo["source"].update(synthetic=SOUNDS, clips=24), "datasets/demo.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("download", "resample", "split"):
            stage(name, "demo")
        stage("featurize", "demo", "mel")
        for protocols in (["once"], ["once", "second"]):
            edit({"grid": grid("demo", ["mel"], protocols)})
            stage("train", "demo", "mel")
        stage("disturb", "demo", "mel")
        stage("evaluate", "demo")
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """A copy of it, to change."""
    shutil.copytree(finished, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    capsys.readouterr()


def edit(changes: dict[str, Any]) -> None:
    edit_params(Path(), lambda params: params.update(changes), PARAMS)


def answers(folder: Path, protocol: str) -> Predictions:
    (path,) = (folder / protocol).glob("*.predictions.safetensors")
    return read_predictions(path, 48)


def rows_of(protocol: str) -> list[int]:
    column = {"once": "window", "second": "window_by_seed_2"}[protocol]
    parts = pd.read_csv(SPLITS / "parts.csv", dtype=str, keep_default_na=False)
    return np.flatnonzero(parts[column] == "test").tolist()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_undisturbed_sound_is_answered_as_before_to_the_bit(protocol: str) -> None:
    clean, same, other = (answers(place, protocol) for place in (MODELS, ANSWERS / "nothing", ANSWERS / "noise"))
    for found in (same, other):
        assert (found.rows.tolist(), found.weights_sha256) == (rows_of(protocol), clean.weights_sha256)
        assert (found.fold, found.seed, found.epoch) == (clean.fold, clean.seed, clean.epoch)
    assert same.probabilities.tobytes() == clean.probabilities.tobytes()
    assert same.last.tobytes() == clean.last.tobytes()
    assert not np.allclose(other.probabilities, clean.probabilities, atol=1e-3)


def test_no_recording_outside_the_test_part_is_read_and_no_label_of_it(capsys: Capture) -> None:
    before = contents(ANSWERS)
    table = pd.read_csv(SPLITS / "windows.csv", dtype=str, keep_default_na=False)
    rows = sorted({*rows_of("once"), *rows_of("second")})
    heard = set(table["clip"].iloc[rows])
    others = [path for path in RAW.glob("*/*") if f"{path.parent.name}/{path.name}" not in heard]
    assert 0 < len(others) < 24 - len(others)
    for path in others:
        path.write_bytes(b"no sound")
    table.loc[rows, "label"] = table["label"].iloc[rows].to_numpy()[::-1]
    table.to_csv(SPLITS / "windows.csv", index=False)
    shutil.rmtree(ANSWERS)
    stage("disturb", "demo", "mel")
    assert contents(ANSWERS) == before
    assert f"demo as mel: 3 to make of {len(rows)} test windows, " in capsys.readouterr().out


def test_the_cost_is_said_first_and_nothing_is_left_of_features_and_sounds(capsys: Capture) -> None:
    shutil.rmtree(ANSWERS)
    stage("disturb", "demo", "mel")
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"demo as mel: 3 disturbances, 0 kept\n"
        r"demo as mel: 3 to make of \d\d test windows, 2 MB of features each; will take about \S+ s, "
        r"\S+ [MG]B of memory\n"
        r"took \S+ s \(estimate: \S+ s\); \S+ s of processor time, \S+ [MG]B in its largest process\n",
        said,
    )
    assert "disturb mel" in json.loads(Path("data/rates.json").read_text(encoding="utf-8"))
    left = [path for path in Path("data").rglob("*") if "disturbed" in path.parts and path.is_file()]
    assert {path.suffix for path in left} == {".safetensors", ".json"}
    assert all(path.is_relative_to(ANSWERS) for path in left)


def test_a_run_that_broke_off_keeps_the_disturbances_it_had_answered(capsys: Capture) -> None:
    before = contents(ANSWERS)
    shutil.rmtree(ANSWERS)
    WORK.mkdir(parents=True)
    (WORK / "mp3").write_text("where the last of three would work")
    with pytest.raises(NotADirectoryError):
        stage("disturb", "demo", "mel")
    assert not ANSWERS.exists()
    (WORK / "mp3").unlink()
    # Of the two that were answered, one is damaged, as a disk may do.
    (damaged,) = WORK.glob("finished/noise/once/*.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    capsys.readouterr()
    stage("disturb", "demo", "mel")
    assert capsys.readouterr().out.startswith("demo as mel: 3 disturbances, 1 kept\n")
    assert contents(ANSWERS) == before
    assert not WORK.exists()


def test_an_edit_makes_again_what_it_touches(capsys: Capture) -> None:
    def said() -> str:
        stage("disturb", "demo", "mel")
        return capsys.readouterr().out.partition("\n")[0]

    before = contents(ANSWERS)
    assert said() == "demo as mel: 3 disturbances, 3 kept"
    assert contents(ANSWERS) == before
    edit({"disturbances": {"noise": {"kind": "noise", "snr_db": 5}, "mp3": DISTURBANCES["mp3"]}})
    assert said() == "demo as mel: 2 disturbances, 1 kept"
    after = contents(ANSWERS)
    assert {name.split("/")[0] for name in after} == {"noise", "mp3"}
    assert {name for name in after if after[name] == before[name]} == {name for name in after if name[:3] == "mp3"}
    edit_params(Path(), lambda versions: versions.update(disturbances=2), "versions.yaml")
    assert said() == "demo as mel: 2 disturbances, 0 kept"


def test_weights_of_other_params_are_not_asked() -> None:
    edit({"protocols": PROTOCOLS | {"second": PROTOCOLS["second"] | {"epochs": 4}}})
    assert refusal(ProjectError, stage, "disturb", "demo", "mel") == (
        f"{MODELS}/second: no weights of the params, versions and parts that stand now. Run its train stage."
    )


def test_a_study_without_disturbances_says_so() -> None:
    edit({"disturbances": {}})
    assert refusal(ProjectError, stage, "disturb", "demo", "mel") == (
        f"{PARAMS}: no disturbances. Describe some: noise, mp3, gain, low_pass."
    )


def cells(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["cells"]
    return told


def test_scores_are_those_of_the_same_rule_by_disturbance_and_leave_the_others_as_they_are() -> None:
    clean = {path.name: path.read_bytes() for path in RESULTS.iterdir() if path.is_file()}
    assert sorted(path.name for path in (RESULTS / "disturbed").iterdir()) == sorted(DISTURBANCES)
    table = pd.read_csv(SPLITS / "windows.csv", dtype=str, keep_default_na=False)
    classes = np.array(sorted(table["label"].unique()))
    for name in DISTURBANCES:
        for protocol in PROTOCOLS:
            found, scored = answers(ANSWERS / name, protocol), cells(RESULTS / "disturbed" / name)[f"mel-{protocol}"]
            right = classes[found.probabilities.argmax(1)] == table["label"].iloc[found.rows]
            assert (scored["window_accuracy"], scored["windows"]) == (right.mean(), len(right))
    same = cells(RESULTS / "disturbed/nothing")["mel-once"]
    measures = ("window_accuracy", "recording_accuracy", "class_accuracy", "confusion", "by_fold", "last_epoch")
    assert {key: same[key] for key in measures} == {key: cells(RESULTS)["mel-once"][key] for key in measures}
    edit({"disturbances": {}})
    stage("evaluate", "demo")
    assert {path.name: path.read_bytes() for path in RESULTS.iterdir() if path.is_file()} == clean


def test_scores_of_answers_that_are_not_here_are_kept_while_what_decides_them_is_the_same(capsys: Capture) -> None:
    before = contents(RESULTS)
    shutil.rmtree(ANSWERS / "noise")
    stage("evaluate", "demo")
    assert contents(RESULTS) == before
    kept = "committed scores kept of 2 cells whose answers are not here: mel-once, mel-second"
    assert f"demo, noise: {kept}\n" in capsys.readouterr().out
    edit({"disturbances": DISTURBANCES | {"noise": {"kind": "noise", "snr_db": 5}}})
    study = load_study("robustness")
    assert [stale_cells(study, "demo", name) for name in (None, "mp3")] == [[], []]
    assert stale_cells(study, "demo", "noise") == [
        f"{RESULTS}/disturbed/noise/scores.json: {cell_name('mel', protocol)}: stale, changed: params"
        for protocol in PROTOCOLS
    ]
    stage("evaluate", "demo")
    assert cells(RESULTS / "disturbed/noise") == {}
    why = "left out: its committed scores, too, are of other params or versions"
    assert f"demo, noise, mel-once: {why}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": np.arange(10)}, ": its answers are to other windows than the test part's. Run disturb again."),
        ({"weights_sha256": "0" * 64}, ": its answers are not of the weights of fold_1-seed_0. Run disturb again."),
        ({}, "/fold_1-seed_0.predictions.safetensors: missing. Run its disturb stage again."),
    ],
)
def test_answers_that_are_not_those_of_the_cell_are_not_scored(changes: dict[str, Any], message: str) -> None:
    found, path = answers(ANSWERS / "mp3", "once"), ANSWERS / "mp3/once/fold_1-seed_0.predictions.safetensors"
    path.unlink()
    if changes:
        write_predictions(path, replace(found, **changes))
    assert refusal(ProjectError, stage, "evaluate", "demo") == f"{ANSWERS}/mp3/once{message}"


def test_the_report_tells_what_each_disturbance_changes_and_the_page_shows_it() -> None:
    stage("report", "demo")
    (table,) = read_tables(RESULTS / "tables/robustness.md")
    accuracy = {
        name: cells(RESULTS / of)["mel-once"]["window_accuracy"]
        for name, of in {"clean": "", **{each: f"disturbed/{each}" for each in DISTURBANCES}}.items()
    }
    differences = [f"{100 * (accuracy[name] - accuracy['clean']):+.1f}" for name in DISTURBANCES]
    assert table.lines[0] == [
        *("representation", "protocol", "windows % clean"),
        *(f"{name}, points" for name in DISTURBANCES),
        "note",
    ]
    assert table.lines[1][:6] == ["mel", "once", f"{100 * accuracy['clean']:.1f}", *differences]
    figures = {path.name for path in Path("studies/robustness/plots/demo/figures").iterdir()}
    assert {f"robustness-{protocol}.{kind}" for protocol in PROTOCOLS for kind in ("png", "svg")} <= figures
    stage("page")
    page = Path("studies/robustness/plots/report/index.html").read_text(encoding="utf-8")
    assert "Robustness: demo, disturbed sound minus sound as it is" in page
    shown = 'alt="Robustness: demo, disturbed sound minus sound as it is, drawn from the table above"'
    assert page.count(shown) == 1
