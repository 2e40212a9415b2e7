import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.data.clips import DatasetError
from beyond_spectrograms.data.folders import READ, RawDataError
from beyond_spectrograms.data.weights import fetch_encoder, fetch_weights
from beyond_spectrograms.params import WeightsRecord, load_params
from beyond_spectrograms.params.study import load_study
from beyond_spectrograms.util.files import read_sealed
from stages.tables import changed_folders
from support import cells
from support.common import contents, lay_out, refusal
from support.repository import run_here
from support.servers import dead_url
from support.shipped_params import SHIPPED

LIST = b"cat/1.wav\ncat/2.wav\n"


pytestmark = pytest.mark.usefixtures("home")


def fixed(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def define_pets(**source: Any) -> None:
    dealt = {} if "lists" in source else {"folds": 5, "fold_seed": 0}
    cells.write_params(Path())
    cells.write_record(Path(), "pets", {"seconds": [1, 600], **dealt, **source})


def pets(folder: Path, clips: int = 2) -> dict[str, Any]:
    """Put an archive of two cats and a list into the mirror folder; return the source that describes them."""
    with zipfile.ZipFile(folder / "pets.zip", "w") as archive:
        archive.writestr("top/readme.txt", "pets")
        for number in (1, 2):
            archive.writestr(f"top/Cat/{number}.wav", f"meow {number}")
    (folder / "list.txt").write_bytes(LIST)
    published = {"url": dead_url("/list.txt"), "entries": 2, **fixed(LIST)}
    return {
        "archives": [{"url": dead_url("/pets.zip"), "licence": "CC0"}],
        "members": r"top/(?P<label>[^/]+)/(?P<file>[^/]+\.wav)",
        **{"clips": clips, "classes": 1},
        "lists": dict.fromkeys(("train", "validation", "test"), published),
    }


@pytest.mark.parametrize("known", [False, True])
def test_an_archive_becomes_audio_lists_and_a_record_with_bytes_if_params_fix_them(mirror: Path, known: bool) -> None:
    source, content = pets(mirror), (mirror / "pets.zip").read_bytes()
    source["archives"][0] |= {"sha256": fixed(content)["sha256"][:8]} if known else {}
    define_pets(**source)
    run_here("download", "pets")
    found = contents(Path("data/raw/pets"))
    record = json.loads(found.pop("source.json"))
    lists = dict.fromkeys(("lists/train.txt", "lists/validation.txt", "lists/test.txt"), LIST)
    assert found == {"audio/cat/1.wav": b"meow 1", "audio/cat/2.wav": b"meow 2", **lists}
    lines = [f"{hashlib.sha256(b'meow %d' % number).hexdigest()}  cat/{number}.wav\n" for number in (1, 2)]
    origin = {"kind": "archive", "url": source["archives"][0]["url"], "licence": "CC0", "left_out": {".txt": 1}}
    origin |= fixed(content) if known else {"bytes": None, "sha256": None}
    manifest = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    assert record == origin | {"manifest_sha256": manifest, "files": 2, "classes": {"cat": 2}}


def test_a_wrong_count_leaves_what_was_there(mirror: Path) -> None:
    define_pets(**pets(mirror, clips=2))
    run_here("download", "pets")
    before = contents(Path("data/raw/pets"))
    define_pets(**pets(mirror, clips=3))
    told = "pets: expected 3 files in 1 classes, found 2 in 1.\n  Found by class: cat 2"
    assert refusal(RawDataError, run_here, "download", "pets") == told
    assert contents(Path("data/raw/pets")) == before


def test_a_data_set_params_do_not_define_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    define_pets(path="~/pets")
    assert refusal(SystemExit, run_here, "download", "pest") == "2"
    assert capsys.readouterr().err.endswith(
        "download.py: error: argument DATASET: invalid choice: 'pest' "
        "(choose from 'audioset_folder', 'demo', 'esc10', 'esc10_mixtures', 'esc50', 'esc50_ogg', "
        "'esc50_ogg_mixtures', 'fsd50k', 'fsdd_digits', 'fsdd_speakers', 'gtzan_genres', "
        "'gtzan_music_speech', 'librispeech_chapters', 'librispeech_speakers', 'pets', "
        "'speech_commands', 'synthesised', 'synthesised_unheard', 'tinysol', 'urbansound8k', 'voxceleb1')\n"
    )


def sounds(home: Path, *names: str) -> None:
    lay_out(home / "pets", {name: os.fsencode(name) for name in names})


def test_a_folder_of_folders_becomes_audio_and_a_record(tmp_path: Path) -> None:
    cats = ["cat/text.wav", "cat/mew.aif", "cat/purr.m4a"]
    named_like_sounds = ["Big dog/a.WAV", "Big dog/old/a.wav", "Big dog/old/er/b.mp3", *cats]
    others = [
        "notes.txt",
        ".DS_Store",
        ".git/config",
        "cat/more.TXT",
        "cat/.c.wav",
        "cat/LICENCE",
        "cat/lies.fran\udce7ais",
    ]
    sounds(tmp_path, *named_like_sounds, *others)
    (tmp_path / "pets/cat/elsewhere").symlink_to(tmp_path / "pets/Big dog")
    (tmp_path / "pets/cat/gone.wav").symlink_to(tmp_path / "nowhere")
    (tmp_path / "pets/cat/far").symlink_to("a" * 300)  # of which nobody can ask whether it is a file
    define_pets(path="~/pets", folds=3)
    run_here("download", "pets")
    assert contents(Path("data/raw/pets/audio")) == {
        "Big dog/a.WAV": b"Big dog/a.WAV",
        "Big dog/old__a.wav": b"Big dog/old/a.wav",
        "Big dog/old__er__b.mp3": b"Big dog/old/er/b.mp3",
        **{name: name.encode() for name in cats},
    }
    record = json.loads(Path("data/raw/pets/source.json").read_text())
    assert len(record.pop("manifest_sha256")) == 64
    left_out = {r".fran\udce7ais": 1, ".txt": 2, ".wav": 1, "dot-files": 3, "linked folders": 1, "no suffix": 2}
    counts = {"files": 6, "classes": {"Big dog": 3, "cat": 3}}
    assert record == {"kind": "path", "path": "~/pets", "left_out": left_out, **counts}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "~/pets: no such folder. A data set's path has one sub-folder a class."),
        (["a.wav"], "~/pets: no class folder. Put the sounds of each class into a sub-folder of its name."),
        (["dog/a.wav", "cat/.b.wav", "cat/notes.txt"],
         f"~/pets/cat: no sound in this class folder. Sounds end in {', '.join(READ)}."),
        (["cat/a/b.wav", "cat/a__b.wav"], "~/pets/cat: a__b.wav and a/b.wav are both a__b.wav. Rename one."),
        (["cat/\udcff.wav"], r"~/pets: the name of cat/\udcff.wav is not UTF-8. Rename the file or its folder."),
        ([f"cat/{'a' * 230}\udcff.wav"],
         rf"~/pets: the name of cat/{'a' * 230}\udcff.wav is not UTF-8. Rename the file or its folder."),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_data_set_is_an_error(tmp_path: Path, names: list[str], message: str) -> None:
    sounds(tmp_path, *names)
    define_pets(path="~/pets")
    assert refusal(RawDataError, run_here, "download", "pets") == message
    assert not Path("data/raw").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "pets: class 'dog' has 2 recordings or sources, too few for 3 folds. "
             "Add recordings, or deal fewer folds (source.folds, at least 3)."),
        ({"name": "(?P<group>[0-9])"}, "pets: the name of dog/b.wav does not match source.name, '(?P<group>[0-9])'"),
    ],
)  # fmt: skip
def test_names_that_do_not_suffice_for_the_folds_stop_before_anything_is_copied(
    tmp_path: Path, source: dict[str, Any], message: str
) -> None:
    sounds(tmp_path, "cat/1.wav", "cat/2.wav", "cat/3.wav", "dog/4.wav", "dog/b.wav")
    define_pets(path="~/pets", folds=3, **source)
    assert refusal(DatasetError, run_here, "download", "pets") == message
    assert not Path("data/raw").exists()


def add_a_sound(home: Path) -> None:
    sounds(home, "dog/7.wav")


def take_a_sound_away(home: Path) -> None:
    (home / "pets/dog/4.wav").unlink()


def record_again(home: Path) -> None:
    path = home / "pets/cat/1.wav"
    path.write_text("cat/2.wav")
    os.utime(path, ns=(4 * 10**18, 4 * 10**18))  # 2096


def put_an_old_one_in_its_place(home: Path) -> None:
    backup = home / "backup.wav"
    backup.write_text("cat/2.wav")  # as many bytes
    os.utime(backup, ns=(10**18, 10**18))  # 2001
    backup.replace(home / "pets/cat/1.wav")


def record_again_before_a_checkout(home: Path) -> None:
    (home / "pets/cat/1.wav").write_text("cat/2.wav")
    os.utime("data/raw/pets/audio/cat/1.wav", ns=(4 * 10**18, 4 * 10**18))  # DVC's copy is of that time


CHANGES = [
    *(add_a_sound, take_a_sound_away, record_again, put_an_old_one_in_its_place),
    record_again_before_a_checkout,
]


@pytest.mark.parametrize("change", CHANGES)
def test_stale_says_what_to_type_when_a_users_folder_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], None]
) -> None:
    sounds(tmp_path, *(f"cat/{number}.wav" for number in (1, 2, 3)), *(f"dog/{number}.wav" for number in (4, 5, 6)))
    define_pets(path="~/pets", folds=3)
    cells.edit_params(Path(), lambda params: params["grid"].update(datasets=["pets"]))
    run_here("download", "pets")
    told = "pets: ~/pets has changed since it was copied; say dvc repro -f download@pets"
    os.utime(tmp_path / "pets/dog/5.wav", ns=(4 * 10**18, 4 * 10**18))  # touched, and the same
    assert changed_folders([load_study()]) == []
    change(tmp_path)
    assert changed_folders([load_study()]) == [told]
    copying = "pets: copying ~/pets. DVC does not watch it: once it changes, say dvc repro -f download@pets"
    assert capsys.readouterr().out.splitlines()[0] == copying


# Weights that lie in place whole are kept; missing or damaged ones are fetched again.
FILES = {"encoder.bin": b"an encoder" * 100, "quantizer.bin": b"a quantizer" * 50}
RECORDS = [
    WeightsRecord(url=f"https://a.example/{name}", licence="CC0", **fixed(content)) for name, content in FILES.items()
]


@pytest.fixture
def published(mirror: Path) -> None:
    lay_out(mirror, FILES)


def get(records: list[WeightsRecord] = RECORDS) -> list[Path]:
    return fetch_weights("soundstream", records, Path("place"), Path("downloads"), Path("work"))


def got(records: list[WeightsRecord] = RECORDS) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in get(records)}


@pytest.mark.usefixtures("published")
def test_weights_are_fetched_with_a_record_of_what_they_are() -> None:
    assert got(RECORDS[:1]) == {"encoder.bin": FILES["encoder.bin"]}
    assert got() == FILES  # in place of an earlier choice of weights
    before = {path: path.stat().st_ino for path in get()}
    assert {path: path.stat().st_ino for path in get()} == before, "fetched again"
    told = json.loads(Path("place/record.json").read_text(encoding="utf-8"))["files"]
    assert [each.pop("file") for each in told] == list(FILES)
    assert told == [record.model_dump(exclude={"md5", "trained_on"}) for record in RECORDS]
    assert not Path("work").exists()
    get(RECORDS[1:])
    assert sorted(path.name for path in Path("place").iterdir()) == ["quantizer.bin", "record.json"]


@pytest.mark.parametrize("name", [*FILES, "record.json"])
@pytest.mark.parametrize("content", [None, b"", b"\0" * 1000, b"\0" * 550])
@pytest.mark.usefixtures("published")
def test_a_missing_or_damaged_file_is_fetched_again(name: str, content: bytes | None) -> None:
    get()
    path, record = Path("place", name), Path("place/record.json").read_bytes()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert got() == FILES
    assert Path("place/record.json").read_bytes() == record


@pytest.mark.usefixtures("published")
def test_a_representation_gets_the_files_its_record_names_in_their_order() -> None:
    own = {"soundstream_quantizer": RECORDS[0].model_dump(), "soundstream_encoder": RECORDS[1].model_dump()}
    record = {"kind": "soundstream", "weights": ["soundstream_encoder", "soundstream_quantizer"], "bitrate": 3200}
    changes = {"representations": SHIPPED["representations"] | {"q": record}, "weights": SHIPPED["weights"] | own}
    cells.write_params(Path(), **changes)
    params = load_params()
    assert fetch_encoder(params, "q") == [Path("data/weights/q", name) for name in ("quantizer.bin", "encoder.bin")]
    assert fetch_encoder(params, "mel") == []
    assert read_sealed(Path("data/weights/mel/record.json")) == {"files": []}


def test_files_of_one_name_are_told_apart_in_folders_of_a_mirror(mirror: Path) -> None:
    named_alike = {"encoder.bin": b"another", "1.2/encoder.bin": FILES["encoder.bin"], "1.3/encoder.bin": b"a third"}
    lay_out(mirror, named_alike)
    assert got(RECORDS[:1]) == {"encoder.bin": FILES["encoder.bin"]}
