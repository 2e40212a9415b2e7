import hashlib
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from beyond_spectrograms.data.archives import check_list, check_sounds, manifest_digest, unpack
from beyond_spectrograms.data.folders import RawDataError
from beyond_spectrograms.params.datasets import LabelTable, Source
from support.common import contents, lay_out, refusal
from support.packed import write_tar, write_zip

Pack = Callable[[Path, dict[str, bytes]], Path]

MEMBERS = r"top/\d+ - (?P<label>[^/]+)/(?P<file>[^/]+\.wav)"
DOG, CAT = "top/01 - Dog bark/a.wav", "top/02 - Cat/b.wav"


def tarred(path: Path, members: dict[str, bytes]) -> Path:
    return write_tar(path, members, "w:gz")


def refused(archive: Path, members: str = MEMBERS, table: LabelTable | None = None) -> str:
    return refusal(RawDataError, unpack, archive, members, table, archive.parent / "audio")


@pytest.fixture(params=[write_zip, tarred])
def pack(request: pytest.FixtureRequest) -> Pack:
    return request.param


def test_members_that_match_go_to_a_folder_named_by_their_label(pack: Pack, tmp_path: Path) -> None:
    archive = pack(tmp_path / "x", {DOG: b"woof", f"./{CAT}": b"meow"})
    assert unpack(archive, MEMBERS, None, tmp_path / "audio") == {}
    assert contents(tmp_path / "audio") == {"dog_bark/a.wav": b"woof", "cat/b.wav": b"meow"}


def test_what_is_left_out_is_counted(pack: Pack, tmp_path: Path) -> None:
    others = [
        "top/README.md", "top/02 - Cat/more/c.wav", "top/LICENCE",
        "top/02 - Cat/._b.wav", "__MACOSX/top/02 - Cat/b.wav", "top/.git/config", "top/.hidden/02 - Cat/b.wav",
    ]  # fmt: skip
    archive = pack(tmp_path / "x", {CAT: b"meow", **dict.fromkeys(others, b"")})
    left_out = unpack(archive, ".*(?P<label>Cat)/(?P<file>[^/]+wav)", None, tmp_path / "audio")
    assert left_out == {".md": 1, ".wav": 1, "dot-files": 4, "no suffix": 1}
    assert contents(tmp_path / "audio") == {"cat/b.wav": b"meow"}


def linked_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x", "w") as writing:
        link = zipfile.ZipInfo(CAT)
        link.external_attr = 0o120777 << 16
        writing.writestr(link, "/etc/passwd")
    return folder / "x"


def special_tar(folder: Path, kind: bytes) -> Path:
    with tarfile.open(folder / "x", "w") as writing:
        link = tarfile.TarInfo(CAT)
        link.type, link.linkname = kind, "/etc/passwd"
        writing.addfile(link)
    return folder / "x"


def damaged(folder: Path) -> Path:
    archive = write_zip(folder / "x", {CAT: bytes(range(256)) * 4})
    content = bytearray(archive.read_bytes())
    content[content.index(b"b.wav") + 20] ^= 1
    archive.write_bytes(content)
    return archive


def cut_behind_its_last_sound(folder: Path) -> Path:
    archive = tarred(folder / "x", {CAT: b"meow"})
    archive.write_bytes(archive.read_bytes()[:-4])
    return archive


NOTHING_USED = "Nothing of this archive is used."
OUTSIDE = ("../b.wav", "top/../../b.wav", "/b.wav", "C:/b.wav", "..\\b.wav", "top/../b.wav")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        *(({CAT: b"", name: b""}, f": member {name!r} has an absolute or parent path. {NOTHING_USED}")
          for name in OUTSIDE),
        ({CAT: b"meow", "top/3 - Cat/b.wav": b"MEOW"},
         f": member 'top/3 - Cat/b.wav' and member {CAT!r} are both cat/b.wav. {NOTHING_USED}"),
        ({DOG: b"woof", CAT: bytes(10**6)},
         f": member {CAT!r} makes the content over 100 times the archive's size. {NOTHING_USED}"),
        ({"b.wav": b"meow"}, f": no member is matched by {MEMBERS!r}."),
    ],
)  # fmt: skip
def test_members_that_are_not_safe_or_not_wanted_stop_it(
    pack: Pack, tmp_path: Path, members: dict[str, bytes], message: str
) -> None:
    assert refused(pack(tmp_path / "x", members)) == f"{tmp_path / 'x'}{message}"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (linked_zip, f": member {CAT!r} is a link. {NOTHING_USED}"),
        (partial(special_tar, kind=tarfile.SYMTYPE), f": member {CAT!r} is a link. {NOTHING_USED}"),
        (partial(special_tar, kind=tarfile.LNKTYPE), f": member {CAT!r} is a link. {NOTHING_USED}"),
        (partial(special_tar, kind=tarfile.FIFOTYPE), f": member {CAT!r} is a device. {NOTHING_USED}"),
        (damaged, f" does not unpack: Bad CRC-32 for file {CAT!r}. Delete it and run again to download it."),
        (cut_behind_its_last_sound, " does not unpack: Compressed file ended before the end-of-stream marker was "
         "reached. Delete it and run again to download it."),
    ],
)  # fmt: skip
def test_a_link_a_device_or_damage_stops_it(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    assert refused(make(tmp_path)) == f"{tmp_path / 'x'}{message}"


@pytest.mark.parametrize(
    "members", [r".*/(?P<file>[^/]+)", r"(?P<label>top)/(?P<file>.*)", r".*(?P<label> )Cat/(?P<file>.*)"]
)
def test_a_member_without_label_or_plain_name_stops_it(tmp_path: Path, members: str) -> None:
    archive = write_zip(tmp_path / "x.zip", {CAT: b"meow"})
    assert refused(archive, members) == f"{archive}: member {CAT!r} has no label or no plain file name. {NOTHING_USED}"


def test_a_member_that_matches_without_its_file_is_named(tmp_path: Path) -> None:
    archive, members = write_zip(tmp_path / "x.zip", {CAT: b"meow"}), r"(?P<label>a)/(?P<file>b)|top/.*"
    told = f"is matched by members, {members!r}, without its file"
    assert refused(archive, members) == f"{archive}: member {CAT!r} {told}. {NOTHING_USED}"


TABLE = b"filename,category\na.wav,dog\nb.wav,cat\n"
LABELLED = r"top/(?P<file>[^/]+\.wav)"


def label_table(content: bytes = TABLE, member: str = r"top/meta/x\.csv", label: str = "category") -> LabelTable:
    md5 = hashlib.md5(content).hexdigest()
    return LabelTable(member=member, bytes=len(content), md5=md5, file="filename", label=label)


@pytest.fixture
def labelled(pack: Pack, tmp_path: Path) -> Path:
    return pack(tmp_path / "x", {"top/a.wav": b"woof", "top/b.wav": b"meow", "top/meta/x.csv": TABLE})


def test_a_table_names_the_labels(labelled: Path, tmp_path: Path) -> None:
    assert unpack(labelled, LABELLED, label_table(), tmp_path / "audio") == {".csv": 1}
    assert contents(tmp_path / "audio") == {"dog/a.wav": b"woof", "cat/b.wav": b"meow"}


@pytest.mark.parametrize(
    ("members", "table", "reason"),
    [
        (r"top/meta/(?P<file>.+)", label_table(), "has no label or no plain file name"),  # the table does not name it
        (LABELLED, label_table(TABLE + b"\n"), "has 38 bytes, expected 39"),
        (LABELLED, label_table(TABLE.upper()),
         f"has md5 {hashlib.md5(TABLE).hexdigest()}, expected {hashlib.md5(TABLE.upper()).hexdigest()}"),
        (LABELLED, label_table(label="class"), "has no column 'class', only filename, category"),
    ],
)  # fmt: skip
def test_another_label_table_stops_it(labelled: Path, members: str, table: LabelTable, reason: str) -> None:
    assert refused(labelled, members, table) == f"{labelled}: member 'top/meta/x.csv' {reason}. {NOTHING_USED}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (TABLE + b"a.wav,cat\n", "tells two things of a.wav: 'dog' and 'cat'"),
        (TABLE.replace(b"category", b"category,filename"), "has two columns named 'filename'"),
    ],
)
def test_a_label_table_that_contradicts_itself_is_refused(
    pack: Pack, tmp_path: Path, content: bytes, reason: str
) -> None:
    archive = pack(tmp_path / "x", {"top/a.wav": b"woof", "top/b.wav": b"meow", "top/meta/x.csv": content})
    told = f"{archive}: member 'top/meta/x.csv' {reason}. {NOTHING_USED}"
    assert refused(archive, LABELLED, label_table(content)) == told


def test_a_label_table_may_tell_a_thing_twice_and_begin_with_a_byte_order_mark(pack: Pack, tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + TABLE + b"a.wav,dog\n"
    archive = pack(tmp_path / "x", {"top/a.wav": b"woof", "top/b.wav": b"meow", "top/meta/x.csv": content})
    unpack(archive, LABELLED, label_table(content), tmp_path / "audio")
    assert contents(tmp_path / "audio") == {"dog/a.wav": b"woof", "cat/b.wav": b"meow"}


@pytest.mark.parametrize("names", ["none", "top/meta/x.csv, top/meta/y.csv"])
def test_no_or_two_label_tables_stop_it(pack: Pack, tmp_path: Path, names: str) -> None:
    tables = {} if names == "none" else dict.fromkeys(names.split(", "), TABLE)
    archive = pack(tmp_path / "x", {"top/a.wav": b"woof", **tables})
    told = f"{archive}: expected one label table 'top/meta/.*', found {names}."
    assert refused(archive, LABELLED, label_table(member=r"top/meta/.*")) == told


PETS = {"cat/b.wav": b"meow", "dog/a.wav": b"woof", "dog/b.wav": b"woof"}


def source(**values: object) -> Source:
    return Source.model_validate({"path": "x", "seconds": (1, 600), "folds": 5, "fold_seed": 0, **values})


def test_what_is_found_is_described(tmp_path: Path) -> None:
    lay_out(tmp_path, PETS)
    lines = sorted(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in PETS.items())
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    found = check_sounds("pets", tmp_path, source(clips=3, classes=2, manifest_sha256=digest))
    assert found == {"manifest_sha256": digest, "files": 3, "classes": {"cat": 1, "dog": 2}}


def test_other_sounds_or_lists_than_expected_are_an_error(tmp_path: Path) -> None:
    folder, published = tmp_path / "audio", tmp_path / "test.txt"
    lay_out(folder, PETS)
    for expected, numbers in (({"clips": 4, "classes": 2}, "4 files in 2"), ({"classes": 3}, "3 files in 3")):
        told = f"pets: expected {numbers} classes, found 3 in 2.\n  Found by class: cat 1, dog 2"
        assert refusal(RawDataError, check_sounds, "pets", folder, source(**expected)) == told
    before = manifest_digest(folder)
    (folder / "cat/b.wav").write_bytes(b"moo")
    record = source(clips=3, classes=2, manifest_sha256=before)
    assert refusal(RawDataError, check_sounds, "pets", folder, record) == (
        f"pets: expected manifest_sha256 {before}, found {manifest_digest(folder)}. "
        "The counts are right, but a file's bytes or name are not those params.yaml knows."
    )
    published.write_text("a/1.wav\na/2.wav\n\n")
    check_list("pets, list test", published, 2)
    told = "pets, list test: expected 3 entries, found 2."
    assert refusal(RawDataError, check_list, "pets, list test", published, 3) == told
