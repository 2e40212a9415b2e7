"""One bit flipped in each kind of stored file: it is noticed, named, and what the message says mends it."""

import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from beyond_spectrograms.data.windows import FeaturesError, read_index
from beyond_spectrograms.evaluation.predict import ModelError as AnswersError
from beyond_spectrograms.evaluation.predict import Predictions, read_predictions, write_predictions
from beyond_spectrograms.inference import load_model
from beyond_spectrograms.inference.card import ModelError
from beyond_spectrograms.inference.folder import CLASSIFIER_FILE
from beyond_spectrograms.integrity import contents
from beyond_spectrograms.params.study import DOWNLOADS, PARTIAL, load_study
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import read_told, write_checkpoint, write_sealed
from support import cells, models, separable
from support.clones import DEMO, dvc, run
from support.common import flip, lay_out, refusal
from support.repository import run_here
from support.rot import rot

METRICS = "studies/demo/metrics/demo"
KINDS = {
    "raw": "data/raw/demo/audio/*/*.wav",
    "what is told of them": "data/raw/demo/source.json",
    "clip": "data/clips/demo/*/*/*.flac",
    "table of clips": "data/clips/demo/clips.csv",
    "windows": "data/splits/demo/windows.csv",
    "parts": "data/splits/demo/parts.csv",
    "features": "data/features/demo/demo/*/features.npy",
    "index": "data/features/demo/demo/*/index.json",
    "what is told of features": "data/features/demo/demo/*/features.json",
    "weights": "data/models/demo/demo/*/*/fold_?-seed_0.safetensors",
    "record of a run": "data/models/demo/demo/*/*/fold_?-seed_0.json",
    "answers": "data/models/demo/demo/*/*/*.predictions.safetensors",
    "provenance": "data/models/demo/demo/*/*/provenance.json",
    "params": "data/params/demo/grid.json",
    "excerpts": "data/excerpts/demo/demo/excerpts.json",
    "weights of others": "data/weights/*/record.json",
    "scores": f"{METRICS}/scores.json",
    "rows of recordings": f"{METRICS}/predictions.csv.gz",
    "curves": f"{METRICS}/curves.csv.gz",
    "costs": f"{METRICS}/costs.json",
    "description of windows": f"{METRICS}/splits.json",
    "table": f"{METRICS}/tables/results.md",
    "figure": "studies/demo/plots/demo/figures/*.svg",
}


def check(folder: Path, expect: int = 0) -> str:
    return run(folder, sys.executable, "-m", "stages.check", expect=expect)


@pytest.mark.long
def test_a_flipped_bit_in_each_kind_of_file_is_named_and_mended_by_the_stages_that_are_named(finished: Path) -> None:
    dvc(finished, "checkout", "--relink", "-q", DEMO)  # DVC's copies are the very files, as `dvc repro` leaves them
    count = re.fullmatch(
        r"(\d+) files are as they were written; dvc\.lock has \d+ outputs of stages that are here\n",
        check(finished),
    )
    assert count
    random = np.random.default_rng(0)
    chosen = {kind: Path(random.choice(sorted(map(str, finished.glob(place))))) for kind, place in KINDS.items()}
    whole = {kind: path.read_bytes() for kind, path in chosen.items()}
    for path in chosen.values():
        rot(path)
    said = check(finished, expect=1)
    named = {line.split(": ")[0] for line in said.splitlines()[:-1]}
    assert named == {str(path.relative_to(finished)) for path in chosen.values()}
    assert said.splitlines()[-1] == (
        f"{len(KINDS)} of {count[1]} files are damaged. Run the stages above, then dvc repro."
    )
    run(finished, "git", "checkout", "-q", "--", *re.findall(r"git checkout -- (.+)", said))
    dvc(finished, "repro", "-q", "-f", "-s", *dict.fromkeys(re.findall(r"dvc repro -f -s (\S+)", said)))
    assert check(finished) == count[0]
    timed = {"record of a run"}  # holds seconds
    assert [kind for kind, path in chosen.items() if kind not in timed and path.read_bytes() != whole[kind]] == []


@pytest.mark.long
def test_a_rotten_copy_of_dvcs_is_removed_before_it_is_put_back(finished: Path) -> None:
    sound = finished / "data/raw/demo/audio/bird/bird_01.wav"
    dvc(finished, "checkout", "--relink", "-q", DEMO)
    [copy] = [path for path in (finished / ".dvc/cache/files/md5").glob("*/*") if path.samefile(sound)]
    linked = sound.read_bytes()
    sound.unlink()
    sound.write_bytes(linked)  # as file systems without links have it
    rot(copy)
    assert check(finished, expect=1).splitlines()[0] == (
        f"{sound.relative_to(finished)}: DVC's copy of it was damaged, and is removed. Copy it again: "
        "dvc commit -f studies/demo/dvc.yaml:download@demo"
    )
    assert not copy.exists()
    dvc(finished, "commit", "-q", "-f", "studies/demo/dvc.yaml:download@demo")
    assert copy.read_bytes() == linked
    assert "files are as they were written; " in check(finished)


def answers(folder: Path) -> Path:
    found = Predictions(1, 0, 3, None, "0" * 64, np.arange(4), np.full((4, 3), 1 / 3, np.float32))
    write_predictions(folder / "a.predictions.safetensors", found)
    return folder / "a.predictions.safetensors"


def index(folder: Path) -> Path:
    clips = [["bird/1.wav", 0, 2, "key", 0.0, 0]]
    write_sealed(folder / "index.json", {"shape": [2, 3, 4], "clips": clips, "rows": {"key": "0" * 64}})
    return folder / "index.json"


@pytest.mark.parametrize(
    ("make", "read", "kind"),
    [
        (answers, lambda path: read_predictions(path, 4), AnswersError),
        (index, lambda path: read_index(path.parent), FeaturesError),
        (
            lambda folder: models.write_model(folder / "m") / "card.json",
            lambda path: load_model(path.parent),
            ModelError,
        ),
        (lambda to: models.write_model(to / "m") / CLASSIFIER_FILE, lambda path: load_model(path.parent), ModelError),
    ],
    ids=["answers", "index", "card", "classifier"],
)
def test_no_flipped_bit_is_read_over(
    tmp_path: Path, make: Callable[[Path], Path], read: Callable[[Path], object], kind: type[ProjectError]
) -> None:
    path = make(tmp_path)
    whole = path.read_bytes()
    read(path)
    for seed in range(200):
        rot(path, seed)
        assert str(path.parent) in refusal(kind, read, path)
        path.write_bytes(whole)


def test_what_was_trained_without_dvc_is_checked_and_mended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    separable.write(tmp_path, epochs=1)
    monkeypatch.chdir(tmp_path)
    separable.run_stages("mean_linear", "train", "evaluate")
    capsys.readouterr()
    run_here("check")
    whole = "7 files are as they were written; dvc.lock has 0 outputs of stages that are here\n"
    assert capsys.readouterr().out == whole
    folder = Path("data/models/paper/demo/mel/mean_linear")
    run_name = "fold_1-seed_0"
    answered, weights, record = (
        folder / f"{run_name}{end}" for end in (".predictions.safetensors", ".safetensors", ".json")
    )
    again = "Run again: dvc repro -f -s train@demo-mel\n1 of 7 files are damaged. Run the stages above, then dvc repro."
    for path, what in (
        (record, "missing or damaged"),
        (weights, f"not the weights that {record.name} is of"),
        (answered, "not the answers of a classifier: not as they were written"),
    ):
        before = weights.read_bytes(), answered.read_bytes()
        flip(path, path.stat().st_size - 8)
        assert refusal(ProjectError, run_here, "check") == f"{path}: {what}. {again}"
        separable.run_stages("mean_linear", "train")
        assert (weights.read_bytes(), answered.read_bytes()) == before
        capsys.readouterr()
        run_here("check")
        assert capsys.readouterr().out == whole


def test_kept_downloads_are_held_against_their_digests_those_of_the_hub_and_lists_of_trials_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hub = {"hub": "someone/model", "revision": "0" * 40, "licence": "MIT", "files": [{"name": "a.json"}, {"name": "b"}]}
    cells.write_params(Path(), hub={"model": hub})
    study = load_study()
    trials = study.params.datasets["voxceleb1"].trials
    assert trials is not None
    assert trials.published is not None
    urls = [file.url for file in study.params.hub["model"].downloads()] + [trials.published.url]
    kept = [DOWNLOADS / re.sub(r"[^A-Za-z0-9._-]", "_", url.removeprefix("https://")) for url in urls]
    lay_out(Path(), {str(path): b"{}" for path in kept})
    digest = hashlib.sha256(b"{}").hexdigest()
    kept[0].with_name(f"{kept[0].name}.sha256").write_text(f"{digest}  {kept[0].name}\n")
    found, anew = contents.check_weights([study]), "Remove it: the stage that needs it fetches it anew"
    md5 = hashlib.md5(b"{}").hexdigest()
    told = f"{kept[2]}: has md5 {md5}, expected md5 {trials.published.md5}. {anew}"
    assert (found[0], [str(each) for each in found[1]]) == (2, [told])  # of b nobody knows a digest
    flip(kept[0], 0)
    rotten = hashlib.sha256(kept[0].read_bytes()).hexdigest()
    assert str(contents.check_weights([study])[1][-1]) == (
        f"{kept[0]}: has sha256 {rotten}, and had {digest} when it was first fetched. If its publisher changed it, "
        f"remove {kept[0]}.sha256. {anew}"
    )


def test_a_checkpoint_with_a_flipped_bit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = PARTIAL / "models/paper-demo-mel/fair/fold_1-seed_0.checkpoint.pt"
    write_checkpoint(path, {"weights": torch.arange(5.0)})
    assert contents.check_checkpoints() == (1, [])
    rot(path)
    assert [str(each) for each in contents.check_checkpoints()[1]] == [
        f"{path}: damaged, or not a checkpoint of a training. Run its train stage: the run starts anew"
    ]


@pytest.mark.parametrize(("content", "form"), [(b"{", dict), (b"[]", dict), (b"{}", list), (b"\xff", dict)])
def test_a_stage_says_in_a_line_that_what_it_is_told_is_damaged(tmp_path: Path, content: bytes, form: type) -> None:
    path = tmp_path / "features.json"
    path.write_bytes(content)
    told = f"{path}: damaged. `make check` says which stage makes it anew."
    assert refusal(ProjectError, read_told, path, form) == told
