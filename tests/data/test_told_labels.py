"""Data sets of which a table says labels, folds or parts, and mixtures: shipped records on small sets of their kind."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from beyond_spectrograms.data.audio import BadAudioError, Recording
from beyond_spectrograms.data.clips import DatasetError
from beyond_spectrograms.data.folders import RawDataError
from beyond_spectrograms.data.labels import LabelTableError, read_table
from beyond_spectrograms.data.mixtures import HIGHEST_PEAK, mix
from beyond_spectrograms.data.windows import read_parts, read_windows
from beyond_spectrograms.params.layouts import LabelTable
from stages.tables import changed_folders
from support import cells
from support.common import lay_out, noise, refusal
from support.packed import write_tar, write_zip
from support.repository import REPOSITORY, run_here

RATE = 16_000
TABLE = {"member": "x", "file": "fname", "label": "labels"}


@pytest.fixture(autouse=True)
def home(home: Path) -> Path:
    """Run in a project of its own."""
    cells.write_params(Path())
    return home


def sound(seed: int, seconds: float = 1.2, suffix: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, noise(seconds, RATE, seed), RATE, format=suffix)
    return file.getvalue()


def describe(dataset: str, **changes: Any) -> None:
    """Write the shipped record of a data set, with some keys of its source changed."""
    path = Path("datasets", f"{dataset}.yaml")
    record = yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))
    record["source"] |= changes
    cells.write(path, yaml.safe_dump(record))


def prepare(dataset: str) -> pd.DataFrame:
    """Run the stages up to the split; give the table of windows with the parts of the source split."""
    for stage in ("download", "resample", "split"):
        run_here(stage, dataset)
    table, parts = read_windows(Path("data/splits", dataset)), read_parts(Path("data/splits", dataset))
    return table.join(parts[[column for column in parts if column.startswith("source")]])


def fsd50k(home: Path, dev: str | None = None, evaluation: str | None = None) -> dict[str, bytes]:
    labels = ("Bark,Dog", "Rain", "Dog,Rain")
    rows = [f'{number},"{labels[number % 3]}",/m/0,{"val" if number > 5 else "train"}' for number in range(9)]
    tests = [f'{number},"{labels[number % 3]}",/m/0' for number in range(9, 12)]
    dev = dev or "\n".join(["fname,labels,mids,split", *rows])
    evaluation = evaluation or "\n".join(["fname,labels,mids", *tests])
    sounds = {f"FSD50K.{'dev' if n < 9 else 'eval'}_audio/{n}.wav": sound(n, 0.5 + 0.1 * n) for n in range(12)}
    tables = {"dev.csv": dev.encode(), "eval.csv": evaluation.encode(), "vocabulary.csv": b"0,Bark,/m/05tny_\n"}
    files = sounds | {f"FSD50K.ground_truth/{name}": content for name, content in tables.items()}
    lay_out(home / "FSD50K", files)
    return files


def test_fsd50k_has_several_labels_a_clip_and_is_split_as_published(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = fsd50k(home)
    describe("fsd50k", clips=12, classes=3)
    table = prepare("fsd50k")
    told = table.drop_duplicates("clip").set_index("clip")
    assert told["label"].to_dict() == {f"sounds/{n}.wav": ("bark|dog", "rain", "dog|rain")[n % 3] for n in range(12)}
    assert told["source_1"].to_dict() == {
        f"sounds/{n}.wav": "test" if n > 8 else "validation" if n > 5 else "train" for n in range(12)
    }
    record = json.loads(Path("data/raw/fsd50k/source.json").read_text())
    assert (record["files"], record["classes"]) == (12, {"bark": 4, "dog": 8, "rain": 8})
    assert json.loads(Path("metrics/fsd50k/clips.json").read_text())["clips_by_class"] == record["classes"]
    printed = capsys.readouterr().out
    for name in ("dev.csv", "eval.csv"):
        content = files[f"FSD50K.ground_truth/{name}"]
        fixed = f"{len(content)} bytes, md5 {hashlib.md5(content).hexdigest()}"
        assert f"{home}/FSD50K: label table FSD50K.ground_truth/{name} is not fixed: {fixed}\n" in printed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dev": "fname,labels,mids\n0,Dog,/m/0\n"},
         "member 'FSD50K.ground_truth/dev.csv, FSD50K.ground_truth/eval.csv' has no column 'split'"),
        ({"dev": "fname,labels,mids,split\n0,Dog,/m/0,dev\n"},
         "member 'FSD50K.ground_truth/dev.csv' has split 'dev' of 0, none of train, val, validation, test"),
        ({"evaluation": "fname,labels,mids\n0,Dog,/m/0\n"},
         "member 'FSD50K.ground_truth/eval.csv' lists 0 a second time"),
        ({"evaluation": "fname,labels,mids\n9,Dog,/m/0\n"},
         "member 'FSD50K.eval_audio/10.wav' has no label or no plain file name"),
        ({"evaluation": "fname,labels,mids\n9,,/m/0\n"},
         "member 'FSD50K.eval_audio/10.wav' has no label or no plain file name"),
    ],
)  # fmt: skip
def test_tables_that_contradict_the_files_stop_it(home: Path, given: dict[str, str], message: str) -> None:
    fsd50k(home, **given)
    describe("fsd50k", clips=12, classes=3)
    told = f"{home}/FSD50K: {message}. Nothing of this folder is used."
    assert refusal(RawDataError, run_here, "download", "fsd50k") == told
    assert not Path("data/raw/fsd50k").exists()


def test_a_folder_that_is_not_there_is_an_error_and_a_changed_one_is_stale(home: Path) -> None:
    describe("fsd50k", clips=12, classes=3)
    told = "~/FSD50K: no such folder. Put the files of the data set there, or change source.path."
    assert refusal(RawDataError, run_here, "download", "fsd50k") == told
    fsd50k(home)
    cells.edit_params(
        Path(), lambda params: params["grid"].update(datasets=["fsd50k"], protocols=["multi_label"], only={})
    )
    run_here("download", "fsd50k")
    study = cells.load_study()
    assert changed_folders([study]) == []
    stale = "fsd50k: ~/FSD50K has changed since it was copied; say dvc repro -f download@fsd50k"
    table = home / "FSD50K/FSD50K.ground_truth/dev.csv"
    before = table.read_text()
    table.write_text(before.replace('"Bark,Dog"', '"Rain"'))
    assert changed_folders([study]) == [stale]
    table.write_text(before)
    assert changed_folders([study]) == []
    (home / "FSD50K/FSD50K.dev_audio/0.wav").unlink()
    assert changed_folders([study, study]) == [stale, stale]
    shutil.rmtree(home / "FSD50K")
    assert changed_folders([study, study]) == [f"fsd50k: {told}"] * 2


def test_urbansound8k_keeps_its_ten_folds_and_its_recordings_together(home: Path) -> None:
    rows = [(f"{100 * fold + kind}-{kind}-0-{slice_}.wav", fold, ("siren", "dog_bark")[kind])
            for fold in range(1, 11) for kind in (0, 1) for slice_ in (0, 1)]  # fmt: skip
    lines = [f"{name},{name.split('-')[0]},0.0,4.0,1,{fold},{name.split('-')[1]},{label}" for name, fold, label in rows]
    table = "\n".join(["slice_file_name,fsID,start,end,salience,fold,classID,class", *lines]).encode()
    files = {f"UrbanSound8K/audio/fold{fold}/{name}": sound(n, 0.3) for n, (name, fold, _) in enumerate(rows)}
    files |= {"UrbanSound8K/metadata/UrbanSound8K.csv": table, "UrbanSound8K/audio/fold1/.DS_Store": b""}
    write_tar(home / "mirror/UrbanSound8K.tar.gz", files, "w:gz")
    url = "https://zenodo.org/record/1203745/files/UrbanSound8K.tar.gz?download=1"
    describe("urbansound8k", clips=40, classes=2, archives=[{"url": url, "licence": "CC BY-NC 3.0"}])
    found = prepare("urbansound8k")
    assert sorted(Path("data/raw/urbansound8k/audio").glob("*")) == [
        Path("data/raw/urbansound8k/audio", label) for label in ("dog_bark", "siren")
    ]
    by_clip = {f"{label}/{name}": (fold, name.split("-")[0]) for name, fold, label in rows}
    assert [(fold, group) for fold, group in zip(found["fold"], found["group"], strict=True)] == [
        by_clip[clip] for clip in found["clip"]
    ]
    assert (found["fold"][found["source_7"] == "test"] == 7).all()
    assert (found["fold"][found["source_10"] == "validation"] == 1).all()


def test_a_folder_of_audioset_is_labelled_by_a_table_of_segments(home: Path) -> None:
    mids = ("/m/09x0r,/t/dd00088", "/m/04rlf", "/m/09x0r,/m/04rlf")
    ids = [f"-id_{number:02d}" for number in range(30)]
    head = "# Segments csv created Sun Mar  5 10:54:31 2017\n# num_ytids=40\n# YTID, start_seconds, labels\n"
    rows = [f'{name}, 30.000, 40.000, "{mids[n % 3]}"\n' for n, name in enumerate([*ids, "not-mine"])]
    lay_out(home / "audioset", {f"{name}.wav": sound(n) for n, name in enumerate(ids)})
    (home / "audioset/segments.csv").write_text(head + "".join(rows))
    describe("audioset_folder")
    found = prepare("audioset_folder")
    assert set(found["label"]) == {"m_09x0r|t_dd00088", "m_04rlf", "m_04rlf|m_09x0r"}
    columns = [f"source_{fold}" for fold in range(1, 6)]
    assert list(found.columns[-5:]) == columns
    for column in columns:
        for part in ("train", "validation", "test"):
            labels = {label for several in found["label"][found[column] == part] for label in several.split("|")}
            assert labels == {"m_09x0r", "t_dd00088", "m_04rlf"}, (column, part)
    describe("audioset_folder", fold_seed=1)
    run_here("split", "audioset_folder")
    assert list(read_windows(Path("data/splits/audioset_folder"))["fold"]) != list(found["fold"])


def test_labels_that_too_few_clips_have_are_named(home: Path) -> None:
    names = [f"id{number}" for number in range(6)]
    lay_out(home / "audioset", {f"{name}.wav": sound(n) for n, name in enumerate(names)})
    rows = [f'{name}, 0, 10, "{"/m/rare" if n == 0 else "/m/usual"}"\n' for n, name in enumerate(names)]
    (home / "audioset/segments.csv").write_text("# YTID\n" + "".join(rows))
    describe("audioset_folder")
    run_here("download", "audioset_folder")
    run_here("resample", "audioset_folder")
    assert refusal(DatasetError, run_here, "split", "audioset_folder") == (
        "audioset_folder: groups cannot be dealt so that each of 5 folds has recordings with and without 'm_rare', "
        "'m_usual'. Add recordings of another origin, or group them otherwise."
    )


def small_esc10(home: Path, **changes: Any) -> None:
    """Put an archive of ESC-10's layout into the mirror: three folds, three classes, each two sources of two takes."""
    labels = ("Dog bark", "Rain", "Rooster")
    files = {}
    for fold, number in product((1, 2, 3), range(12)):
        kind, source, take = number % 3, fold * 100 + number % 6, "AB"[number // 6]
        name = f"ESC-10-x/{kind + 1:03d} - {labels[kind]}/{fold}-{source}-{take}.ogg"
        files[name] = sound(fold * 100 + number, 3.6 + 0.01 * number, "OGG")
    write_zip(home / "mirror/553c8f1743b9dba6b282e1323c3ca8fa76923448.zip", files)
    describe("esc10", clips=36, classes=3, manifest_sha256=None, **changes)


def make_mixtures(home: Path, per_fold: int = 7, **changes: Any) -> pd.DataFrame:
    """Mix small_esc10, with some keys of its record changed; give labels.csv."""
    small_esc10(home)
    record = yaml.safe_load(Path("datasets/esc10.yaml").read_text())
    cells.write(Path("datasets/esc10.yaml"), yaml.safe_dump(record | {"known_pairs": []} | changes))
    settings = {"of": "esc10", "seed": 0, "per_fold": per_fold, "level_db": [-5, 5]}
    describe("esc10_mixtures", mixtures=settings, clips=3 * per_fold, classes=3)
    run_here("download", "esc10")
    run_here("download", "esc10_mixtures")
    return pd.read_csv("data/raw/esc10_mixtures/labels.csv")


def test_mixtures_are_of_two_classes_of_one_fold_and_no_source_stands_in_two_parts(home: Path) -> None:
    told = make_mixtures(home)
    assert list(told.columns) == ["file", "label", "group", "fold"]
    assert all(Path("data/raw/esc10_mixtures", file).is_file() for file in told["file"])
    found = prepare("esc10_mixtures")
    assert found["clip"].nunique() == 21
    names = found["clip"].str.extract(r"^sounds/(?P<fold>\d)-(?P<first>\d+)-(?P<second>\d+)-\d+\.flac$")
    assert (names["fold"] == found["fold"].astype(str)).all()
    assert (names["first"] + "-" + names["second"] == found["group"]).all()
    sources = pd.concat([found.assign(source=names[which]) for which in ("first", "second")])
    assert (sources["source"].str[0] == sources["fold"].astype(str)).all(), "both are of the published fold"
    for column in ("source_1", "source_2", "source_3"):
        assert sources.groupby("source")[column].nunique().max() == 1
    assert (sources.groupby("source")["group"].nunique() == 1).all()
    labels = {n: ("dog_bark", "rain", "rooster")[n % 3] for n in range(6)}
    for label, first, second in zip(found["label"], names["first"], names["second"], strict=True):
        assert label.split("|") == sorted(labels[int(source[-1])] for source in (first, second))
    # The audit sees every source apart, too.
    cells.edit_params(Path(), lambda params: params["audit"].update(trees=10))
    run_here("audit", "esc10_mixtures")
    audit = json.loads(Path("metrics/esc10_mixtures/audit.json").read_text())
    assert audit["splits"]["source"]["columns"]["source_1"]["leaks"] == 0
    assert audit["splits"]["window"]["columns"]["window"]["groups_in_two_parts"] > 0


def test_mixtures_are_the_same_again_and_others_with_another_seed(home: Path) -> None:
    make_mixtures(home)
    before = json.loads(Path("data/raw/esc10_mixtures/source.json").read_text())
    run_here("download", "esc10_mixtures")
    assert json.loads(Path("data/raw/esc10_mixtures/source.json").read_text()) == before
    describe(
        "esc10_mixtures",
        mixtures={key: before[key] for key in ("of", "per_fold", "level_db")} | {"seed": 1},
        clips=21,
        classes=3,
    )
    run_here("download", "esc10_mixtures")
    after = json.loads(Path("data/raw/esc10_mixtures/source.json").read_text())
    assert after["manifest_sha256"] != before["manifest_sha256"]


def test_sources_that_the_other_data_set_knows_in_two_folds_are_not_mixed(home: Path) -> None:
    found = make_mixtures(home, known_pairs=[["dog_bark/1-100-A.wav", "rain/2-201-A.wav"]])  # whatever they are in
    sources = {source for group in found["group"] for source in group.split("-")}
    assert sources & {"100", "201"} == set()
    assert "102" in sources


@pytest.mark.numeric
@pytest.mark.parametrize("level_db", [-20.0, 0.0, 5.0])
def test_the_second_sound_is_at_its_level_and_no_peak_is_above_the_limit(level_db: float) -> None:
    one, two = noise(2, RATE, 1), 0.01 * noise(1, 2 * RATE, 2)
    mixed = mix(Recording(one, RATE, ()), Recording(two, 2 * RATE, ()), level_db=level_db)
    assert len(mixed) == RATE
    added = mixed - one[:RATE]
    ratio = 10 * np.log10(np.square(added).mean() / np.square(one[:RATE]).mean())
    assert ratio == pytest.approx(level_db, abs=1e-3)
    loud = mix(Recording(9 * one, RATE, ()), Recording(two, RATE, ()), level_db=level_db)
    assert np.abs(loud).max() == pytest.approx(HIGHEST_PEAK)


def test_a_sound_that_is_silent_while_both_last_is_not_mixed() -> None:
    one, late = noise(1, RATE, 1), np.concatenate([np.zeros(RATE, np.float32), noise(1, RATE, 2)])
    told = "the second is silent for 1 s, as long as both last"
    assert refusal(BadAudioError, mix, Recording(one, RATE, ()), Recording(late, RATE, ()), level_db=0.0) == told


def one_class() -> None:
    shutil.rmtree("data/raw/esc10/audio/rain")
    shutil.rmtree("data/raw/esc10/audio/rooster")


def no_audio() -> None:
    for path in Path("data/raw/esc10/audio").glob("*/*"):
        path.write_text(path.name)


def no_sounds() -> None:
    shutil.rmtree("data/raw/esc10")


@pytest.mark.parametrize(
    ("take_away", "message"),
    [
        (one_class, "esc10_mixtures: fold 1 of esc10 has no two sources of different classes"),
        (
            no_audio,
            "esc10_mixtures: rain/1-101-A.ogg and dog_bark/1-103-B.ogg of esc10 cannot be mixed: not decodable as "
            "audio: Format not recognised.",
        ),
        (no_sounds, "data/raw/esc10/audio: no sounds. Run the download stage of esc10."),
    ],
)
def test_what_cannot_be_mixed_stops_it(home: Path, take_away: Callable[[], None], message: str) -> None:
    small_esc10(home)
    run_here("download", "esc10")
    take_away()
    assert refusal(DatasetError, run_here, "download", "esc10_mixtures") == message


def test_a_table_without_a_header_has_the_columns_params_name() -> None:
    table = LabelTable(**TABLE, header=["fname", "labels"])
    assert read_table('# x\n a, "b,c"\nd, e\n', table) == {"a": {"label": "b,c"}, "d": {"label": "e"}}
    told = "has no column 'labels', only fname, split"
    assert refusal(LabelTableError, read_table, "fname,split\n", LabelTable(**TABLE)) == told
