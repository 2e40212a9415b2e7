"""Rooms that are made, not measured: a direct sound and noise that decays as exponentially as a diffuse field does.

Source: Polack, "La transmission de l'énergie sonore dans les salles", 1988. EnCodec's recipe takes measured and
simulated responses of the DNS challenge, which are not passed on here.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

from beyond_spectrograms.data.audio import Waveform

DIRECT_DB = (0.0, 12.0)  # the direct sound's energy over that of the rest, drawn between these
DELAY_S = (0.002, 0.02)  # from the direct sound to the rest: walls 0.7 to 7 m further
TIMES = np.log(1000.0)  # a level of -60 dB is an amplitude of 1/1000


def room_response(rt60_s: float, sample_rate: int, random: np.random.Generator) -> Waveform:
    """Make the response [samples] of a room whose sound takes `rt60_s` seconds to fall by 60 dB."""
    delay = round(random.uniform(*DELAY_S) * sample_rate)
    time = np.arange(round(rt60_s * sample_rate)) / sample_rate
    tail = random.standard_normal(len(time)) * np.exp(-TIMES * time / rt60_s)
    tail *= 10 ** (-random.uniform(*DIRECT_DB) / 20) / np.sqrt(np.square(tail).sum())
    response = np.concatenate([[1.0], np.zeros(delay), tail])
    return np.asarray(response, dtype=np.float32)


def reverberate(sound: Waveform, response: Waveform) -> Waveform:
    """Play a sound [channels, samples] in a room; its level and length stay as they were."""
    played = fftconvolve(sound, response[None], axes=1)[:, : sound.shape[1]]
    before, after = (float(np.sqrt(np.square(each).mean())) for each in (sound, played))
    scaled: Waveform = (played * (before / after if after else 0.0)).astype(np.float32)
    return scaled
