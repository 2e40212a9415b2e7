"""What the dvc.yaml files say, and what an edit makes DVC run: in a finished demo whose outputs are made up."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

from benchmarks.pipelines import make_up
from beyond_spectrograms.params import Params, load_params
from beyond_spectrograms.params.study import (
    DISTURBED_BY,
    FEATURES_BY,
    LABELS_BY,
    PAPER,
    TRIALS_BY,
    WEIGHTS_BY,
    folder_of,
    load_study,
)
from beyond_spectrograms.util.code_versions import NOUNS, load_versions
from support.clones import DEMO, STUDIES, commit, edit, run, tiny
from support.repository import REPOSITORY, stage_here

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny(tmp_path_factory.mktemp("made_up"))
    make_up(folder, ["demo"])
    commit(folder, "results")
    return folder


@pytest.fixture
def demo(made_up: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Go to a clone of this project in which a tiny demo is finished; edits are undone after the test."""
    monkeypatch.chdir(made_up)
    yield made_up
    run(made_up, "git", "checkout", "-q", ".")
    run(made_up, "git", "clean", "-qfd")


def would_run(folder: Path) -> set[str]:
    """Resolve params, and ask DVC what it would run."""
    stage_here(folder, "resolve", "--study=demo")
    with Repo(str(folder)) as repo:
        return {each.name for each in repo.reproduce(DEMO, dry=True)} - {"resolve"}


TRAIN = {"train@demo-mel", "train@demo-log_mel_2048"}
NOTED = {noun: {"digest": "0" * 16, "verified_at": "0" * 12} for noun in NOUNS}
AFTER = {"evaluate@demo", "illustrate@demo", "measure@demo", "report@demo", "page"}


@pytest.mark.parametrize(
    ("file", "changes", "runs"),
    [
        ("versions.yaml", {"evaluation": 2}, {"evaluate@demo", "illustrate@demo", "report@demo"}),
        ("versions.yaml", {"training": 2}, TRAIN | {"evaluate@demo", "measure@demo"}),
        ("versions.yaml", {"report": 99}, {"illustrate@demo", "report@demo", "page"}),
        # What is noted of code runs nothing, nor does what no stage of this study tracks.
        ("versions.yaml", {"leakage": 99, "sonification": 99, "code": NOTED}, {"audit@demo"}),
        # Protocols and runs that are none of this study's: only the page shows params.yaml whole.
        ("params.yaml", {"protocols.paper.learning_rate": 0.002, "run.representation": "log_mel"}, {"page"}),
        ("params.yaml", {"representations.log_mel_2048.n_fft": 1024}, AFTER | {"featurize@demo-log_mel_2048"}),
        ("params.yaml", {"protocols.mean_linear.learning_rate": 0.002}, AFTER | TRAIN),
    ],
)
def test_an_edit_runs_what_tracks_it(file: str, changes: dict[str, Any], runs: set[str], demo: Path) -> None:
    edit(demo, file, changes)
    assert would_run(demo) == runs


def test_a_further_data_set_runs_nothing_of_the_others(demo: Path) -> None:
    shutil.copy(demo / "datasets/demo.yaml", demo / "datasets/more.yaml")
    edit(demo, "studies/demo/params.yaml", {"grid.datasets": ["demo", "more"]})
    stage_here(demo, "resolve", "--study=demo")
    with Repo(str(demo)) as repo:
        names = {name.rpartition(":")[2] for name in repo.status(DEMO)}
    of_more = {name for name in names if "more" in name}
    assert {"download@more", "train@more-mel", "evaluate@more"} <= of_more
    assert names - of_more <= {"page", "resolve"}  # the page shows params.yaml and all results


def load_study_of(study: str) -> Params:
    return load_params(folder_of(study), REPOSITORY)


def list_stages() -> Iterator[Any]:
    """Give each stage of each dvc.yaml, its names still to be filled in, with its study."""
    for study in STUDIES:
        text = (REPOSITORY / folder_of(study) / "dvc.yaml").read_text(encoding="utf-8")
        for name, entry in yaml.safe_load(text)["stages"].items():
            yield pytest.param(study, name, entry.get("do", entry), id=f"{study}-{name}")


def test_mixtures_are_made_anew_when_what_they_are_made_of_changes() -> None:
    """DVC cannot look into the records: the names stand in dvc.yaml too."""
    text = (REPOSITORY / "studies/multi_label/dvc.yaml").read_text(encoding="utf-8")
    download = yaml.safe_load(text)["stages"]["download"]
    made = download["do"]
    assert download["foreach"] == {key: {"of": of} for key, of in load_study("multi_label").params.mixtures.items()}
    assert made["deps"] == ["data/raw/${item.of}"]
    assert {"datasets/${item.of}.yaml": ["known_pairs", "source"]} in made["params"]
    with Repo(str(REPOSITORY)) as repo:
        (stage,) = repo.stage.collect("studies/multi_label/dvc.yaml:download@esc10_mixtures")
        before = {of.addressing for of in repo.index.graph.successors(stage)}
    assert before == {"download@esc10"}


OF_A_STUDY = ("data/features/", "data/models/", "data/params/", "data/excerpts/", "data/disturbed/")
SCORES_BY = {*FEATURES_BY, *WEIGHTS_BY, "evaluation"}
TRACKED = {"featurize": set(FEATURES_BY), "train": set(WEIGHTS_BY), "evaluate": SCORES_BY, "run": SCORES_BY}
TRACKED["score_trials"] = {*FEATURES_BY, *TRIALS_BY}
TRACKED["disturb"] = {*FEATURES_BY, *WEIGHTS_BY, *DISTURBED_BY}


@pytest.mark.parametrize(("study", "name", "entry"), list(list_stages()))
def test_a_stage_keeps_to_its_study_and_tracks_what_its_results_hang_on(
    study: str, name: str, entry: dict[str, Any]
) -> None:
    python, _, module, *names = entry["cmd"].split()
    assert python == "python"
    assert (REPOSITORY / f"{module.replace('.', '/')}.py").exists()
    assert [each for each in names if each.startswith("--")] == ([] if study == PAPER else [f"--study={study}"])
    assert (REPOSITORY / folder_of(study) / entry.get("wdir", ".")).resolve() == REPOSITORY
    assert not any(entry.get(key) for key in ("frozen", "always_changed"))

    tracked = {file: keys for each in entry.get("params", []) for file, keys in each.items()}.get("versions.yaml", [])
    versions = load_versions(REPOSITORY / "versions.yaml")
    wanted = TRACKED.get(name, set())
    if set(FEATURES_BY) <= wanted:  # and packages of the study's kinds of representation alone
        params = load_study_of(study)
        wanted = wanted.union(*(params.representations[each].packages for each in params.grid.representations))
        if name == "evaluate" and any(params.protocols[each].loss for _, each in params.grid.cells()):
            wanted |= {*LABELS_BY}
    assert wanted <= set(tracked) <= versions.nouns.keys() | versions.packages.keys()

    kept = ("metrics/", "plots/", "run/") if study == PAPER else (f"studies/{study}/",)
    for told in (out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])):
        out = told if isinstance(told, str) else next(iter(told))
        assert out.startswith(("data/", *kept))
        assert not out.startswith(OF_A_STUDY) or out.split("/")[2] == study
    for dep in entry.get("deps", []):
        assert not dep.startswith(OF_A_STUDY) or dep.split("/")[2] == (PAPER if "claims.baselines" in dep else study)
        assert not dep.endswith(".py")
