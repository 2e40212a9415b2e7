"""A real pipeline, the demo's, run by the real DVC in a clone of this project on few small sounds."""

import gzip
import io
import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from support.clones import DEMO, PROTOCOLS, REPRESENTATIONS, contents, dvc, edit, ran, run, stage

pytestmark = pytest.mark.long  # the demo is run once for this module
METRICS = "studies/demo/metrics/demo"
STALE = (sys.executable, "-m", "stages.tables", "--stale")


def test_whole_path_from_sound_to_table(project: Path) -> None:
    cells = json.loads((project / METRICS / "scores.json").read_text())["cells"]
    assert list(cells) == [f"{name}-{protocol}" for name in REPRESENTATIONS for protocol in PROTOCOLS]
    scores = cells["mel-fair"]
    assert (scores["windows"], scores["folds"]) == (24 * 2, 4)  # every window is tested once, over the folds
    predictions = read_csv(project / METRICS / "predictions.csv.gz")
    mine = predictions[(predictions["representation"] == "mel") & (predictions["protocol"] == "fair")]
    right = mine["windows_right"].sum() / mine["windows"].sum()
    assert scores["window_accuracy"] == pytest.approx(right)
    assert f"{100 * right:.1f}" in (project / METRICS / "tables/results.md").read_text()
    curves = read_csv(project / METRICS / "curves.csv.gz")
    assert list(curves["fold"].unique()) == [1, 2, 3, 4]
    assert curves["epoch"].max() == 2
    assert (project / "studies/demo/plots/report/index.html").exists()


def read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(gzip.decompress(path.read_bytes())))


def test_a_second_repro_runs_nothing_and_an_edit_what_it_touches(project: Path) -> None:
    assert ran(dvc(project, "repro", DEMO)) == []
    fair = contents(project, ["data/models/demo/demo/mel/fair"])
    edit(project, "params.yaml", {"protocols.mean_linear.learning_rate": 0.002})
    said = dvc(project, "repro", f"{DEMO}:train@demo-mel")
    assert ran(said) == ["resolve", "train@demo-mel"]
    assert "demo, mel: 8 runs of 2 protocols, 4 kept\n4 to train on " in said
    assert contents(project, ["data/models/demo/demo/mel/fair"]) == fair
    edit(project, "params.yaml", {"representations.log_mel_2048.n_fft": 1024})
    said = dvc(project, "repro", f"{DEMO}:train@demo-log_mel_2048")
    assert ran(said) == ["resolve", "featurize@demo-log_mel_2048", "train@demo-log_mel_2048"]
    assert "demo, log_mel_2048: 8 runs of 2 protocols, 0 kept\n" in said


def test_folder_of_the_users_is_a_data_set(project: Path, tmp_path: Path) -> None:
    sounds = tmp_path / "my_sounds"
    shutil.copytree(project / "data/raw/demo/audio", sounds)
    source = {"path": str(sounds), "seconds": [1.0, 60.0], "folds": 4, "fold_seed": 0}
    record = {"source": source, "max_epochs": 1, "notice": None, "known_pairs": []}
    (project / "datasets/my_sounds.yaml").write_text(yaml.safe_dump(record))
    grid = {"datasets": ["my_sounds"], "representations": ["mel"], "protocols": ["fair"], "only": {}}
    edit(project, "params.yaml", {"grid": grid})
    dvc(project, "repro", "-q", "evaluate@my_sounds")
    cells = json.loads((project / "metrics/my_sounds/scores.json").read_text())["cells"]
    assert cells["mel-fair"]["recordings"] == 24


@pytest.mark.parametrize("with_data", [True, False])
def test_stale_results_are_listed_with_what_changed_even_without_data(
    project: Path, tmp_path: Path, with_data: bool
) -> None:
    folder = project
    if not with_data:
        folder = tmp_path / "clone"
        run(tmp_path, "git", "clone", "-q", str(project), str(folder))
    scores = f"{METRICS}/scores.json"
    assert run(folder, *STALE) == "all 4 results are fresh\n"
    edit(folder, "params.yaml", {"representations.mel.hop_length": 130, "weights.encodec_48khz.bytes": 1})
    assert run(folder, *STALE) == (
        f"{scores}: mel-fair: stale, changed: params\n"
        f"{scores}: mel-mean_linear: stale, changed: params\n"
        "2 of 4 results are stale\n"
    )
    run(folder, "git", "checkout", "-q", "params.yaml")
    edit(folder, "studies/demo/params.yaml", {"grid.representations": ["mel"]})
    absent = "not in the grid of studies/demo/params.yaml"
    assert run(folder, *STALE) == (
        f"{scores}: log_mel_2048-fair: {absent}\n{scores}: log_mel_2048-mean_linear: {absent}\n"
        "2 of 4 results are stale\n"
    )
    run(folder, "git", "checkout", "-q", "studies/demo/params.yaml")
    edit(folder, "versions.yaml", {"evaluation": 2})
    edit(folder, "datasets/demo.yaml", {"source.fold_seed": 1})
    assert run(folder, *STALE).count(": stale, changed: evaluation, data\n") == 4
    edit(folder, "studies/demo/params.yaml", {"grid.representations": ["mell"]})
    assert run(folder, *STALE, expect=1).startswith(
        "studies/demo/params.yaml: grid.representations: 'mell' is not defined. "
    )


def test_a_stage_that_ran_alone_is_not_taken_for_one_after_those_before_it(project: Path) -> None:
    edit(project, "params.yaml", {"protocols.mean_linear.learning_rate": 0.002})
    assert stage(project, "evaluate", "--study=demo", "demo").startswith(
        "demo, mel-mean_linear: its weights are of other params, versions or parts than the present ones\n"
        "demo, mel-mean_linear: left out: its committed scores, too, are of other params or versions\n"
    )
    edit(project, "params.yaml", {"representations.mel.hop_length": 130})
    assert stage(project, "train", "--study=demo", "demo", "mel", expect=1) == (
        "data/features/demo/demo/mel: made under other params or versions than those that stand now. "
        "Run its featurize stage again.\n"
    )


def test_cells_whose_weights_are_not_here_keep_their_scores(project: Path) -> None:
    before = (project / METRICS / "scores.json").read_bytes()
    shutil.rmtree(project / "data/models/demo/demo/log_mel_2048")
    said = stage(project, "evaluate", "--study=demo", "demo")
    kept = "committed scores kept of 2 cells whose weights are not here: log_mel_2048-fair, log_mel_2048-mean_linear"
    assert f"demo: {kept}\n" in said
    assert (project / METRICS / "scores.json").read_bytes() == before
    edit(project, "params.yaml", {"representations.log_mel_2048.n_fft": 1024})
    said = stage(project, "evaluate", "--study=demo", "demo")
    why = "left out: its committed scores, too, are of other params or versions"
    assert f"demo, log_mel_2048-fair: {why}\n" in said
    assert list(json.loads((project / METRICS / "scores.json").read_text())["cells"]) == ["mel-fair", "mel-mean_linear"]
