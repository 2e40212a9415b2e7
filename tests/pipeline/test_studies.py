"""What an edit runs again and what it leaves alone, and that the pipelines track what decides their results."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from beyond_spectrograms.params.study import FEATURES_BY, PAPER, WEIGHTS_BY, folder_of
from beyond_spectrograms.util.code_versions import load_versions
from support.clones import DEMO, STUDIES, commit, contents, dvc, edit, environment, finished, ran, run, stage, tiny
from support.repository import REPOSITORY

TRAIN = [f"{DEMO}:train@demo-{name}" for name in ("mel", "log_mel_2048")]


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A clone of this project in which a tiny demo is finished and committed."""
    return finished(tmp_path)


def would_run(folder: Path, *targets: str) -> list[str]:
    return ran(dvc(folder, "repro", "--dry", *targets))


def test_an_edited_number_of_one_representation_runs_its_own_featurize_and_train_alone(demo: Path) -> None:
    edit(demo, "params.yaml", {"representations.log_mel_2048.n_fft": 1024})
    said = dvc(demo, "repro", *TRAIN)
    assert ran(said) == ["resolve", "featurize@demo-log_mel_2048", "train@demo-log_mel_2048"]
    assert "demo, log_mel_2048: 8 runs of 2 protocols, 0 kept\n" in said


def test_an_edited_protocol_trains_its_own_runs_alone(demo: Path) -> None:
    edit(demo, "params.yaml", {"protocols.mean_linear.learning_rate": 0.002})
    fair = contents(demo, ["data/models/demo/demo/mel/fair"])
    said = dvc(demo, "repro", TRAIN[0])
    assert ran(said) == ["resolve", "train@demo-mel"]
    assert "demo, mel: 8 runs of 2 protocols, 4 kept\n4 to train on " in said
    assert contents(demo, ["data/models/demo/demo/mel/fair"]) == fair


def test_a_protocol_that_this_study_does_not_run_touches_nothing_of_it(demo: Path) -> None:
    edit(demo, "params.yaml", {"protocols.paper.learning_rate": 0.002, "run.representation": "log_mel"})
    assert ran(dvc(demo, "repro", f"{DEMO}:resolve")) == ["resolve"]
    assert would_run(demo, DEMO) == ["page"]  # which shows params.yaml whole


@pytest.mark.parametrize(
    ("noun", "runs"),
    [
        ("evaluation", {"evaluate@demo", "illustrate@demo", "report@demo"}),
        ("training", {"train@demo-mel", "train@demo-log_mel_2048", "evaluate@demo", "measure@demo"}),
        ("report", {"illustrate@demo", "report@demo", "page"}),
        ("leakage", {"audit@demo"}),
        ("sonification", set()),
    ],
)
def test_a_raised_number_runs_what_tracks_it(noun: str, runs: set[str], demo: Path) -> None:
    edit(demo, "versions.yaml", {noun: 2})
    assert set(would_run(demo, DEMO)) == runs


def test_what_is_noted_of_code_runs_nothing(demo: Path) -> None:
    digests = {
        noun: {"digest": "0" * 16, "verified_at": "0" * 12} for noun in load_versions(demo / "versions.yaml").code
    }
    edit(demo, "versions.yaml", {"code": digests})
    assert would_run(demo, DEMO) == []


def test_a_further_data_set_runs_nothing_of_the_others(demo: Path) -> None:
    shutil.copy(demo / "datasets/demo.yaml", demo / "datasets/more.yaml")
    edit(demo, "studies/demo/params.yaml", {"grid.datasets": ["demo", "more"]})
    assert ran(dvc(demo, "repro", f"{DEMO}:resolve")) == ["resolve"]
    names = re.findall(r"^(\S+):$", dvc(demo, "status", DEMO), re.MULTILINE)
    of_more = {name.rpartition(":")[2] for name in names if "more" in name}
    assert {"download@more", "train@more-mel", "evaluate@more"} <= of_more
    assert {name.rpartition(":")[2] for name in names} - of_more == {"page"}  # it shows params.yaml and all results


# What the dvc.yaml files say.


@dataclass(frozen=True)
class Stage:
    """A stage as its study's dvc.yaml has it; its names are still to be filled in."""

    study: str
    name: str
    entry: dict[str, Any]

    def params(self) -> dict[str, list[str]]:
        """Give what it tracks, by file."""
        return {file: keys for tracked in self.entry.get("params", []) for file, keys in tracked.items()}

    def outs(self) -> list[str]:
        every = [out for kind in ("outs", "metrics", "plots") for out in self.entry.get(kind, [])]
        return [out if isinstance(out, str) else next(iter(out)) for out in every]


def list_stages() -> Iterator[Stage]:
    for study in STUDIES:
        text = (REPOSITORY / folder_of(study) / "dvc.yaml").read_text(encoding="utf-8")
        for name, entry in yaml.safe_load(text)["stages"].items():
            yield Stage(study, name, entry)


OF_A_STUDY = ("data/features/", "data/models/", "data/params/", "data/excerpts/")
EACH = pytest.mark.parametrize("one", list(list_stages()), ids=lambda one: f"{one.study}-{one.name}")
SCORES_BY = {*FEATURES_BY, *WEIGHTS_BY, "evaluation"}
TRACKED = {"featurize": set(FEATURES_BY), "train": set(WEIGHTS_BY), "evaluate": SCORES_BY, "run": SCORES_BY}


@EACH
def test_a_stage_runs_a_module_in_the_root_for_its_study(one: Stage) -> None:
    python, _, module, *names = one.entry["cmd"].split()
    assert python == "python"
    assert (REPOSITORY / f"{module.replace('.', '/')}.py").exists()
    assert [name for name in names if name.startswith("--")] == ([] if one.study == PAPER else [f"--study={one.study}"])
    assert (REPOSITORY / folder_of(one.study) / one.entry.get("wdir", ".")).resolve() == REPOSITORY
    assert not any(one.entry.get(key) for key in ("frozen", "always_changed"))


@EACH
def test_a_stage_tracks_every_version_its_results_hang_on(one: Stage) -> None:
    tracked = one.params().get("versions.yaml", [])
    load_versions(REPOSITORY / "versions.yaml").of(*tracked)  # all of them are there
    assert TRACKED.get(one.name, set()) <= set(tracked)


@EACH
def test_a_stage_writes_where_its_study_keeps_what(one: Stage) -> None:
    kept = ("metrics/", "plots/", "run/") if one.study == PAPER else (f"studies/{one.study}/",)
    for out in one.outs():
        assert out.startswith(("data/", *kept))
        assert not out.startswith(OF_A_STUDY) or out.split("/")[2] == one.study


@EACH
def test_what_a_stage_depends_on_is_of_its_study_or_beside_it_and_no_code(one: Stage) -> None:
    for dep in one.entry.get("deps", []):
        assert not dep.startswith(OF_A_STUDY) or dep.split("/")[2] == (
            PAPER if "claims.baselines" in dep else one.study
        )
        assert not dep.endswith(".py")


@pytest.mark.long
def test_a_demo_that_was_killed_three_times_ends_with_the_same_bytes(demo: Path, tmp_path: Path) -> None:
    random, folder = np.random.default_rng(0), tmp_path / "killed"
    folder.mkdir()
    tiny(folder)
    for _ in range(3):
        kill_midway(folder, int(random.integers(1, 5)), random.uniform(0, 5))
        stage(folder, "locks")
    dvc(folder, "repro", DEMO)
    commit(folder, "results")
    assert lines_of(run(folder, "git", "diff", "--name-only", "HEAD~1")) == lines_of(
        run(demo, "git", "diff", "--name-only", "HEAD~1")
    )
    ended, undisturbed = (decided(each) for each in (folder, demo))
    assert sorted(ended) == sorted(undisturbed)
    assert [name for name in ended if ended[name] != undisturbed[name]] == []
    assert ran(dvc(folder, "repro", DEMO)) == []


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if "plots/" not in line]


def kill_midway(folder: Path, stages_begun: int, seconds: float) -> None:
    """Kill DVC and its stage some time after it began so many stages, unless it is through by then."""
    command = [sys.executable, "-u", "-m", "dvc", "repro", DEMO]
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        begun = 0
        for line in process.stdout:
            begun += line.startswith("Running stage")
            if begun == stages_begun:
                break
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(seconds)
        os.killpg(process.pid, signal.SIGKILL)


TIMED = ("costs.json", "scores.json", "claims.json", "dvc.lock")  # hold seconds, or digests of what does


def decided(folder: Path) -> dict[str, bytes]:
    """Read what a finished demo left that holds no times: sounds, features, weights, answers, results."""
    places = ["data/raw", "data/clips", "data/splits", "data/params", "data/features", "data/models"]
    found = contents(folder, [*places, "studies/demo/metrics"])
    return {
        name: content
        for name, content in found.items()
        if not name.endswith(TIMED)
        and not ("/models/" in name and re.search(r"seed_\d+\.json$", name))
        and "/tables/" not in name
    }
