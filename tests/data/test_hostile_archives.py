"""Archives made to harm end in one line, whatever they promise, and what programs write is read to the byte."""

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from beyond_spectrograms.data import archives, members
from beyond_spectrograms.data.archives import unpack, unpack_lists
from beyond_spectrograms.data.folders import RawDataError
from beyond_spectrograms.params.datasets import LabelTable, ListInside, ListsInside
from support.common import contents, lay_out, refusal
from support.packed import write_zip
from support.repository import Patch
from support.tar_blocks import END, header, member, record

MEMBERS = r"(?P<label>[^/]+)/(?P<file>[^/]+\.wav)"
UNUSED = "Nothing of this archive is used."
AGAIN = "Delete it and run again to download it."
MEOW = member(b"meow")
LONG = "a" * 201
CUT = f"cat/{'a' * 3000}.wav"
BELOW_ZERO = b"\xff" * 11


def refused(path: Path, content: bytes, pattern: str = MEMBERS, table: LabelTable | None = None) -> str:
    path.write_bytes(content)
    return refusal(RawDataError, unpack, path, pattern, table, path.parent / "audio").removeprefix(str(path))


def sized(size: bytes) -> bytes:
    return member(record(b"size", size), b"pax", b"x") + header()


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (sized(b"-1024"), " does not unpack: a header has the size b'-1024'."),
        (header(size=b"-0000001000"), " does not unpack: a header has the size b'-0000001000'."),
        (header(size=BELOW_ZERO), f" does not unpack: a header has the size {BELOW_ZERO!r}."),
        (sized(b"9" * 50), f" does not unpack: a header has the size {b'9' * 50!r}."),
        (member(b"9999 path=cat/a.wav\n", b"pax", b"x") + MEOW, " does not unpack: a header's records are damaged."),
        (member(b"1" * 512, b"pax", b"x") + MEOW, " does not unpack: a header's records are damaged."),
        (MEOW + b"\1" + MEOW[1:], " does not unpack: a header is damaged."),
        (header(size=2000), " does not unpack: it ends before its end mark."),
        (MEOW + END + MEOW, " does not unpack: it goes on behind its end mark."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_headers_that_never_end_or_are_damaged_are_refused(
    tmp_path: Path, pack: Callable[[bytes], bytes], blocks: bytes, message: str
) -> None:
    assert refused(tmp_path / "x", pack(blocks + END)) == f"{message} {AGAIN}"


def test_an_archive_that_is_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "x", MEOW) == f" does not unpack: it ends before its end mark. {AGAIN}"


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_of_any_length_is_not_read(tmp_path: Path, kind: bytes) -> None:
    told = refused(tmp_path / "x", header(b"more", 65537, kind) + END)
    assert told == f": member 'more' has a header of 65537 bytes; at most 65536 are read. {UNUSED}"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"cat/\xff.wav", r"'cat/\udcff.wav' has a file name with control characters, or one that is no UTF-8"),
        (b"cat/\x1b[2J.wav", r"'cat/\x1b[2J.wav' has a file name with control characters, or one that is no UTF-8"),
        (b"cat/a\0.wav", r"'cat/a\x00.wav' has a path with a NUL or of over 4096 bytes"),
        (b"x" * 5000, f"{'x' * 200 + '...'!r} has a path with a NUL or of over 4096 bytes"),
        (f"cat/{LONG}.wav".encode(), f"{f'cat/{LONG}'[:200] + '...'!r} has a label or file name of over 200 bytes"),
        (f"{LONG}/a.wav".encode(), f"{LONG[:200] + '...'!r} has a label or file name of over 200 bytes"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: bytes, reason: str) -> None:
    blocks = member(record(b"path", name), b"pax", b"x") + MEOW + END
    assert refused(tmp_path / "x", blocks) == f": member {reason}. {UNUSED}"


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    for blocks in (header(kind=b"S"), member(record(b"GNU.sparse.major", b"1"), b"pax", b"x") + MEOW):
        assert refused(tmp_path / "x", blocks + END) == f": member 'cat/a.wav' is a sparse file. {UNUSED}"


@pytest.mark.parametrize("place", ["before", "behind"])
def test_bytes_that_nobody_wants_are_counted_too(tmp_path: Path, place: str) -> None:
    zeros = bytes(2**21)
    blocks = member(zeros, b"README") + MEOW + END if place == "before" else MEOW + END + zeros
    assert refused(tmp_path / "x", gzip.compress(blocks)) == f": unpacks to over 100 times its size. {UNUSED}"


def zipped(path: Path, names: dict[str, bytes]) -> bytes:
    return write_zip(path, names).read_bytes()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_members_without_end_are_not_counted_on(tmp_path: Path, monkeypatch: Patch, kind: str) -> None:
    monkeypatch.setattr(members, "MOST_MEMBERS", 3)
    names = [f"{number}.txt" for number in range(4)]
    content = b"".join(header(name.encode()) for name in names) + END
    if kind == "zip":
        content = zipped(tmp_path / "x", dict.fromkeys(names, b""))
    assert refused(tmp_path / "x", content) == f": has over 3 members. {UNUSED}"


@pytest.mark.parametrize("zip64", [False, True])
def test_a_zips_list_of_members_is_measured_before_it_is_read(tmp_path: Path, zip64: bool) -> None:
    content = bytearray(zipped(tmp_path / "x", {"cat/a.wav": b"meow"}))
    place, size = content.rindex(b"PK\5\6"), 2**28 + 1
    content[place + 12 : place + 16] = size.to_bytes(4, "little")
    if zip64:
        content[place + 12 : place + 16] = b"\xff" * 4
        more = b"PK\6\6" + bytes(36) + size.to_bytes(8, "little") + bytes(8) + b"PK\6\7" + bytes(16)
        content[place:place] = more
    told = f": its list of members has {size} bytes; at most {2**28} are read. {UNUSED}"
    assert refused(tmp_path / "x", bytes(content)) == told


def test_what_zipfile_says_of_a_long_name_is_cut(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "x", {f"cat/{'a' * 3000}.wav": b"meow"}))
    content[content.index(b"cat/")] ^= 1
    told = refused(tmp_path / "x", bytes(content), r"(?P<label>cat)/(?P<file>a)a*\.wav")
    assert told == f" does not unpack: {f'File name in directory {CUT!r}'[:200]}... (6064 signs). {AGAIN}"


def test_one_class_under_two_spellings_is_refused(tmp_path: Path) -> None:
    blocks = member(b"woof", b"Dog Bark/a.wav") + member(b"woof", b"dog-bark/b.wav") + END
    told = "has the label 'dog-bark', and another 'Dog Bark': both are dog_bark"
    assert refused(tmp_path / "x", blocks) == f": member 'dog-bark/b.wav' {told}. {UNUSED}"


TABLE = LabelTable(member=r"x\.csv", file="file", label="label")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"file,label\n\xff.wav,cat\n", "'utf-8' codec can't decode byte 0xff in position 11: invalid start byte"),
        (b"file,label\n" + b"a" * 140_000, "field larger than field limit (131072)"),
        (b"file,label\n" + b"a,b\n" * 30, "has 131 bytes; of a table or list at most 130 are read"),
    ],
)
def test_a_table_in_an_archive_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: Patch, table: bytes, reason: str
) -> None:
    monkeypatch.setattr(archives, "MOST_TABLE_BYTES", 130 if len(table) == 131 else 2**20)
    told = refused(tmp_path / "x", member(table, b"x.csv") + END, r"(?P<file>.*\.wav)", TABLE)
    assert told == f": member 'x.csv' {reason}. {UNUSED}"


def test_a_list_in_an_archive_is_not_read_to_any_length(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(archives, "MOST_TABLE_BYTES", 3)
    path = tmp_path / "x"
    path.write_bytes(member(b"many", b"test.txt") + END)
    lists = ListsInside(validation=ListInside(member="no", entries=1), test=ListInside(member=r"test\.txt", entries=1))
    told = refusal(RawDataError, unpack_lists, "pets", path, lists, tmp_path, tmp_path / "lists")
    assert told == f"{path}: member 'test.txt' has 4 bytes; of a table or list at most 3 are read. {UNUSED}"


SOUNDS = {
    name: np.random.default_rng(len(name)).bytes(1000)
    for name in ("cat/a.wav", f"{'b' * 90}/{'c' * 90}.wav", f"{'d' * 95}/{'e' * 90}.wav", "h_rbar/ö.wav")
}
PACKED = {name.replace("h_rbar", "hörbar"): content for name, content in SOUNDS.items()}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_pythons_tarfile_writes_is_read_to_the_byte(
    tmp_path: Path, form: int, pack: Callable[[bytes], bytes]
) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for name, content in PACKED.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), 0.5 if form == tarfile.PAX_FORMAT else 0
            tar.addfile(entry, io.BytesIO(content))
    (tmp_path / "x").write_bytes(pack(file.getvalue()))
    assert unpack(tmp_path / "x", MEMBERS, None, tmp_path / "audio") == {}
    assert contents(tmp_path / "audio") == SOUNDS


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar program")
@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax", "ustar"])
def test_what_the_program_tar_writes_is_read_to_the_byte(tmp_path: Path, form: str) -> None:
    lay_out(tmp_path / "sounds", PACKED)
    packing = ["tar", f"--format={form}", "-czf", tmp_path / "x", "-C", tmp_path / "sounds", "."]
    subprocess.run(packing, check=True)
    assert unpack(tmp_path / "x", MEMBERS, None, tmp_path / "audio") == {}
    assert contents(tmp_path / "audio") == SOUNDS
