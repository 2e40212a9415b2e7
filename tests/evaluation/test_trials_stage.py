"""Speakers of a folder as VoxCeleb1's, from the copy to table and curves, and what is kept without features."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.data.trials import TrialsError
from beyond_spectrograms.evaluation.records import ResultError
from beyond_spectrograms.evaluation.verification import read_trial_scores
from beyond_spectrograms.params import ParamsError
from beyond_spectrograms.params.study import load_study
from stages.tables import stale_trials
from support import cells
from support.common import noise, refusal, tone
from support.repository import Capture, Patch, run_here

STUDY = "--study=speakers"
TESTED = ("id10270", "id10271", "id10272", "id10273")
ASIDE = ("id11000", "id11001")
VIDEOS = ("5r0dWxy17C8", "x6uYqmx31kE", "-l5Iuq_ZW8k")
LIST = [
    f"{int(one == two)} {one}/{VIDEOS[0]}/00001.wav {two}/{video}/0000{cut}.wav"
    for one in TESTED
    for two in TESTED
    if one <= two
    for video in VIDEOS[1:]
    for cut in (1, 2)
]
METRICS = Path("studies/speakers/metrics/voxceleb1")
CELLS = ["mel-mean", "mel-centred"]


def write_speakers(home: Path) -> None:
    """Give each speaker a pitch of her own, in noise that is another in each cut."""
    for number, speaker in enumerate((*TESTED, *ASIDE)):
        for place, video in enumerate(VIDEOS):
            (folder := home / "voxceleb1/wav" / speaker / video).mkdir(parents=True)
            for cut in (1, 2):
                sound = tone(1.2, 300 * 1.5**number, 16_000, 0.2) + noise(1.2, 16_000, 100 * number + 10 * place + cut)
                soundfile.write(folder / f"0000{cut}.wav", sound, 16_000)


def edit(change: dict[str, Any], file: str) -> None:
    def update(values: dict[str, Any]) -> None:
        for where, value in change.items():
            *parents, key = where.split("/")
            section = values
            for parent in parents:
                section = section[parent]
            section[key] = value

    cells.edit_params(Path(), update, file)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy, cut and featurize such a folder; its trials are in a mirror folder, still to be scored. Read-only."""
    home = tmp_path_factory.mktemp("home")
    (home / "mirror").mkdir()
    (home / "mirror/veri_test2.txt").write_text("".join(f"{line}\n" for line in LIST))
    write_speakers(home)
    embeddings = {
        "mean": {"summary": "mean", "normalize": "none"},
        "centred": {"summary": "mean", "normalize": "centre"},
    }
    settings = {"embeddings": embeddings, "resamples": 200, "seed": 0, "target_prior": 0.5}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        (home / "project").mkdir()
        patch.chdir(home / "project")
        cells.write_params(Path(), "speakers", grid=cells.grid("voxceleb1", ["mel"], []), verification=settings)
        edit({"statistics/minimum_sources": 4}, "params.yaml")
        edit({"trials/published": {"url": "https://www.robots.ox.ac.uk/veri_test2.txt"}}, "datasets/voxceleb1.yaml")
        for stage in ("download", "resample", "split"):
            run_here(stage, STUDY, "voxceleb1")
        run_here("featurize", STUDY, "voxceleb1", "mel")
    return home


@pytest.fixture(autouse=True)
def home(finished: Path, tmp_path: Path, monkeypatch: Patch) -> Path:
    """Go to a copy of that project."""
    home = Path(shutil.copytree(finished, tmp_path / "home"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv(MIRROR_VARIABLE, str(home / "mirror"))
    monkeypatch.chdir(home / "project")
    return home


def test_a_folder_of_speakers_becomes_error_rates_a_table_and_curves(home: Path, capsys: Capture) -> None:
    assert len(list(Path("data/raw/voxceleb1/audio").glob("*/*.wav"))) == 36
    assert Path(f"data/raw/voxceleb1/audio/id10270/{VIDEOS[0]}__00001.wav").exists()
    run_here("score_trials", STUDY, "voxceleb1")
    digest = hashlib.sha256((home / "mirror/veri_test2.txt").read_bytes()).hexdigest()
    said = capsys.readouterr().out
    assert f"voxceleb1, trials: its record fixes no digest; found sha256 {digest}\n" in said
    found = read_trial_scores(METRICS, "voxceleb1").cells
    assert list(found) == CELLS
    for cell in found.values():
        assert f"voxceleb1, mel-{cell.embedding}: equal error rate {cell.eer:.1%}\n" in said
        assert (cell.targets, cell.non_targets, cell.folds) == (16, 24, 1)
        assert (cell.speakers, cell.recordings, cell.values) == (4, 20, 128)
        assert list(cell.eer_by_speaker) == list(TESTED)
        assert cell.provenance == load_study("speakers").trial_provenance("voxceleb1", "mel", cell.embedding)
    # Pitches that far apart are never mistaken once the noise, which all share, is taken off.
    assert found["mel-centred"].eer == 0
    assert found["mel-centred"].eer_reason == "No pair is confused: no spread to judge by."
    assert stale_trials(load_study("speakers"), "voxceleb1") == []

    run_here("report", STUDY, "voxceleb1")
    text = (METRICS / "tables/trials.md").read_text()
    assert text.startswith("# Verification of speakers: voxceleb1\n\n| representation | embedding | values | ")
    assert "\n| mel            | centred   | 128    | 0.0 " in text
    assert "\n- Trials: 16 pairs of one speaker and 24 of two; 4 speakers, 20 recordings, 1 fold.\n" in text
    assert "\n- No pair is confused: no spread to judge by.\n" in text
    figures = {path.name for path in Path("studies/speakers/plots/voxceleb1/figures").iterdir()}
    assert figures == {f"det-{key}.{kind}" for key in ("mean", "centred") for kind in ("png", "svg")}


def test_scores_whose_features_are_not_here_are_kept_while_what_decides_them_is_the_same(capsys: Capture) -> None:
    run_here("score_trials", STUDY, "voxceleb1")
    before = (METRICS / "trials.json").read_bytes()
    run_here("score_trials", STUDY, "voxceleb1")
    assert (METRICS / "trials.json").read_bytes() == before
    shutil.rmtree("data")
    capsys.readouterr()
    run_here("score_trials", STUDY, "voxceleb1")
    kept = [f"voxceleb1, {cell}: committed scores kept, its features are not here\n" for cell in CELLS]
    assert capsys.readouterr().out == "".join(kept)
    assert (METRICS / "trials.json").read_bytes() == before
    edit({"verification/embeddings/mean/summary": "mean_deviation"}, "studies/speakers/params.yaml")
    place = "studies/speakers/metrics/voxceleb1/trials.json"
    assert stale_trials(load_study("speakers"), "voxceleb1") == [f"{place}: mel-mean: stale, changed: params"]
    run_here("score_trials", STUDY, "voxceleb1")
    assert capsys.readouterr().out == (
        f"voxceleb1, mel-mean: left out: its committed scores are of other params or versions\n{kept[1]}"
    )
    assert list(json.loads((METRICS / "trials.json").read_text())["cells"]) == ["mel-centred"]
    edit(
        {"verification/embeddings": {"other": {"summary": "mean", "normalize": "none"}}}, "studies/speakers/params.yaml"
    )
    assert stale_trials(load_study("speakers"), "voxceleb1") == [
        f"{place}: mel-centred: not asked for in studies/speakers/params.yaml"
    ]


def test_drawn_trials_are_scored_in_folds() -> None:
    edit({"trials": {"made": {"seed": 0, "pairs": 24, "folds": 2}}}, "datasets/voxceleb1.yaml")
    run_here("score_trials", STUDY, "voxceleb1")
    found = read_trial_scores(METRICS, "voxceleb1").cells
    assert [(cell.targets, cell.non_targets, cell.folds, cell.speakers) for cell in found.values()] == [
        (24, 24, 2, 6)
    ] * 2
    assert len({cell.trials_sha256 for cell in found.values()}) == 1


def test_what_cannot_be_scored_is_refused(home: Path) -> None:
    listed = home / "mirror/veri_test2.txt"
    listed.write_text(listed.read_text() + "1 id10270/gone/00001.wav id10270/gone/00002.wav\n")
    assert refusal(TrialsError, run_here, "score_trials", STUDY, "voxceleb1") == (
        f"{listed}: 1 lines are no trials of this data set\n"
        "  line 41: id10270/gone/00001.wav and id10270/gone/00002.wav not in the data set"
    )
    everyone = [f"0 {ASIDE[0]}/{VIDEOS[0]}/00001.wav {ASIDE[1]}/{VIDEOS[0]}/00001.wav", *LIST]
    listed.write_text("".join(f"{line}\n" for line in everyone))
    assert refusal(ResultError, run_here, "score_trials", STUDY, "voxceleb1") == (
        "voxceleb1 as mel: normalize: centre takes recordings of speakers that no trial has, and 0 are there. Add some "
        "to the data set, or take normalize: none."
    )
    assert refusal(ResultError, run_here, "report", STUDY, "voxceleb1") == (
        "studies/speakers/metrics/voxceleb1/trials.json: no embedding is there. Featurize, and score trials."
    )
    assert refusal(ParamsError, run_here, "score_trials", "voxceleb1") == (
        "params.yaml: no verification. Say which embeddings are tried."
    )


def test_windows_that_the_split_stage_did_not_describe_are_refused() -> None:
    windows = Path("data/splits/voxceleb1/windows.csv")
    windows.write_text(windows.read_text().replace("id10270/", "id10279/"))
    assert refusal(ResultError, run_here, "score_trials", STUDY, "voxceleb1") == (
        "data/splits/voxceleb1: its windows or parts are not those that splits.json describes. Run split again."
    )


def test_a_digest_that_the_record_fixes_is_checked(home: Path) -> None:
    md5 = yaml.safe_load(Path("datasets/voxceleb1.yaml").read_text())["trials"]["published"] | {"md5": "0" * 32}
    edit({"trials/published": md5}, "datasets/voxceleb1.yaml")
    listed = home / "mirror/veri_test2.txt"
    found = hashlib.md5(listed.read_bytes(), usedforsecurity=False).hexdigest()
    told = refusal(Exception, run_here, "score_trials", STUDY, "voxceleb1")
    assert told == (
        f"voxceleb1, trials: {MIRROR_VARIABLE} holds a wrong file.\n"
        f"  {listed} is not https://www.robots.ox.ac.uk/veri_test2.txt: has md5 {found}, expected md5 {'0' * 32}\n"
        "Replace it or take it away."
    )
