"""Files and pipes read in blocks, cut into the windows that the pipeline cuts; what is wrong with them is told."""

import contextlib
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from beyond_spectrograms.data import audio
from beyond_spectrograms.data.audio import BadAudioError, Format, Waveform
from beyond_spectrograms.data.sound_files import open_sound, read_recording
from beyond_spectrograms.inference.stream_windows import BATCH, Batch, CutSound
from support.common import noise, refusal, sound_file
from support.odd_sounds import encode, of_open_length

MONO = Format(16_000, 1)


def cut(blocks: list[Waveform], sample_rate: int, form: Format = MONO, hop_s: float = 0.5) -> list[Batch]:
    return list(CutSound(blocks, sample_rate, form, length_s=1.0, hop_s=hop_s))


@pytest.mark.parametrize("sample_rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("form", [MONO, Format(48_000, 2)])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0001, 35.26])
def test_windows_do_not_depend_on_the_blocks(sample_rate: int, form: Format, seconds: float) -> None:
    sound = noise(seconds, sample_rate)
    whole = cut([sound], sample_rate, form)
    for length in (777, 100_000):
        parts = cut([sound[first : first + length] for first in range(0, len(sound), length)], sample_rate, form)
        assert [batch.windows.tobytes() for batch in parts] == [batch.windows.tobytes() for batch in whole]
        assert [batch.starts_s.tolist() for batch in parts] == [batch.starts_s.tolist() for batch in whole]
    assert [len(batch.windows) for batch in whole[:-1]] == [BATCH] * (len(whole) - 1)


@pytest.mark.parametrize(
    ("seconds", "channels", "hop_s"), [(0.4, 1, 0.5), (1.63, 1, 0.1), (5.0, 1, 0.25), (5.3, 2, 1.0), (7.9, 6, 0.5)]
)
def test_windows_are_those_of_the_pipeline_to_the_bit(
    seconds: float, channels: int, hop_s: float, tmp_path: Path
) -> None:
    sound = np.stack([3 * noise(seconds, 44_100, seed) for seed in range(channels)], axis=1)  # above full scale, too
    soundfile.write(tmp_path / "sound.wav", sound, 44_100, subtype="FLOAT")
    recording = read_recording(tmp_path / "sound.wav", (0.1, 10))
    samples, _ = audio.convert(recording, MONO)
    audio.write_clip(tmp_path / "clip.flac", samples, MONO.sample_rate)
    starts = audio.window_starts(recording.seconds, 1.0, hop_s, "reflect")
    expected = audio.cut_windows(audio.read_clip(tmp_path / "clip.flac", MONO), starts, 1.0, MONO.sample_rate)
    (batch,) = cut([sound], 44_100, hop_s=hop_s)
    assert batch.starts_s.tolist() == starts
    assert np.array_equal(batch.windows, expected)


def test_what_is_unusual_is_remarked() -> None:
    sound = CutSound([np.stack([10 * noise(0.5, 44_100)] * 6, axis=1)], 44_100, MONO, length_s=1.0, hop_s=1.0)
    list(sound)
    assert sound.remarks == (
        "6 channels: mixed to mono by their mean",
        f"peak of {sound.peak:.3g}, above full scale: limited to 1",
        "0.500 s long, shorter than a window of 1 s: reflected",
    )
    assert sound.peak > 1
    nearly = CutSound([noise(1, 44_100)[:-1]], 44_100, MONO, length_s=1.0, hop_s=1.0)
    list(nearly)
    assert nearly.remarks == ("0.999977 s long, shorter than a window of 1 s: reflected",)


def test_silent_windows_are_marked_and_told_from_channels_that_cancel_each_other() -> None:
    sound = noise(4, 16_000)
    sound[16_000:32_000] = 5e-5
    (batch,) = cut([sound], 16_000, hop_s=1.0)
    assert batch.silent.tolist() == [False, True, False, False]
    left = noise(2, 16_000).clip(-0.25, 0.25)
    both = CutSound([np.stack([left, -left], axis=1)], 16_000, MONO, length_s=1.0, hop_s=1.0)
    assert all(batch.silent.all() for batch in both)
    assert both.silence == (
        "silent: its peak is 0, silence is 0.0001 or less; the channels cancel each other when mixed, the peak of one "
        "is 0.25"
    )


SHORT = "0.050 s long; the shortest that is classified is 0.1 s, a tenth of a window"
NOT_FINITE = "a sample that is not finite (NaN or infinite) at"


@pytest.mark.parametrize(
    ("sound", "sample_rate", "message"),
    [
        (np.zeros(0), 16_000, "empty: a header but no samples"),
        (np.ones(800), 16_000, SHORT),
        (np.ones(4409), 44_100, SHORT.replace("0.050", "0.099977")),  # with three digits it would be 0.100
        (np.full(9000, np.nan), 16_000, f"{NOT_FINITE} 0.000 s"),
        (np.where(np.arange(32_000) == 24_000, np.inf, 0.5), 16_000, f"{NOT_FINITE} 1.500 s"),
        (np.ones(9000), 900, "sample rate 900 Hz; plausible is 4000 to 384000 Hz"),
    ],
)
def test_what_cannot_be_cut_is_refused(sound: np.ndarray, sample_rate: int, message: str) -> None:
    assert refusal(BadAudioError, cut, [sound.astype(np.float32)], sample_rate) == message


def read(path: Path) -> Waveform:
    with open_sound(path) as sound:
        return np.concatenate([*sound.blocks(), np.empty((0, 1), np.float32)])


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
    content = sound_file(noise(3, 16_000), 16_000, form)
    (tmp_path / "file").write_bytes(content)
    from_file = read(tmp_path / "file")
    assert np.array_equal(read(pipe(tmp_path / "pipe", content)), from_file)
    assert len(from_file) >= 48_000


def test_a_pipe_whose_header_leaves_open_where_it_ends_ends_with_its_bytes(tmp_path: Path) -> None:
    content = bytearray(encode("WAV", "MS_ADPCM"))
    for name in (b"fact", b"data"):
        place = content.index(name) + (8 if name == b"fact" else 4)
        content[place : place + 4] = b"\xff" * 4
    with open_sound(pipe(tmp_path / "pipe", bytes(content))) as sound, pytest.raises(BadAudioError) as caught:
        for _ in sound.blocks():
            pass
    told = f"damaged: {len(content)} bytes of MS_ADPCM decode to no end of samples. Write the stream to a file first"
    assert str(caught.value) == told


def test_a_pipe_may_go_on_after_its_reader_has_left(tmp_path: Path) -> None:
    content = sound_file(noise(30, 16_000), 16_000, "WAV")
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
        assert refusal(BadAudioError, read, path) == reason


@pytest.mark.parametrize("form", ["WAV", "AU", "AIFF", "W64", "RF64", "OGG"])
def test_a_sound_that_broke_off_is_refused(form: str, tmp_path: Path) -> None:
    content = sound_file(noise(60 if form == "OGG" else 3, 16_000), 16_000, form)
    assert form != "OGG" or len(content) > 100_000  # more than the last page is looked at
    content = content[: -2000 if form == "OGG" else -40_000]
    (tmp_path / "file").write_bytes(content)
    promise = "Ogg stream has no end mark after " if form == "OGG" else "header promises 9600"
    assert refusal(BadAudioError, read, tmp_path / "file").startswith(f"truncated: the {promise}")
    if form in ("WAV", "AU"):  # which are not spooled to disk
        told = "truncated: the header promises 48000 samples, 28000 could be decoded"
        assert refusal(BadAudioError, read, pipe(tmp_path / "pipe", content)) == told


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000])
def test_a_stream_need_not_know_its_length(size: int, tmp_path: Path) -> None:
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    header = b"RIFF" + struct.pack("<I", min(size + 36, 0xFFFF_FFFF)) + b"WAVEfmt " + form + b"data"
    content = header + struct.pack("<I", size) + b"\1\2" * 16_000
    (tmp_path / "file").write_bytes(content)
    assert len(read(pipe(tmp_path / "pipe", content))) == len(read(tmp_path / "file")) == 16_000


def test_flac_need_not_know_its_length(tmp_path: Path) -> None:
    content = sound_file(noise(3.1, 16_000), 16_000, "FLAC")
    (tmp_path / "whole").write_bytes(content)
    (tmp_path / "file").write_bytes(of_open_length(content))
    assert np.array_equal(read(tmp_path / "file"), read(tmp_path / "whole"))
    with open_sound(tmp_path / "file") as sound:
        assert sound.promised is None


def test_an_mp3_in_a_pipe_may_begin_with_a_large_picture(tmp_path: Path) -> None:
    size = (3 << 20) + 10
    tag = b"ID3\3\0\0" + bytes(size - 10 >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size - 10)
    content = sound_file(noise(3, 16_000), 16_000, "MP3")
    assert len(read(pipe(tmp_path / "pipe", tag + content))) == len(read(pipe(tmp_path / "plain", content)))
