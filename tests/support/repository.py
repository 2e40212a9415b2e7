"""Where the project lies, how its stages are started, and windows of noise."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from beyond_spectrograms.data.audio import Format, Waveform

REPOSITORY = Path(__file__).parents[2]

StartStage = Callable[..., subprocess.Popen[str]]


def run_here(stage: str, *arguments: str) -> None:
    """Run a stage in this process, in the folder we are in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"{stage}.py", *arguments])
        importlib.import_module(f"stages.{stage}").main()


def stack(noise: Callable[..., Waveform], count: int, form: Format, seconds: float = 1.0) -> Waveform:
    """Make windows [count, channels, samples] of noise, each of another loudness; both channels are the same."""
    windows = [noise(seconds, form.sample_rate, seed) * 10.0**-seed for seed in range(count)]
    return np.repeat(np.stack(windows).astype(np.float32)[:, None], form.channels, axis=1)
