"""Where the project lies, how its stages are started, and windows of noise."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from beyond_spectrograms.data.audio import Format, Waveform

REPOSITORY = Path(__file__).parents[2]

StartStage = Callable[..., subprocess.Popen[str]]


def stack(noise: Callable[..., Waveform], count: int, form: Format, seconds: float = 1.0) -> Waveform:
    """Make windows [count, channels, samples] of noise, each of another loudness; both channels are the same."""
    windows = [noise(seconds, form.sample_rate, seed) * 10.0**-seed for seed in range(count)]
    return np.repeat(np.stack(windows).astype(np.float32)[:, None], form.channels, axis=1)
