import errno
import functools
import gzip
import hashlib
import io
import os
import socket
import zipfile
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.data import downloads
from beyond_spectrograms.data.downloads import MIRROR_VARIABLE, DownloadError, fetch
from beyond_spectrograms.params.datasets import Archive
from support.common import refusal
from support.repository import Capture, Patch
from support.servers import Answer, Server, dead_url

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BY_HAND = (
    "If you have the file, put it under that name into a folder of your own, set the environment variable\n"
    "BEYOND_SPECTROGRAMS_MIRROR to that folder, and run again."
)
REFUSED = f"no connection: [Errno {errno.ECONNREFUSED}] {os.strerror(errno.ECONNREFUSED)}"


def record(url: str, **changes: Any) -> Archive:
    return Archive.model_construct(
        **{"url": url, "licence": "CC0", "bytes": len(CONTENT), "sha256": SHA256, "md5": None} | changes
    )


UNFIXED = {"bytes": None, "sha256": None}


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: Patch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(downloads, "PAUSE_S", 0)


@pytest.fixture
def keep(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: Patch) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv(MIRROR_VARIABLE, str(folder))
    return folder


def failure(records: list[Archive], keep: Path) -> str:
    return refusal(DownloadError, fetch, "sounds", records, keep)


@functools.cache  # a zip holds the time at which it was made
def packed(name: str = "a/1.wav") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, CONTENT)
    return buffer.getvalue()


def test_a_file_is_transferred_once_whole_and_said_beforehand_from_where(
    server: Server, keep: Path, capsys: Capture
) -> None:
    url = server.serves("/deep/a.bin", Answer(CONTENT))
    found = fetch("sounds", [record(url)], keep)
    assert (found.path.read_bytes(), found.bytes, found.sha256) == (CONTENT, len(CONTENT), SHA256)
    assert [found.path] == list(keep.iterdir())
    assert found.path.name == f"{server.root[7:].replace(':', '_')}_deep_a.bin"
    assert fetch("sounds", [record(url)], keep) == found
    assert server.requests == {"/deep/a.bin": 1}
    told = f"sounds: downloading {url} (10240 bytes)\nsounds: using {found.path} (10240 bytes)\n"
    assert capsys.readouterr() == (told, "")


def test_a_file_kept_with_other_bytes_is_fetched_again(server: Server, keep: Path, capsys: Capture) -> None:
    url = server.serves("/a.bin", Answer(CONTENT))
    path = fetch("sounds", [record(url)], keep).path
    path.write_bytes(CONTENT[::-1])
    wrong = hashlib.sha256(CONTENT[::-1]).hexdigest()
    capsys.readouterr()
    assert fetch("sounds", [record(url)], keep).path.read_bytes() == CONTENT
    assert capsys.readouterr().out == (
        f"sounds: {path} is not {url}: has sha256 {wrong}, expected sha256 {SHA256}\n"
        f"sounds: downloading {url} (10240 bytes)\n"
    )


@pytest.mark.parametrize("changes", [{"sha256": SHA256[:8]}, {**UNFIXED, "md5": hashlib.md5(packed()).hexdigest()}])
def test_the_first_digits_of_a_sha256_or_an_md5_are_enough(server: Server, keep: Path, changes: dict[str, Any]) -> None:
    content = packed() if "md5" in changes else CONTENT
    url = server.serves("/a.bin", Answer(content))
    assert fetch("sounds", [record(url, **changes)], keep).path.read_bytes() == content


def test_a_file_of_unfixed_bytes_has_to_be_an_archive_and_is_kept_by_its_url(server: Server, keep: Path) -> None:
    answers = Answer(packed(), sent=5000), Answer(packed())
    wanted = record(server.serves("/main.zip", *answers), **UNFIXED)
    path = fetch("sounds", [wanted], keep).path
    path.write_bytes(packed()[:-30])
    assert fetch("sounds", [wanted], keep).path.read_bytes() == packed()
    assert server.requests == {"/main.zip": 3}
    two = record(server.serves("/two/main.zip", Answer(packed("two"))), **UNFIXED)
    assert fetch("sounds", [two], keep).path.read_bytes() == packed("two")
    assert path.read_bytes() == packed()


def test_a_file_of_unfixed_bytes_is_noted_and_other_bytes_are_refused(
    server: Server, keep: Path, capsys: Capture
) -> None:
    wanted = record(server.serves("/main.zip", Answer(packed()), Answer(packed("b/2.wav"))), **UNFIXED)
    path = fetch("sounds", [wanted], keep).path
    note = path.with_name(f"{path.name}.sha256")
    first, other = (hashlib.sha256(content).hexdigest() for content in (packed(), packed("b/2.wav")))
    assert note.read_text() == f"{first}  {path.name}\n"
    noted = f"{wanted.url}: its record fixes no sha256. Found {first}, noted in {note}\n"
    assert noted in capsys.readouterr().out
    path.write_bytes(packed("b/2.wav"))
    reason = (
        f"has sha256 {other}, and had {first} when it was first fetched. If its publisher changed it, remove {note}"
    )
    assert f"    failed: {reason}\n" in refusal(DownloadError, fetch, "sounds", [wanted], keep)
    assert capsys.readouterr().out.startswith(f"sounds: {path} is not {wanted.url}: {reason}\n")
    note.unlink()
    assert fetch("sounds", [wanted], keep).sha256 == other
    assert note.read_text() == f"{other}  {path.name}\n"


@pytest.mark.parametrize(
    ("changes", "expected", "reason"),
    [
        ({"sha256": "0123abcd"}, "10240 bytes, sha256 beginning 0123abcd",
         f"has sha256 {SHA256}, expected sha256 beginning 0123abcd"),
        ({"md5": "0" * 32}, f"10240 bytes, sha256 {SHA256}",
         f"has md5 {hashlib.md5(CONTENT).hexdigest()}, expected md5 {'0' * 32}"),
        ({"bytes": 10239}, f"10239 bytes, sha256 {SHA256}", "goes on behind byte 10239, where it should end"),
        (UNFIXED, "size not fixed, sha256 not fixed", "is not a zip or tar archive"),
    ],
)  # fmt: skip
def test_other_bytes_than_expected_are_an_error_and_leave_nothing(
    server: Server, keep: Path, changes: dict[str, Any], expected: str, reason: str
) -> None:
    url = server.serves("/a.bin", Answer(CONTENT))
    assert failure([record(url, **changes)], keep) == (
        f"sounds: no URL delivered the file.\n  {url}\n    file: a.bin, {expected}\n    failed: {reason}\n{BY_HAND}"
    )
    assert list(keep.iterdir()) == []
    assert server.requests == {"/a.bin": 1}


def test_all_urls_failing_names_each_with_its_reason_and_one_that_serves_is_enough(server: Server, keep: Path) -> None:
    dead = dead_url("/a.bin")
    gone = server.serves("/gone/a.bin", Answer(b"", status=404))
    busy = server.serves("/busy/a.bin", Answer(b"", status=503))
    broken, insecure = server.serves("/broken/a.bin", Answer(CONTENT, sent=5000)), "http://localhost:1/a.bin"
    records = [record(dead), record(gone), record(busy, bytes=None), record(broken), record(insecure)]
    tried = {
        dead: ("10240 bytes", f"{REFUSED} (3 attempts)"),
        gone: ("10240 bytes", "HTTP 404 Not Found"),
        busy: ("size not fixed", "HTTP 503 Service Unavailable (3 attempts)"),
        broken: ("10240 bytes", "broke off midway (3 attempts)"),
        insecure: ("10240 bytes", f"refused {insecure}: only https is used"),
    }
    told = [
        f"  {url}\n    file: a.bin, {size}, sha256 {SHA256}\n    failed: {reason}\n"
        for url, (size, reason) in tried.items()
    ]
    assert failure(records, keep) == "".join(("sounds: no URL delivered the file.\n", *told, BY_HAND))
    assert server.requests == {"/gone/a.bin": 1, "/busy/a.bin": 3, "/broken/a.bin": 3}
    assert list(keep.iterdir()) == []
    found = fetch("sounds", [*records, record(server.serves("/b.bin", Answer(CONTENT)))], keep)
    assert (found.record.url, found.path.read_bytes()) == (f"{server.root}/b.bin", CONTENT)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bytes": 10240}, "goes on behind byte 10240, where it should end"),
        (UNFIXED, "is larger than 20480 bytes; to have it, its record needs its size as `bytes`"),
    ],
)
def test_a_server_that_never_ends_is_not_listened_to(
    server: Server, keep: Path, monkeypatch: Patch, changes: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr(downloads, "MOST_BYTES", 20480)
    sent = 2**28  # more than fits into buffers on the way
    url = server.serves("/a.bin", Answer(bytes(2**20), repeated=sent // 2**20, name_length=False))
    assert f"    failed: {reason}\n" in failure([record(url, **changes)], keep)
    assert list(keep.iterdir()) == []
    assert server.sent["/a.bin"] < sent


@pytest.mark.parametrize(
    ("name_length", "reason"), [(True, "broke off midway"), (False, "has 5000 bytes, expected 10240")]
)
def test_a_server_that_breaks_off_once_is_asked_again(
    server: Server, keep: Path, capsys: Capture, name_length: bool, reason: str
) -> None:
    url = server.serves("/a.bin", Answer(CONTENT, sent=5000, name_length=name_length), Answer(CONTENT))
    assert fetch("sounds", [record(url)], keep).path.read_bytes() == CONTENT
    assert server.requests == {"/a.bin": 2}
    assert capsys.readouterr().out == (f"sounds: downloading {url} (10240 bytes)\n{url}: {reason}; trying again\n")


def test_a_server_that_never_answers_is_given_up(keep: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(downloads, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        message = failure([record(f"http://127.0.0.1:{silent.getsockname()[1]}/a.bin")], keep)
    assert "    failed: no answer within 0.1 s (3 attempts)\n" in message


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_a_packed_file_stays_packed_whatever_the_server_calls_it(server: Server, keep: Path, encoding: str) -> None:
    content = gzip.compress(CONTENT)
    url = server.serves("/a.gz", Answer(content, headers=(("Content-Encoding", encoding),)))
    wanted = record(url, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    assert fetch("sounds", [wanted], keep).path.read_bytes() == content


def test_a_redirect_to_plain_http_is_refused_before_it_is_followed(server: Server, keep: Path) -> None:
    elsewhere = server.serves("/a.bin", Answer(CONTENT)).replace("127.0.0.1", "localhost")
    here = server.serves("/here", Answer(b"", status=302, headers=(("Location", "/a.bin"),)))
    assert fetch("sounds", [record(here)], keep).path.read_bytes() == CONTENT
    url = server.serves("/moved", Answer(b"", status=302, headers=(("Location", elsewhere),)))
    assert f"    failed: refused {elsewhere}: only https is used\n" in failure([record(url)], keep)
    assert server.requests == {"/here": 1, "/a.bin": 1, "/moved": 1}


def test_the_mirror_folder_is_looked_at_first_and_only_read(server: Server, keep: Path, mirror: Path) -> None:
    (mirror / "a b.bin").write_bytes(CONTENT)
    url = server.serves("/deep/a%20b.bin?download=1", Answer(CONTENT))
    records = [record(server.root + "/one/a%20b.bin", bytes=7), record(url)]  # the second has these bytes
    found = fetch("sounds", records, keep)
    assert (found.path, found.record) == (mirror / "a b.bin", records[1])
    assert server.requests == {}
    assert not keep.exists()
    fetch("sounds", [record(server.serves("/c.bin", Answer(CONTENT)))], keep)  # the folder has none of that name
    assert server.requests == {"/c.bin": 1}


def test_a_wrong_file_in_the_mirror_folder_is_an_error(server: Server, keep: Path, mirror: Path) -> None:
    (mirror / "a.bin").write_bytes(b"short")
    two = record(server.root + "/two/a.bin", bytes=5, sha256="0" * 64)
    records = [record(server.serves("/one/a.bin", Answer(CONTENT))), two]
    short = hashlib.sha256(b"short").hexdigest()
    assert failure(records, keep) == (
        "sounds: BEYOND_SPECTROGRAMS_MIRROR holds a wrong file.\n"
        f"  {mirror}/a.bin is not {server.root}/one/a.bin: has 5 bytes, expected 10240\n"
        f"  {mirror}/a.bin is not {server.root}/two/a.bin: has sha256 {short}, expected sha256 {'0' * 64}\n"
        "Replace it or take it away."
    )
    assert server.requests == {}


def test_a_mirror_folder_that_does_not_exist_is_an_error(
    server: Server, keep: Path, mirror: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, f"{mirror}/nowhere")
    assert failure([record(server.serves("/a.bin", Answer(CONTENT)))], keep) == (
        f"BEYOND_SPECTROGRAMS_MIRROR is '{mirror}/nowhere', which is not a folder. "
        "Set it to a folder that holds files named as the last part of their URLs, or unset it."
    )
    assert server.requests == {}
