import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from beyond_spectrograms.data import audio
from beyond_spectrograms.data.audio import FORMATS, BadAudioError, Format, Recording, Waveform
from beyond_spectrograms.data.sound_files import read_recording
from support.common import noise, refusal, tone

PLAUSIBLE = (1.0, 600.0)
PLAIN = ("wav", "au", "aiff")


def refused(path: Path) -> str:
    return refusal(BadAudioError, read_recording, path, PLAUSIBLE)


@pytest.mark.parametrize(
    ("suffix", "subtype", "error"),
    [
        *((suffix, "PCM_16", 2**-15) for suffix in ("flac", *PLAIN)),
        ("wav", "PCM_24", 2**-23),
        ("wav", "FLOAT", 0),
        ("ogg", "VORBIS", 0.05),
        ("mp3", "MPEG_LAYER_III", 0.05),
    ],
)
def test_every_format_is_read_as_it_was(tmp_path: Path, suffix: str, subtype: str, error: float) -> None:
    sound = tone(1.5)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, sound, 44_100, subtype=subtype)
    recording = read_recording(path, PLAUSIBLE)
    assert (recording.sample_rate, recording.seconds, recording.remarks) == (44_100, 1.5, ())
    assert recording.samples.dtype == np.float32
    middle = slice(4410, -4410)  # a lossy coder may ring at the ends
    assert np.abs(recording.samples[middle] - sound[middle]).max() <= error


@pytest.mark.parametrize("kept", [0.3, 0.999])
@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        *((suffix, r"truncated: the header promises 88200\d bytes of samples, {bytes} are there") for suffix in PLAIN),
        ("flac", r"not decodable as audio after \d+ samples: Error : flac decoder lost sync\."),
        ("mp3", "truncated: the header promises 441000 samples, {found} could be decoded"),
    ],
)
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, message: str, kept: float) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(10), 44_100)
    content = path.read_bytes()
    path.write_bytes(content[: round(kept * len(content))])
    found = "" if suffix == "flac" else len(soundfile.read(path)[0])
    missing = len(content) - round(kept * len(content))
    left = (882_008 if suffix == "aiff" else 882_000) - missing  # AIFF's chunk has eight bytes before its samples
    assert re.fullmatch(message.format(found=found, bytes=left), refused(path))


@pytest.mark.parametrize("cut", [-9000, 0, 4, 5, 27, 1000])
def test_an_ogg_file_that_breaks_off_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(10), 44_100)
    content = path.read_bytes()
    path.write_bytes(content[: content.rfind(b"OggS") + cut])
    pages = path.read_bytes().count(b"OggS")
    begun = cut in (4, 5)  # of the last page its mark is there, but no number
    assert refused(path) == f"truncated: the Ogg stream has no end mark after {pages - begun} pages"


def test_an_ogg_file_that_lost_a_page_in_its_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(10), 44_100)
    pages = path.read_bytes().split(b"OggS")[1:]
    path.write_bytes(b"".join(b"OggS" + page for number, page in enumerate(pages) if number != 5))
    assert refused(path) == "damaged: the Ogg stream goes on with page 6 where 5 is due"


def spiked(left: float, right: float) -> Waveform:
    """A second of stereo in which one sample is not zero."""
    sound = np.zeros((44_100, 2), np.float32)
    sound[100] = left, right
    return sound


@pytest.mark.parametrize(
    ("sound", "sample_rate", "reason"),
    [
        (np.zeros(0), 44_100, "empty: a header but no samples"),
        (np.zeros(8_820), 44_100, "0.200 s long; plausible is 1 to 600 s"),
        (np.zeros(44_099), 44_100, "0.999977 s long; plausible is 1 to 600 s"),
        (np.zeros(4_000), 3_999, "sample rate 3999 Hz; plausible is 4000 to 384000 Hz"),
        (np.zeros(384_001), 384_001, "sample rate 384001 Hz; plausible is 4000 to 384000 Hz"),
        (spiked(0, 0), 44_100, "silent: its peak is 0, silence is 0.0001 or less"),
        (spiked(5e-5, 5e-5), 44_100, "silent: its peak is 5e-05, silence is 0.0001 or less"),
        (
            spiked(0.5, -0.5),
            44_100,
            "silent: its peak is 0, silence is 0.0001 or less; the channels cancel each other when mixed, the peak of "
            "one is 0.5",
        ),
        (
            spiked(100, 100),
            44_100,
            "peak of 100, far above full scale, which is 1: whole numbers as floats? Divide them by 32768",
        ),
        (spiked(np.nan, np.inf), 44_100, "2 samples are not finite (NaN or infinite)"),
    ],
)
def test_a_sound_that_is_no_clip_is_refused(tmp_path: Path, sound: Waveform, sample_rate: int, reason: str) -> None:
    soundfile.write(tmp_path / "a.wav", sound, sample_rate, subtype="FLOAT")
    assert refused(tmp_path / "a.wav") == reason


@pytest.mark.parametrize(
    ("sound", "subtype", "error", "remarks"),
    [
        (tone(1, peak=2e-4)[:, None], "FLOAT", 0, ()),  # very quiet
        (tone(1)[:, None], "PCM_U8", 1 / 128,
         ("8-bit samples: quantisation noise at about -50 dBFS is part of the sound",)),
        (np.stack([noise(1, seed=seed) for seed in range(2)], axis=1), "FLOAT", 1e-7, ()),
        (np.stack([noise(1, seed=seed) for seed in range(5)], axis=1), "FLOAT", 1e-7,
         ("5 channels: mixed to mono by their mean",)),
    ],
)  # fmt: skip
def test_a_poor_sound_is_kept_and_channels_are_mixed_by_their_mean(
    tmp_path: Path, sound: Waveform, subtype: str, error: float, remarks: tuple[str, ...]
) -> None:
    soundfile.write(tmp_path / "a.wav", sound, 44_100, subtype=subtype)
    recording = read_recording(tmp_path / "a.wav", PLAUSIBLE)
    assert recording.remarks == remarks
    assert np.abs(recording.samples - sound.mean(axis=1)).max() <= error


def test_an_hour_is_refused_without_decoding_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(3600 * 8_000, np.int16), 8_000, subtype="PCM_U8")
    monkeypatch.setattr(soundfile.SoundFile, "read", None)
    assert refused(path) == "3600.000 s long; plausible is 1 to 600 s"


@pytest.mark.parametrize("sample_rate", [8_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_converted_clip_has_the_nearest_whole_number_of_samples(sample_rate: int, form: Format) -> None:
    for samples in range(sample_rate, sample_rate + 25):
        converted, _ = audio.convert(Recording(np.zeros(samples, np.float32), sample_rate, ()), form)
        assert abs(len(converted) - samples * form.sample_rate / sample_rate) <= 0.5
        assert converted.shape[1] == form.channels


@pytest.mark.parametrize("sample_rate", [22_050, 44_100, 48_000])
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_1_khz_sine_stays_one_at_its_level(sample_rate: int, form: Format) -> None:
    converted, limited = audio.convert(Recording(tone(2, sample_rate=sample_rate), sample_rate, ()), form)
    second = converted[form.sample_rate // 2 : 3 * form.sample_rate // 2, 0]  # a whole second: bins are 1 Hz apart
    spectrum = np.abs(np.fft.rfft(second)) * 2 / len(second)
    assert spectrum.argmax() == 1000
    assert abs(20 * np.log10(spectrum[1000] / 0.5)) < 0.1
    assert np.delete(spectrum, 1000).max() < 1e-4 * 0.5
    assert limited == 0


def test_ringing_over_full_scale_is_limited_and_counted() -> None:
    square = np.sign(np.sin(2 * np.pi * 1000 * (np.arange(44_100) + 0.5) / 44_100)).astype(np.float32)
    converted, limited = audio.convert(Recording(square, 44_100, ()), Format(48_000, 1))
    assert np.abs(converted).max() == 1
    assert limited == np.count_nonzero(np.abs(converted) == 1) > 1000


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_stored_clip_is_read_back_to_24_bits(tmp_path: Path, form: Format) -> None:
    samples, _ = audio.convert(Recording(noise(1), 44_100, ()), form)
    audio.write_clip(tmp_path / "a.flac", samples, form.sample_rate)
    back = audio.read_clip(tmp_path / "a.flac", form)
    assert back.shape == (form.channels, form.sample_rate)
    assert (back == back[:1]).all()  # channels are equal
    assert np.abs(back - samples.T).max() <= 2**-23


def test_a_clip_in_the_wrong_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    audio.write_clip(path, noise(1, 16_000)[:, None], 16_000)
    told = f"{path}: 16000 Hz and 1 channels, not 48000 Hz and 2"
    assert refusal(BadAudioError, audio.read_clip, path, Format(48_000, 2)) == told


@pytest.mark.parametrize(
    ("seconds", "length_s", "hop_s", "drop", "reflect"),
    [
        (5.0, 1.0, 1.0, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        (4.9, 1.0, 1.0, [0, 1, 2, 3], [0, 1, 2, 3, 4]),
        (5.1, 1.0, 1.0, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5]),
        (5.0, 2.0, 1.0, [0, 1, 2, 3], [0, 1, 2, 3]),
        (5.5, 2.0, 1.0, [0, 1, 2, 3], [0, 1, 2, 3, 4]),
        (1.0, 0.5, 0.25, [0, 0.25, 0.5], [0, 0.25, 0.5]),
        (0.6, 1.0, 1.0, [], [0]),
        (1.5, 2.0, 1.0, [], [0]),
        (5.5, 1.0, 2.0, [0, 2, 4], [0, 2, 4]),
    ],
)
def test_windows_start_every_hop_and_only_reflect_keeps_the_tail(
    seconds: float, length_s: float, hop_s: float, drop: list[float], reflect: list[float]
) -> None:
    assert audio.window_starts(seconds, length_s, hop_s, "drop") == drop
    assert audio.window_starts(seconds, length_s, hop_s, "reflect") == reflect


@pytest.mark.parametrize(("length_s", "hop_s"), [(1.0, 1.0), (2.0, 1.0)])
def test_windows_hold_the_clip_from_their_start_on(length_s: float, hop_s: float) -> None:
    clip = np.stack([noise(5, 1000, seed) for seed in (0, 1)])
    starts = audio.window_starts(5, length_s, hop_s, "drop")
    windows = audio.cut_windows(clip, starts, length_s, 1000)
    length = int(1000 * length_s)
    assert windows.shape == (len(starts), 2, length)
    for index, window in enumerate(windows):
        np.testing.assert_array_equal(window, clip[:, 1000 * index : 1000 * index + length])


@pytest.mark.parametrize("seconds", [2.3, 0.3])  # 0.3: there and back again and again
def test_a_reflected_tail_is_the_clip_backwards_and_never_silence(seconds: float) -> None:
    clip = noise(seconds, 1000)[None]
    windows = audio.cut_windows(clip, audio.window_starts(seconds, 1, 1, "reflect"), 1, 1000)
    there_and_back = np.concatenate([clip[0], clip[0, -2:0:-1]])
    np.testing.assert_array_equal(windows.ravel(), np.tile(there_and_back, 2)[: windows.size])
    assert np.count_nonzero(windows[-1]) == 1000


def test_a_window_must_be_a_whole_number_of_samples() -> None:
    with pytest.raises(ValueError, match=r"^windows.length_s 0.33 is not a whole number of samples at 22050 Hz$"):
        audio.cut_windows(noise(1, 22_050)[None], [0.0], 0.33, 22_050)
