"""Files here and in an object store on 127.0.0.1 whose calls fail: the same bytes in the end, whole or not at all."""

import hashlib
import os
import pickle
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import _registry as registered

from beyond_spectrograms.data.fetching import fetch_files
from beyond_spectrograms.util.errors import MissingPackageError
from beyond_spectrograms.util.storage import object_stores
from beyond_spectrograms.util.storage.places import ContentError, Entry, NotThereError, StorageError, place_at
from support.common import contents, lay_out, refusal
from support.servers import dead_url
from support.stores import BUSY, DENIED, FAULTS, Relay, forget, names, put, relayed, use, write

URL = "s3://sounds/some/folder"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("kind", ["folder", "file URL", "S3"])
@pytest.mark.usefixtures("relay")
def test_what_is_written_is_listed_measured_and_read(kind: str, tmp_path: Path) -> None:
    place = place_at({"folder": tmp_path / "place", "file URL": f"file://{tmp_path}/place", "S3": URL}[kind])
    assert place.entries() == []
    (tmp_path / "c").write_bytes(b"from a file")
    write(place, "a/b.bin", b"first")
    write(place, "a/b.bin", b"content")
    place.write("a/c.bin", tmp_path / "c")
    write(place, "d", b"")
    place = pickle.loads(pickle.dumps(place))
    assert [(entry.name, entry.size) for entry in place.entries()] == [("a/b.bin", 7), ("a/c.bin", 11), ("d", 0)]
    assert names(place, "a/") == ["a/b.bin", "a/c.bin"]
    assert names(place, "a/c") == ["a/c.bin"]
    assert names(place, "nowhere/") == []
    assert (place.size("d"), place.size("a/b.bin")) == (0, 7)
    mark = place.entries("a/b")[0].mark
    write(place, "a/b.bin", b"CONTENT")
    assert place.entries("a/b") != [Entry("a/b.bin", 7, mark)]
    assert place.read("a/b.bin", size=7) == b"CONTENT"
    place.read_into("a/c.bin", tmp_path / "copies/c", size=11, sha256=digest(b"from a file"))
    assert contents(tmp_path / "copies") == {"c": b"from a file"}
    for work in (place.size, place.read, lambda name: place.read_into(name, tmp_path / "copies/d")):
        for absent in ("e", "a"):
            told = f"{place.url}/{absent}: no such file. Make it, or correct the path."
            assert refusal(NotThereError, work, absent) == told
    assert contents(tmp_path / "copies") == {"c": b"from a file"}
    for name in ("", "/a", "../a", "a//b", "a/", "a\0b"):
        for work in (place.read, lambda name: write(place, name, b"")):
            assert refusal(StorageError, work, name) == f"{place.url}: {name!r} is no name of a file in it."


@pytest.mark.parametrize("kind", ["folder", "S3"])
def test_a_file_written_by_half_or_damaged_is_noticed(kind: str, s3: int, relay: Relay, tmp_path: Path) -> None:
    whole, place = b"whole content", place_at(tmp_path / "place" if kind == "folder" else URL)
    for changed, told in (
        (whole[:6], "has 6 bytes, expected 13: written by half, or another file."),
        (whole.upper(), f"has sha256 {digest(whole.upper())}, expected {digest(whole)}: damaged, or another file."),
    ):
        if kind == "S3":
            put(s3, "some/folder/x", changed)
        else:
            write(place, "x", changed)
        known = {"size": len(whole), "sha256": digest(whole)}
        assert refusal(ContentError, place.read_into, "x", tmp_path / "into/x", **known) == f"{place.url}/x: {told}"
        assert list((tmp_path / "into").iterdir()) == []
        if len(changed) < len(whole):
            assert refusal(ContentError, place.read, "x", size=len(whole)) == f"{place.url}/x: {told}"
    assert relay.told["GET /sounds/some/folder/x"] == (3 if kind == "S3" else 0), "tried again"


def test_a_store_is_asked_for_names_that_begin_so_alone(s3: int, relay: Relay) -> None:
    for name in ("sounds-000.tar", "sounds-001.tar", "songs-000.tar", "sounds/000.tar"):
        put(s3, f"some/folder/{name}", b"x")
    assert names(place_at(URL), "sounds-") == ["sounds-000.tar", "sounds-001.tar"]
    assert names(place_at(URL), "sounds/0") == ["sounds/000.tar"]
    assert relay.listed == ["some/folder/sounds-", "some/folder/sounds/0"]


@pytest.mark.parametrize("fault", FAULTS)
def test_each_kind_of_fault_is_got_over(fault: str, s3: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget(s3)
    monkeypatch.setattr(object_stores, "PAUSE_S", 0.001)
    with relayed(s3, every=3, faults=(fault,)) as relay:
        use(monkeypatch, relay.url)
        place = place_at(URL)
        for number in range(5):
            write(place, f"{number}", b"%d" % number * 1000)
        assert names(place) == [f"{number}" for number in range(5)]
        for number in range(5):
            place.read_into(f"{number}", tmp_path / f"{number}")
            assert place.read(f"{number}") == (tmp_path / f"{number}").read_bytes() == b"%d" % number * 1000
        assert relay.met[fault] > 3


@pytest.mark.long
def test_a_hundred_files_through_storage_that_fails_one_call_in_ten(
    s3: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forget(s3)
    monkeypatch.setattr(object_stores, "PAUSE_S", 0.001)
    files = {f"{number:03d}/file": Random(number).randbytes(number * 700) for number in range(100)}
    with relayed(s3, every=10, seed=19) as relay:
        use(monkeypatch, relay.url)
        for name, content in files.items():
            write(place_at(URL), name, content)
        assert names(place_at(URL)) == sorted(files)
        for name, content in files.items():
            place_at(URL).read_into(name, tmp_path / name, sha256=digest(content))
        assert {name: place_at(URL).read(name) for name in files} == contents(tmp_path) == files
        assert sum(relay.met.values()) > 400
        assert min(relay.met[fault] for fault in FAULTS) > 3


@pytest.mark.long
def test_a_file_of_several_parts_is_put_and_read_whole(
    s3: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forget(s3)
    monkeypatch.setattr(object_stores, "PAUSE_S", 0.001)
    (tmp_path / "large").write_bytes(Random(0).randbytes(2**20) * 120)
    with relayed(s3, every=8, seed=2, faults=("busy", "cut after", "failed after")) as relay:
        use(monkeypatch, relay.url)
        place_at(URL).write("large", tmp_path / "large")
        assert relay.told["POST /sounds/some/folder/large"] > 1, "put at once"
        place_at(URL).read_into("large", tmp_path / "back", size=120 * 2**20)
        assert relay.met["busy"] + relay.met["cut after"] + relay.met["failed after"] > 1
    assert (tmp_path / "back").read_bytes() == (tmp_path / "large").read_bytes()


def test_storage_that_never_answers_is_left_with_a_line(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    relay.answers["/sounds/some/folder/x"] = (503, BUSY)
    waits: list[float] = []
    monkeypatch.setattr(object_stores, "PAUSE_S", 0.25)
    monkeypatch.setattr("time.sleep", waits.append)
    again = "Run the same command again once the store answers."
    told = f"{URL}/x: [Errno 16] Reduce your rate (7 attempts). {again}"
    assert refusal(StorageError, write, place_at(URL), "x", b"") == told
    assert relay.told["PUT /sounds/some/folder/x"] == 7
    assert waits == [0.25, 0.5, 1, 2, 4, 8]
    url = dead_url("")
    use(monkeypatch, url)
    told = f'{URL}/x: Could not connect to the endpoint URL: "{url}/sounds/some/folder/x" (7 attempts). {again}'
    assert refusal(StorageError, place_at(URL).read, "x") == told


def test_what_another_attempt_does_not_change_stops_at_once(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = place_at("s3://another/folder")
    for work, wanted in (
        (lambda: write(elsewhere, "x", b""), "bucket"),
        (elsewhere.entries, "bucket or folder"),
    ):
        where = elsewhere.url if wanted == "bucket or folder" else f"{elsewhere.url}/x"
        assert refusal(StorageError, work) == f"{where}: no such {wanted}. Make it, or correct the path."
    relay.answers["/sounds/some/folder/x"] = (403, DENIED)
    told = f"{URL}/x: access denied: Access Denied. Check the credentials, and what they may do there."
    assert refusal(StorageError, write, place_at(URL), "x", b"") == told
    assert relay.told["PUT /sounds/some/folder/x"] == 1
    use(monkeypatch, relay.url)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", "/nowhere")
    told = (
        f"{URL}/y: Unable to locate credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; "
        "for a public bucket FSSPEC_S3_ANON=true."
    )
    assert refusal(StorageError, write, place_at(URL), "y", b"") == told


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("memory://x", "memory://x: memory:// is no place for files. Choose a path, or s3://, s3a://, gs://, gcs://, "
         "az://, abfs://, abfss://, ftp://, hdfs://, sftp://, smb://, ssh://, webhdfs://."),
        ("s3:///x", "s3:///x: names no bucket. Write s3://bucket/folder."),
        ("s3://[b/x", "s3://[b/x: is no URL: Invalid IPv6 URL."),
        ("file://x/y", "file://x/y: names no path of this machine. Write file:///folder, or the path alone."),
        ("s3://key:secret@b/x", "s3://...@b: a URL may hold no password. Leave it to the environment, or a profile."),
    ],
)  # fmt: skip
def test_a_url_of_no_place_is_refused(url: str, told: str) -> None:
    assert refusal(StorageError, place_at, url) == told


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    told = "gs://bucket/folder/x: what reads gs:// is not installed. Run pip install gcsfs."
    assert refusal(StorageError, place_at("gs://bucket/folder").read, "x") == told
    monkeypatch.setattr("beyond_spectrograms.util.errors.find_spec", lambda _: None)
    assert refusal(MissingPackageError, place_at, URL) == (
        "fsspec is not installed. Install this project with its extra 'cluster' (pip install -e '.[cluster]' in its "
        "folder), or run pip install fsspec."
    )


@pytest.mark.usefixtures("relay")
def test_a_server_is_asked_by_its_name() -> None:
    told = "ftp://127.0.0.1:1/x/y: [Errno 111] Connection refused (7 attempts). Run the same command again once the "
    assert refusal(StorageError, place_at("ftp://127.0.0.1:1/x").read, "y") == f"{told}store answers."


class Elsewhere(LocalFileSystem):
    """Files that are written where they stand, as servers of files do it."""

    protocol = "sftp"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("sftp://host")


def test_where_a_put_may_stop_midway_a_file_is_renamed_into_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registered, "sftp", Elsewhere)
    place = place_at(f"sftp://host{tmp_path}/place")
    write(place, "a/b", b"content")
    assert contents(tmp_path) == {"place/a/b": b"content"}
    assert place.entries()[0].name == "a/b"
    moved = []
    monkeypatch.setattr(Elsewhere, "mv", lambda _, one, other: moved.append((one, other)))
    write(place, "a/b", b"another")
    assert [(one.endswith(".partial"), other) for one, other in moved] == [(True, f"{tmp_path}/place/a/b")]
    assert names(place) == ["a/b"]
    assert place.read("a/b") == b"content"


def test_a_folder_of_a_server_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registered, "sftp", Elsewhere)
    monkeypatch.setattr(object_stores, "PAUSE_S", 0.001)
    place = place_at(f"sftp://host{tmp_path}/place")
    assert place.entries() == []
    write(place, "a/b", b"content")
    write(place, "c/d", b"content")
    assert names(place) == ["a/b", "c/d"]
    listed = Elsewhere.ls

    def ls(files: Elsewhere, path: str, **options: Any) -> Any:
        if path.endswith("/c"):
            raise ConnectionResetError(104, "Connection reset by peer")
        return listed(files, path, **options)

    monkeypatch.setattr(Elsewhere, "ls", ls)
    assert refusal(StorageError, place.entries) == (
        f"{place.url}: [Errno 104] Connection reset by peer (7 attempts). Run the same command again once the store "
        "answers."
    )


def test_marks_are_what_each_kind_of_store_says_of_a_change() -> None:
    said = [{"ETag": "1"}, {"mtime": 2, "modify": 3}, {"modify": "20240101"}, {"modificationTime": 4}, {"size": 5}]
    assert list(map(object_stores._mark, said)) == ["1", "2", "20240101", "4", ""]


def test_a_copy_is_kept_where_the_place_is_the_same_and_tells_of_changes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        lay_out(folder, {"a": folder.name.encode()[:5]})
    first, second = (place_at(str(folder)) for folder in folders)
    copies = tmp_path / "copies"
    for place, mark, there, copied in (
        (first, "1", b"first", b"first"),
        (first, "1", b"other", b"first"),  # which its mark would tell
        (first, "2", b"other", b"other"),
        (second, "2", b"secon", b"secon"),
        (second, "", b"other", b"other"),
        (second, "", b"third", b"third"),
    ):
        (Path(place.url) / "a").write_bytes(there)
        fetch_files(place, [(Entry("a", 5, mark), "b")], copies)
        assert (copies / "b").read_bytes() == copied


def test_a_folder_of_this_machine_is_listed_whole_and_no_further_than_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_at(tmp_path)
    for name in ("ab/c", "ad/e", "af"):
        write(place, name, b"content")
    scan = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("ad"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert names(place, "ab") == ["ab/c"]
    assert names(place, "af") == ["af"]
    assert refusal(PermissionError, place.entries, "a") == f"[Errno 13] Permission denied: '{tmp_path}/ad'"
