import hashlib
import json
import runpy
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from support import cells
from support.common import contents
from support.repository import REPOSITORY
from support.servers import dead_url

LIST = b"cat/1.wav\ncat/2.wav\n"


@pytest.fixture(autouse=True)
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, with a mirror folder beside it."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv(MIRROR_VARIABLE, "~/mirror")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("beyond_spectrograms.data.downloads.PAUSE_S", 0)
    return folder


def write_params(sources: dict[str, Any]) -> None:
    cells.write_params(Path())
    for name, source in sources.items():
        dealt = {} if "lists" in source or "(?P<fold>" in source.get("name", "") else {"folds": 5, "fold_seed": 0}
        record = {"source": {"seconds": [1, 600], **dealt, **source}}
        record |= {"max_epochs": None, "notice": None, "known_pairs": []}
        cells.write(Path("datasets", f"{name}.yaml"), yaml.safe_dump(record))


def run_stage(stage: str, name: str, monkeypatch: pytest.MonkeyPatch) -> str | int | None:
    """Run a stage here; return None or what it says on its way out."""
    monkeypatch.setattr(sys, "argv", [f"{stage}.py", name])
    try:
        runpy.run_path(str(REPOSITORY / "stages" / f"{stage}.py"), run_name="__main__")
    except SystemExit as error:
        return error.code
    return None


def pets(folder: Path, clips: int = 2) -> dict[str, Any]:
    """Put an archive of two cats and a list into the mirror folder; return the source that describes them."""
    with zipfile.ZipFile(folder / "pets.zip", "w") as archive:
        archive.writestr("top/readme.txt", "pets")
        for number in (1, 2):
            archive.writestr(f"top/Cat/{number}.wav", f"meow {number}")
    (folder / "list.txt").write_bytes(LIST)
    published = {"url": dead_url("/list.txt"), "bytes": len(LIST), "sha256": hashlib.sha256(LIST).hexdigest()}
    return {
        "archives": [{"url": dead_url("/pets.zip"), "licence": "CC0"}],
        "members": r"top/(?P<label>[^/]+)/(?P<file>[^/]+\.wav)",
        "clips": clips,
        "classes": 1,
        "lists": {part: {**published, "entries": 2} for part in ("train", "validation", "test")},
    }


@pytest.mark.parametrize("fixed", [False, True])
def test_an_archive_becomes_audio_lists_and_a_record_with_its_bytes_if_params_fix_them(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, fixed: bool
) -> None:
    source, content = pets(mirror), (mirror / "pets.zip").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    source["archives"][0] |= {"sha256": sha256[:8]} if fixed else {}
    write_params({"pets": source})
    assert run_stage("download", "pets", monkeypatch) is None
    found = contents(Path("data/raw/pets"))
    record = json.loads(found.pop("source.json"))
    lists = dict.fromkeys(("lists/train.txt", "lists/validation.txt", "lists/test.txt"), LIST)
    assert found == {"audio/cat/1.wav": b"meow 1", "audio/cat/2.wav": b"meow 2", **lists}
    lines = [f"{hashlib.sha256(b'meow %d' % number).hexdigest()}  cat/{number}.wav\n" for number in (1, 2)]
    assert record == {
        "kind": "archive",
        "url": source["archives"][0]["url"],
        "licence": "CC0",
        "bytes": len(content) if fixed else None,
        "sha256": sha256 if fixed else None,
        "left_out": {".txt": 1},
        "manifest_sha256": hashlib.sha256("".join(sorted(lines)).encode()).hexdigest(),
        "files": 2,
        "classes": {"cat": 2},
    }


def test_a_wrong_count_leaves_what_was_there(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_params({"pets": pets(mirror, clips=2)})
    assert run_stage("download", "pets", monkeypatch) is None
    before = contents(Path("data/raw/pets"))
    write_params({"pets": pets(mirror, clips=3)})
    assert run_stage("download", "pets", monkeypatch) == (
        "pets: expected 3 files in 1 classes, found 2 in 1.\n  Found by class: cat 2"
    )
    assert contents(Path("data/raw/pets")) == before


def test_a_data_set_params_do_not_define_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params({"pets": {"path": "~/pets"}})
    assert run_stage("download", "pest", monkeypatch) == 2
    assert capsys.readouterr().err.endswith(
        "download.py: error: argument DATASET: invalid choice: 'pest' "
        "(choose from 'demo', 'esc10', 'esc50', 'esc50_ogg', 'fsdd_digits', 'fsdd_speakers', 'gtzan_genres', "
        "'gtzan_music_speech', 'librispeech_chapters', 'librispeech_speakers', 'pets', 'tinysol')\n"
    )


def sounds(home: Path, *names: str) -> None:
    for name in names:
        path = home / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_a_folder_of_folders_becomes_audio_and_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named_like_sounds = ["Big dog/a.WAV", "Big dog/old/a.wav", "Big dog/old/er/b.mp3", "cat/text.wav"]
    others = ["notes.txt", ".DS_Store", ".git/config", "cat/more.TXT", "cat/.c.wav", "cat/LICENCE"]
    sounds(tmp_path, *named_like_sounds, *others)
    (tmp_path / "pets/cat/elsewhere").symlink_to(tmp_path / "pets/Big dog")
    (tmp_path / "pets/cat/gone.wav").symlink_to(tmp_path / "nowhere")
    write_params({"pets": {"path": "~/pets"}})
    assert run_stage("download", "pets", monkeypatch) is None
    assert contents(Path("data/raw/pets/audio")) == {
        "Big dog/a.WAV": b"Big dog/a.WAV",
        "Big dog/old__a.wav": b"Big dog/old/a.wav",
        "Big dog/old__er__b.mp3": b"Big dog/old/er/b.mp3",
        "cat/text.wav": b"cat/text.wav",
    }
    record = json.loads(Path("data/raw/pets/source.json").read_text())
    assert len(record.pop("manifest_sha256")) == 64
    assert record == {
        "kind": "path",
        "path": "~/pets",
        "left_out": {".txt": 2, ".wav": 1, "dot-files": 3, "linked folders": 1, "no suffix": 1},
        "files": 4,
        "classes": {"Big dog": 3, "cat": 1},
    }


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "~/pets: no such folder. A data set's path has one sub-folder a class."),
        (["a.wav"], "~/pets: no class folder. Put the sounds of each class into a sub-folder of its name."),
        (
            ["dog/a.wav", "cat/.b.wav", "cat/notes.txt"],
            "~/pets/cat: no sound in this class folder. Sounds end in .wav, .flac, .ogg, .mp3, .au, .aiff.",
        ),
        (["cat/a/b.wav", "cat/a__b.wav"], "~/pets/cat: a__b.wav and a/b.wav are both a__b.wav. Rename one."),
    ],
)
def test_a_folder_that_is_no_data_set_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], message: str
) -> None:
    sounds(tmp_path, *names)
    write_params({"pets": {"path": "~/pets"}})
    assert run_stage("download", "pets", monkeypatch) == message
    assert not Path("data/raw").exists()
