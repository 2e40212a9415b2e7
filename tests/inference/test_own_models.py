"""beyond-spectrograms train: a folder of one's own becomes a model with honest scores, also after it was killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from inference.conftest import PROBE, cloud, write

from beyond_spectrograms import load_model
from beyond_spectrograms.cli import main
from beyond_spectrograms.cli.train import UNGROUPED
from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.inference import own_model
from beyond_spectrograms.inference.folder import read_weights_record
from beyond_spectrograms.inference.own_model import Asked, write_report
from beyond_spectrograms.params import Params
from beyond_spectrograms.training.trainers.summaries import INVERSE_PENALTIES
from beyond_spectrograms.util.errors import ProjectError
from support import common
from support.common import tone
from support.models import PARAMS
from support.repository import REPOSITORY, Capture, Patch
from support.stopping import kill_in

TRAIN = ["--representation", "log_mel_2048_50hz", "--epochs", "8"]


@pytest.mark.usefixtures("project")
def test_a_folder_becomes_a_model_with_its_scores(sounds: Path, capsys: Capture, monkeypatch: Patch) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # joblib's: a second process takes longer to start than to train
    assert main(["train", str(sounds), *TRAIN, "--out", "mine"]) == 0
    output, errors = capsys.readouterr()
    assert errors.splitlines() == [
        UNGROUPED,
        "left out: 1 .txt",
        "set aside low/broken.wav: not decodable as audio: Format not recognised.",
        "class 'high': 3 recordings of 3 origins, fewer than 30: its score may be off by 57 points",
        "class 'low': 9 recordings of 9 origins, fewer than 30: its score may be off by 33 points",
    ]
    lines = output.splitlines()
    assert lines[0].startswith("log_mel_2048_50hz: 24 windows, 24 s of sound; will take about ")
    assert lines[3] == "log_mel_2048_50hz, fair: 3 runs of 1 protocol, 0 kept"
    scores = json.loads(Path("mine-report/scores.json").read_text())
    told = [line for line in lines if not re.search("took|to train|computed|; will take|runs of", line)]
    assert told == [
        "12 recordings in 2 classes, each tested by a classifier that had none of the same file (3 folds)",
        "right: 100.0% [73.5%, 100.0%] of recordings, 100.0% [73.5%, 100.0%] of windows; balanced accuracy 100.0% "
        "(mean over classes of windows right)",
        "beside it the most frequent class: 75.0% of recordings",
        "beside it logistic regression on mean and deviation of mfcc: 100.0% of recordings, +0.0 points",
        "beside it logistic regression on mean and deviation of log_mel_2048_50hz: 100.0% of recordings, +0.0 points",
        "1 recordings are shorter than a window and were reflected: `reflected` in recordings.csv",
        f"mine: a model of the same recipe, trained on all of them for {scores['model']['epochs']} epochs",
        "mine-report: scores.json, recordings.csv, history.csv, confusion.png",
    ]
    tested = sorted(run["epoch"] for run in scores["by_fold"])
    assert scores["model"] == {"epochs": tested[1], "recordings": 12}  # the median of three folds
    assert scores["left_out"] == {".txt": 1}
    remark = "12 origins: exact limits (Clopper-Pearson), an origin counting once."
    assert scores["intervals"]["recordings"] == {
        "value": 1.0, "low": pytest.approx(0.025 ** (1 / 12)), "high": 1.0, "reason": None, "remark": remark
    }  # fmt: skip
    assert [way["way"] for way in scores["plain_ways"] if way.get("surely better")] == []
    assert scores["protocol"]["class_weights"] == "balanced"
    assert scores["recordings_by_class"] == {"high": 3, "low": 9}
    assert scores["shorter_than_a_window"] == ["high/short.wav"]
    recordings = pd.read_csv("mine-report/recordings.csv", index_col="clip")
    assert sorted(recordings.index[recordings["reflected"] == 1]) == ["high/short.wav"]
    assert len(recordings) == 12
    written = {"confusion.png", "confusion.svg", "history.csv", "recordings.csv", "scores.json"}
    assert {path.name for path in Path("mine-report").iterdir()} == written
    model = load_model("mine", device="cpu")
    assert model.card.protocol.record.epochs == scores["model"]["epochs"]
    assert (model.card.training.dataset, model.card.windows.tail) == ("my_sounds", "reflect")
    assert model.card.scores.file == "mine-report/scores.json"
    assert model.card.scores.recording_accuracy == 1  # of the folds
    training = model.card.training
    assert (training.fold, training.clips, training.epoch) == (0, 12, scores["model"]["epochs"])
    assert recordings.loc["high/short.wav", "file"] == "high/short.wav"
    assert model.classify(cloud(False, 1.5, 44_100, 40), 44_100).label == "high"
    assert model.classify(cloud(True, 1.5, 44_100, 41), 44_100).label == "low"
    assert not Path("mine.partial-training").exists()


@pytest.mark.usefixtures("project")
def test_a_plain_way_can_be_taken_and_its_model_is_of_all_sounds(sounds: Path, capsys: Capture) -> None:
    options = [*PROBE, "--out", "mine"]
    assert main(["train", str(sounds), *options, "--class-weights", "balanced", "--onnx"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("beside it")] == [
        "beside it the most frequent class: 75.0% of recordings"  # it is a plain way itself
    ]
    model = load_model("mine", device="cpu")
    assert model.card.protocol.name == "probe_mean_deviation"
    assert model.card.protocol.record.class_weights == "balanced"
    session = onnxruntime.InferenceSession("mine.onnx", providers=["CPUExecutionProvider"])
    [[high, low]] = session.run(None, {"windows": cloud(True, 1.0, 22_050, 42)[None].astype(np.float32)})[0]
    assert low > 0.5 > high
    assert model.card.protocol.record.inverse_penalty in INVERSE_PENALTIES
    assert model.classify(cloud(True, 1.5, 44_100, 41), 44_100).label == "low"


@pytest.mark.usefixtures("project")
def test_plain_ways_stay_plain_whatever_is_asked_of_ours(sounds: Path, capsys: Capture, monkeypatch: Patch) -> None:
    weights, score_folds = {}, own_model.score_folds

    def score(params: Params, asked: Asked, *places: Any) -> Any:
        weights[asked.representation] = params.protocols[asked.protocol].class_weights
        if asked.representation == "mfcc":
            raise ProjectError("enough")
        return score_folds(params, asked, *places)

    monkeypatch.setattr(own_model, "score_folds", score)
    options = ["--representation", "log_mel_2048_50hz", "--classifier", "probe_mean_deviation"]
    assert main(["train", str(sounds), *options, "--class-weights", "balanced", "--out", "mine"]) == 1
    assert capsys.readouterr().err.endswith("enough\n")
    assert weights == {"log_mel_2048_50hz": "balanced", "mfcc": "none"}


@pytest.mark.usefixtures("project")
def test_windows_and_the_shortest_sound_are_the_users(sounds: Path, capsys: Capture) -> None:
    write(sounds / "high/one_more.wav", 2.0, seed=13)
    options = ["--representation", "mfcc", "--classifier", "probe_mean", "--out", "mine"]
    own = ["--window", "0.5", "--hop", "0.25", "--min-seconds", "0.45"]
    assert main(["train", str(sounds), *options, *own]) == 0
    assert "set aside high/short.wav: 0.400 s long; plausible is 0.45 to 600 s" in capsys.readouterr().err
    model = load_model("mine", device="cpu")
    assert (model.card.windows.length_s, model.card.windows.hop_s) == (0.5, 0.25)
    assert model.classify(cloud(True, 1.5, 44_100, 41), 44_100).windows == 5
    recordings = pd.read_csv("mine-report/recordings.csv", index_col="clip")
    assert recordings.loc["low/0.wav", "windows"] == 7  # of 2 s


@pytest.mark.long
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(sounds: Path, project: Path) -> None:
    assert main(["train", str(sounds), *TRAIN, "--out", "undisturbed"]) == 0
    command = ["train", str(sounds), *TRAIN, "--out", "killed"]
    line = [sys.executable, "-m", "beyond_spectrograms", *command]
    process = subprocess.Popen(line, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, start_new_session=True)
    runs, deadline = project / "killed.partial-training/models/log_mel_2048_50hz/fair", time.monotonic() + 600
    while not list(runs.glob("*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert list(runs.glob("*.safetensors"))
    assert main(command) == 0
    assert Path("killed/classifier.safetensors").read_bytes() == Path("undisturbed/classifier.safetensors").read_bytes()
    assert Path("killed-report/recordings.csv").read_bytes() == Path("undisturbed-report/recordings.csv").read_bytes()


@pytest.mark.long
@pytest.mark.parametrize(
    ("function", "when", "more"),
    [
        ("beyond_spectrograms.inference.folder:save_model", "calls == 1", ["--onnx"]),
        (
            "beyond_spectrograms.util.files:partial_beside",
            "arguments[0].name.endswith('training') and Path('killed/mine/card.json').exists()",  # the lock asks, too
            [],
        ),
    ],
    ids=["before the graph", "at the end"],
)
def test_a_run_that_was_killed_behind_its_model_goes_on(
    sounds: Path, project: Path, function: str, when: str, more: list[str]
) -> None:
    options = [*PROBE, *more]
    commands = {name: ["train", str(sounds), *options, "--out", name] for name in ("undisturbed/mine", "killed/mine")}
    assert main(commands["undisturbed/mine"]) == 0
    program = "import sys\nfrom beyond_spectrograms.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    kill_in(function, when, program, *commands["killed/mine"], folder=project)
    assert Path("killed/mine/card.json").exists()
    assert main(commands["killed/mine"]) == 0
    left, whole = (common.contents(project / name) for name in ("killed", "undisturbed"))
    assert sorted(left) == sorted(whole)
    assert [name for name in left if left[name] != whole[name]] == ["mine-report/scores.json"]  # it has seconds


@pytest.mark.long
@pytest.mark.usefixtures("project")
def test_a_model_of_other_sounds_is_not_taken_for_that_of_a_killed_run(sounds: Path, capsys: Capture) -> None:
    options = [*PROBE, "--out", "mine"]
    assert main(["train", str(sounds), *options]) == 0
    work = Path("mine.partial-training/models/mfcc/probe_mean_deviation/all")
    work.mkdir(parents=True)
    (work / "fold_0-seed_0.safetensors").write_bytes(b"others")
    told = "mine: exists already. Choose another name, or remove it.\n"
    before = common.contents(Path("mine"))
    assert main(["train", str(sounds), *options]) == 1
    assert capsys.readouterr().err.endswith(told)
    assert common.contents(Path("mine")) == before


@pytest.mark.usefixtures("project")
def test_the_lock_of_a_run_that_was_killed_in_the_end_is_taken_away(sounds: Path, capsys: Capture) -> None:
    Path("mine").mkdir()
    Path("mine.partial-training.lock").write_text("1")
    assert main(["train", str(sounds), *TRAIN, "--out", "mine"]) == 1
    assert capsys.readouterr().err == "mine: exists already. Choose another name, or remove it.\n"
    assert sorted(path.name for path in Path().glob("mine*")) == ["mine"]


@pytest.mark.long
@pytest.mark.usefixtures("project")
def test_weights_are_fetched_and_become_part_of_the_model(sounds: Path, mirror: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, str(mirror))
    options = ["--representation", "soundstream", "--protocol", "mean_linear", "--epochs", "3", "--out", "mine"]
    assert main(["train", str(sounds), *options]) == 0
    encoder = Path("mine/soundstream_encoder.tflite").read_bytes()
    assert len(encoder) == PARAMS.weights["soundstream_encoder"].bytes
    assert encoder == (mirror / "soundstream_encoder.tflite").read_bytes()
    [kept] = read_weights_record(Path("data/weights/soundstream"))  # as the stage featurize leaves them
    assert (kept.file, kept.licence, kept.included) == ("soundstream_encoder.tflite", "Apache-2.0", True)
    assert load_model("mine", device="cpu").classify(tone(1.5, 3000), 44_100).windows == 2


def test_of_a_report_that_cannot_be_written_nothing_is_left_and_the_old_one_stays(tmp_path: Path) -> None:
    report, table = tmp_path / "mine-report", pd.DataFrame({"clip": ["a.wav"]})
    write_report(report, {"recordings": 1}, recordings=table)
    with pytest.raises(OSError, match="non-existent directory"):
        write_report(report, {"recordings": 2}, **{"recordings": table, "no/folder": table})
    assert [path.name for path in tmp_path.iterdir()] == ["mine-report"]
    assert json.loads((report / "scores.json").read_text()) == {"recordings": 1}
