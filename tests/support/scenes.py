"""Sounds to look for copies in, and clips stored for the audit."""

from pathlib import Path

import numpy as np
import soxr

from beyond_spectrograms.data.audio import FORMATS, Waveform
from support.common import store_clip

RATE = 16_000


def scene(seed: int, seconds: float = 5.0) -> Waveform:
    """Noise in bursts, filtered anew for each: as changeable as a recording, [samples] at 16 kHz."""
    random = np.random.default_rng(seed)
    sound = random.normal(0, 0.003, round(seconds * RATE))
    for start in np.arange(0, seconds - 0.3, 0.3):
        burst = np.convolve(random.normal(0, 0.1, round(0.25 * RATE)), random.normal(0, 0.5, 16), "same")
        first = round(start * RATE)
        sound[first : first + len(burst)] += burst * np.hanning(len(burst))
    return np.clip(sound, -1, 1).astype(np.float32)


def write_clips(folder: Path, sounds: dict[str, Waveform]) -> None:
    """Store sounds [samples] at 48 kHz in the formats that the audit reads."""
    for clip, sound in sounds.items():
        for form in (FORMATS[0], FORMATS[-1]):
            store_clip(folder, form, clip, np.clip(soxr.resample(sound, 48_000, form.sample_rate), -1, 1))
