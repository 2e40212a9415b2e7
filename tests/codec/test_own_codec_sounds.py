"""A folder of sounds becomes what a codec hears: checked, of any length, a tenth held out, and stored once."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from beyond_spectrograms.codec import own_sounds
from beyond_spectrograms.codec.own_sounds import prepare_sounds
from beyond_spectrograms.codec.sounds import CodecSoundsError
from support.codecs import ENCODEC_48, SMALL
from support.coded import melody
from support.common import refusal
from support.repository import Capture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of ten short sounds, one of 130 s, and one whose bytes are those of another."""
    folder = tmp_path / "sounds"
    (folder / "more").mkdir(parents=True)
    random = np.random.default_rng(0)  # whole numbers: which are held out hangs on the bytes of the files
    for number in range(10):
        noise = random.integers(-9000, 9000, 12_000).astype(np.int16)
        soundfile.write(folder / f"more/{number}.wav", noise, 24_000)
    soundfile.write(folder / "long.wav", random.integers(-9000, 9000, 130 * 24_000).astype(np.int16), 24_000)
    (folder / "same.wav").write_bytes((folder / "more/3.wav").read_bytes())
    (folder / ".hidden.wav").write_bytes(b"")
    (folder / "list.txt").write_text("all of them")
    return folder


def test_long_sounds_are_heard_in_parts_and_doubles_once(folder: Path, tmp_path: Path) -> None:
    sounds = prepare_sounds(folder, tmp_path / "work", SMALL, -24.0)
    assert sounds.set_aside == {"same.wav": "has the same bytes as more/3.wav"}
    assert sounds.left_out == {".txt": 1, "dot-files": 1}
    assert (sounds.sounds, sounds.held_out, len(sounds.judged)) == (9, 2, 2)
    long = [name for name in sounds.heard["clip"] if name.startswith("long")]
    assert long == ["long.wav#1", "long.wav#2", "long.wav#3"]
    lengths = [each.shape[1] for each in sounds.corpus.waveforms]
    assert (sum(lengths[:3]), max(lengths[:3]) - min(lengths[:3]) <= 1) == (130 * 16_000, True)
    assert set(lengths[3:]) == {8000}
    assert sounds.seconds == 130 + 8 * 0.5
    roots = np.array([np.sqrt(np.square(each, dtype=np.float64).mean()) for each in sounds.corpus.waveforms])
    np.testing.assert_allclose(20 * np.log10(roots * sounds.corpus.scales), -24.0, atol=1e-3)
    heard = {name.partition("#")[0] for name in sounds.heard["clip"]}
    assert len(heard) == 9
    assert not sounds.heard["music"].any()


def test_what_a_stopped_run_stored_is_taken_while_the_files_are_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, stored, store = tmp_path / "work", list[int](), own_sounds._store
    monkeypatch.setattr(own_sounds, "_store", lambda *given: (stored.append(1), store(*given))[1])
    first = prepare_sounds(folder, work, SMALL, -24.0)
    again = prepare_sounds(folder, work, SMALL, -24.0)
    assert len(stored) == 1
    assert again.heard.equals(first.heard)
    with (work / "sounds.f32").open("r+b") as file:  # damaged
        file.write(b"????")
    prepare_sounds(folder, work, SMALL, -24.0)
    assert len(stored) == 2
    soundfile.write(folder / "more/0.wav", melody(0.7, 50), 24_000)
    changed = prepare_sounds(folder, work, SMALL, -24.0)
    assert len(stored) == 3
    assert not changed.heard.equals(first.heard)


def test_a_sound_that_is_heard_at_its_end_alone_judges_by_a_tenth_of_a_second(tmp_path: Path) -> None:
    (folder := tmp_path / "sounds").mkdir()
    for number in range(3):
        sound = np.zeros(32_000, np.float32)
        sound[-200:] = 0.1 * (number + 1)
        soundfile.write(folder / f"{number}.wav", sound, 16_000)
    [judged] = prepare_sounds(folder, tmp_path / "work", SMALL, -24.0).judged
    assert judged.shape == (1, 1600)
    assert (judged != 0).sum() == 200


def test_a_stereo_codec_hears_two_channels(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    for number in range(2):
        sound = np.stack([melody(0.5, number), melody(0.5, number + 7)], axis=1)
        soundfile.write(tmp_path / f"sounds/{number}.wav", sound, 48_000)
    sounds = prepare_sounds(tmp_path / "sounds", tmp_path / "work", ENCODEC_48, -24.0)
    [sound] = sounds.corpus.waveforms
    assert sound.shape == (2, 12_000)
    assert not np.array_equal(sound[0], sound[1])
    assert sounds.judged[0].shape == (2, 12_000)


def test_fewer_than_two_sounds_are_refused_and_why_is_told(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    soundfile.write(folder / "a.wav", melody(0.5), 24_000)
    soundfile.write(folder / "short.wav", melody(0.05), 24_000)
    soundfile.write(folder / "silent.wav", np.zeros(24_000), 24_000)
    (folder / "broken.wav").write_bytes((folder / "a.wav").read_bytes()[:5000])
    assert refusal(CodecSoundsError, prepare_sounds, folder, tmp_path / "work", SMALL, -24.0) == (
        f"{folder}: 1 usable sounds; two are needed, one to train on and one to judge by\n"
        "  set aside broken.wav: truncated: the header promises 24000 bytes of samples, 4956 are there\n"
        "  set aside short.wav: 0.050 s long; the shortest is 0.1 s\n"
        "  set aside silent.wav: silent: its peak is 0, silence is 0.0001 or less"
    )
    assert capsys.readouterr().out == ""


def test_a_sound_whose_name_is_not_utf_8_is_set_aside(folder: Path, tmp_path: Path) -> None:
    (folder / os.fsdecode(b"\xff.wav")).write_bytes((folder / "more/3.wav").read_bytes() + b"more")
    for _ in range(2):
        sounds = prepare_sounds(folder, tmp_path / "work", SMALL, -24.0)
        assert sounds.set_aside == {
            r"\udcff.wav": "the name is not UTF-8: rename the file or its folder",
            "same.wav": "has the same bytes as more/3.wav",
        }
        assert (sounds.sounds, sounds.held_out) == (9, 2)
