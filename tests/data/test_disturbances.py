"""Each disturbance does what its record says, and nothing else: level, band, length and place in time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pydantic import TypeAdapter
from scipy import signal

from beyond_spectrograms.data.audio import FORMATS, Recording, Waveform, convert, read_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.data.disturbances import MP3_RATES, DisturbanceError, disturb, encode_mp3, write_disturbed
from beyond_spectrograms.data.sound_files import read_recording
from beyond_spectrograms.params import STUDIES, Disturbance, load_params
from support.common import noise, refusal, tone
from support.repository import REPOSITORY

SHIPPED = load_params(STUDIES / "robustness", REPOSITORY).disturbances
LIMITS = (1.0, 600.0)
MONO = FORMATS[1]


def record(**settings: Any) -> Disturbance:
    return TypeAdapter(Disturbance).validate_python(settings)


def disturbed(sound: Waveform, made: Disturbance, sample_rate: int = 44_100) -> Waveform:
    found = disturb(Recording(sound, sample_rate, ("a remark",)), made)
    assert (found.sample_rate, found.samples.shape, found.samples.dtype) == (sample_rate, sound.shape, np.float32)
    assert found.remarks == ("a remark",)
    return found.samples


def decibels(ratio: float) -> float:
    return 20 * float(np.log10(ratio))


def level(sound: Waveform) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))


def chirps(seconds: float, sample_rate: int) -> Waveform:
    """Make sweeps from 100 Hz to 3 kHz with pauses, at unequal times: there is one way to lay two over each other."""
    sound = np.zeros(round(seconds * sample_rate), np.float32)
    time = np.arange(sample_rate // 5) / sample_rate
    sweep = 0.3 * signal.chirp(time, 100, time[-1], 3000) * signal.windows.hann(len(time))
    for start in (0.1, 0.7, 1.6):
        first = round(start * sample_rate)
        sound[first : first + len(sweep)] += sweep
    return sound


def lag(first: Waveform, second: Waveform) -> int:
    """By how many samples the first is later than the second."""
    return int(signal.correlate(first, second).argmax()) - (len(second) - 1)


def test_the_study_names_what_the_rules_of_evidence_ask_for() -> None:
    assert [made.kind for made in SHIPPED.values()] == ["noise", "noise", "mp3", "gain", "gain", "low_pass"]
    assert (SHIPPED["noise_20db"].snr_db, SHIPPED["noise_10db"].snr_db) == (20, 10)
    assert (SHIPPED["mp3_64kbps"].bitrate_kbps, SHIPPED["low_pass_8khz"].cutoff_hz) == (64, 8000)
    assert (SHIPPED["gain_minus_12db"].db, SHIPPED["gain_plus_6db"].db) == (-12, 6)


@pytest.mark.parametrize("snr_db", [20, 10, -3])
@pytest.mark.parametrize("sound", [tone(2.0, peak=0.9), 1e-3 * chirps(2.0, 44_100)], ids=["loud", "quiet"])
def test_noise_has_the_ratio_that_was_asked_for_and_is_white(sound: Waveform, snr_db: float) -> None:
    added = disturbed(sound, record(kind="noise", snr_db=snr_db)) - sound
    assert decibels(level(sound) / level(added)) == pytest.approx(snr_db, abs=0.1)
    power = signal.welch(added, 44_100, nperseg=512)[1][1:-1]
    assert np.abs(10 * np.log10(power / power.mean())).max() < 2  # 340 segments: half a decibel a standard error
    assert abs(np.mean(added)) < 0.02 * level(added)


def test_the_noise_of_a_sound_is_its_own_and_the_same_at_every_level() -> None:
    sounds = [noise(1.5, seed=seed) for seed in range(2)]
    made = {snr: record(kind="noise", snr_db=snr) for snr in (20, 10)}
    added = {snr: [disturbed(sound, each) - sound for sound in sounds] for snr, each in made.items()}
    assert np.corrcoef(added[10])[0, 1] == pytest.approx(0, abs=0.02)
    assert np.corrcoef(added[10][0], added[20][0])[0, 1] == pytest.approx(1, abs=1e-4)
    assert disturbed(sounds[0], made[20]).tobytes() == disturbed(sounds[0].copy(), made[20]).tobytes()


@pytest.mark.parametrize("made", SHIPPED.values(), ids=SHIPPED)
def test_silence_stays_silent(made: Disturbance) -> None:
    assert not disturbed(np.zeros(44_100, np.float32), made).any()


def test_gain_is_exact_and_clipped_at_full_scale() -> None:
    sound = tone(1.0, peak=0.8)
    quiet = disturbed(sound, record(kind="gain", db=-12))
    assert decibels(level(quiet) / level(sound)) == pytest.approx(-12, abs=1e-5)
    assert quiet == pytest.approx(sound * 10 ** (-12 / 20), abs=1e-7)
    loud = disturbed(sound, record(kind="gain", db=6))
    assert loud == pytest.approx(np.clip(sound * 10 ** (6 / 20), -1, 1), abs=1e-6)
    assert (loud.min(), loud.max()) == (-1, 1)
    assert disturbed(sound, record(kind="gain", db=0)).tobytes() == sound.tobytes()


def test_a_low_pass_takes_what_is_above_and_keeps_what_is_below_in_its_place() -> None:
    made = SHIPPED["low_pass_8khz"]
    inner = slice(4410, -4410)
    lost = {hertz: decibels(level(disturbed(tone(1.0, hertz), made)[inner]) / 0.5 * 2**0.5) for hertz in
            (100, 1000, 4000, 6000, 8000, 10_000, 12_000)}  # fmt: skip
    assert [lost[hertz] for hertz in (100, 1000, 4000, 6000)] == pytest.approx([0, 0, 0, -0.1], abs=0.1)
    assert lost[8000] == pytest.approx(-6, abs=0.1)
    assert lost[10_000] < -25
    assert lost[12_000] < -50
    sound = chirps(2.0, 44_100)
    assert np.abs(disturbed(sound, made) - sound).max() < 1e-4


@pytest.mark.parametrize("sample_rate", [8000, 16_000])
def test_a_low_pass_changes_nothing_where_nothing_is_above_it(sample_rate: int) -> None:
    sound = noise(1.0, sample_rate)
    assert disturbed(sound, SHIPPED["low_pass_8khz"], sample_rate).tobytes() == sound.tobytes()


@pytest.mark.parametrize("bitrate", [64, 160])
@pytest.mark.parametrize("sample_rate", sorted(MP3_RATES))
def test_mp3_keeps_length_and_place_and_loses_what_it_loses(sample_rate: int, bitrate: int) -> None:
    sound = chirps(2.3217, sample_rate)
    coded = disturbed(sound, record(kind="mp3", bitrate_kbps=bitrate), sample_rate)
    assert lag(coded, sound) == 0
    assert decibels(level(sound) / level(coded - sound)) > 15
    assert not np.array_equal(coded, sound)


@pytest.mark.parametrize("bitrate", [64, 80, 96, 112, 128, 160])
@pytest.mark.parametrize("sample_rate", [22_050, 44_100])
def test_mp3_has_the_bitrate_that_was_asked_for(sample_rate: int, bitrate: int) -> None:
    coded = encode_mp3(noise(10.0, sample_rate), sample_rate, bitrate)
    assert 8 * len(coded) / 10.0 / 1000 == pytest.approx(bitrate, rel=0.03)


def test_mp3_is_refused_at_a_rate_it_does_not_have() -> None:
    told = refusal(DisturbanceError, disturbed, noise(1.0, 11_025), SHIPPED["mp3_64kbps"], 11_025)
    assert told == "MP3 at 64 kbit/s takes 16000, 22050, 24000, 32000, 44100, 48000 Hz, not 11025 Hz"


def test_disturbed_recordings_are_written_as_resampling_writes_them(tmp_path: Path) -> None:
    raw, place, clips = tmp_path / "raw", tmp_path / "place", ["bird/a.wav", "rain/b.wav"]
    for seed, clip in enumerate(clips):
        (raw / clip).parent.mkdir(parents=True)
        soundfile.write(raw / clip, noise(1.5, seed=seed), 44_100)
    made = SHIPPED["noise_10db"]
    write_disturbed(raw, clips[1:], made, seconds=LIMITS, form=MONO, place=place)
    assert [path.relative_to(place) for path in place.rglob("*.*")] == [Path("mono_22050/rain/b.wav.flac")]
    expected, _ = convert(disturb(read_recording(raw / clips[1], LIMITS), made), MONO)
    assert read_clip(clip_path(place, MONO, clips[1]), MONO) == pytest.approx(expected.T, abs=2**-23)


def test_a_recording_that_cannot_be_read_or_disturbed_is_named(tmp_path: Path) -> None:
    settings = {"seconds": LIMITS, "form": MONO, "place": tmp_path / "place"}
    (tmp_path / "a.wav").write_bytes(b"")
    asked = (tmp_path, ["a.wav"], SHIPPED["noise_10db"])
    assert refusal(DisturbanceError, write_disturbed, *asked, **settings) == f"{tmp_path}/a.wav: empty file (0 bytes)"
    soundfile.write(tmp_path / "a.wav", noise(1.5, 12_000), 12_000)
    asked = (tmp_path, ["a.wav"], SHIPPED["mp3_64kbps"])
    assert refusal(DisturbanceError, write_disturbed, *asked, **settings) == (
        f"{tmp_path}/a.wav: MP3 at 64 kbit/s takes 16000, 22050, 24000, 32000, 44100, 48000 Hz, not 12000 Hz"
    )
    assert not list((tmp_path / "place").rglob("*.*"))
