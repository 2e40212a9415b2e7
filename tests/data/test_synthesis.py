import math
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy import signal, stats

from beyond_spectrograms.data.synthesis import CLASSES, RATE, VOWELS, _through_formants, synthesise
from support.common import contents

Sound = NDArray[np.float64]
SECONDS = 1.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthesis") / "audio"
    synthesise(folder, seed=0, clips_per_class=3, seconds=SECONDS)
    return folder


def test_every_class_has_its_clips_all_different_of_the_form_and_level_asked_for(folder: Path) -> None:
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


def test_a_seed_gives_the_same_bytes_however_many_clips_and_another_others(folder: Path, tmp_path: Path) -> None:
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
    level = librosa.feature.rms(y=sound, frame_length=882, hop_length=882, center=False)
    return float((level < 1e-3 * level.max()).mean())


def centroid(sound: Sound) -> float:
    """Mean frequency in Hz, weighted by power."""
    frequencies, power = signal.welch(sound, RATE, nperseg=8192)
    return float((frequencies * power).sum() / power.sum())


def flatness(sound: Sound) -> float:
    """Geometric over arithmetic mean of the power from 0.1 to 10 kHz: 1 for white noise, 0 for tones."""
    power = signal.welch(sound, RATE, nperseg=8192)[1][20:2000]
    return float(stats.gmean(power + 1e-20 * power.max()) / power.mean())


def spikiness(sound: Sound) -> float:
    """Kurtosis of the second difference: 3 for noise, large for clicks."""
    return float(stats.kurtosis(np.diff(sound, 2), fisher=False))


def periodicity(sound: Sound) -> float:
    """Largest autocorrelation of the envelope at 5 to 300 ms: 1 where it repeats exactly."""
    envelope = np.abs(signal.hilbert(sound))[: len(sound) // 44 * 44].reshape(-1, 44).mean(axis=1)
    envelope -= envelope.mean()
    correlation = signal.correlate(envelope, envelope)[len(envelope) - 1 :]
    return float(correlation[5:300].max() / correlation[0])


def test_classes_differ_as_such_sounds_do() -> None:
    # Ten draws of each class, 2 s each, before the room, the background and the recorder.
    draws = [np.random.SeedSequence([5, number]) for number in range(10)]
    dry = {label: [sound(np.random.default_rng(draw), 2 * RATE) for draw in draws] for label, sound in CLASSES.items()}

    def middle(label: str, by: Callable[[Sound], float]) -> float:
        return float(np.median([by(sound) for sound in dry[label]]))

    for label in ("bird", "syllables"):  # they pause
        assert min(map(silence, dry[label])) > 0.1, label
        assert middle(label, silence) > 0.25, label
    for label in ("rain", "fire", "engine"):
        assert middle(label, silence) < 0.05, label
    tonal, noisy = dry["chords"] + dry["syllables"], dry["rain"] + dry["fire"]
    assert max(map(flatness, tonal)) < 0.05 < min(map(flatness, noisy))
    assert (middle("rain", periodicity) < 0.25, middle("engine", periodicity) > 0.45) == (True, True)
    assert (middle("rain", spikiness) < 10, middle("fire", spikiness) > 50) == (True, True)
    assert middle("engine", centroid) < 0.8 * middle("syllables", centroid)
    assert middle("syllables", centroid) < 0.8 * middle("bird", centroid)


def test_a_vowel_resonates_at_its_formants() -> None:
    noise = np.random.default_rng(0).normal(size=4 * RATE)
    for vowel in VOWELS:
        spoken = _through_formants(noise, np.array([0.0, 4.0]), np.stack([vowel, vowel]))
        frequencies, power = signal.welch(spoken, RATE, nperseg=2048)
        strongest = frequencies[power[frequencies < 1200].argmax()]
        assert min(abs(strongest - vowel[:2])) < 60, vowel
