"""Measures of a codec say what was done to a sound: so much noise, so late, so much louder."""

import numpy as np
import pytest
import torch

from beyond_spectrograms.codec.measures import (
    compare_sounds,
    find_delay,
    judge_codec,
    measure_codes,
    mel_distance,
    si_snr,
)
from beyond_spectrograms.codec.network import Codec
from support.codecs import SMALL
from support.common import noise

RATE = 16_000


@pytest.mark.parametrize("wanted_db", [-5.0, 0.0, 12.0])
def test_si_snr_is_that_of_the_noise_added_whatever_the_level(wanted_db: float) -> None:
    sound, added = noise(2, RATE, 0).astype(np.float64), noise(2, RATE, 1).astype(np.float64)
    sound, added = sound - sound.mean(), added - added.mean()
    added -= (added @ sound) / (sound @ sound) * sound
    added *= np.linalg.norm(sound) / np.linalg.norm(added) * 10 ** (-wanted_db / 20)
    made = (3 * (sound + added) + 0.1).astype(np.float32)
    assert si_snr(made, sound.astype(np.float32)) == pytest.approx(wanted_db, abs=1e-3)


@pytest.mark.parametrize("delay", [-300, -1, 0, 7, 640])
def test_a_delay_is_found_and_taken_out(delay: int) -> None:
    long = noise(2, RATE)
    recorded, made = long[1000:20_000], 0.5 * long[1000 - delay : 20_000 - delay]
    assert find_delay(made, recorded, 800) == delay
    quality = compare_sounds(made[None], recorded[None], RATE)
    assert quality.delay == delay
    assert quality.si_snr > 60


def test_a_delay_is_looked_for_no_further_than_asked() -> None:
    long = noise(2, RATE)
    assert abs(find_delay(long[:20_000], long[1000:21_000], 100)) <= 100


def test_the_mel_distance_of_a_sound_10_db_louder_is_10_db() -> None:
    """Where a resolution has bands between its bins, these are silent in both: their share is at no distance."""
    sound = 30 * noise(1, RATE)[None]
    assert mel_distance(sound, sound, RATE) == 0.0
    distance = mel_distance((10**0.5) * sound, sound, RATE)
    assert 10 * 0.6 < distance <= 10.01


@pytest.mark.parametrize("samples", [1, 200, 768, 769])
def test_the_mel_distance_of_a_sound_shorter_than_the_windows_is_told(samples: int) -> None:
    sound = 30 * noise(1, RATE)[None, :samples]
    assert mel_distance(sound, sound, RATE) == 0.0
    assert 0 < mel_distance(2 * sound, sound, RATE) < 20 * np.log10(2) + 0.01


def test_the_use_of_codebooks_is_that_of_their_codes() -> None:
    even, one, half = np.arange(16), np.zeros(16, dtype=np.int64), np.arange(16) % 8
    used = measure_codes(np.stack([even, one, half]), 16)
    assert [(each.used, each.perplexity, each.bits) for each in used] == [(1, 16, 4), (1 / 16, 1, 0), (0.5, 8, 3)]


def test_a_codec_is_judged_by_sounds_of_any_length() -> None:
    torch.manual_seed(0)
    codec = Codec(SMALL).eval()
    codec.quantizer.codebooks.normal_()
    sounds = [noise(seconds, RATE, 3)[None] for seconds in (0.31, 1.0)]
    qualities, used = judge_codec(codec, sounds, 600)
    assert len(qualities) == 2
    assert len(used) == 3
    assert len(judge_codec(codec, sounds, 200)[1]) == 1
    assert all(np.isfinite(each).all() for each in qualities)
