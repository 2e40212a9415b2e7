"""Planted copies are found, strangers are not, and file-level cues are scored without the test part."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr

from beyond_spectrograms.audio import FORMATS, Waveform, write_clip
from beyond_spectrograms.clips import clip_path
from beyond_spectrograms.leakage.audit import (
    LeakageError,
    Pair,
    Sound,
    check_known_pairs,
    check_no_leak,
    describe_repetitions,
    describe_splits,
    digest_samples,
    find_pairs,
    listen,
    parts_of_clips,
)
from beyond_spectrograms.leakage.cues import CUES, measure_cues, measure_sound, score_cues, wilson_interval
from beyond_spectrograms.leakage.fingerprints import BANDS, Cells, Match, evidence, find_matches, fingerprint
from beyond_spectrograms.leakage.tables import print_audit

RATE = 16_000
HALF = Match(0, 1, similarity=0.5, strength=0.5, offset_s=0.0, overlap_s=1.0)
NEAR = 0.3  # audit.near_strength
AUDIT: Any = SimpleNamespace(trees=50, seed=0)
SPLITS: Any = {"window": SimpleNamespace(kind="window"), "source": SimpleNamespace(kind="source")}


def scene(seed: int, seconds: float = 5.0) -> Waveform:
    """Noise in bursts, filtered anew for each: as changeable as a recording, [samples] at 16 kHz."""
    random = np.random.default_rng(seed)
    sound = random.normal(0, 0.003, round(seconds * RATE))
    for start in np.arange(0, seconds - 0.3, 0.3):
        burst = np.convolve(random.normal(0, 0.1, round(0.25 * RATE)), random.normal(0, 0.5, 16), "same")
        first = round(start * RATE)
        sound[first : first + len(burst)] += burst * np.hanning(len(burst))
    return np.clip(sound, -1, 1).astype(np.float32)


def louder_or_softer(sound: Waveform) -> Waveform:
    return sound * np.float32(0.2)


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


def part(sound: Waveform) -> Waveform:
    return sound[2 * RATE : round(3.5 * RATE)]


@pytest.mark.parametrize(
    ("change", "offset"),
    [
        (louder_or_softer, 0.0),
        (with_noise, 0.0),
        (shifted(0.05), -0.05),
        (shifted(0.37), -0.37),
        (shifted(1.0), -1.0),
        (resampled, 0.0),
        (as_ogg, 0.0),
        (part, 2.0),
    ],
)
def test_a_changed_copy_is_found_among_strangers_and_where_it_starts(
    change: Callable[[Waveform], Waveform], offset: float
) -> None:
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


def write_clips(folder: Path, sounds: dict[str, Waveform]) -> None:
    """Store sounds [samples] at 48 kHz in the formats that the audit reads."""
    for clip, sound in sounds.items():
        for form in (FORMATS[0], FORMATS[-1]):
            samples = np.clip(soxr.resample(sound, 48_000, form.sample_rate), -1, 1)
            path = clip_path(folder, form, clip)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_clip(path, np.repeat(samples[:, None], form.channels, axis=1), form.sample_rate)


def clip_table(groups: dict[str, str], same_bytes: tuple[str, ...] = ()) -> pd.DataFrame:
    rows = [
        {"clip": clip, "label": clip.split("/")[0], "group": group, "sha256": "one" if clip in same_bytes else clip}
        for clip, group in groups.items()
    ]
    return pd.DataFrame(rows)


GROUPS = {"dog/a.wav": "1", "dog/b.wav": "2", "dog/c.wav": "3", "rain/d.wav": "4", "rain/e.wav": "4"}
PARTS = {"source_1": ["train", "test", "validation", "train", "train"], "source_2": ["train"] * 2 + ["test"] * 3}


@pytest.fixture
def planted(tmp_path: Path) -> tuple[pd.DataFrame, list[Sound]]:
    """Five clips: b has a's samples, c is a at another level, d has e's bytes."""
    tones = [np.asarray(soxr.resample(scene(seed), RATE, 48_000), np.float32) for seed in range(2)]
    stored = {"dog/a.wav": tones[0], "dog/b.wav": tones[0], "dog/c.wav": 0.3 * tones[0]}
    write_clips(tmp_path, stored | {"rain/d.wav": tones[1], "rain/e.wav": tones[1]})
    return clip_table(GROUPS, ("rain/d.wav", "rain/e.wav")), listen(tmp_path, list(GROUPS))


def places() -> dict[str, list[set[str]]]:
    return {column: [{part} for part in parts] for column, parts in PARTS.items()}


def test_planted_pairs_of_every_kind_are_listed_with_where_they_stand(
    planted: tuple[pd.DataFrame, list[Sound]],
) -> None:
    pairs = find_pairs(*planted, places(), NEAR, [["dog/c.wav", "dog/b.wav"]])
    found = {(pair.first, pair.second): (pair.kind, pair.across, pair.known) for pair in pairs}
    assert found == {
        ("rain/d.wav", "rain/e.wav"): ("same bytes", (), False),
        ("dog/a.wav", "dog/b.wav"): ("same samples", ("source_1",), False),
        ("dog/a.wav", "dog/c.wav"): ("near", ("source_1", "source_2"), False),
        ("dog/b.wav", "dog/c.wav"): ("near", ("source_1", "source_2"), True),
    }


def windows(parts: dict[str, list[str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One window a clip."""
    table = pd.DataFrame({"clip": list(GROUPS), "group": list(GROUPS.values())})
    return table, pd.DataFrame(parts)


def audit(sounds: tuple[pd.DataFrame, list[Sound]], known: list[list[str]], column: str = "source_1") -> Any:
    pairs = find_pairs(*sounds, places(), NEAR, known)
    table, parts = windows({column: PARTS["source_1"]})
    pairs = [Pair(**{**pair.__dict__, "across": (column,) if "source_1" in pair.across else ()}) for pair in pairs]
    return describe_splits(table, parts, SPLITS, pairs, {}), pairs


def test_a_split_that_promises_no_leak_fails_with_the_pairs(planted: tuple[pd.DataFrame, list[Sound]]) -> None:
    described, pairs = audit(planted, [])
    assert described["source"]["columns"]["source_1"] == {
        "recordings_in_two_parts": 0,
        "groups_in_two_parts": 0,
        "known_repetitions_in_two_parts": 0,
        "pairs_across": {"same bytes": 0, "same samples": 1, "near": 2},
        "known_pairs_across": 0,
        "leaks": 3,
    }
    with pytest.raises(LeakageError) as caught:
        check_no_leak("pets", described, pairs)
    assert str(caught.value) == (
        "pets: split source promises no leak and has one\n"
        "  source_1: dog/a.wav and dog/b.wav, same samples\n"
        "  source_1: dog/a.wav and dog/c.wav, near of strength 1.00\n"
        "  source_1: dog/b.wav and dog/c.wav, near of strength 1.00\n"
        "Give such clips one group (datasets.pets.source: name or known_repetitions), "
        "or acknowledge a pair under audit.known_pairs.pets."
    )


def test_acknowledged_pairs_pass_and_are_counted(planted: tuple[pd.DataFrame, list[Sound]]) -> None:
    acknowledged = [["dog/b.wav", "dog/a.wav"], ["dog/a.wav", "dog/c.wav"], ["dog/b.flac", "dog/c.flac"]]
    described, pairs = audit(planted, acknowledged)
    check_no_leak("pets", described, pairs)
    assert described["source"]["columns"]["source_1"]["known_pairs_across"] == 3
    assert described["source"]["columns"]["source_1"]["leaks"] == 0


def test_a_split_that_promises_nothing_never_fails(planted: tuple[pd.DataFrame, list[Sound]]) -> None:
    described, pairs = audit(planted, [], "window")
    assert described["window"]["columns"]["window"]["leaks"] == 3
    check_no_leak("pets", described, pairs)


def test_a_group_in_two_parts_fails_even_where_its_clips_sound_unlike() -> None:
    table, parts = windows({"source_1": ["train", "train", "train", "validation", "test"]})
    with pytest.raises(LeakageError, match=r"\n  source_1: 1 groups in two parts\n"):
        check_no_leak("pets", describe_splits(table, parts, SPLITS, [], {}), [])


def test_only_the_first_pairs_stand_in_the_error() -> None:
    pair = Pair("a", "b", ("x", "x"), ("1", "2"), "near", HALF, ("source_1",), False)
    table, parts = windows({"source_1": PARTS["source_1"]})
    with pytest.raises(LeakageError) as caught:
        check_no_leak("pets", describe_splits(table, parts, SPLITS, [pair] * 8, {}), [pair] * 8)
    assert str(caught.value).count("a and b, near of strength 0.50") == 5
    assert "\n  and 3 more pairs, all in metrics/audit/pets.md\n" in str(caught.value)


def test_an_acknowledged_pair_names_clips_that_exist() -> None:
    check_known_pairs("pets", list(GROUPS), [["dog/a.au", "dog/b.wav"]])
    with pytest.raises(LeakageError) as caught:
        check_known_pairs("pets", list(GROUPS), [["dog/a.wav", "dog/x.wav"]])
    assert str(caught.value) == (
        "audit.known_pairs.pets names dog/x.wav, which is not a clip of pets. "
        "Write <label>/<file name>, as in clips.csv."
    )


def test_parts_of_clips_are_those_of_their_windows() -> None:
    table = pd.DataFrame({"clip": ["a", "a", "b", "b"]})
    parts = pd.DataFrame({"window": ["train", "test", "", "test"], "source_1": ["", "", "train", "train"]})
    assert parts_of_clips(table, parts, ["b", "a"]) == {
        "window": [{"test"}, {"train", "test"}],
        "source_1": [{"train"}, set()],
    }


def test_known_repetitions_are_followed_by_name() -> None:
    clips = clip_table(GROUPS)
    pair = Pair("dog/b.wav", "dog/a.wav", ("dog",) * 2, ("2", "1"), "near", HALF, (), False)
    known = {"exact": [["dog/a", "dog/b", "dog/gone"], ["rain/d.au", "rain/e.au"], ["dog/c", "dog/missing"]]}
    described = describe_repetitions(clips, [pair], {"source_1": places()["source_1"]}, known)
    assert described == {
        "exact": {
            "groups": 3,
            "groups_present": 2,
            "pairs_present": 2,
            "pairs_heard": 1,
            "not_one_group": [["dog/a", "dog/b"]],
            "in_two_parts": {"source_1": [["dog/a", "dog/b"]]},
        }
    }
    table, parts = windows({"source_1": PARTS["source_1"]})
    with pytest.raises(LeakageError, match=r"\n  source_1: 1 known repetitions in two parts\n"):
        check_no_leak("pets", describe_splits(table, parts, SPLITS, [pair], described), [pair])


def test_level_and_band_limit_of_a_sine(sine: Callable[..., Waveform]) -> None:
    cues = measure_sound(sine(2.0, 48_000, 9_000, 0.5), 48_000)
    assert cues["peak_dbfs"] == pytest.approx(-6.02, abs=0.01)
    assert cues["rms_dbfs"] == pytest.approx(-9.03, abs=0.01)
    assert cues["silent_share"] == 0
    assert cues["hz_of_99_percent"] == pytest.approx(9_000, abs=24)
    assert cues["db_above_8_khz"] == pytest.approx(0.0, abs=0.01)
    assert cues["db_above_10_khz"] < -40


def test_level_and_band_limit_of_noise_and_silence(noise: Callable[..., Waveform]) -> None:
    white = noise(2.0, 48_000)
    cues = measure_sound(np.concatenate([white, np.zeros_like(white)]), 48_000)
    assert cues["silent_share"] == pytest.approx(0.5, abs=0.01)
    assert cues["rms_dbfs"] == pytest.approx(-23.0, abs=0.1)
    assert cues["hz_of_99_percent"] == pytest.approx(0.99 * 24_000, rel=0.01)
    assert cues["db_above_8_khz"] == pytest.approx(10 * np.log10(2 / 3), abs=0.1)


def test_wilson_interval_is_that_of_statsmodels() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for right, trials in ((0, 7), (7, 7), (130, 304), (5, 10)):
        expected = proportion.proportion_confint(right, trials, method="wilson")
        assert wilson_interval(right / trials, trials) == pytest.approx(expected, abs=1e-9)


def cue_set(folder: Path, sounds: dict[str, Waveform]) -> pd.DataFrame:
    write_clips(folder, sounds)
    return measure_cues(folder, pd.DataFrame({"clip": list(sounds), "seconds": 0.5, "source_sample_rate": 44_100}))


def scored(cues: pd.DataFrame, labels: list[str], parts: list[str]) -> dict[str, dict[str, Any]]:
    groups = pd.Series([str(number) for number in range(len(labels))])
    rows = score_cues(cues, pd.Series(labels), groups, pd.DataFrame({"source_1": parts}), AUDIT)
    return {row["cues"]: row for row in rows}


def half_second(seed: int, level: float = 1.0, limit: int | None = None) -> Waveform:
    sound = np.random.default_rng(seed).normal(0, 0.05, 24_000)
    if limit is not None:
        sound = soxr.resample(soxr.resample(sound, 48_000, 2 * limit), 2 * limit, 48_000)
    return (level * sound).astype(np.float32)


LABELS = ["dog", "rain"] * 24
DEALT = ["train"] * 24 + ["validation"] * 12 + ["test"] * 12


def test_classes_that_differ_in_level_are_told_by_loudness_and_not_by_the_rest(tmp_path: Path) -> None:
    sounds = {f"{label}/{n}.wav": half_second(n, 0.2 if label == "dog" else 1.0) for n, label in enumerate(LABELS)}
    rows = scored(cue_set(tmp_path, sounds), LABELS, DEALT)
    assert rows["loudness"]["accuracy"] == rows["all"]["accuracy"] == 1
    assert rows["loudness"]["recordings"] == 12
    assert rows["loudness"]["chance"] == rows["duration"]["accuracy"] == 0.5
    assert rows["band_limit"]["low"] < 0.5 < rows["band_limit"]["high"]
    assert rows["loudness"]["by_fold"] == {"source_1": 1.0}


def test_classes_that_differ_in_band_limit_are_told_by_it(tmp_path: Path) -> None:
    limits = {"dog": 11_025, "rain": None}
    sounds = {f"{label}/{n}.wav": half_second(n, 1.0, limits[label]) for n, label in enumerate(LABELS)}
    assert scored(cue_set(tmp_path, sounds), LABELS, DEALT)["band_limit"]["accuracy"] == 1


def test_classes_without_a_cue_score_chance(tmp_path: Path) -> None:
    sounds = {f"{label}/{n}.wav": half_second(n) for n, label in enumerate(LABELS)}
    for row in scored(cue_set(tmp_path, sounds), LABELS, DEALT).values():
        assert row["low"] < 0.5 < row["high"]


def test_nonsense_in_the_test_part_changes_no_score() -> None:
    random = np.random.default_rng(0)
    names = [name for names in CUES.values() for name in names]
    cues = pd.DataFrame(random.normal(size=(48, len(names))), columns=names)
    before = scored(cues, LABELS, DEALT)
    cues.loc[[part == "test" for part in DEALT]] = np.nan
    nonsense = ["nonsense" if part == "test" else label for label, part in zip(LABELS, DEALT, strict=True)]
    assert scored(cues, nonsense, DEALT) == before


def test_sources_moved_to_one_fold_are_named_on_the_page() -> None:
    moved = ["131943", "134049", "209698", "234879"]
    audit = {"dataset": "esc50", "clips": 2000, "groups": 1524, "near_strength": NEAR, "clips_too_quiet_to_compare": 3}
    page = print_audit(
        audit | {"splits": {}, "cues": {}, "pairs": [], "known_errors": {"moved": moved, "repetitions": {}}}
    )
    for group in moved:
        assert f"| group in two published folds, moved to one | {group} | -     |" in page
    assert "- 3 clips have too little audible sound to be found near to another." in page
