"""Evaluate scores what is trained here and keeps what is committed; training keeps what an edit does not touch."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from beyond_spectrograms.params.study import load_study
from beyond_spectrograms.util.errors import ProjectError
from support import separable
from support.cells import edit_params, grid, write_split_record
from support.repository import run_here
from support.tiny_models import edit_json

PROTOCOLS = ["mean_linear", "shuffled_labels"]
RESULTS = Path("metrics/demo")
MODELS = Path("data/models/paper/demo/mel")
Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("project")


def edit(change: Callable[[dict[str, Any]], Any]) -> None:
    edit_params(Path(), change)


def raise_version(noun: str) -> None:
    edit_params(Path(), lambda versions: versions.update({noun: 2}), "versions.yaml")


def results() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in RESULTS.iterdir() if path.name != "splits.json"}


def scores() -> dict[str, Any]:
    told: dict[str, Any] = json.loads((RESULTS / "scores.json").read_text(encoding="utf-8"))
    return told


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two cells, trained and evaluated."""
    folder = tmp_path_factory.mktemp("trained")
    separable.write(folder, epochs=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        edit(lambda params: params.update(grid=grid("demo", ["mel"], PROTOCOLS)))
        edit(lambda params: params["protocols"]["shuffled_labels"].update(classifier="mean_linear"))
        windows = Path("data/splits/demo/windows.csv")
        table = pd.read_csv(windows, dtype=str, keep_default_na=False)
        table.assign(group=table["clip"]).to_csv(windows, index=False)
        write_split_record(folder, "demo")
        run_here("train", "demo", "mel")
        run_here("evaluate", "demo")
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """A copy of it, to change."""
    shutil.copytree(trained, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    capsys.readouterr()
    return tmp_path / "project"


def test_the_same_answers_give_the_same_bytes(capsys: Capture) -> None:
    before = results()
    assert sorted(before) == ["accuracy.json", "curves.csv.gz", "predictions.csv.gz", "scores.json"]
    run_here("evaluate", "demo")
    assert results() == before
    assert [line.split(": ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "demo, mel-mean_linear",
        "demo, mel-shuffled_labels",
    ]


def test_a_cell_whose_weights_are_not_here_keeps_its_scores_to_the_byte(capsys: Capture) -> None:
    before = results()
    shutil.rmtree(MODELS / "shuffled_labels")
    run_here("evaluate", "demo")
    assert results() == before
    told = "demo: committed scores kept of 1 cells whose weights are not here: mel-shuffled_labels\n"
    assert told in capsys.readouterr().out
    shutil.rmtree(MODELS)
    run_here("evaluate", "demo")
    assert results() == before
    assert capsys.readouterr().out == (
        "demo: committed scores kept of 2 cells whose weights are not here: mel-mean_linear, mel-shuffled_labels\n"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda: edit(lambda params: params["protocols"]["shuffled_labels"].update(learning_rate=0.5)),
        lambda: raise_version("evaluation"),
    ],
    ids=["params", "versions"],
)
def test_a_cell_of_other_params_or_versions_whose_weights_are_not_here_is_left_out(
    capsys: Capture, change: Callable[[], None]
) -> None:
    shutil.rmtree(MODELS / "shuffled_labels")
    change()
    run_here("evaluate", "demo")
    assert list(scores()["cells"]) == ["mel-mean_linear"]
    assert capsys.readouterr().out.splitlines()[0] == (
        "demo, mel-shuffled_labels: left out: its committed scores, too, are of other params or versions"
    )


def test_where_no_cell_is_left_the_result_files_are_empty_and_can_be_read() -> None:
    shutil.rmtree(MODELS)
    edit(lambda params: [params["protocols"][name].update(learning_rate=0.5) for name in PROTOCOLS])
    run_here("evaluate", "demo")
    assert scores()["cells"] == {}
    before = results()
    run_here("evaluate", "demo")
    assert results() == before


def test_weights_trained_under_other_params_are_left_out_and_the_other_cells_stay(capsys: Capture) -> None:
    edit(lambda params: params["protocols"]["mean_linear"].update(learning_rate=0.5))
    run_here("evaluate", "demo")
    assert capsys.readouterr().out.splitlines()[:2] == [
        "demo, mel-mean_linear: its weights are of other params, versions or parts than the present ones",
        "demo, mel-mean_linear: left out: its committed scores, too, are of other params or versions",
    ]
    assert list(scores()["cells"]) == ["mel-shuffled_labels"]


def test_answers_to_other_windows_than_those_tested_are_not_scored() -> None:
    windows = Path("data/splits/demo/windows.csv")
    table = pd.read_csv(windows, dtype=str, keep_default_na=False)
    table.iloc[::-1].to_csv(windows, index=False)
    with pytest.raises(ProjectError) as stopped:
        run_here("evaluate", "demo")
    assert str(stopped.value) == (
        "data/splits/demo: its windows or parts are not those that splits.json describes. Run split again."
    )
    write_split_record(Path(), "demo")  # as a new split would leave it: now the weights are those of other parts
    run_here("evaluate", "demo")
    assert scores()["cells"] == {}


def test_weights_of_other_clips_are_not_taken_for_these_and_earlier_weights_tell_no_clips() -> None:
    study, place = load_study(), MODELS / "mean_linear/provenance.json"
    assert study.is_trained("demo", "mel", "mean_linear")
    told = json.loads(place.read_text())
    place.write_text(json.dumps({key: told[key] for key in told if key != "clips"}))
    assert study.is_trained("demo", "mel", "mean_linear")
    edit_json(place, clips="0" * 64)
    assert not study.is_trained("demo", "mel", "mean_linear")


def test_an_edited_protocol_trains_its_own_runs_alone_and_another_version_of_training_all(capsys: Capture) -> None:
    before = {path.name: path.read_bytes() for path in (MODELS / "mean_linear").iterdir()}
    edit(lambda params: params["protocols"]["shuffled_labels"].update(learning_rate=0.5))
    run_here("train", "demo", "mel")
    printed = capsys.readouterr().out
    assert printed.startswith("demo, mel: 2 runs of 2 protocols, 1 kept\n1 to train on cpu in ")
    assert {path.name: path.read_bytes() for path in (MODELS / "mean_linear").iterdir()} == before
    run_here("train", "demo", "mel")
    assert capsys.readouterr().out == "demo, mel: 2 runs of 2 protocols, 2 kept\n"
    raise_version("training")
    run_here("train", "demo", "mel")
    assert capsys.readouterr().out.startswith("demo, mel: 2 runs of 2 protocols, 0 kept\n2 to train on ")


@pytest.mark.parametrize("other", ["version", "clips"])
def test_features_of_another_version_or_of_other_clips_stop_training(other: str) -> None:
    if other == "version":
        raise_version("representations")
    else:
        edit_json(Path("metrics/demo/splits.json"), clips_sha256="0" * 64)
    with pytest.raises(ProjectError) as stopped:
        run_here("train", "demo", "mel")
    assert str(stopped.value) == (
        "data/features/paper/demo/mel: made of other clips, params or versions than those that stand now. Run its "
        "featurize stage again."
    )
