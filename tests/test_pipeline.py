"""The real dvc.yaml, run by the real DVC in a copy of this project on a small made data set."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parent.parent


def run(folder: Path, *command: str, expect: int = 0) -> str:
    """Run a command in a copy of the project, by its own code and this Python; return what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == expect, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def edit(folder: Path, change: dict[str, object]) -> None:
    """Set entries of params.yaml, given as dotted paths."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    for where, value in change.items():
        *parents, key = where.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        section[key] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project in a repository of its own, on a demo of 6 x 4 clips of 2.5 s, run once."""
    folder = tmp_path_factory.mktemp("project")
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.email", "test@example.com")
    run(folder, "git", "config", "user.name", "test")
    run(folder, sys.executable, "-m", "dvc", "init", "-q")
    for name in ("stages", "beyond_spectrograms", ".dvc/plots"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", "versions.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    edit(
        folder,
        {
            "grid": {"datasets": ["demo"], "representations": ["mel", "log_mel_2048"], "protocols": ["fair"]},
            "ablations": {"representations": [], "protocols": []},
            "prototypes.datasets": [],
            "prototypes.further_datasets": [],
            "prototypes.latents": [],
            "costs": {"clips": 2, "rounds": 1, "seed": 0},
            "protocols.fair.seeds": [0],
            "demo": {"representations": ["mel"], "protocols": ["fair"]},
            "run": {"dataset": "demo", "representation": "mel", "protocol": "fair"},
            "datasets.demo.source.synthetic.clips_per_class": 4,
            "datasets.demo.source.synthetic.seconds": 2.5,
            "datasets.demo.source.clips": 24,
            "datasets.demo.max_epochs": 2,
        },
    )
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
    run(folder, sys.executable, "-m", "beyond_spectrograms.plots_page")
    run(folder, sys.executable, "-m", "dvc", "repro", "-q", "report@demo")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "results")
    return folder


def dvc(folder: Path, *arguments: str) -> str:
    return run(folder, sys.executable, "-m", "dvc", *arguments)


def test_whole_path_from_sound_to_table(project: Path) -> None:
    scores = json.loads((project / "metrics/scores/demo/mel-fair.json").read_text())
    assert scores["windows"] == 24 * 2  # every window is tested once, over the folds
    assert scores["folds"] == 4
    predictions = pd.read_csv(project / "plots/predictions/demo/mel-fair.csv")
    right = (predictions["label"] == predictions["predicted"]).mean()
    assert scores["window_accuracy"] == pytest.approx(right)
    table = (project / "metrics/tables/demo/results.md").read_text()
    assert f"{100 * right:.1f}" in table
    history = pd.read_csv(project / "plots/history/demo/mel-fair.csv")
    assert list(history["fold"].unique()) == [1, 2, 3, 4]


def test_second_repro_runs_nothing(project: Path) -> None:
    assert ran(dvc(project, "repro", "report@demo")) == []


CELLS = ("evaluate@demo-mel-fair", "evaluate@demo-log_mel_2048-fair")


def restore(folder: Path) -> None:
    """Go back to what was committed, data included."""
    run(folder, "git", "checkout", "-q", ".")
    run(folder, "git", "clean", "-fdq", "metrics", "plots")
    dvc(folder, "checkout", "-q", "--with-deps", "report@demo")


def test_one_number_of_one_representation_reruns_only_its_own(project: Path) -> None:
    edit(project, {"representations.log_mel_2048.n_fft": 1024})
    expected = ["featurize@demo-log_mel_2048", "train@demo-log_mel_2048-fair", "evaluate@demo-log_mel_2048-fair"]
    assert ran(dvc(project, "repro", *CELLS)) == expected
    restore(project)


def test_one_number_of_the_protocol_reruns_only_training_on(project: Path) -> None:
    edit(project, {"protocols.fair.learning_rate": 0.002})
    assert ran(dvc(project, "repro", CELLS[0])) == ["train@demo-mel-fair", "evaluate@demo-mel-fair"]
    restore(project)


def test_the_authors_other_windows_run_with_a_reflected_tail(project: Path) -> None:
    edit(project, {"windows": {"length_s": 2.0, "hop_s": 1.0, "tail": "reflect"}})
    dvc(project, "repro", "-q", "featurize@demo-mel")
    windows = pd.read_csv(project / "data/splits/demo/windows.csv")
    assert len(windows) == 24 * 2  # 0 to 2 s, and 1 to 3 s of a clip of 2.5 s
    assert json.loads((project / "metrics/features/demo/mel.json").read_text())["frames"] == 1 + 44100 // 128
    restore(project)


@pytest.mark.long
def test_experiments_stand_side_by_side(project: Path) -> None:
    for name in ("mel", "log_mel_2048"):
        dvc(project, "exp", "run", "run", "-n", name.replace("_", "-"), "-S", f"run.representation={name}")
    difference = dvc(project, "params", "diff", "mel", "log-mel-2048")
    assert re.search(r"run\.representation\s+mel\s+log_mel_2048", difference)
    changes = json.loads(dvc(project, "metrics", "diff", "mel", "log-mel-2048", "--json"))["metrics/run.json"]
    assert changes["representation"] == {"old": "mel", "new": "log_mel_2048"}
    experiments = pd.read_csv(io.StringIO(dvc(project, "exp", "show", "--csv"))).set_index("Experiment")
    for name, representation in (("mel", "mel"), ("log-mel-2048", "log_mel_2048")):
        scores = json.loads((project / f"metrics/scores/demo/{representation}-fair.json").read_text())
        assert experiments.loc[name, "metrics/run.json:representation"] == representation
        shown = float(experiments.loc[name, "metrics/run.json:window_accuracy"])
        assert shown == pytest.approx(scores["window_accuracy"])
    dvc(project, "plots", "diff", "mel", "log-mel-2048", "--targets", "plots/run/history.csv")
    page = (project / "dvc_plots/index.html").read_text()
    assert all(f'"rev": "{name}"' in page for name in ("mel", "log-mel-2048"))


@pytest.mark.long
def test_folder_of_the_users_is_a_data_set(project: Path, tmp_path: Path) -> None:
    sounds = tmp_path / "my_sounds"
    shutil.copytree(project / "data/raw/demo/audio", sounds)
    edit(
        project,
        {
            "datasets.my_sounds": {
                "source": {"path": str(sounds), "seconds": [1.0, 60.0], "folds": 4, "fold_seed": 0},
                "max_epochs": 1,
            },
            "grid.datasets": ["demo", "my_sounds"],
        },
    )
    dvc(project, "repro", "-q", "evaluate@my_sounds-mel-fair")
    assert json.loads((project / "metrics/scores/my_sounds/mel-fair.json").read_text())["recordings"] == 24


@pytest.mark.long
@pytest.mark.parametrize("with_data", [True, False])
def test_stale_results_are_listed_with_what_changed_even_without_data(
    project: Path, tmp_path: Path, with_data: bool
) -> None:
    restore(project)
    folder = project
    if not with_data:
        folder = tmp_path / "clone"
        run(tmp_path, "git", "clone", "-q", str(project), str(folder))
    listing = (sys.executable, "-m", "beyond_spectrograms.staleness")
    assert run(folder, *listing) == "all 2 results are fresh\n"
    edit(folder, {"representations.mel.hop_length": 130})
    assert run(folder, *listing) == (
        "metrics/scores/demo/mel-fair.json: stale, changed: featurize@demo-mel (representations.mel), "
        "train@demo-mel-fair (representations.mel), evaluate@demo-mel-fair (representations.mel)\n"
        "1 of 2 results are stale\n"
    )
    fewer = {"grid.representations": ["mel"], "ablations.representations": ["log_mel"]}
    edit(folder, {"representations.mel.hop_length": 128, "claims.baselines": ["mel", "log_mel"], **fewer})
    assert run(folder, *listing) == (
        "all 1 results are fresh\n1 more are not in the grid of params.yaml and were not judged\n"
    )
    run(folder, "git", "checkout", "-q", "params.yaml")
    edit(folder, {"weights.encodec_48khz.bytes": 1})
    assert run(folder, *listing) == "all 2 results are fresh\n"
    edit(folder, {"grid.representations": ["mell"]})
    assert run(folder, *listing, expect=1).startswith("params.yaml: grid.representations: 'mell' is not defined. ")
    run(folder, "git", "checkout", "-q", "params.yaml")
    with (folder / "beyond_spectrograms/splits.py").open("a") as code:
        code.write("# edited\n")
    printed = run(folder, *listing)
    assert printed.count("stale, changed: split@demo (beyond_spectrograms/splits.py)\n") == 2
    run(folder, "git", "checkout", "-q", "beyond_spectrograms")


def test_a_stage_that_ran_alone_leaves_the_results_after_it_stale(project: Path, tmp_path: Path) -> None:
    edit(project, {"splits.window.seed": 1})
    dvc(project, "repro", "-q", "split@demo")
    run(project, "git", "commit", "-qam", "another split, nothing trained")
    run(tmp_path, "git", "clone", "-q", str(project), str(tmp_path / "clone"))
    for folder in (project, tmp_path / "clone"):
        printed = run(folder, sys.executable, "-m", "beyond_spectrograms.staleness")
        why = "train@demo-mel-fair (data/splits/demo/parts.csv), evaluate@demo-mel-fair (data/splits/demo/parts.csv)"
        assert f"metrics/scores/demo/mel-fair.json: stale, changed: {why}\n" in printed
    run(project, "git", "reset", "-q", "--hard", "HEAD~1")
    restore(project)


def test_bad_params_stop_the_first_stage_with_one_line(project: Path) -> None:
    edit(project, {"protocols.fair.optimiser": "adam"})
    printed = run(project, sys.executable, "-m", "stages.download", "demo", expect=1)
    assert printed == (
        "params.yaml: unknown key 'optimiser' in protocols.fair. Known keys: classifier, split, standardize, "
        "shuffle_labels, class_weights, optimizer, learning_rate, batch_size, shuffle_each_epoch, epochs, patience, "
        "dropout_at_evaluation, select, seeds, prototypes.\n"
    )
