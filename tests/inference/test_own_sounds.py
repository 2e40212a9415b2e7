"""A folder of one's own is grouped and dealt to folds, or refused with the reason: by its names before any sound."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from inference.conftest import write

from beyond_spectrograms.cli import main
from beyond_spectrograms.inference import own_sounds
from beyond_spectrograms.inference.own_sounds import Grouping, OwnSounds, prepare_sounds
from beyond_spectrograms.training.loop import runs_of_protocol
from beyond_spectrograms.util.errors import ProjectError
from support import common
from support.common import tone
from support.models import PARAMS
from support.repository import Capture

REFLECTED = PARAMS.model_copy(update={"windows": PARAMS.windows.model_copy(update={"tail": "reflect"})})


def prepare(sounds: Path, work: Path, folds: int = 5, **grouping: object) -> OwnSounds:
    return prepare_sounds(sounds, work, REFLECTED, Grouping(**grouping), folds)  # type: ignore[arg-type]


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
        "folder": {"by_folder": True},
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


def test_folders_are_origins_whatever_they_are_called(tmp_path: Path) -> None:
    long = "a" * 180
    for label in ("low", "high"):
        for number, folder in enumerate(("site__1", "site__2", f"{long}1", f"{long}2")):
            for file in ("one", "two" + "b" * 60):
                write(tmp_path / f"sounds/{label}/{folder}/{file}.wav", seed=8 * number + len(file))
        write(tmp_path / f"sounds/{label}/site.wav", seed=50)
    prepared = prepare(tmp_path / "sounds", tmp_path / "work", by_folder=True)
    folders = prepared.clips["clip"].map(prepared.paths).str.split("/")
    assert prepared.clips["group"].nunique() == 6  # the two right in their class' folders are on their own
    assert (folders.str[1].where(folders.str.len() > 2).groupby(prepared.clips["group"]).nunique() <= 1).all()
    assert prepared.clips["group"].value_counts().tolist() == [4, 4, 4, 4, 1, 1]


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
    assert refusal(sounds, tmp_path / "new", by_folder=True) == few.format("1 group")
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
        (["--out", "thesis"], "thesis-report: exists already. Move it away, or choose another --out.\n"),
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
