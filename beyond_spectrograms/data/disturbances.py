"""Recordings as they might have come: with noise, through MP3, louder or quieter, without their highs.

A recording is disturbed whole, at its own sample rate, before it is resampled: so every representation is given the
same disturbed sound, and what is not disturbed goes the way it always goes.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from beyond_spectrograms.data.audio import (
    BadAudioError,
    Format,
    Recording,
    Waveform,
    convert,
    write_clip,
)
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.data.sound_files import read_recording
from beyond_spectrograms.params import Disturbance
from beyond_spectrograms.params.disturbances import Gain, LowPass, Mp3, Noise
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import written_beside
from beyond_spectrograms.util.progress import track

# Hz -> lowest and highest bitrate in kbit/s, of MPEG-1 and MPEG-2, layer III (ISO/IEC 11172-3 and 13818-3).
MP3_RATES = dict.fromkeys((32_000, 44_100, 48_000), (32, 320)) | dict.fromkeys((16_000, 22_050, 24_000), (8, 160))


class DisturbanceError(ProjectError):
    """A recording cannot be disturbed; the message names its file and why."""


def add_noise(samples: Waveform, sample_rate: int, record: Noise) -> Waveform:  # noqa: ARG001  as the others
    """Add white Gaussian noise, its level by the mean square of all samples; what is silent stays so.

    The generator's seed is a digest of the samples: no order of clips changes the noise of one, and disturbances that
    differ in level alone add the same noise.
    """
    seed = hashlib.sha256(samples.tobytes()).digest()
    noise = np.random.default_rng(int.from_bytes(seed)).standard_normal(len(samples))
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)) / np.mean(np.square(noise)))
    return np.asarray(samples + level * 10 ** (-record.snr_db / 20) * noise, dtype=np.float32)


def through_mp3(samples: Waveform, sample_rate: int, record: Mp3) -> Waveform:
    """Encode by LAME and decode by mpg123, both inside libsndfile.

    LAME notes its delay in the file, and mpg123 takes it away: what comes out stands where it stood.

    Raises:
        DisturbanceError: MP3 has no such sample rate, or the library leaves the delay in.
    """
    coded = encode_mp3(samples, sample_rate, record.bitrate_kbps)
    decoded, _ = soundfile.read(io.BytesIO(coded), dtype="float32")
    if len(decoded) != len(samples):
        raise DisturbanceError(f"{len(samples)} samples became {len(decoded)}: this libsndfile leaves MP3's delay in")
    return np.asarray(decoded, dtype=np.float32)


def encode_mp3(samples: Waveform, sample_rate: int, bitrate_kbps: int) -> bytes:
    """Encode at a constant bitrate (kbit/s).

    Raises:
        DisturbanceError: MP3 has no such sample rate.
    """
    if sample_rate not in MP3_RATES:
        known = ", ".join(map(str, sorted(MP3_RATES)))
        raise DisturbanceError(f"MP3 at {bitrate_kbps} kbit/s takes {known} Hz, not {sample_rate} Hz")
    lowest, highest = MP3_RATES[sample_rate]
    # libsndfile takes a compression from 0 to 1, spreads it over these bitrates and cuts the fraction off.
    compression = max(0.0, (highest - bitrate_kbps - 0.5) / (highest - lowest))
    coded = io.BytesIO()
    settings = {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": compression}
    soundfile.write(coded, samples, sample_rate, **settings)
    return coded.getvalue()


def amplify(samples: Waveform, sample_rate: int, record: Gain) -> Waveform:  # noqa: ARG001  as the others
    """Multiply by 10^(db / 20) and clip to full scale, -1 to 1."""
    return np.asarray(np.clip(samples * np.float32(10 ** (record.db / 20)), -1, 1))


def cut_highs(samples: Waveform, sample_rate: int, record: LowPass) -> Waveform:
    """Filter forwards and backwards: no delay, 6 dB down at the cutoff. Rates with nothing above it change nothing."""
    from scipy.signal import butter, sosfiltfilt

    if 2 * record.cutoff_hz >= sample_rate:
        return samples
    sections = butter(record.order, record.cutoff_hz, fs=sample_rate, output="sos")
    return np.asarray(sosfiltfilt(sections, samples), dtype=np.float32)


# By the kind of their record: samples [samples] in -1 to 1, Hz and the record -> as many samples.
KINDS: dict[str, Callable[[Waveform, int, Any], Waveform]] = {
    "noise": add_noise,
    "mp3": through_mp3,
    "gain": amplify,
    "low_pass": cut_highs,
}


def disturb(recording: Recording, record: Disturbance) -> Recording:
    """Disturb a recording as a record of params.yaml says; its length and sample rate stay."""
    samples = KINDS[record.kind](recording.samples, recording.sample_rate, record)
    return replace(recording, samples=samples)


def write_disturbed(
    raw: Path, clips: Sequence[str], record: Disturbance, *, seconds: tuple[float, float], form: Format, place: Path
) -> None:
    """Disturb the recordings raw/<clip>, and write each where `place` holds the clip in the format `form`.

    `seconds` are the shortest and longest plausible length.

    Raises:
        DisturbanceError: one cannot be read, or disturbed.
    """

    def write(clip: str) -> None:
        try:
            recording = disturb(read_recording(raw / clip, seconds), record)
        except (BadAudioError, DisturbanceError) as error:
            raise DisturbanceError(f"{raw / clip}: {error}") from None
        samples, _ = convert(recording, form)
        with written_beside(clip_path(place, form, clip), flushed=False) as beside:
            write_clip(beside, samples, form.sample_rate)

    with ThreadPoolExecutor() as pool:  # decoding, coding, resampling and FLAC release the interpreter lock
        for _ in track(pool.map(write, clips), f"disturb, {record.kind}", len(clips)):
            pass
