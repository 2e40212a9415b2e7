from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy import signal

from beyond_spectrograms.data.synthesis import CLASSES, RATE, VOWELS, _through_formants, synthesise

Sound = NDArray[np.float64]
SECONDS = 1.5


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthesis") / "audio"
    synthesise(folder, seed=0, clips_per_class=3, seconds=SECONDS)
    return folder


@pytest.fixture(scope="module")
def dry() -> dict[str, list[Sound]]:
    """Ten draws of each class, 2 s each, before the room, the background and the recorder."""
    return {
        label: [sound(np.random.default_rng([5, number]), 2 * RATE) for number in range(10)]
        for label, sound in CLASSES.items()
    }


def test_every_class_has_its_numbered_clips_all_different_of_the_form_and_level_asked_for(folder: Path) -> None:
    labels = ["bird", "chords", "engine", "fire", "rain", "syllables"]
    names = [f"audio/{label}/{label}_{n:02d}.wav" for label in labels for n in range(3)]
    assert sorted(contents(folder.parent)) == names
    assert len(set(contents(folder).values())) == 18
    for path in folder.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.format, info.subtype, info.channels, info.samplerate) == ("WAV", "PCM_16", 1, 44100), path.name
        assert info.frames == SECONDS * 44100, path.name
        samples, _ = soundfile.read(path)
        assert -12 < 20 * math.log10(np.abs(samples).max()) < -1, path.name
        assert np.abs(samples[[0, -1]]).max() < 1e-4, path.name  # no click at the ends


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    synthesise(tmp_path, seed=0, clips_per_class=3, seconds=SECONDS)
    assert contents(tmp_path) == contents(folder)


def test_another_seed_gives_other_clips_and_fewer_clips_are_the_first_of_more(folder: Path, tmp_path: Path) -> None:
    first = contents(folder)
    for seed in (0, 1):
        synthesise(tmp_path / str(seed), seed=seed, clips_per_class=1, seconds=SECONDS)
        made = contents(tmp_path / str(seed))
        assert len(made) == 6
        assert {content == first[name] for name, content in made.items()} == {seed == 0}


def test_the_shortest_clips_are_finite_and_never_wholly_silent(tmp_path: Path) -> None:
    synthesise(tmp_path, seed=3, clips_per_class=4, seconds=1)
    for path in tmp_path.rglob("*.wav"):
        samples, _ = soundfile.read(path)
        assert len(samples) == RATE
        assert np.abs(samples).max() > 0.25, path.name


def silence(sound: Sound) -> float:
    """Share of 20 ms frames more than 60 dB below the loudest."""
    frames = sound[: len(sound) // 882 * 882].reshape(-1, 882)
    level = np.sqrt((frames**2).mean(axis=1))
    return float((level < 1e-3 * level.max()).mean())


def centroid(sound: Sound) -> float:
    """Mean frequency in Hz, weighted by power."""
    frequencies, power = signal.welch(sound, RATE, nperseg=8192)
    return float((frequencies * power).sum() / power.sum())


def flatness(sound: Sound) -> float:
    """Geometric over arithmetic mean of the power from 0.1 to 10 kHz: 1 for white noise, 0 for tones."""
    power = signal.welch(sound, RATE, nperseg=8192)[1][20:2000]
    return float(np.exp(np.log(power + 1e-20 * power.max()).mean()) / power.mean())


def spikiness(sound: Sound) -> float:
    """Kurtosis of the second difference: 3 for noise, large for clicks."""
    bend = np.diff(sound, 2)
    return float((bend**4).mean() / (bend**2).mean() ** 2)


def periodicity(sound: Sound) -> float:
    """Largest autocorrelation of the envelope at 5 to 300 ms: 1 where it repeats exactly."""
    envelope = np.abs(signal.hilbert(sound))[: len(sound) // 44 * 44].reshape(-1, 44).mean(axis=1)
    envelope -= envelope.mean()
    correlation = signal.correlate(envelope, envelope)[len(envelope) - 1 :]
    return float(correlation[5:300].max() / correlation[0])


def measure(sounds: list[Sound], by: Callable[[Sound], float]) -> list[float]:
    return sorted(by(sound) for sound in sounds)


def test_birds_and_speech_pause_while_rain_fire_and_engines_do_not(dry: dict[str, list[Sound]]) -> None:
    for label in ("bird", "syllables"):
        assert measure(dry[label], silence)[0] > 0.1, label
        assert np.median(measure(dry[label], silence)) > 0.25, label
    for label in ("rain", "fire", "engine"):
        assert np.median(measure(dry[label], silence)) < 0.05, label


def test_chords_and_speech_are_tonal_and_rain_and_fire_are_noise(dry: dict[str, list[Sound]]) -> None:
    tonal = measure(dry["chords"] + dry["syllables"], flatness)
    noise = measure(dry["rain"] + dry["fire"], flatness)
    assert tonal[-1] < 0.05 < noise[0]


def test_engines_fire_in_rhythm_and_raindrops_do_not(dry: dict[str, list[Sound]]) -> None:
    assert np.median(measure(dry["engine"], periodicity)) > 0.45
    assert np.median(measure(dry["rain"], periodicity)) < 0.25


def test_fire_clicks_and_rain_hisses(dry: dict[str, list[Sound]]) -> None:
    assert np.median(measure(dry["fire"], spikiness)) > 50
    assert np.median(measure(dry["rain"], spikiness)) < 10


def test_engines_rumble_below_speech_and_birds_whistle_above_it(dry: dict[str, list[Sound]]) -> None:
    engine, speech, bird = (np.median(measure(dry[label], centroid)) for label in ("engine", "syllables", "bird"))
    assert engine < 0.8 * speech
    assert speech < 0.8 * bird


def test_a_vowel_resonates_at_its_formants() -> None:
    noise = np.random.default_rng(0).normal(size=4 * RATE)
    for vowel in VOWELS:
        spoken = _through_formants(noise, np.array([0.0, 4.0]), np.stack([vowel, vowel]))
        frequencies, power = signal.welch(spoken, RATE, nperseg=2048)
        strongest = frequencies[power[frequencies < 1200].argmax()]
        assert min(abs(strongest - vowel[:2])) < 60, vowel
