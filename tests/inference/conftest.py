"""Sounds of one's own of two classes, low and high, that are easy to tell apart."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from beyond_spectrograms.data.audio import Waveform
from support.common import tone

PROBE = ["--representation", "mfcc", "--classifier", "probe_mean_deviation"]  # options of `train`: the quickest


def cloud(low: bool, seconds: float, sample_rate: int, seed: int) -> Waveform:
    """Make thirty sines, of 100 to 800 Hz or of 2.5 to 8 kHz."""
    hertz = np.random.default_rng(seed).uniform(*((100, 800) if low else (2500, 8000)), 30)
    return np.sum([tone(seconds, each, sample_rate) for each in hertz], axis=0) / 30


def write(path: Path, seconds: float = 1.0, sample_rate: int = 22_050, channels: int = 1, seed: int = 0) -> None:
    """Write a sound of the class that the path names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = cloud("/low/" in str(path), seconds, sample_rate, seed)
    soundfile.write(path, np.stack([sound] * channels, axis=1), sample_rate)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write nine low sounds and three high ones; of these one is short, one of six channels at 96 kHz."""
    folder = tmp_path_factory.mktemp("written") / "sounds"
    for number in range(9):
        write(folder / f"low/{number}.wav", 2.0, seed=number)
    write(folder / "high/short.wav", 0.4, seed=10)
    write(folder / "high/six.wav", 2.0, 96_000, 6, seed=11)
    write(folder / "high/plain.flac", 2.5, 44_100, seed=12)
    (folder / "low/broken.wav").write_text("no sound")
    (folder / "notes.txt").write_text("left alone")
    return folder


@pytest.fixture
def sounds(written: Path, tmp_path: Path) -> Path:
    """A copy of them, to change."""
    return Path(shutil.copytree(written, tmp_path / "my sounds"))
