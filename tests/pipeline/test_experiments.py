"""`dvc exp run -S` on the files that this project ships, and two experiments side by side as README shows them."""

import io
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from ruamel.yaml import YAML

from beyond_spectrograms.params import load_params
from support.clones import REPRESENTATIONS, clone, commit, dvc, edit, run
from support.repository import REPOSITORY

# What is changed in every file that decides an experiment.
CHANGES = {
    "params.yaml": ("run.representation", "soundstream"),
    "versions.yaml": ("training", 2),
    "datasets": ("max_epochs", 3),
    "studies": ("grid.datasets", ["esc10", "demo"]),
    "studies/speakers/params.yaml": ("grid.datasets", ["voxceleb1"]),  # its data sets have trials
}


def read(folder: Path, name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    return values


def test_a_number_set_in_any_shipped_file_leaves_all_others_as_they_were(tmp_path: Path) -> None:
    folder, applied = tmp_path / "project", tmp_path / "applied"
    folder.mkdir()
    clone(folder)
    places = [*folder.glob("*s.yaml"), *folder.glob("datasets/*.yaml"), *folder.glob("studies/*/params.yaml")]
    files = sorted(path.relative_to(folder).as_posix() for path in places)
    changes = {name: CHANGES.get(name, CHANGES[name.split("/")[0]]) for name in files}
    sets = [f"{name}:{where}={str(value).replace(' ', '')}" for name, (where, value) in changes.items()]
    dvc(folder, "exp", "run", "--queue", *(part for each in sets for part in ("-S", each)))

    applied.mkdir()
    run(folder, "git", "archive", "--output", str(tmp_path / "queued.tar"), "refs/exps/celery/stash")
    with tarfile.open(tmp_path / "queued.tar") as archive:
        archive.extractall(applied, filter="data")
    as_dvc_reads = YAML(typ="safe")  # in C
    for name, (where, value) in changes.items():
        before = read(folder, name)
        edit(folder, name, {where: value})
        expected = read(folder, name)
        assert before != expected
        assert read(applied, name) == expected, name
        assert as_dvc_reads.load((applied / name).read_text(encoding="utf-8")) == expected, name
    studies = [path.parent.relative_to(applied) for path in applied.glob("studies/*/params.yaml")]
    assert {f"{study.as_posix()}/params.yaml" for study in studies} == {name for name in files if "studies/" in name}
    for study in (Path(), *studies):
        params = load_params(study, applied)
        assert params.run.representation == "soundstream"
        assert params.versions["training"] == 2
        assert {dataset.max_epochs for dataset in params.datasets.values()} == {3}
        assert study == Path() or params.grid.datasets == changes[f"{study.as_posix()}/params.yaml"][1]


@pytest.mark.long
def test_experiments_stand_side_by_side(finished: Path) -> None:
    # The root's own experiment on sounds of its own: the demo's belong to its study.
    shutil.copy(REPOSITORY / "dvc.yaml", finished)
    tiny = read(finished, "datasets/demo.yaml")
    (finished / "datasets/tiny.yaml").write_text(yaml.safe_dump(tiny), encoding="utf-8")
    grid = {"datasets": ["tiny"], "representations": list(REPRESENTATIONS), "protocols": ["fair"], "only": {}}
    edit(
        finished, "params.yaml", {"grid": grid, "run": {"dataset": "tiny", "representation": "mel", "protocol": "fair"}}
    )
    dvc(finished, "repro", "-q", *(f"featurize@tiny-{name}" for name in REPRESENTATIONS))
    commit(finished, "a root of its own")

    for name in REPRESENTATIONS:
        dvc(finished, "exp", "run", "run", "-n", name.replace("_", "-"), "-S", f"run.representation={name}")
    difference = dvc(finished, "params", "diff", "mel", "log-mel-2048")
    assert re.search(r"run\.representation\s+mel\s+log_mel_2048", difference)
    changes = json.loads(dvc(finished, "metrics", "diff", "mel", "log-mel-2048", "--json", errors=False))
    assert changes["run/metrics.json"]["representation"] == {"old": "mel", "new": "log_mel_2048"}
    printed = dvc(finished, "exp", "show", "--csv", errors=False)
    experiments = pd.read_csv(io.StringIO(printed)).set_index("Experiment")
    for name in REPRESENTATIONS:
        experiment = name.replace("_", "-")
        ref = run(finished, "git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{experiment}").strip()
        shown, told = experiments.loc[experiment], json.loads(run(finished, "git", "show", f"{ref}:run/metrics.json"))
        assert shown["representation"] == name == told["representation"]
        assert float(shown["window_accuracy"]) == pytest.approx(told["window_accuracy"])
    dvc(finished, "plots", "diff", "mel", "log-mel-2048", "--targets", "run/history.csv")
    page = (finished / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert all(f'"rev": "{name}"' in page for name in ("mel", "log-mel-2048"))
    dvc(finished, "plots", "show", "run/history.csv", "run/predictions.csv")
    assert "validation accuracy" in (finished / "dvc_plots/index.html").read_text(encoding="utf-8")
