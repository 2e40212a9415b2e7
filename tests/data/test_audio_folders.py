"""Audio folders in the layout of the Hugging Face hub become audio, labels.csv and a record, or are refused by line."""

import json
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.data import audio_folders
from beyond_spectrograms.data.folders import RawDataError
from beyond_spectrograms.params.study import load_study
from stages.tables import changed_folders
from support import cells
from support.common import contents, refusal
from support.repository import run_here

BY_FOLDER = {"kind": "audio_folder"}
LAYOUT = {"kind": "audio_folder", "label": "animal"}


pytestmark = pytest.mark.usefixtures("home")


def lay_out(home: Path, *names: str, **tables: str) -> None:
    for name in names:
        cells.write(home / "pets" / name, name)
    for name, text in tables.items():
        cells.write(home / "pets" / name.replace("__", "/").replace("_csv", ".csv").replace("_jsonl", ".jsonl"), text)


def define(layout: dict[str, Any], **source: Any) -> None:
    dealt = {} if {"fold", "part"} & set(layout) else {"folds": 3, "fold_seed": 0}
    cells.write_params(Path())
    described = {"path": "~/pets", "layout": layout, "seconds": [1, 600], **dealt, **source}
    cells.write_record(Path(), "pets", described)


def take(layout: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    define(layout)
    run_here("download", "pets")
    found = {name: content.decode() for name, content in contents(Path("data/raw/pets")).items()}
    return found, json.loads(found.pop("source.json"))


def test_metadata_csv_says_labels_groups_and_folds(home: Path) -> None:
    table = 'file_name,text,animal,take,who\n1.wav,a,Big Dog,1,anna\nin/2.flac,"b\nc",cat,2,7\n'
    lay_out(home, "1.wav", "in/2.flac", "3.wav", "README.md", ".cache/x", metadata_csv=table)
    found, record = take(LAYOUT | {"group": "who", "fold": "take"})
    assert found == {
        "audio/big_dog/1.wav": "1.wav",
        "audio/cat/in__2.flac": "in/2.flac",
        "labels.csv": "file,label,group,fold\naudio/big_dog/1.wav,big_dog,anna,1\naudio/cat/in__2.flac,cat,7,2\n",
    }
    assert record["left_out"] == {".md": 1, "dot-files": 1, "not in metadata": 1}
    assert record["classes"] == {"big_dog": 1, "cat": 1}


def test_metadata_jsonl_in_folders_of_parts(home: Path) -> None:
    rows = {"train": ["dog", "cat"], "validation": ["dog", "cat"], "test": ["dog", "cat"]}
    for part, labels in rows.items():
        lines = [json.dumps({"file_name": f"{n}.wav", "animal": label}) for n, label in enumerate(labels)]
        lay_out(home, f"{part}/0.wav", f"{part}/1.wav", **{f"{part}__metadata_jsonl": "\n".join([*lines, "", ""])})
    found, record = take(LAYOUT | {"part": "folders"})
    assert found.pop("labels.csv") == (
        "file,label,part\naudio/cat/test__1.wav,cat,test\naudio/cat/train__1.wav,cat,train\n"
        "audio/cat/validation__1.wav,cat,validation\naudio/dog/test__0.wav,dog,test\n"
        "audio/dog/train__0.wav,dog,train\naudio/dog/validation__0.wav,dog,validation\n"
    )
    assert found["audio/dog/train__0.wav"] == "train/0.wav"
    assert (record["left_out"], record["files"]) == ({}, 6)


def test_a_column_says_parts_and_a_separator_labels(home: Path) -> None:
    lay_out(home, "1.wav", "2.wav", metadata_csv="file_name,animal,split\n1.wav,owl; rain,val\n2.wav,rain,test\n")
    found, _ = take(LAYOUT | {"part": "split", "separator": ";"})
    assert found["labels.csv"] == (
        "file,label,part\naudio/sounds/1.wav,owl|rain,validation\naudio/sounds/2.wav,rain,test\n"
    )


@pytest.mark.parametrize("part", [None, "folders"])
def test_folders_say_labels_below_those_of_parts(home: Path, part: str | None) -> None:
    names = [f"{part}/{label}/{n}.wav" for part in ("train", "val", "test") for label in ("Dog", "cat") for n in (1, 2)]
    lay_out(home, *names, "train/cat/in/3.mp3", "notes.txt", "train/cat/old_metadata.csv")
    found, record = take(BY_FOLDER | ({"part": part} if part else {}))
    assert ("labels.csv" in found) == bool(part)
    if part:
        assert "audio/cat/val__1.wav,cat,validation\n" in found.pop("labels.csv")
    assert len(found) == 13
    assert found["audio/dog/train__1.wav"] == "train/Dog/1.wav"
    assert found["audio/cat/train__in__3.mp3"] == "train/cat/in/3.mp3"
    assert record["left_out"] == {".csv": 1, ".txt": 1}


@pytest.mark.parametrize(
    ("names", "layout", "told"),
    [
        (["1.wav"], LAYOUT, "has no metadata.csv and no metadata.jsonl, whose column 'animal' is to be the label."),
        (["1.wav"], BY_FOLDER, "1.wav is in no folder named for its label."),
        (["train/1.wav"], BY_FOLDER, "train/1.wav is in no folder named for its label."),
        (["train/dog/1.wav", "dog/1.wav"], BY_FOLDER | {"part": "folders"},
         "part is by folders, but not all sounds are in folders named train, val, validation, test."),
        (["notes.txt"], BY_FOLDER,
         f"no sound in it. Sounds end in {', '.join(audio_folders.READ)}."),
        (["dog/a/1.wav", "dog/a__1.wav"], BY_FOLDER,
         "'dog/a__1.wav' and 'dog/a/1.wav' of ~/pets are both dog/a__1.wav."),
    ],
)  # fmt: skip
def test_a_folder_that_is_none_is_refused(home: Path, names: list[str], layout: dict[str, str], told: str) -> None:
    lay_out(home, *names)
    define(layout)
    url = "~/pets" if "both" in told else f"{home}/pets"
    assert refusal(RawDataError, run_here, "download", "pets") == f"{url}: {told}"
    assert not Path("data/raw").exists()


def test_no_folder_is_told() -> None:
    define(BY_FOLDER)
    told = "~/pets: no such folder. Put the files of the data set there, or change source.path."
    assert refusal(RawDataError, run_here, "download", "pets") == told


HEAD = "file_name,animal\n"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("metadata_csv", HEAD + "1.wav,dog\n,dog\n3.wav,\n9.wav,cat\n1.wav,dog\n../1.wav,x\n/1.wav,x\n1.wav\n",
         "metadata.csv, line 3 has no file_name; metadata.csv, line 4 has no animal; "
         "metadata.csv, line 5 names '9.wav', and there is no such sound; "
         "metadata.csv, line 6 names '1.wav' a second time; "
         "metadata.csv, line 7 names '../1.wav', an absolute or parent path; and 2 more."),
        ("metadata_csv", HEAD + "1.wav,dog,more\n", "metadata.csv, line 2 is no row of such columns."),
        ("metadata_jsonl", '{"file_name": "1.wav", "animal": 3}\n\n{"file_name": \n[1]\n{"file_name": 1}\n',
         "metadata.jsonl, line 3 is no JSON object: '{\"file_name\": '; metadata.jsonl, line 4 is no JSON object: [1]; "
         "metadata.jsonl, line 5 has no file_name."),
        ("metadata_jsonl", '{"file_name": "1.wav", "animal": 1.5}',
         "metadata.jsonl, line 1 has animal 1.5, no text and no whole number."),
    ],
)  # fmt: skip
def test_bad_rows_are_named_by_their_lines(home: Path, name: str, text: str, told: str) -> None:
    lay_out(home, "1.wav", "3.wav", **{name: text})
    define(LAYOUT)
    assert refusal(RawDataError, run_here, "download", "pets") == f"{home}/pets: {told}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"file,animal\n", "/metadata.csv: needs a column file_name, and none twice; has file, animal."),
        (b"", "/metadata.csv: needs a column file_name, and none twice; has none."),
        (b"file_name,animal,animal\n",
         "/metadata.csv: needs a column file_name, and none twice; has file_name, animal, animal."),
        (b"file_name,animal\n\xff", "/metadata.csv: is no UTF-8 text, at byte 17."),
        (b"file_name,animal\n1.wav," + b"x" * 140_000,
         "/metadata.csv, line 2: field larger than field limit (131072)."),
        (b"file_name,animal\n" + b"1.wav,dog\n" * 100_000,
         "/metadata.csv: has 1000017 bytes; of metadata at most 1000000 are read."),
    ],
)  # fmt: skip
def test_metadata_that_is_none_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, told: str
) -> None:
    monkeypatch.setattr(audio_folders, "MOST_METADATA_BYTES", 10**6)
    lay_out(home, "1.wav")
    (home / "pets/metadata.csv").write_bytes(content)
    define(LAYOUT)
    assert refusal(RawDataError, run_here, "download", "pets") == f"{home}/pets{told}"


def test_two_kinds_of_metadata_in_a_folder_are_refused(home: Path) -> None:
    lay_out(home, "1.wav", metadata_csv=HEAD, metadata_jsonl="")
    define(LAYOUT)
    told = f"{home}/pets: has metadata.csv and metadata.jsonl in one folder. Take one away."
    assert refusal(RawDataError, run_here, "download", "pets") == told


def test_stale_tells_when_the_metadata_has_changed(home: Path) -> None:
    lay_out(home, "1.wav", "2.wav", metadata_csv=HEAD + "1.wav,dog\n2.wav,cat\n")
    define(LAYOUT)
    cells.edit_params(Path(), lambda params: params["grid"].update(datasets=["pets"]))
    run_here("download", "pets")
    assert changed_folders([load_study()]) == []
    lay_out(home, metadata_csv=HEAD + "1.wav,dog\n2.wav,dog\n")
    told = "pets: ~/pets has changed since it was copied; say dvc repro -f download@pets"
    assert changed_folders([load_study()]) == [told]
