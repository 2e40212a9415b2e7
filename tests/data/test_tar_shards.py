"""Tar shards in the layout of webdataset become audio, labels.csv and a record, or are refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.data import tar_shards
from beyond_spectrograms.data.folders import READ, RawDataError
from beyond_spectrograms.data.tar_shards import expand_braces, list_shards
from beyond_spectrograms.params.study import load_study
from stages.tables import changed_folders
from support import cells
from support.common import contents, flip, refusal
from support.packed import write_tar
from support.repository import run_here

Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def project(home: Path) -> Path:
    """Run in an empty folder, with shards in one beside it."""
    (home / "shards").mkdir()
    return home


def sample(key: str, label: str, speaker: object = "s1", suffix: str = "flac") -> Files:
    """A sound and what is beside it, in the order in which webdataset writes them."""
    told = json.dumps({"label": label, "of": {"speaker": speaker}}).encode()
    return {f"{key}.cls": label.encode() + b"\n", f"{key}.{suffix}": f"sound {key}".encode(), f"{key}.json": told}


LAYOUT = {"kind": "shards", "label": "json.label"}


def define(path: object, **source: Any) -> None:
    described = {"path": str(path), "layout": LAYOUT, "seconds": [1, 600], "folds": 3, "fold_seed": 0, **source}
    cells.write_params(Path())
    cells.write_record(Path(), "pets", described)


def take(path: object, **source: Any) -> tuple[Files, dict[str, Any]]:
    define(path, **source)
    run_here("download", "pets")
    found = contents(Path("data/raw/pets"))
    record = json.loads(found.pop("source.json"))
    assert len(record.pop("manifest_sha256")) == len(record.pop("listing_sha256")) == 64
    assert not Path("data/partial/fetched").exists() or not list(Path("data/partial/fetched").iterdir())
    return found, record


def test_shards_become_audio_by_a_field_of_their_json(project: Path) -> None:
    others = {"README.md": b"read me", "._0.flac": b"", "lone.json": b"{}", "5.png": b"", "5.json": b"{}"}
    write_tar(project / "shards/pets-0.tar", sample("0", "Big Dog") | sample("a/1", "cat", suffix="WAV") | others)
    write_tar(project / "shards/pets-1.tar.gz", sample("2", "cat"), "w:gz")
    found, record = take(project / "shards")
    assert found == {
        "audio/big_dog/0.flac": b"sound 0",
        "audio/cat/a__1.WAV": b"sound a/1",
        "audio/cat/2.flac": b"sound 2",
    }
    left_out = {".cls": 3, ".json": 2, ".md": 1, ".png": 1, "dot-files": 1}
    counts = {"files": 3, "classes": {"big_dog": 1, "cat": 2}}
    assert record == {"kind": "path", "path": str(project / "shards"), "left_out": left_out, **counts}


def test_labels_groups_and_folds_are_told_beside_the_sounds(project: Path) -> None:
    write_tar(project / "shards/x.tar", sample("0", "dog", 7) | sample("1", "cat", "s2"))
    layout = {"kind": "shards", "label": "cls", "group": "json.of.speaker"}
    found, record = take(project / "shards/x.tar", layout=layout)
    assert found.pop("labels.csv") == b"file,label,group\naudio/cat/1.flac,cat,s2\naudio/dog/0.flac,dog,7\n"
    assert set(found) == {"audio/cat/1.flac", "audio/dog/0.flac"}
    assert record["left_out"] == {}


def test_a_sound_has_several_labels_where_a_separator_parts_them(project: Path) -> None:
    one = {"0.txt": b"Big owl; rain", "0.ogg": b"sound 0"}
    other = {"1.txt": b"rain", "1.ogg": b"sound 1"}
    write_tar(project / "shards/x.tar", one | other)
    found, _ = take(project / "shards", layout={"kind": "shards", "label": "txt", "separator": ";"})
    assert found.pop("labels.csv") == b"file,label\naudio/sounds/0.ogg,big_owl|rain\naudio/sounds/1.ogg,rain\n"
    listed = {
        "0.json": b'{"label": ["rain", "Big owl"]}',
        "0.ogg": b"sound 0",
        "1.json": b'{"label": "rain"}',
        "1.ogg": b"",
    }
    write_tar(project / "shards/x.tar", listed)
    found, _ = take(project / "shards", layout=LAYOUT | {"separator": ";"})
    assert found["labels.csv"] == b"file,label\naudio/sounds/0.ogg,big_owl|rain\naudio/sounds/1.ogg,rain\n"


def test_the_order_and_number_of_shards_change_nothing(project: Path) -> None:
    samples = [sample(f"{number:02d}", f"class {number % 3}", number % 4) for number in range(12)]
    layout = LAYOUT | {"group": "json.of.speaker"}
    results = []
    for order, size in ((samples, 12), (samples[::-1], 5)):
        folder = project / f"by {size}"
        folder.mkdir()
        for first in range(0, 12, size):
            files = {name: content for each in order[first : first + size] for name, content in each.items()}
            write_tar(folder / f"{first:03d}.tar", files)
        found, record = take(folder, layout=layout)
        results.append((found, record | {"path": ""}))
    assert len(results[0][0]) == 13
    assert results[0] == results[1]


def test_braces_name_shards(project: Path) -> None:
    for number in range(9, 12):
        write_tar(project / f"shards/x-{number:03d}.tar", sample(f"{number}", "dog"))
    found, _ = take(f"{project}/shards/x-{{009..010}}.tar")
    assert set(found) == {"audio/dog/9.flac", "audio/dog/10.flac"}
    define(f"{project}/shards/x-{{008..013}}.tar")
    told = f"{project}/shards/x-{{008..013}}.tar: 3 of 6 shards are not there: x-008.tar, x-012.tar, x-013.tar."
    assert refusal(RawDataError, run_here, "download", "pets") == told
    assert expand_braces("", "{a,b}-{1..2}.tar") == ["a-1.tar", "a-2.tar", "b-1.tar", "b-2.tar"]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("x{3..1}.tar", "{3..1} is no range of 1 to 100000 shards."),
        ("x{0..100000}.tar", "{0..100000} is no range of 1 to 100000 shards."),
        ("x{0..999}{0..999}.tar", "stands for 1000000 shards; at most 100000 are read."),
        ("x{abc}.tar", "{abc} is neither a range, {000..012}, nor names parted by commas."),
        ("x{1,1}.tar", "names x1.tar twice."),
    ],
)
def test_braces_that_stand_for_no_shards_are_refused(pattern: str, told: str) -> None:
    assert refusal(RawDataError, expand_braces, "p", pattern) == f"p: {told}"


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1024])


def flipped(path: Path) -> None:
    flip(path, 1024 + 20)


PLAIN = sample("0", "dog")
REFUSED = "Nothing of this archive is used."


@pytest.mark.parametrize(
    ("files", "layout", "told"),
    [
        (sample("../0", "dog"), {}, f": member '../0.cls' has an absolute or parent path. {REFUSED}"),
        (sample("/0", "dog"), {}, f": member '/0.cls' has an absolute or parent path. {REFUSED}"),
        ({"0.flac": b"x", "1.flac": b"x", "1.json": b'{"label": "dog"}', "2.ogg": b"x", "2.json": b"{}"}, {},
         ": 2 of 3 sounds have no json.label: 0.flac, 2.ogg."),
        (PLAIN, {"label": "json.name"}, ": 1 of 1 sounds have no json.name: 0.flac."),
        (PLAIN, {"group": "json.of.name"}, ": 1 of 1 sounds have no json.label or no json.of.name: 0.flac."),
        (PLAIN | {"0.json": b"{"}, {}, f": member '0.json' is no JSON. {REFUSED}"),
        (PLAIN | {"0.json": b"[" * 100_000}, {}, f": member '0.json' is no JSON. {REFUSED}"),
        (PLAIN | {"0.cls": b"\xff"}, {"label": "cls"}, f": member '0.cls' is no UTF-8 text. {REFUSED}"),
        (PLAIN | {"0.json": b'{"label": [1]}'}, {},
         f": member '0.json' has json.label [1], no text and no whole number. {REFUSED}"),
        (PLAIN | {"0.json": b'{"label": true}'}, {},
         f": member '0.json' has json.label True, no text and no whole number. {REFUSED}"),
        (PLAIN | {"0.json": b'{"label": "\\ud800"}'}, {},
         f": member '0.json' has json.label '\\ud800', no text that UTF-8 holds. {REFUSED}"),
        (PLAIN, {"fold": "cls"}, f": member '0.cls' has cls 'dog', no number of a fold. {REFUSED}"),
        (PLAIN, {"part": "cls"}, f": member '0.cls' has cls 'dog', none of train, val, validation, test. {REFUSED}"),
        (PLAIN | {"0.wav": b"x"}, {},
         f": member '0.wav' is a second sound of key '0', which ends at its first dot. {REFUSED}"),
        (PLAIN | sample("1", "dog") | {"0.wav": b"x"}, {},
         f": member '0.wav' is a second sound of key '0', which ends at its first dot. {REFUSED}"),
        (sample("a/0", "dog") | sample("a__0", "dog"), {},
         f": member 'a__0.flac' and member 'a/0.flac' are both a__0.flac. {REFUSED}"),
        ({"0.txt": b"dog"}, {}, f": no sound in it. Sounds end in {', '.join(READ)}."),
    ],
)  # fmt: skip
def test_a_shard_that_is_none_is_refused_by_what_is_wrong(
    project: Path, files: Files, layout: dict[str, str], told: str
) -> None:
    path = write_tar(project / "shards/x.tar", files)
    dealt = {"folds": None, "fold_seed": None} if {"fold", "part"} & set(layout) else {}
    define(path, layout=LAYOUT | layout, **dealt)
    assert refusal(RawDataError, run_here, "download", "pets") == f"{path}{told}"
    assert not Path("data/raw").exists()


@pytest.mark.parametrize(
    ("damage", "reason"), [(damaged, "it ends before its end mark"), (flipped, "a header is damaged")]
)
def test_a_damaged_shard_is_refused(project: Path, damage: Callable[[Path], None], reason: str) -> None:
    path = write_tar(project / "shards/x.tar", sample("0", "dog") | sample("1", "dog"))
    with path.open("r+b") as file:  # to a size without what tarfile fills up with
        file.truncate(6 * 1024 + 1024)
    damage(path)
    define(project / "shards")
    told = f"{path} does not unpack: {reason}. Put a whole one there, and run again."
    assert refusal(RawDataError, run_here, "download", "pets") == told
    write_tar(path, sample("0", "dog"))
    assert set(take(project / "shards")[0]) == {"audio/dog/0.flac"}


@pytest.mark.parametrize(("limit", "member"), [("MOST_SOUND_BYTES", "0.flac"), ("MOST_SIDECAR_BYTES", "0.json")])
def test_a_member_that_is_too_large_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, limit: str, member: str
) -> None:
    path = write_tar(project / "shards/x.tar", PLAIN)
    size = len(PLAIN[member])
    monkeypatch.setattr(tar_shards, limit, size - 1)
    define(path)
    told = f"{path}: member {member!r} has {size} bytes; at most {size - 1} are read. {REFUSED}"
    assert refusal(RawDataError, run_here, "download", "pets") == told


def test_two_shards_with_one_place_for_a_sound_are_told(project: Path) -> None:
    for name in ("a", "b"):
        write_tar(project / f"shards/{name}.tar", PLAIN)
    define(project / "shards")
    folder = project / "shards"
    told = f"{folder}/b.tar: '0.flac' and '0.flac' of {folder}/a.tar are both dog/0.flac."
    assert refusal(RawDataError, run_here, "download", "pets") == told


def test_two_labels_of_one_name_are_told(project: Path) -> None:
    path = write_tar(project / "shards/x.tar", sample("0", "Dog") | sample("1", "dog"))
    define(path)
    told = f"{path}: '1.flac' has the label 'dog', and another 'Dog': both are dog."
    assert refusal(RawDataError, run_here, "download", "pets") == told


def test_a_folder_without_shards_is_told(project: Path) -> None:
    define(project / "shards")
    told = f"{project}/shards: no tar shard in it. Shards end in .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz."
    assert refusal(RawDataError, run_here, "download", "pets") == told


def test_a_shard_at_the_root_is_looked_for_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_tar(tmp_path / "nowhere-0.tar", PLAIN)
    told = "/nowhere-0.tar: 1 of 1 shards are not there: nowhere-0.tar."
    assert refusal(RawDataError, list_shards, "/nowhere-0.tar") == told


def test_stale_tells_when_shards_have_changed(project: Path) -> None:
    write_tar(project / "shards/0.tar", PLAIN)
    define(project / "shards")
    cells.edit_params(Path(), lambda params: params["grid"].update(datasets=["pets"]))
    run_here("download", "pets")
    assert changed_folders([load_study()]) == []
    write_tar(project / "shards/1.tar", sample("1", "dog"))
    told = f"pets: {project}/shards has changed since it was copied; say dvc repro -f download@pets"
    assert changed_folders([load_study()]) == [told]
