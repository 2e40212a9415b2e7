"""beyond-spectrograms train: a folder of one's own becomes a model with honest scores, or the reason why not."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import soundfile

from beyond_spectrograms import load_model
from beyond_spectrograms.cli import main
from beyond_spectrograms.cli.train import UNGROUPED
from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.inference import own_sounds
from beyond_spectrograms.inference.folder import read_weights_record
from beyond_spectrograms.inference.own_model import write_report
from beyond_spectrograms.inference.own_sounds import BY_FOLDER, Grouping, OwnSounds, prepare_sounds
from beyond_spectrograms.training.loop import runs_of_protocol
from beyond_spectrograms.training.trainers.summaries import INVERSE_PENALTIES
from beyond_spectrograms.util.errors import ProjectError
from support import common
from support.common import tone
from support.models import PARAMS
from support.repository import REPOSITORY, Capture, Patch
from support.stopping import kill_in

REFLECTED = PARAMS.model_copy(update={"windows": PARAMS.windows.model_copy(update={"tail": "reflect"})})
TRAIN = ["--representation", "log_mel_2048_50hz", "--epochs", "8"]


def cloud(low: bool, seconds: float, sample_rate: int, seed: int) -> Waveform:
    """Make thirty sines, of 100 to 800 Hz or of 2.5 to 8 kHz."""
    hertz = np.random.default_rng(seed).uniform(*((100, 800) if low else (2500, 8000)), 30)
    return np.sum([tone(seconds, each, sample_rate) for each in hertz], axis=0) / 30


def write(path: Path, seconds: float = 1.0, sample_rate: int = 22_050, channels: int = 1, seed: int = 0) -> None:
    """Write a sound of the class that the path names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = cloud("/low/" in str(path), seconds, sample_rate, seed)
    soundfile.write(path, np.stack([sound] * channels, axis=1), sample_rate)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write nine low sounds and three high ones; of these one is short, one of six channels at 96 kHz."""
    folder = tmp_path_factory.mktemp("written") / "sounds"
    for number in range(9):
        write(folder / f"low/{number}.wav", 2.0, seed=number)
    write(folder / "high/short.wav", 0.4, seed=10)
    write(folder / "high/six.wav", 2.0, 96_000, 6, seed=11)
    write(folder / "high/plain.flac", 2.5, 44_100, seed=12)
    (folder / "low/broken.wav").write_text("no sound")
    (folder / "notes.txt").write_text("left alone")
    return folder


@pytest.fixture
def sounds(written: Path, tmp_path: Path) -> Path:
    """A copy of them, to change."""
    return Path(shutil.copytree(written, tmp_path / "my sounds"))


def prepare(sounds: Path, work: Path, folds: int = 5, **grouping: object) -> OwnSounds:
    return prepare_sounds(sounds, work, REFLECTED, Grouping(**grouping), folds)  # type: ignore[arg-type]


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
    options = ["--representation", "mfcc", "--classifier", "probe_mean_deviation", "--out", "mine"]
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


def test_groups_by_folder_pattern_and_table_are_never_parted(sounds: Path, tmp_path: Path) -> None:
    for label in ("low", "high"):
        for take in range(3):
            for number in range(2):
                write(sounds / f"{label}/take{take}/{label}_{take}-{number}.wav", seed=20 + 2 * take + number)
    files = [path.relative_to(sounds).as_posix() for path in sorted(sounds.glob("*/*/*.wav"))]
    alone = [path.relative_to(sounds).as_posix() for path in sorted(sounds.glob("*/*")) if path.is_file()]
    rows = [(file, file.split("/")[1]) for file in files] + [(file, file) for file in alone]
    pd.DataFrame(rows, columns=["file", "place"]).to_csv(tmp_path / "places.csv", index=False)
    for way, grouping in {
        "folder": {"pattern": BY_FOLDER},
        "pattern": {"pattern": r"(?:take\d__)?(?P<group>\w*?)(?:-\d)?"},
        "table": {"table": tmp_path / "places.csv", "column": "place"},
    }.items():
        prepared = prepare(sounds, tmp_path / way, **grouping)
        clips = prepared.clips[prepared.clips["clip"].str.contains("take1")]
        # A take is one origin of both classes, but for the pattern, which has the class in it.
        assert clips["group"].nunique() == (2 if way == "pattern" else 1), way
        for column in prepared.parts:
            in_parts = prepared.parts[column].groupby(prepared.table["group"]).nunique()
            assert in_parts.max() == 1
    single = prepare(sounds, tmp_path / "single")
    assert single.clips["group"].tolist() == single.clips["clip"].tolist()


def test_equal_files_are_one_origin_and_the_smallest_class_bounds_the_folds(sounds: Path, tmp_path: Path) -> None:
    prepared = prepare(sounds, tmp_path / "work")
    assert sorted(prepared.parts) == ["source_1", "source_2", "source_3"]
    for number in range(5):
        write(sounds / f"high/more{number}.wav", seed=30 + number)
    (sounds / "high/copy.wav").write_bytes((sounds / "high/more1.wav").read_bytes())
    more = prepare(sounds, tmp_path / "work", folds=4)
    assert len(more.parts.columns) == 4
    assert more.clips.set_index("clip").loc[["high/copy.wav", "high/more1.wav"], "group"].nunique() == 1


refusal = partial(common.refusal, ProjectError, prepare)


def test_what_cannot_be_trained_on_is_refused(sounds: Path, tmp_path: Path) -> None:
    work, table = tmp_path / "work", tmp_path / "table.csv"
    strange = sounds / "low/\udcff.wav"  # a byte that is no UTF-8
    strange.write_bytes((sounds / "low/0.wav").read_bytes())
    told = rf"{sounds}: the name of low/\udcff.wav is not UTF-8. Rename the file or its folder."
    assert refusal(sounds, work) == told
    strange.unlink()
    assert refusal(tmp_path / "none", work) == (
        f"{tmp_path}/none: no such folder. A data set's path has one sub-folder a class."
    )
    assert refusal(sounds, work, pattern="(") == (
        "--group-pattern '(': is not a regular expression: missing ) at position 1"
    )
    assert refusal(sounds, work, pattern="take") == "--group-pattern 'take': has no (?P<group>...)"
    told = "(?P<fold>...) is for data sets of the pipeline; `train` deals folds itself. Leave it out."
    both = "(?P<fold>\\d)(?P<group>.*)"
    assert refusal(sounds, work, pattern=both) == f"--group-pattern {both!r}: {told}"
    assert refusal(sounds, work, pattern=r"(?P<group>\d)") == (
        f"{sounds}: --group-pattern '(?P<group>\\\\d)' does not match high/plain.flac, high/short.wav, high/six.wav "
        "and 1 more"
    )
    assert refusal(sounds, work, table=table) == f"{table}: no such file"
    table.write_text("file,place\nlow/0.wav,here\n")
    table.write_text("file;place\nlow/0.wav;here\n")
    told = f"{table}: its columns are parted by semicolons. Save it with commas."
    assert refusal(sounds, work, table=table) == told
    table.write_text(f"file,group\n{sounds}/low/0.wav,here\n")
    told = f"{table}: {sounds}/low/0.wav is an absolute path. Give paths below the folder of sounds."
    assert refusal(sounds, work, table=table) == told
    table.write_text("file,place\nlow/0.wav,here\n")
    assert refusal(sounds, work, table=table) == f"{table}: no column 'group'. Its columns are file, place."
    assert refusal(sounds, work, table=table, column="place") == (
        f"{table}: no place for high/plain.flac, high/short.wav, high/six.wav and 9 more"
    )
    table.write_text("file,place\nlow/0.wav,here\n./low/0.wav,there\n")
    assert refusal(sounds, work, table=table, column="place") == f"{table}: low/0.wav is listed twice"
    table.write_bytes(b"file,\xff\n")
    assert refusal(sounds, work, table=table).startswith(f"{table}: not a CSV table: 'utf-8' codec can't decode")
    few = (
        f"{sounds}: class 'high' has {{}} of recordings; `train` needs 3: one trains, one validates, one tests. Add "
        "recordings of another origin, or group them otherwise."
    )
    (sounds / "high/six.wav").write_bytes((sounds / "high/plain.flac").read_bytes())  # only its bytes tell
    assert refusal(sounds, work) == few.format("2 groups")
    left = tone(1, 400, 22_050)
    soundfile.write(sounds / "high/six.wav", np.stack([left, -left], axis=1), 22_050, subtype="FLOAT")
    assert refusal(sounds, work) == few.format("2 groups") + (
        "\n  set aside high/six.wav: silent: its peak is 0, silence is 0.0001 or less; the channels cancel each other "
        f"when mixed, the peak of one is {np.abs(left).max():g}"
    )
    (sounds / "high/six.wav").unlink()
    assert refusal(sounds, work) == few.format("2 groups")
    for path in sorted((sounds / "high").iterdir()):
        (sounds / "high/take").mkdir(exist_ok=True)
        path.rename(sounds / "high/take" / path.name)
    assert refusal(sounds, tmp_path / "new", pattern=BY_FOLDER) == few.format("1 group")
    assert not (tmp_path / "new/clips.partial").exists()  # told by names alone, before any sound is read
    for path in (sounds / "high/take").iterdir():
        path.unlink()
    (sounds / "high/take").rmdir()
    for path in (sounds / "high").iterdir():
        path.unlink()
    (sounds / "high").rmdir()
    assert refusal(sounds, work) == f"{sounds}: one class, 'low'. Give at least two, a sub-folder each."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--representation", "nothing"], "'nothing' is no representation in params.yaml. Choose from mel, log_mel, "),
        (["--protocol", "none"], "'none' is no protocol in params.yaml. Choose from paper, "),
        (["--folds", "2"], "--folds is 2; it must be at least 3\n"),
        (["--epochs", "0"], "--epochs is 0; it must be at least 1\n"),
        (
            ["--classifier", "conv1d", "--protocol", "probe_mean"],
            "--classifier conv1d does not go with --protocol probe_mean, which is fitted at once. Leave --protocol "
            "out.\n",
        ),
        (["--window", "0"], "--window is 0 s; it must be above 0 and at most 600 s\n"),
        (["--min-seconds", "-1"], "--min-seconds is -1 s; it must be above 0 and at most 600 s\n"),
        (["--window", "0.33"], "--window 0.33, --hop 0.33: 0.33 is not a whole number of samples at 22050 Hz; take a "),
        (["--window", "0.5", "--hop", "0.6"], "--hop is 0.6 s; it must be at most a window, 0.5 s\n"),
        (
            ["--augment", "mixup,louder"],
            "--augment mixup,louder: 'louder' is unknown. Choose from mixup, gain, time_shift, noise.\n",
        ),
        (["--augment", "gain"], "--augment gain: gain is for spectrograms in decibels, which mel is not\n"),
        (
            ["--classifier", "mean_linear", "--augment", "noise"],
            "--augment noise does not go with --protocol mean_linear: augment is not for mean_linear; it is for "
            "conv1d, conv2d\n",
        ),
        (
            ["--protocol", "nearest_source", "--class-weights", "balanced"],
            "--class-weights balanced does not go with --protocol nearest_source: class_weights balanced is not for "
            "nearest_neighbour\n",
        ),
        (
            ["--representation", "waveform"],
            "--representation waveform does not go with --protocol fair: conv1d is not for the samples of a waveform; "
            "m5 is\n",
        ),
        (
            ["--protocol", "raw"],
            "--representation mel does not go with --protocol raw: m5 is for the samples of kind waveform, not for "
            "kind mel\n",
        ),
        (["--onnx", "--representation", "soundstream"], "kind soundstream has no ONNX graph: "),
        (["--out", "."], ".: exists already. Choose another name, or remove it.\n"),
        (["--out", "thesis"], "thesis-report: exists already. Choose another name, or remove it.\n"),
        (["--out", "sounds/mine"], "sounds/mine: lies in the folder of sounds, sounds. Choose a place outside of it."),
    ],
)
@pytest.mark.usefixtures("project")
def test_wrong_options_are_told_before_any_work(options: list[str], message: str, capsys: Capture) -> None:
    Path("thesis-report").mkdir()
    before = sorted(Path().iterdir())
    assert main(["train", "sounds", "--representation", "mel", "--out", "mine", *options]) == 1
    assert capsys.readouterr().err.startswith(message)
    assert sorted(Path().iterdir()) == before


def test_a_control_on_shuffled_labels_is_one(sounds: Path, tmp_path: Path) -> None:
    prepared = prepare(sounds, tmp_path / "work")
    labels = (prepared.table["label"] == "low").to_numpy(dtype=np.int64)
    features = tmp_path / "work/features"
    features.mkdir()
    np.save(features / "features.npy", np.zeros((len(labels), 64, 50), np.float32))
    for protocol, shuffled in (("fair", False), ("shuffled_labels", True)):
        params, cell = own_sounds.adapt_params(PARAMS, protocol), ("my_sounds", "log_mel_2048_50hz", protocol)
        tables = {"table": prepared.table, "parts": prepared.parts}
        configs = runs_of_protocol(params, cell, **tables, features=features, max_epochs=1, work=tmp_path / "work")
        assert len(configs) == 3
        for config in configs:
            known = config.parts != "test"
            assert (config.targets != labels)[known].any() == shuffled
            assert (config.targets[~known] == -1).all()  # what is tested is not told


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
    options = ["--representation", "mfcc", "--classifier", "probe_mean_deviation", *more]
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
    options = ["--representation", "mfcc", "--classifier", "probe_mean_deviation", "--out", "mine"]
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
