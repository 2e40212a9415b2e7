"""A sound in blocks is cut into the windows of the whole, which are the pipeline's own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from beyond_spectrograms.data import audio
from beyond_spectrograms.data.audio import BadAudioError, Format, Waveform
from beyond_spectrograms.inference.stream_windows import BATCH, Batch, CutSound
from support.common import noise

MONO = Format(16_000, 1)


def cut(blocks: list[Waveform], sample_rate: int, form: Format = MONO, hop_s: float = 0.5) -> list[Batch]:
    return list(CutSound(blocks, sample_rate, form, length_s=1.0, hop_s=hop_s))


def blocks_of(sound: Waveform, length: int) -> Iterator[Waveform]:
    yield from (sound[first : first + length] for first in range(0, len(sound), length))


@pytest.mark.parametrize("sample_rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("form", [MONO, Format(48_000, 2)])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0001, 35.26])
def test_windows_do_not_depend_on_the_blocks(sample_rate: int, form: Format, seconds: float) -> None:
    sound = noise(seconds, sample_rate)
    whole = cut([sound], sample_rate, form)
    for length in (777, 100_000):
        parts = cut(list(blocks_of(sound, length)), sample_rate, form)
        assert [batch.windows.tobytes() for batch in parts] == [batch.windows.tobytes() for batch in whole]
        assert [batch.starts_s.tolist() for batch in parts] == [batch.starts_s.tolist() for batch in whole]
    assert [len(batch.windows) for batch in whole[:-1]] == [BATCH] * (len(whole) - 1)


@pytest.mark.parametrize(
    ("seconds", "channels", "hop_s"), [(0.4, 1, 0.5), (1.63, 1, 0.1), (5.0, 1, 0.25), (5.3, 2, 1.0), (7.9, 6, 0.5)]
)
def test_windows_are_those_of_the_pipeline_to_the_bit(
    seconds: float, channels: int, hop_s: float, tmp_path: Path
) -> None:
    import soundfile

    sound = np.stack([3 * noise(seconds, 44_100, seed) for seed in range(channels)], axis=1)  # above full scale, too
    soundfile.write(tmp_path / "sound.wav", sound, 44_100, subtype="FLOAT")
    recording = audio.read_recording(tmp_path / "sound.wav", (0.1, 10))
    samples, _ = audio.convert(recording, MONO)
    audio.write_clip(tmp_path / "clip.flac", samples, MONO.sample_rate)
    starts = audio.window_starts(recording.seconds, 1.0, hop_s, "reflect")
    expected = audio.cut_windows(audio.read_clip(tmp_path / "clip.flac", MONO), starts, 1.0, MONO.sample_rate)
    (batch,) = cut([sound], 44_100, hop_s=hop_s)
    assert batch.starts_s.tolist() == starts
    assert np.array_equal(batch.windows, expected)


def test_what_is_unusual_is_remarked() -> None:
    six = np.stack([20 * noise(0.5, 44_100)] * 6, axis=1)
    sound = CutSound([six], 44_100, MONO, length_s=1.0, hop_s=1.0)
    list(sound)
    assert sound.remarks == (
        "6 channels: mixed to mono by their mean",
        f"peak of {sound.peak:.3g}, above full scale: limited to 1",
        "0.500 s long, shorter than a window of 1 s: reflected",
    )
    assert sound.peak > 1


def test_silent_windows_are_marked() -> None:
    sound = noise(4, 16_000)
    sound[16_000:32_000] = 5e-5
    (batch,) = cut([sound], 16_000, hop_s=1.0)
    assert batch.silent.tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("sound", "sample_rate", "message"),
    [
        (np.zeros(0, np.float32), 16_000, "empty: a header but no samples"),
        (
            np.ones(800, np.float32),
            16_000,
            "0.050 s long; the shortest that is classified is 0.1 s, a tenth of a window",
        ),
        (np.full(9000, np.nan, np.float32), 16_000, "a sample that is not finite (NaN or infinite) at 0.000 s"),
        (
            np.where(np.arange(32_000) == 24_000, np.inf, 0.5).astype(np.float32),
            16_000,
            "a sample that is not finite (NaN or infinite) at 1.500 s",
        ),
        (np.ones(9000, np.float32), 900, "sample rate 900 Hz; plausible is 4000 to 192000 Hz"),
    ],
)
def test_what_cannot_be_cut_is_refused(sound: Waveform, sample_rate: int, message: str) -> None:
    with pytest.raises(BadAudioError) as error:
        cut([sound], sample_rate)
    assert str(error.value) == message


def test_channels_that_cancel_each_other_are_told_from_silence() -> None:
    left = noise(2, 16_000).clip(-0.25, 0.25)
    sound = CutSound([np.stack([left, -left], axis=1)], 16_000, Format(16_000, 1), length_s=1.0, hop_s=1.0)
    assert all(batch.silent.all() for batch in sound)
    assert sound.silence == (
        "silent: its peak is 0, silence is 0.0001 or less; the channels cancel each other when mixed, the peak of one "
        "is 0.25"
    )
