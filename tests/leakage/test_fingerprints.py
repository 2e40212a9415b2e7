"""Fingerprints find copies of a sound, however changed, and nothing among strangers."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
import soxr

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.leakage.audit import digest_samples
from beyond_spectrograms.leakage.fingerprints import BANDS, Cells, evidence, find_matches, fingerprint
from support.scenes import RATE, scene

NEAR = 0.3  # audit.near_strength


def with_noise(sound: Waveform) -> Waveform:
    noise = np.random.default_rng(9).normal(0, np.sqrt(np.mean(sound**2) * 10 ** (-30 / 10)), len(sound))
    return (sound + noise).astype(np.float32)


def shifted(seconds: float) -> Callable[[Waveform], Waveform]:
    def shift(sound: Waveform) -> Waveform:
        return np.concatenate([np.zeros(round(seconds * RATE), np.float32), sound])[: len(sound)]

    return shift


def resampled(sound: Waveform) -> Waveform:
    return np.asarray(soxr.resample(soxr.resample(sound, RATE, 8_000), 8_000, RATE), np.float32)


def as_ogg(sound: Waveform) -> Waveform:
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format="OGG", subtype="VORBIS")
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


@pytest.mark.parametrize(
    ("change", "offset"),
    [
        (lambda sound: sound * np.float32(0.2), 0.0),
        (with_noise, 0.0),
        (shifted(0.05), -0.05),
        (shifted(0.37), -0.37),
        (shifted(1.0), -1.0),
        (resampled, 0.0),
        (as_ogg, 0.0),
        (lambda sound: sound[2 * RATE : round(3.5 * RATE)], 2.0),
    ],
)
def test_a_changed_copy_is_found_and_where_it_starts(change: Callable[[Waveform], Waveform], offset: float) -> None:
    cells = [fingerprint(scene(seed)) for seed in range(8)]
    (match,) = find_matches([*cells, fingerprint(change(scene(3)))], NEAR)
    assert (match.first, match.second) == (3, 8)
    assert match.offset_s == pytest.approx(offset, abs=0.033)
    assert match.strength > 0.5


def test_strangers_agree_by_chance_alone() -> None:
    matches = find_matches([fingerprint(scene(seed)) for seed in range(30)], -1.0)
    assert len(matches) == 30 * 29 // 2
    assert matches[0].strength < 0.25


def random_cells(seed: int, frames: int) -> Cells:
    return np.random.default_rng(seed).choice(np.array([-1, 0, 1], np.int8), (frames, BANDS))


def test_the_best_shift_is_the_one_found_by_trying_them_all() -> None:
    first, second = random_cells(0, 80), random_cells(1, 60)
    second[:40] = first[30:70]
    second[::7] *= -1
    strengths = {}
    for shift in range(-59, 80):
        ours, theirs = first[max(0, shift) :], second[max(0, -shift) :]
        length = min(len(ours), len(theirs))
        ours, theirs = ours[:length].astype(int), theirs[:length].astype(int)
        agreement, told = int((ours * theirs).sum()), int(np.abs(ours * theirs).sum())
        full = RATE / 512 * BANDS  # the cells of one second
        strengths[shift] = (agreement / max(told, (told * full) ** 0.5), agreement / told, told / full)
    best = max(strengths, key=lambda shift: strengths[shift])
    (match,) = find_matches([first, second], NEAR)
    assert best == 30
    assert match.offset_s == pytest.approx(30 * 512 / RATE)
    assert (match.strength, match.similarity, match.overlap_s) == pytest.approx(strengths[best], rel=1e-4)


def test_pairs_are_the_same_however_clips_fall_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [random_cells(seed, 40 + seed) for seed in range(12)]
    cells[10] = cells[1]
    cells[7] = -cells[2]
    whole = find_matches(cells, 0.1)
    monkeypatch.setattr("beyond_spectrograms.leakage.fingerprints.BLOCK_BYTES", 8 * 60 * 9)
    in_blocks = find_matches(cells, 0.1)
    assert (whole[0].first, whole[0].second) == (1, 10)
    assert (2, 7) not in {(match.first, match.second) for match in whole}
    assert [(m.first, m.second, m.offset_s) for m in in_blocks] == [(m.first, m.second, m.offset_s) for m in whole]


def test_digital_silence_tells_nothing() -> None:
    sound = np.concatenate([scene(0, 1.0), np.zeros(2 * RATE, np.float32)])
    cells = fingerprint(sound)
    assert cells.shape[1] == BANDS
    assert not cells[36:].any()
    assert not fingerprint(np.zeros(RATE, np.float32)).any()
    assert evidence(fingerprint(np.zeros(RATE, np.float32))) == 0
    assert 0.5 < evidence(cells) <= 1


def test_a_digest_ignores_digital_silence_around_a_sound_and_nothing_else() -> None:
    sound = scene(0, 0.5)
    padded = np.pad(sound, (100, 2_000))
    assert digest_samples(padded) == digest_samples(sound)
    assert digest_samples(sound * np.float32(0.5)) != digest_samples(sound)
    assert digest_samples(np.insert(sound, 4_000, 0.0)) != digest_samples(sound)
