"""The demo data set: six classes of sound made from formulas and a seed, so that it needs no download.

A clip is its class's own sound (`CLASSES`) put through a recording that is drawn without regard to the class
(`_record`): room, background, tilt, band, level, length. What is left to learn is the sound, not how it was recorded.
Every sound is float64 `[samples]` at 44.1 kHz. Ranges for which no source is given are choices made by looking.
"""

from pathlib import Path

import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import signal

from beyond_spectrograms.util.files import written_beside

Sound = NDArray[np.float64]

RATE = 44_100

# The first three formants in Hz of ten American English vowels, means over men: Peterson & Barney 1952, table II
# (heed, hid, head, had, hod, hawed, hood, who'd, hud, heard).
F1 = [270.0, 390, 530, 660, 730, 570, 440, 300, 640, 490]
F2 = [2290.0, 1990, 1840, 1720, 1090, 840, 1020, 870, 1190, 1350]
F3 = [3010.0, 2550, 2480, 2410, 2440, 2410, 2240, 2240, 2390, 1690]
# The next two are, whatever the vowel, those of a tube of 17.5 cm closed at one end: 7 and 9 times 350 / (4 x 0.175).
VOWELS = np.array([F1, F2, F3, [3500.0] * 10, [4500.0] * 10]).T
BANDWIDTHS = (80, 110, 160, 250, 350)  # Hz

# Semitones above the root: major, minor, dominant seventh, minor seventh, suspended fourth, diminished.
CHORDS = ((0, 4, 7), (0, 3, 7), (0, 4, 7, 10), (0, 3, 7, 10), (0, 5, 7), (0, 3, 6))
# The drawbars of a Hammond organ (16', 8', 5 1/3', 4', 2 2/3', 2', 1 3/5', 1 1/3', 1') as harmonics of the 16'.
DRAWBARS = (1, 2, 3, 4, 6, 8, 10, 12, 16)


def synthesise(folder: Path, seed: int, clips_per_class: int, seconds: float) -> None:
    """Write `folder`/<label>/<label>_NN.wav: every class of `CLASSES`, NN from 00, 44.1 kHz mono 16-bit PCM.

    A clip depends on `seed`, its class, its number and `seconds` alone: more clips leave the first ones as they were.
    Peaks lie between -12 and -1 dBFS.
    """
    for index, label in enumerate(CLASSES):
        for number in range(clips_per_class):
            clip = _record(np.random.default_rng([seed, index, number]), label, round(seconds * RATE))
            pcm = np.rint(clip * 2**15).astype(np.int16)
            with written_beside(folder / label / f"{label}_{number:02d}.wav") as beside:
                soundfile.write(beside, pcm, RATE, subtype="PCM_16", format="WAV")


def bird(rng: Generator, samples: int) -> Sound:
    """Sing phrases of a few whistles around 0.9 to 6 kHz, with silence between."""
    song = np.zeros(samples)
    pitch, at = _log_uniform(rng, 900, 6000), rng.uniform(0, 0.6)
    notes = [_whistle(rng, pitch * 2 ** rng.normal(0, 0.3)) for _ in range(rng.integers(1, 4))]
    while at < samples / RATE:
        gap = _log_uniform(rng, 0.03, 0.2)
        for _ in range(rng.integers(2, 9)):
            note = notes[rng.integers(len(notes))]
            _add(song, at, note * rng.uniform(0.5, 1))
            at += len(note) / RATE + gap
        at += rng.uniform(0.2, 1.1)
    return song


def _whistle(rng: Generator, pitch: float) -> Sound:
    """Whistle 40 to 250 ms: a sweep, an arch and a trill in varying parts, with a weak second harmonic."""
    time = _seconds(_log_uniform(rng, 0.04, 0.25))
    along = time / time[-1]
    sweep, arch = rng.normal(0, 0.25, 2)
    trill = rng.choice([0.0, 0.06]) * np.sin(2 * np.pi * rng.uniform(20, 60) * time)
    octaves = sweep * (along - 0.5) + arch * np.sin(np.pi * along) + trill
    envelope: Sound = np.sin(np.pi * along) ** rng.uniform(0.5, 2)
    return envelope * _tone(pitch * 2**octaves, np.array([1, rng.uniform(0, 0.15)]))


def chords(rng: Generator, samples: int) -> Sound:
    """Play chords, inversions included, on plucked or bowed strings or a drawbar organ, a few cents out of tune."""
    music = np.zeros(samples)
    kind = rng.choice(["plucked", "bowed", "organ"])
    attack, decay = {"plucked": (0.003, 2 * _log_uniform(rng, 0.3, 1.5)), "bowed": (0.15, 0), "organ": (0.01, 0)}[kind]
    harmonic = np.arange(1, 17)
    weights = rng.uniform(0.1, 1, 16) * harmonic ** -rng.uniform(1, 2)
    if kind == "organ":
        weights *= np.isin(harmonic, DRAWBARS)
    root, beat, at = rng.integers(45, 65), rng.uniform(0.4, 1.4), rng.uniform(0, 0.3)
    while at < samples / RATE:
        time = _seconds(beat * rng.choice([1, 1, 2]))
        notes = np.array(CHORDS[rng.integers(len(CHORDS))]) + root + rng.choice([-5, -3, 0, 0, 2, 4, 5])
        notes[: rng.integers(len(notes))] += 12  # an inversion: the lowest notes go up an octave
        for note in notes:
            # Equal temperament, A4 (note 69) = 440 Hz: ISO 16.
            pitch = 440 * 2 ** ((note - 69 + rng.normal(0, 0.06)) / 12) / (2 if kind == "organ" else 1)
            vibrato = 1 + rng.uniform(0, 0.006) * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * time)
            tone = _tone(pitch * vibrato, weights, decay * time) * _ramps(len(time), attack, 0.05)
            _add(music, at + rng.uniform(0, 0.03), tone)
        at += len(time) / RATE + beat * (rng.random() < 0.15)  # now and then a rest
    return music


def engine(rng: Generator, samples: int) -> Sound:
    """Run a four-stroke engine: one firing per cylinder every two turns, speed drifting, no two firings alike.

    Each firing rings the exhaust (a few damped resonances) and lets out a puff of noise.
    """
    cylinders = rng.choice([1, 2, 3, 4, 6])
    gas = rng.uniform(0.7, 1.4, 2) if rng.random() < 0.4 else (1, 1)  # some speed up or slow down
    turns = _log_uniform(rng, 700, 3500) / 60 * np.geomspace(gas[0], gas[1], samples)
    turns *= 2 ** (0.04 * _drift(rng, samples, 1.5))
    fired = np.flatnonzero(np.diff(np.floor(np.cumsum(turns) / RATE * cylinders / 2)))
    strength = rng.uniform(0.7, 1, cylinders)[np.arange(len(fired)) % cylinders]
    strength *= np.exp(rng.normal(0, rng.uniform(0.05, 0.3), len(fired)))
    fired = fired + rng.normal(0, 0.0002 * RATE, len(fired)).astype(np.int64)
    exhaust = sum((_ringing(_log_uniform(rng, 50, 800), rng.uniform(1, 4), 0.25) for _ in range(6)), np.zeros(1))
    puffs = _strike(fired, strength, np.exp(-_seconds(0.03) / 0.004), samples)
    puffs *= _tilt(rng.normal(size=samples), -rng.uniform(3, 7))
    return _unit(_strike(fired, strength, exhaust, samples)) + rng.uniform(0.1, 0.5) * _unit(puffs)


def fire(rng: Generator, samples: int) -> Sound:
    """Let a fire crackle: a fluttering roar and bursts of clicks."""
    flutter = np.exp(rng.uniform(0.2, 0.8) * _drift(rng, samples, rng.uniform(2, 8)))
    roar = flutter * _tilt(rng.normal(size=samples), -rng.uniform(4, 9))
    bursts = rng.uniform(0, samples, rng.poisson(rng.uniform(2, 10) * samples / RATE) + 1)
    clicks = np.repeat(bursts, rng.geometric(0.2, len(bursts)))
    clicks += rng.exponential(0.05 * RATE, len(clicks))
    crackle = np.zeros(samples)
    for part in np.array_split(clicks.astype(np.int64), 4):
        snap = np.exp(-_seconds(0.02) / _log_uniform(rng, 0.0008, 0.005))
        snap = _band(snap * rng.normal(size=len(snap)), _log_uniform(rng, 500, 3000), _log_uniform(rng, 5000, 16000))
        crackle += _strike(part, rng.lognormal(0, 1, len(part)), snap, samples)
    return _unit(roar) + _log_uniform(rng, 0.3, 2.5) * _unit(crackle)


def rain(rng: Generator, samples: int) -> Sound:
    """Let it rain: a steady hiss, and drops that each ring for some milliseconds on what they hit."""
    gusts = np.exp(rng.uniform(0, 0.3) * _drift(rng, samples, 0.7))
    hiss = gusts * _tilt(rng.normal(size=samples), -rng.uniform(-1, 4))
    surface, drops = _log_uniform(rng, 500, 6000), np.zeros(samples)
    for share in rng.dirichlet(np.ones(8)):
        places = rng.integers(0, samples, rng.poisson(share * _log_uniform(rng, 20, 400) * samples / RATE))
        drop = _ringing(surface * 2 ** rng.normal(0, 0.7), rng.uniform(1, 6), 0.06)
        drops += _strike(places, rng.lognormal(0, 0.8, len(places)), drop, samples)
    return _unit(hiss) + _log_uniform(rng, 0.3, 2.5) * _unit(drops)


def syllables(rng: Generator, samples: int) -> Sound:
    """Speak phrases of voiced syllables: a glottal source of falling pitch through formants that move.

    Pitch and formants rise together from man (132 Hz) to child (264 Hz, formants a third higher), the means of
    Peterson & Barney 1952. Syllables come 3 to 6 a second: the modulation of speech peaks around 4 Hz
    (Houtgast & Steeneken 1985).
    """
    size = rng.uniform(0, 1)
    speaker, rate = 132 * 2 ** (size + rng.normal(0, 0.1)), rng.uniform(3, 6)
    vowels = VOWELS[rng.permutation(len(VOWELS))[:5]] * (1 + 0.35 * size)
    voicing, breath = np.zeros(samples), np.zeros(samples)
    at, times, pitches, formants = rng.uniform(0, 0.5), [0.0], [speaker], [vowels[0]]
    while at < samples / RATE:
        for place in np.linspace(1, 0, rng.integers(2, 9)):
            length = rng.uniform(0.7, 1.3) / rate
            if rng.random() < 0.35:  # a fricative: s, sh or f
                hiss = _band(rng.normal(size=int(0.5 * length * RATE)), _log_uniform(rng, 2000, 4500), 9000)
                _add(breath, at - 0.2 * length, hiss * _ramps(len(hiss), 0.03, 0.03) * rng.uniform(0.02, 0.15))
            _add(voicing, at, _ramps(int(0.9 * length * RATE), 0.2 * length, 0.3 * length) * rng.uniform(0.5, 1))
            times.append(at + length / 2)
            pitches.append(speaker * 2 ** (0.4 * place - 0.2 + rng.normal(0, 0.15)))
            formants.append(vowels[rng.integers(len(vowels))])
            at += length
        at += rng.uniform(0.2, 0.8)
    pitch = np.interp(np.arange(samples) / RATE, times, pitches) * 2 ** (0.01 * _drift(rng, samples, 30))
    # -12 dB per octave at the glottis, +6 at the lips: harmonic h has amplitude 1 / h.
    source = _tone(pitch, 1 / np.arange(1, 1 + int(9000 / pitch.max())))
    source += rng.uniform(0.02, 0.15) * rng.normal(size=samples)
    return _unit(_through_formants(voicing * source, np.array(times), np.array(formants))) + breath


def _through_formants(source: Sound, times: Sound, formants: Sound) -> Sound:
    """Filter `source` by resonances that glide through `formants` (Hz, `[times, 5]`) at `times` (seconds)."""
    frequencies, frames, spectrum = signal.stft(source, RATE, nperseg=1024)
    for centres, bandwidth in zip(formants.T, BANDWIDTHS, strict=True):
        pole = 1j * np.interp(frames, times, centres) - bandwidth / 2
        s = 1j * frequencies[:, None]
        spectrum *= np.abs(pole) ** 2 / np.abs((s - pole) * (s - pole.conj()))
    return np.asarray(signal.istft(spectrum, RATE)[1], np.float64)[: len(source)]


CLASSES = {sound.__name__: sound for sound in (bird, chords, engine, fire, rain, syllables)}


def _record(rng: Generator, label: str, samples: int) -> Sound:
    """Synthesise `label` as somebody happened to record it: all that is drawn here is drawn without regard to class."""
    clip = _unit(CLASSES[label](rng, samples))
    if rng.random() < 0.6:  # a room, whose noise-like tail decays by 60 dB in 0.15 to 1.2 s
        decay = _log_uniform(rng, 0.15, 1.2)
        tail = np.exp(-_seconds(decay) * np.log(1000) / decay)
        wet = signal.fftconvolve(clip, tail * rng.normal(size=len(tail)))[:samples]
        clip = _unit(clip + rng.uniform(0.1, 0.5) * _unit(wet))
    clip = clip + _background(rng, label, samples)
    clip = _tilt(clip, rng.uniform(-1, 1))
    if rng.random() < 0.25:  # at worst a telephone's band, 300 to 3400 Hz
        clip = _band(clip, _log_uniform(rng, 30, 300), _log_uniform(rng, 3400, 12000))
    # A soft limiter, as in a recorder: without it a few loud clicks set the level, and loudness would tell the class.
    clip = np.tanh(_unit(clip) / 4)
    # Some end early and are filled up with silence, as short clips of ESC-50 are (Piczak 2015).
    sounding = samples - int(samples * rng.uniform(0.1, 0.5) * (rng.random() < 0.12))
    clip = clip[:sounding] * _ramps(sounding, 0.01, 0.01)
    clip *= 10 ** (rng.uniform(-11.5, -1.5) / 20) / np.abs(clip).max()
    return np.pad(clip, (0, samples - sounding))


def _background(rng: Generator, label: str, samples: int) -> Sound:
    """Add up noise 20 to 50 dB below the sound and, now and then, another class's sound 10 to 25 dB below it."""
    noise = _unit(_tilt(rng.normal(size=samples), -rng.uniform(0, 9))) * 10 ** (-rng.uniform(20, 50) / 20)
    if rng.random() < 0.2:
        other = CLASSES[rng.choice([name for name in CLASSES if name != label])]
        noise += _unit(other(rng, samples)) * 10 ** (-rng.uniform(10, 25) / 20)
    return noise


def _tone(frequency: Sound, weights: Sound, damping: Sound | float = 0.0) -> Sound:
    """Sum weights[h - 1] exp(-h damping) sin(h phase) over h; `frequency` in Hz, it and `damping` for each sample."""
    turn = np.exp(2j * np.pi * np.cumsum(frequency) / RATE - damping)
    total = np.zeros_like(turn)
    for weight in weights[::-1]:  # a polynomial in `turn`, by Horner's rule: one product a harmonic, not one sine
        total += weight
        total *= turn
    return np.asarray(total.imag, np.float64)


def _tilt(sound: Sound, rise: float) -> Sound:
    """Raise the spectrum by `rise` dB per octave above 20 Hz."""
    frequencies = np.maximum(np.fft.rfftfreq(len(sound), 1 / RATE), 20)
    return np.fft.irfft(np.fft.rfft(sound) * (frequencies / 1000) ** (rise / 6.02), len(sound))


def _band(sound: Sound, low: float, high: float) -> Sound:
    """Keep `low` to `high` Hz (Butterworth, 12 dB per octave)."""
    return np.asarray(signal.sosfilt(signal.butter(2, [low, high], "bandpass", fs=RATE, output="sos"), sound))


def _drift(rng: Generator, samples: int, rate: float) -> Sound:
    """Draw a curve of about unit variance with `rate` new values a second, straight lines between."""
    knots = rng.normal(size=int(rate * samples / RATE) + 2)
    return np.interp(np.arange(samples) * rate / RATE, np.arange(len(knots)), knots)


def _strike(places: NDArray[np.int64], weights: Sound, hit: Sound, samples: int) -> Sound:
    """Add up `hit` times `weights` from the samples `places` on; what lies outside `samples` is left out."""
    inside = (places >= 0) & (places < samples)
    impulses = np.zeros(samples)
    np.add.at(impulses, places[inside], weights[inside])
    return np.asarray(signal.fftconvolve(impulses, hit))[:samples]


def _ringing(frequency: float, cycles: float, length: float) -> Sound:
    """Ring at `frequency` (Hz), falling to 1 / e in so many `cycles`, for `length` seconds."""
    return np.sin(2 * np.pi * frequency * _seconds(length)) * np.exp(-_seconds(length) * frequency / cycles)


def _seconds(length: float) -> Sound:
    """Give the time in seconds of each sample of `length` seconds."""
    return np.arange(int(length * RATE), dtype=np.float64) / RATE


def _ramps(samples: int, attack: float, release: float) -> Sound:
    """Rise from zero in `attack` seconds, stay at one and fall to zero in `release` seconds, along half cosines."""
    rise = np.minimum(np.arange(samples) / (attack * RATE), np.arange(samples)[::-1] / (release * RATE))
    return np.asarray(np.sin(np.pi / 2 * np.minimum(rise, 1)) ** 2, np.float64)


def _add(clip: Sound, at: float, sound: Sound) -> None:
    """Add `sound` to `clip` from `at` seconds on; what lies outside `clip` is left out."""
    start = int(at * RATE)
    place = slice(max(start, 0), max(start + len(sound), 0))
    clip[place] += sound[max(-start, 0) :][: len(clip[place])]


def _unit(sound: Sound) -> Sound:
    """Scale to a root mean square of 1; silence stays silence."""
    return np.asarray(sound / np.sqrt(np.mean(sound**2) + 1e-12), np.float64)


def _log_uniform(rng: Generator, low: float, high: float) -> float:
    """Draw from `low` to `high`, each octave equally likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
