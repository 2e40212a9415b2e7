"""Data sets in an object store on 127.0.0.1 become what they would from a folder that is here."""

import json
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.data.clips import DatasetError
from beyond_spectrograms.data.folders import READ, RawDataError
from beyond_spectrograms.params.study import load_study
from beyond_spectrograms.util.storage.places import StorageError
from beyond_spectrograms.util.text import quoted
from stages.tables import changed_folders
from support import cells
from support.common import contents, noise, refusal
from support.packed import write_tar
from support.repository import run_here
from support.stopping import kill_stage_in
from support.stores import Relay, put, relayed, use

URL = "s3://sounds/pets"


pytestmark = pytest.mark.usefixtures("home", "relay")


def define(**source: Any) -> None:
    dealt = {} if "part" in source.get("layout", {}) else {"folds": 3, "fold_seed": 0}
    cells.write_params(Path())
    cells.write_record(Path(), "pets", {"path": URL, "seconds": [0.1, 600], **dealt, **source})


def taken() -> tuple[dict[str, bytes], dict[str, Any]]:
    run_here("download", "pets")
    found = contents(Path("data/raw/pets"))
    return found, json.loads(found.pop("source.json"))


CLASSES = {f"{label}/{n}.wav": f"{label} {n}".encode() for label in ("Big dog", "cat") for n in range(6)}
OTHERS = {"notes.txt": b"", "cat/notes.txt": b"", "cat/.x.wav": b"", "cat/in/7.wav": b"cat 7"}


def store(s3: int, files: dict[str, bytes], folder: str = "pets") -> None:
    for name, content in files.items():
        put(s3, f"{folder}/{name}".replace(" ", "%20"), content)


def test_folders_of_classes_in_a_bucket(s3: int, relay: Relay, capsys: pytest.CaptureFixture[str]) -> None:
    store(s3, CLASSES | OTHERS)
    define()
    found, record = taken()
    here = CLASSES | {"cat/in__7.wav": b"cat 7"}
    assert found == {f"audio/{name}": content for name, content in here.items()}
    assert record["left_out"] == {".txt": 2, "dot-files": 1}
    assert (record["kind"], record["path"], record["classes"]) == ("path", URL, {"Big dog": 6, "cat": 7})
    assert [count for what, count in relay.whole.items() if what.startswith("GET /sounds/pets/")] == [1] * 13
    copying = f"pets: copying {URL}. DVC does not watch it: once it changes, say dvc repro -f download@pets"
    assert capsys.readouterr().out.splitlines()[0] == copying
    cells.edit_params(Path(), lambda params: params["grid"].update(datasets=["pets"]))
    asked = sum(relay.told.values())
    assert changed_folders([load_study()]) == []
    assert sum(relay.told.values()) == asked, "asked a store for what is stale"


def test_names_that_do_not_suffice_for_the_folds_stop_before_anything_is_fetched(s3: int, relay: Relay) -> None:
    store(s3, {"cat/1.wav": b"", "cat/2.wav": b""})
    define()
    told = (
        "pets: class 'cat' has 2 recordings or sources, too few for 3 folds. "
        "Add recordings, or deal fewer folds (source.folds, at least 3)."
    )
    assert refusal(DatasetError, run_here, "download", "pets") == told
    assert not relay.told["GET /sounds/pets/cat/1.wav"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (None, ": no class folder. Put the sounds of each class into a sub-folder of its name."),
        ("cat/notes.txt", f"/cat: no sound in this class folder. Sounds end in {', '.join(READ)}."),
        ("cat/../../../b.wav", ": 'cat/../../../b.wav' is no name that a file can have here."),
        ("cat//b.wav", ": 'cat//b.wav' is no name that a file can have here."),
        ("cat/%0Ab.wav", ": 'cat/\\nb.wav' is no name that a file can have here."),
        (f"{'c' * 201}/b.wav", f": {quoted('c' * 201 + '/b.wav')} is no name that a file can have here."),
    ],
)  # fmt: skip
def test_a_bucket_that_holds_no_data_set_is_refused(relay: Relay, name: str | None, told: str) -> None:
    listed = f"<Contents><Key>pets/{name}</Key><Size>3</Size></Contents>" if name else ""
    head = "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
    relay.answers["/sounds"] = 200, f"<ListBucketResult>{head}{listed}</ListBucketResult>".encode()
    define()
    assert refusal(RawDataError, run_here, "download", "pets") == f"{URL}{told}"
    assert not Path("data/raw").exists()


def test_no_bucket_is_told() -> None:
    define(path="s3://nowhere/pets")
    told = "s3://nowhere/pets: no such bucket or folder. Make it, or correct the path."
    assert refusal(StorageError, run_here, "download", "pets") == told


TABLE = b"file,class,fold\n1.wav,Dog,1\n2.wav,cat,2\n"
MEMBERS = {
    "top/a/1.wav": b"dog 1",
    "top/a/2.wav": b"cat 2",
    "top/labels.csv": TABLE,
    "top/a/read.me": b"",
    "other.wav": b"",
}


def test_a_bucket_laid_out_as_an_archive(s3: int, relay: Relay) -> None:
    store(s3, MEMBERS)
    table = {"member": "top/labels.csv", "file": "file", "label": "class", "fold": "fold"}
    define(members=r"top/a/(?P<file>\d\.wav)", label_table=table, folds=None, fold_seed=None)
    found, record = taken()
    assert set(found) == {"audio/dog/1.wav", "audio/cat/2.wav", "labels.csv"}
    assert record["left_out"] == {".csv": 1, ".me": 1, ".wav": 1}
    assert not relay.told["GET /sounds/pets/other.wav"]
    define(members=r"top/(?P<file>a/\d\.wav)", label_table=table, folds=None, fold_seed=None)
    told = f"{URL}: member 'top/a/1.wav' has no label or no plain file name. Nothing of this folder is used."
    assert refusal(RawDataError, run_here, "download", "pets") == told


def pack(folder: Path, number: int) -> bytes:
    """Pack a shard of four sounds."""
    files = dict[str, bytes]()
    for key in range(4 * number, 4 * number + 4):
        files |= {f"{key:03d}.cls": b"dog" if key % 2 else b"cat", f"{key:03d}.flac": b"sound %d" % key * 1000}
    return write_tar(folder / "x.tar", files).read_bytes()


SHARDS = {"path": f"{URL}/x-{{00..04}}.tar", "layout": {"kind": "shards", "label": "cls"}}


def test_shards_in_a_bucket(s3: int, relay: Relay, tmp_path: Path) -> None:
    store(s3, {f"x-{number:02d}.tar": pack(tmp_path, number) for number in range(6)})
    define(**SHARDS)
    found, record = taken()
    assert found == {
        f"audio/{'dog' if key % 2 else 'cat'}/{key:03d}.flac": b"sound %d" % key * 1000 for key in range(20)
    }
    assert (record["path"], record["left_out"]) == (SHARDS["path"], {})
    assert not relay.told["GET /sounds/pets/x-05.tar"]


def test_a_shard_that_was_uploaded_by_half_is_refused_and_fetched_again_once_it_is_whole(
    s3: int, relay: Relay, tmp_path: Path
) -> None:
    shards = {f"x-{number:02d}.tar": pack(tmp_path, number) for number in range(5)}
    store(s3, shards | {"x-02.tar": shards["x-02.tar"][:9000]})
    define(**SHARDS)
    told = f"{URL}/x-02.tar does not unpack: it ends before its end mark. Put a whole one there, and run again."
    assert refusal(RawDataError, run_here, "download", "pets") == told
    store(s3, {"x-02.tar": shards["x-02.tar"]})
    assert len(taken()[0]) == 20
    assert relay.whole["GET /sounds/pets/x-01.tar"] == 1
    assert relay.whole["GET /sounds/pets/x-02.tar"] == 2


def test_an_audio_folder_in_a_bucket(s3: int, relay: Relay) -> None:
    files = {f"{n}.wav": b"%d" % n for n in range(6)}
    table = "".join(
        f"{n}.wav,{'dog' if n % 2 else 'cat'},{part}\n" for n, part in enumerate(["train", "test", "val"] * 2)
    )
    store(s3, files | {"metadata.csv": f"file_name,kind,split\n{table}".encode(), "more.wav": b""})
    define(layout={"kind": "audio_folder", "label": "kind", "part": "split"})
    found, record = taken()
    assert found["labels.csv"].decode().splitlines()[1] == "audio/cat/0.wav,cat,train"
    assert len(found) == 7
    assert record["left_out"] == {"not in metadata": 1}
    assert not relay.told["GET /sounds/pets/more.wav"]


FORMS: dict[str, dict[str, Any]] = {"classes": {}, "shards": SHARDS}


@pytest.mark.parametrize("form", FORMS)
def test_storage_that_fails_one_call_in_ten_gives_the_same_bytes(
    form: str, s3: int, tmp_path: Path, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = {f"x-{number:02d}.tar": pack(tmp_path, number) for number in range(5)}
    store(s3, shards if form == "shards" else CLASSES)
    define(**FORMS[form])
    expected = taken()
    with relayed(s3, every=4 if form == "shards" else 10, seed=5) as failing:
        use(monkeypatch, failing.url)
        assert taken() == expected
        assert sum(count for fault, count in failing.met.items() if fault) > 1
    assert max(relay.whole[what] for what in relay.whole if "pets/" in what and what.startswith("GET")) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("form", "function", "objects"),
    [
        ("classes", "beyond_spectrograms.data.fetching:digest_file", 12),
        ("shards", "beyond_spectrograms.data.tar_shards:write_sealed", 5),
    ],
)
def test_a_killed_download_goes_on_and_fetches_nothing_again_that_is_whole(
    form: str, function: str, objects: int, request: pytest.FixtureRequest, relay: Relay
) -> None:
    s3, tmp_path = request.getfixturevalue("s3"), request.getfixturevalue("tmp_path")
    store(s3, {f"x-{n:02d}.tar": pack(tmp_path, n) for n in range(5)} if form == "shards" else CLASSES)
    define(**FORMS[form])
    kill_stage_in(function, "calls == 3", "download", "pets", folder=Path())
    assert not Path("data/raw").exists()
    begun = {what: count for what, count in relay.whole.items() if "pets/" in what and what.startswith("GET")}
    found = taken()
    after = {what: count for what, count in relay.whole.items() if "pets/" in what and what.startswith("GET")}
    assert len(after) == objects
    # What was whole and noted is kept: two at least. What was under way in other threads is fetched again.
    assert sum(count - begun.get(what, 0) for what, count in after.items()) <= objects - 2
    define(**FORMS[form])
    assert taken() == found
    assert not list(Path("data/partial").rglob("*.*"))


@pytest.mark.long
def test_sounds_of_a_bucket_go_all_the_way_to_windows(s3: int, relay: Relay, tmp_path: Path) -> None:
    import soundfile

    for n in range(8):
        soundfile.write(tmp_path / "x.wav", noise(1.5, 16_000, n), 16_000)
        put(s3, f"pets/{'cat' if n % 2 else 'dog'}/{n}.wav", (tmp_path / "x.wav").read_bytes())
    define()
    for stage in ("download", "resample", "split"):
        run_here(stage, "pets")
    assert len(Path("data/splits/pets/windows.csv").read_text().splitlines()) >= 9
    put(s3, "pets/dog/0.wav", (tmp_path / "x.wav").read_bytes()[:20_000])  # as a broken upload leaves it
    run_here("download", "pets")
    run_here("resample", "pets")
    told = json.loads(Path("metrics/pets/clips.json").read_text())
    assert list(told["set_aside"]) == ["dog/0.wav"]
    assert relay.met[""]
