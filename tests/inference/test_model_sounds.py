"""Files, pipes and what is wrong with them: every reason in full."""

import contextlib
import io
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from beyond_spectrograms.data.audio import BadAudioError, Waveform
from beyond_spectrograms.inference.streams import open_sound
from support.common import noise


def read(path: Path) -> Waveform:
    with open_sound(path) as sound:
        return np.concatenate([*sound.blocks(), np.empty((0, 1), np.float32)])


def refusal(path: Path) -> str:
    with pytest.raises(BadAudioError) as error:
        read(path)
    return str(error.value)


def encoded(sound: Waveform, form: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound, 16_000, format=form, subtype=subtype)
    return file.getvalue()


def pipe(path: Path, content: bytes) -> Path:
    """Make a named pipe that someone writes `content` to and closes."""
    os.mkfifo(path)

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), path.open("wb") as sink:
            sink.write(content)

    threading.Thread(target=write, daemon=True).start()
    return path


@pytest.mark.parametrize("form", ["WAV", "AU", "FLAC", "OGG", "MP3", "AIFF", "CAF"])
def test_a_pipe_gives_what_the_file_gives(form: str, tmp_path: Path) -> None:
    content = encoded(noise(3, 16_000), form)
    (tmp_path / "file").write_bytes(content)
    from_file = read(tmp_path / "file")
    assert np.array_equal(read(pipe(tmp_path / "pipe", content)), from_file)
    assert len(from_file) >= 48_000


def test_a_pipe_may_go_on_after_its_reader_has_left(tmp_path: Path) -> None:
    content = encoded(noise(30, 16_000), "WAV")
    before = set(threading.enumerate())
    for turn in range(100):  # the reader leaves at another point of the stream each time
        with open_sound(pipe(tmp_path / str(turn), content)) as sound:
            assert sound.sample_rate == 16_000
            if turn % 2:
                assert len(next(sound.blocks())) == 1 << 16
        for thread in set(threading.enumerate()) - before:
            thread.join(timeout=30)  # an exception in one would fail this test: warnings are errors here
            assert not thread.is_alive()


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    strange = "not decodable as audio: Format not recognised."
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("this is no sound, but a text of some length")
    for path, reason in (
        (tmp_path / "empty", "empty file (0 bytes)"),
        (tmp_path / "text", strange),
        (tmp_path / "none.wav", "no such file or directory"),
        (tmp_path, "a folder, not a file"),
        (pipe(tmp_path / "pipe", b""), "empty stream (0 bytes)"),
        (pipe(tmp_path / "piped", b"no sound"), strange),
        (Path("/dev/zero"), strange),  # endless: refused at once
    ):
        assert refusal(path) == reason


@pytest.mark.parametrize("form", ["WAV", "AU", "AIFF", "W64", "RF64", "OGG"])
def test_a_sound_that_broke_off_is_refused(form: str, tmp_path: Path) -> None:
    content = encoded(noise(60 if form == "OGG" else 3, 16_000), form)
    assert form != "OGG" or len(content) > 100_000  # more than the last page is looked at
    content = content[: -2000 if form == "OGG" else -40_000]
    (tmp_path / "file").write_bytes(content)
    promise = "Ogg stream has no end mark after " if form == "OGG" else "header promises more than the 28"
    assert refusal(tmp_path / "file").startswith(f"truncated: the {promise}")
    if form in ("WAV", "AU"):  # which are not spooled to disk
        told = "truncated: the header promises 48000 samples, 28000 could be decoded"
        assert refusal(pipe(tmp_path / "pipe", content)) == told


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000])
def test_a_stream_need_not_know_its_length(size: int, tmp_path: Path) -> None:
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    header = b"RIFF" + struct.pack("<I", min(size + 36, 0xFFFF_FFFF)) + b"WAVEfmt " + form + b"data"
    content = header + struct.pack("<I", size) + b"\1\2" * 16_000
    (tmp_path / "file").write_bytes(content)
    assert len(read(pipe(tmp_path / "pipe", content))) == len(read(tmp_path / "file")) == 16_000


def test_flac_need_not_know_its_length(tmp_path: Path) -> None:
    content = bytearray(encoded(noise(3.1, 16_000), "FLAC"))
    whole = bytes(content)
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that count samples (RFC 9639, section 8.2)
    content[22:26] = bytes(4)
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "whole").write_bytes(whole)
    assert np.array_equal(read(tmp_path / "file"), read(tmp_path / "whole"))
    with open_sound(tmp_path / "file") as sound:
        assert sound.promised is None


def test_an_mp3_in_a_pipe_may_begin_with_a_large_picture(tmp_path: Path) -> None:
    size = (3 << 20) + 10
    tag = b"ID3\3\0\0" + bytes(size - 10 >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size - 10)
    content = encoded(noise(3, 16_000), "MP3")
    assert len(read(pipe(tmp_path / "pipe", tag + content))) == len(read(pipe(tmp_path / "plain", content)))
