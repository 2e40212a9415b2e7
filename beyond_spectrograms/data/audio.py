"""Checking, resampling and cutting sound. Waveforms are float32 in [-1, 1]."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

Waveform = npt.NDArray[np.float32]

SAMPLE_RATES = (4_000, 384_000)  # Hz: slower is not audio, faster no recorder's
HIGHEST_PEAK = 8.0  # 18 dB over full scale: more than any mix in floats has
SILENCE_PEAK = 1e-4  # -80 dBFS: what a lossy coder leaves of digital silence stays below it
FLAC_SUBTYPE = "PCM_24"  # 2^-24 is below float32's own step near full scale


@dataclass(frozen=True)
class Format:
    """A format in which clips are stored: `channels` equal channels at `sample_rate` Hz."""

    sample_rate: int
    channels: int

    @property
    def name(self) -> str:
        """Folder name, for instance stereo_48000."""
        return f"{'stereo' if self.channels == 2 else 'mono'}_{self.sample_rate}"


# What the representations take: SoundStream, mel, EnCodec 24 kHz, EnCodec 48 kHz. All four are written whatever the
# grid holds, so that a representation added later touches no clip; FLAC stores two equal channels as one.
FORMATS = (Format(16_000, 1), Format(22_050, 1), Format(24_000, 1), Format(48_000, 2))


def stored_format(sample_rate: int) -> Format:
    """Choose the stored format from which sound at `sample_rate` Hz is made: its own, or else the next faster.

    Raises:
        ValueError: none is as fast.
    """
    for form in FORMATS:
        if form.sample_rate >= sample_rate:
            return form
    raise ValueError(f"{sample_rate} Hz; clips are stored at {FORMATS[-1].sample_rate} Hz at most")


def mono_at(sample_rate: int, windows: Waveform, form: Format) -> Waveform:
    """Mix windows [windows, channels, samples] of a stored format to mono [windows, samples] at `sample_rate` Hz.

    Resampled (soxr, HQ) window by window: none hears what is beside it.
    """
    mono: Waveform = windows.mean(axis=1, dtype=np.float32)
    if sample_rate == form.sample_rate:
        return mono
    return np.stack([soxr.resample(window, form.sample_rate, sample_rate, quality="HQ") for window in mono])


class BadAudioError(ValueError):
    """A file cannot serve as a clip; the message is the reason."""


@dataclass(frozen=True)
class Recording:
    """A decoded file: `samples` [samples] is the mean of its channels; `remarks` say what is unusual but usable."""

    samples: Waveform
    sample_rate: int
    remarks: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


def check_rate(sample_rate: int) -> None:
    """Refuse an implausible sample rate, Hz.

    Raises:
        BadAudioError: it is.
    """
    slowest, fastest = SAMPLE_RATES
    if not slowest <= sample_rate <= fastest:
        raise BadAudioError(f"sample rate {sample_rate} Hz; plausible is {slowest} to {fastest} Hz")


def check_peak(peak: float) -> None:
    """Refuse samples far above full scale: limited to it, they would be square waves.

    Raises:
        BadAudioError: they are.
    """
    if peak > HIGHEST_PEAK:
        raise BadAudioError(
            f"peak of {peak:.6g}, far above full scale, which is 1: whole numbers as floats? Divide them by 32768"
        )


def tell_length(seconds: float, shortest: float, longest: float = math.inf) -> str:
    """Write a length that is not between these with as many digits as it takes to see that: 0.0999 s is not 0.1."""
    told = (f"{seconds:.{digits}f}" for digits in (3, 6, 9))
    return next((text for text in told if not shortest <= float(text) <= longest), repr(seconds))


def describe_silence(peak: float, channel_peak: float) -> str:
    """Say why a sound of this peak, once mixed, is silent; nothing where it is not. `channel_peak`: before mixing."""
    if peak > SILENCE_PEAK:
        return ""
    reason = f"silent: its peak is {peak:g}, silence is {SILENCE_PEAK:g} or less"
    if channel_peak > SILENCE_PEAK:
        return f"{reason}; the channels cancel each other when mixed, the peak of one is {channel_peak:g}"
    return reason


def remarks_of(channels: int, peak: float, *, of_8_bit: bool = False) -> tuple[str, ...]:
    """Say what is unusual about a sound of so many channels, of this peak once mixed, but usable."""
    remarks = ["8-bit samples: quantisation noise at about -50 dBFS is part of the sound"] * of_8_bit
    if channels > 2:
        remarks.append(f"{channels} channels: mixed to mono by their mean")
    if peak > 1:
        remarks.append(f"peak of {peak:.3g}, above full scale: limited to 1")
    return tuple(remarks)


def convert(recording: Recording, form: Format) -> tuple[Waveform, int]:
    """Resample (soxr, HQ) and duplicate to the channels of `form`.

    Returns:
        samples [samples, channels], seconds x sample_rate to the nearest, limited to full scale, and how many samples
        had to be limited (resampling rings a little above the peaks it was given).
    """
    mono = soxr.resample(recording.samples, recording.sample_rate, form.sample_rate, quality="HQ")
    limited = int(np.count_nonzero(np.abs(mono) > 1))
    return np.repeat(np.clip(mono, -1, 1)[:, None], form.channels, axis=1), limited


def write_clip(path: Path, samples: Waveform, sample_rate: int) -> None:
    """Write samples [samples, channels] as 24-bit FLAC. Equal channels cost no more than one."""
    soundfile.write(path, samples, sample_rate, format="FLAC", subtype=FLAC_SUBTYPE)


def read_clip(path: Path, form: Format) -> Waveform:
    """Read a stored clip as [channels, samples].

    Raises:
        BadAudioError: the file is not in the format its folder's name promises.
    """
    samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    if (sample_rate, samples.shape[1]) != (form.sample_rate, form.channels):
        raise BadAudioError(
            f"{path}: {sample_rate} Hz and {samples.shape[1]} channels, not {form.sample_rate} Hz and {form.channels}"
        )
    return np.ascontiguousarray(samples.T)


def windows_inside(seconds: float, length_s: float, hop_s: float) -> int:
    """Count the windows that lie inside a clip."""
    return int((seconds - length_s) / hop_s + 1e-9) + 1 if seconds >= length_s - 1e-9 else 0


def window_starts(seconds: float, length_s: float, hop_s: float, tail: str) -> list[float]:
    """Where the windows of a clip start, in seconds.

    With tail `drop` every window lies inside the clip (the paper's released code); with `reflect` a last window that
    reaches past the end is kept, to be filled with the clip's own sound backwards (the paper's text).
    """
    inside = windows_inside(seconds, length_s, hop_s)
    covered = (inside - 1) * hop_s + length_s if inside else 0.0
    extra = tail == "reflect" and max(covered, inside * hop_s) < seconds - 1e-9
    return [index * hop_s for index in range(inside + extra)]


def cut_windows(clip: Waveform, starts: list[float], length_s: float, sample_rate: int) -> Waveform:
    """Cut a clip [channels, samples] into windows [windows, channels, samples]; past its end it is reflected.

    Raises:
        ValueError: a window is not a whole number of samples long.
    """
    length = round(length_s * sample_rate)
    if abs(length - length_s * sample_rate) > 1e-6:
        raise ValueError(f"windows.length_s {length_s:g} is not a whole number of samples at {sample_rate} Hz")
    firsts = [round(start * sample_rate) for start in starts]
    clip = reflect_to(max(firsts, default=0) + length, clip)
    return np.stack([clip[:, first : first + length] for first in firsts])


def reflect_to(samples: int, clip: Waveform) -> Waveform:
    """Go on with a clip [channels, samples] backwards from its end, to so many samples if it is shorter."""
    missing = samples - clip.shape[1]
    return np.pad(clip, ((0, 0), (0, missing)), mode="reflect") if missing > 0 else clip
