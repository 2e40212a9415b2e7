"""Speech Commands in a small archive of its layout: its own lists decide the parts, and the audit hears of speakers."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import soundfile

from beyond_spectrograms.data.folders import RawDataError
from beyond_spectrograms.data.windows import read_parts, read_windows
from beyond_spectrograms.leakage.audit import LeakageError
from support import cells
from support.common import contents, noise, refusal
from support.packed import write_tar
from support.repository import run_here

SPEAKERS = {"train": ["0a7c2a8d", "1b4c9b89", "2aca1e72"], "validation": ["3bfd30e6"], "test": ["4c6944d6"]}
WORDS = ("backward", "yes", "zero")
NAME = "speech_commands_v0.02.tar.gz"


def spoken(speaker: str, word: str) -> list[str]:
    return [f"{word}/{speaker}_nohash_{take}.wav" for take in (0, 1)]


def listed(part: str) -> list[str]:
    return [name for speaker in SPEAKERS[part] for word in WORDS for name in spoken(speaker, word)]


def wav(seconds: float, seed: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, noise(seconds, 16_000, seed), 16_000, format="WAV")
    return file.getvalue()


def pack(place: Path, lists: dict[str, list[str]], **changes: Any) -> None:
    """Put an archive into the mirror folder, and what it holds into the record."""
    sounds = [name for part in SPEAKERS for name in listed(part)]
    members = {name: wav(0.4 + 0.02 * number, number) for number, name in enumerate(sounds)}
    members |= {"_background_noise_/pink_noise.wav": wav(3, 99), "README.md": b"words", "LICENSE": b"CC BY 4.0"}
    members |= {f"{kind}_list.txt": "".join(f"{name}\n" for name in names).encode() for kind, names in lists.items()}
    content = write_tar(place, {f"./{name}": content for name, content in members.items()}, "w:gz").read_bytes()

    def describe(record: dict[str, Any]) -> None:
        source = record["source"]
        source["archives"][0] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        source |= {"clips": len(sounds), "classes": len(WORDS)}
        source["lists_inside"]["validation"]["entries"] = len(lists.get("validation", []))
        source["lists_inside"]["test"]["entries"] = len(lists.get("testing", []))
        source["lists_inside"]["test"] |= changes

    cells.edit_params(Path(), describe, "datasets/speech_commands.yaml")


@pytest.fixture(autouse=True)
def archive(mirror: Path) -> Path:
    """Lay out all params; give the archive's place in the mirror folder."""
    cells.write_params(Path())
    cells.edit_params(Path(), lambda params: params["audit"].update(trees=5))
    return mirror / NAME


OFFICIAL = {"validation": listed("validation"), "testing": listed("test")}


def test_words_are_dealt_by_the_lists_of_the_archive_and_speakers_are_its_groups(archive: Path) -> None:
    pack(archive, OFFICIAL)
    for stage in ("download", "resample", "split", "audit"):
        run_here(stage, "speech_commands")
    raw = contents(Path("data/raw/speech_commands"))
    for part in SPEAKERS:
        assert sorted(raw[f"lists/{part}.txt"].decode().split()) == sorted(listed(part))
    told = json.loads(raw["source.json"])
    assert told["classes"] == dict.fromkeys(WORDS, 10)
    assert told["left_out"] == {".md": 1, ".txt": 2, ".wav": 1, "no suffix": 1}
    table, parts = read_windows(Path("data/splits/speech_commands")), read_parts(Path("data/splits/speech_commands"))
    assert len(table) == 30  # of less than a second each
    assert list(parts.filter(like="source")) == ["source_1"]
    for part, speakers in SPEAKERS.items():
        assert sorted(set(table["group"][parts["source_1"] == part])) == speakers
    audit = json.loads(Path("metrics/speech_commands/audit.json").read_text())
    assert audit["splits"]["source"]["columns"]["source_1"]["groups_in_two_parts"] == 0


def test_a_speaker_in_two_parts_of_the_lists_is_told_by_the_audit(archive: Path) -> None:
    pack(archive, OFFICIAL | {"validation": [*listed("validation"), *spoken("2aca1e72", "yes")]})
    for stage in ("download", "resample", "split"):
        run_here(stage, "speech_commands")
    assert refusal(LeakageError, run_here, "audit", "speech_commands") == (
        "speech_commands: split source promises no leak and has one\n"
        "  source_1: 1 groups in two parts\n"
        "Give such clips one group (datasets/speech_commands.yaml: source.name or source.known_repetitions), "
        "or acknowledge a pair there under known_pairs."
    )
    audit = json.loads(Path("metrics/speech_commands/audit.json").read_text())
    assert audit["splits"]["source"]["columns"]["source_1"]["groups_in_two_parts"] == 1


@pytest.mark.parametrize(
    ("lists", "changes", "message"),
    [
        ({"validation": OFFICIAL["validation"]}, {"entries": 6}, "{archive}: no member is the list test, "
                                                                "'testing_list\\\\.txt'."),
        (OFFICIAL, {"entries": 7}, "speech_commands, list test: expected 7 entries, found 6."),
        (OFFICIAL | {"testing": ["yes/5_nohash_0.wav", *OFFICIAL["testing"], "no/4c6944d6_nohash_0.wav"]}, {},
         "speech_commands, list test: files that the archive has not: no/4c6944d6_nohash_0.wav, yes/5_nohash_0.wav"),
        (OFFICIAL, {"member": ".*_list.txt"}, "{archive}: member 'testing_list.txt' is a second list test. "
                                              "Nothing of this archive is used."),
    ],
)  # fmt: skip
def test_lists_that_do_not_suit_the_archive_are_refused(
    archive: Path, lists: dict[str, list[str]], changes: dict[str, Any], message: str
) -> None:
    pack(archive, lists, **changes)
    told = refusal(RawDataError, run_here, "download", "speech_commands")
    assert told == message.replace("{archive}", str(archive))
    assert not Path("data/raw").exists()
