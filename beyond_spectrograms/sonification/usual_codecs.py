"""Opus and MP3 beside a codec of ours, by ffmpeg where it is installed: the same sound, at the nearest bitrate."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.util.errors import ProjectError

FFMPEG = "ffmpeg"
SECONDS = 60  # that ffmpeg may take for a few seconds of sound
# Below, libopus writes frames that it can no longer fill: at 500 bits/s nothing is heard.
OPUS_LOWEST = 6_000
# Bits per second of layer III (ISO/IEC 11172-3 at 32 kHz and above, 13818-3 below).
MP3_LOW = tuple(1000 * rate for rate in (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160))
MP3_HIGH = tuple(1000 * rate for rate in (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320))


class UsualCodecError(ProjectError):
    """The program ffmpeg failed at a sound; the message has what it said."""


class Recoded(NamedTuple):
    """A sound that was encoded and decoded, of the same shape, and the bits a second that its packets have."""

    sound: Waveform
    bits_per_second: float


@dataclass(frozen=True)
class UsualCodec:
    """A codec that ffmpeg knows: its encoder there with options, and what its files end with."""

    name: str
    encoder: str
    options: tuple[str, ...]
    suffix: str

    def rates_near(self, bitrates: Sequence[int], sample_rate: int) -> list[int]:
        """List the bitrates (bits/s) it has that are nearest in ratio to those given, each once, the lowest first."""
        return sorted({self._nearest(bitrate, sample_rate) for bitrate in bitrates})

    def lowest(self, sample_rate: int) -> int:
        """Give its lowest bitrate (bits/s)."""
        return self._nearest(1, sample_rate)

    def _nearest(self, bitrate: int, sample_rate: int) -> int:
        if self.suffix == ".opus":
            return max(bitrate, OPUS_LOWEST)
        rates = MP3_HIGH if sample_rate >= 32_000 else MP3_LOW
        return min(rates, key=lambda rate: abs(math.log(rate / bitrate)))


# At a constant rate: as they come by default, a few seconds of noise and of silence take very different rates.
OPUS = UsualCodec("Opus", "libopus", ("-vbr", "off"), ".opus")
MP3 = UsualCodec("MP3", "libmp3lame", (), ".mp3")


def usual_codecs() -> tuple[list[UsualCodec], str]:
    """List those that the ffmpeg of this machine can encode; say in a line which ffmpeg that is and what it lacks."""
    program = shutil.which(FFMPEG)
    if program is None:
        return [], "ffmpeg is not installed where this page was made: Opus and MP3 are not in it."
    version = " ".join(_ffmpeg("its version", "-version").decode(errors="replace").split("\n")[0].split()[:3])
    known = set(_ffmpeg("its encoders", "-encoders").decode(errors="replace").split())
    codecs = [codec for codec in (OPUS, MP3) if codec.encoder in known]
    lacking = [f"{codec.name} ({codec.encoder})" for codec in (OPUS, MP3) if codec not in codecs]
    told = f"Opus and MP3 by {version}, at constant bitrates"
    return codecs, f"{told}; it has no encoder of {' or '.join(lacking)}." if lacking else f"{told}."


def recode(codec: UsualCodec, sound: Waveform, sample_rate: int, bitrate: int) -> Recoded:
    """Encode and decode a sound [channels, samples] of `sample_rate` Hz at `bitrate` bits/s.

    Bits are those of the packets: of Ogg's pages and of an MP3 file's first frame, which tells of the others, none.

    Raises:
        UsualCodecError: ffmpeg failed.
    """
    channels, samples = sound.shape
    doing = f"{codec.name} at {bitrate} bits/s"
    raw = ("-f", "f32le", "-ar", str(sample_rate), "-ac", str(channels))
    exact = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact")
    with tempfile.TemporaryDirectory() as folder:
        coded = f"file:{Path(folder, 'coded')}{codec.suffix}"
        content = np.ascontiguousarray(sound.T, dtype="<f4").tobytes()
        chosen = ("-c:a", codec.encoder, "-b:a", str(bitrate), *codec.options)
        _ffmpeg(doing, *raw, "-i", "pipe:0", *chosen, *exact, coded, given=content)
        packets = _ffmpeg(doing, "-i", coded, "-map", "0:a", "-c", "copy", "-f", "data", "pipe:1")
        decoded = np.frombuffer(_ffmpeg(doing, "-i", coded, *raw, "pipe:1"), dtype="<f4").reshape(-1, channels).T
    made = np.zeros_like(sound)
    heard = min(samples, decoded.shape[1])
    made[:, :heard] = decoded[:, :heard]
    return Recoded(made, 8 * len(packets) * sample_rate / samples)


def _ffmpeg(doing: str, *arguments: str, given: bytes = b"") -> bytes:
    command = [FFMPEG, "-hide_banner", "-loglevel", "error", *arguments]
    try:
        ran = subprocess.run(command, input=given, capture_output=True, check=False, timeout=SECONDS)  # noqa: S603  no shell
    except subprocess.TimeoutExpired:
        raise UsualCodecError(f"{doing}: ffmpeg took more than {SECONDS} s") from None
    if ran.returncode:
        said = " ".join(ran.stderr.decode(errors="replace").split())
        raise UsualCodecError(f"{doing}: ffmpeg ended with {ran.returncode}: {said}")
    return ran.stdout
