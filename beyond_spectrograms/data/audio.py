"""Reading, checking, mixing, resampling and cutting sound. Waveforms are float32 in [-1, 1]."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

Waveform = npt.NDArray[np.float32]

SAMPLE_RATES = (4_000, 192_000)  # Hz: slower is not audio, faster is not a recording
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


def read_recording(path: Path, seconds: tuple[float, float]) -> Recording:
    """Decode a WAV, FLAC, OGG, MP3 or AU file, check it and mix it to mono.

    `seconds` are the shortest and longest plausible length.

    Raises:
        BadAudioError: the file is empty, not audio, truncated, not finite, silent, or implausible in rate or length.
    """
    if path.stat().st_size == 0:
        raise BadAudioError("empty file (0 bytes)")
    try:
        header = soundfile.info(path)
        # By rate and length before decoding: an hour-long file need not be read to be refused.
        slowest, fastest = SAMPLE_RATES
        if not slowest <= header.samplerate <= fastest:
            raise BadAudioError(f"sample rate {header.samplerate} Hz; plausible is {slowest} to {fastest} Hz")
        if header.frames == 0:
            raise BadAudioError("empty: a header but no samples")
        length = header.frames / header.samplerate
        if not seconds[0] <= length <= seconds[1]:
            raise BadAudioError(f"{length:.3f} s long; plausible is {seconds[0]:g} to {seconds[1]:g} s")
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadAudioError(f"not decodable as audio: {error.error_string.strip() or f'error {error.code}'}") from error
    _check_whole(path, header, len(samples))
    if not np.isfinite(samples).all():
        raise BadAudioError(f"{np.count_nonzero(~np.isfinite(samples))} samples are not finite (NaN or infinite)")
    mono = samples.mean(axis=1, dtype=np.float32)
    peak = float(np.abs(mono).max())
    if peak <= SILENCE_PEAK:
        raise BadAudioError(f"silent: its peak is {peak:g}, silence is {SILENCE_PEAK:g} or less")
    remarks = []
    if header.subtype in ("PCM_U8", "PCM_S8"):
        remarks.append("8-bit samples: quantisation noise at about -50 dBFS is part of the sound")
    if samples.shape[1] > 2:
        remarks.append(f"{samples.shape[1]} channels: mixed to mono by their mean")
    if peak > 1:
        remarks.append(f"peak of {peak:.3g}, above full scale: limited to 1")
    return Recording(mono, sample_rate, tuple(remarks))


def _check_whole(path: Path, header: soundfile._SoundFileInfo, decoded: int) -> None:
    """Find truncation, which libsndfile reads over: by its log (WAV, AU, AIFF), by count (MP3), by end mark (OGG)."""
    # The header may promise more than is there (a recording broke off) or carry a length never filled in;
    # libsndfile then reads what there is and notes "<promised> (should be <found>)" in its log.
    if header.format in ("WAV", "AU", "AIFF") and "should be" in header.extra_info:
        raise BadAudioError(f"truncated: the header promises more than the {decoded} samples found")
    if decoded < header.frames and header.format != "OGG":
        raise BadAudioError(f"truncated: the header promises {header.frames} samples, {decoded} could be decoded")
    if header.format == "OGG" and not ends_ogg_stream(path.read_bytes()):
        raise BadAudioError(f"truncated: the Ogg stream has no end mark after {decoded} samples")


def ends_ogg_stream(content: bytes) -> bool:
    """Say whether the last page is whole and marked as the last.

    RFC 3533, section 6: byte 5 has the flag 4 for "end of stream", byte 26 counts the segments, whose sizes follow.
    """
    page = content[content.rfind(b"OggS") :]
    if len(page) < 27:
        return False
    segments = page[27 : 27 + page[26]]
    return bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(segments)


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
    missing = max(firsts, default=0) + length - clip.shape[1]
    if missing > 0:
        clip = np.pad(clip, ((0, 0), (0, missing)), mode="reflect")
    return np.stack([clip[:, first : first + length] for first in firsts])
