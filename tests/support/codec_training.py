"""Trainings of the smallest codec on three sounds, and what they write."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from beyond_spectrograms.codec.sounds import Corpus
from beyond_spectrograms.codec.training import CodecRun, train_codec
from beyond_spectrograms.data.audio import Format
from support.codecs import recipe
from support.common import contents, noise, tone

HEARD = pd.DataFrame({"dataset": ["demo"], "clip": ["a"], "label": ["a"], "group": ["1"], "sha256": ["0"]})
MONO = Format(16_000, 1)
TIMED = ("checkpoint.pt", "run.json")  # have the seconds that a training took


def corpus(form: Format = MONO) -> Corpus:
    sounds = [noise(1, form.sample_rate), tone(1, 440, form.sample_rate, 0.1), tone(0.1, 2000, form.sample_rate, 0.1)]
    stacked = [np.repeat(sound[None], form.channels, axis=0) for sound in sounds]
    return Corpus(stacked, np.ones(3), np.array([False, True, False]), form)


def corpus_of(*sounds: Any, music: tuple[bool, ...] = ()) -> Corpus:
    """Make a corpus of mono sounds [samples] as they are, of which by default none is music."""
    heard = np.array(music or [False] * len(sounds))
    return Corpus([sound[None] for sound in sounds], np.ones(len(sounds)), heard, MONO)


def run_in(folder: Path, begin: Path | None = None, **changed: Any) -> CodecRun:
    return CodecRun(recipe(**changed), changed.get("seeds", [0])[0], HEARD, "cpu", {"codec": 1}, folder, begin)


def trained(folder: Path, **changed: Any) -> dict[str, bytes]:
    """Train in a folder, and read what was written but for what is TIMED."""
    run = run_in(folder, **changed)
    train_codec(run, corpus())
    assert run.is_finished()
    return {name: content for name, content in contents(run.place).items() if name not in TIMED}
