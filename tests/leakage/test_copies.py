"""Fingerprints find copies of a sound, however changed, and nothing among strangers; so does the stage."""

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.leakage.audit import digest_samples
from beyond_spectrograms.leakage.fingerprints import BANDS, Cells, evidence, find_matches, fingerprint
from support.cells import edit_params
from support.repository import run_here, stage_here
from support.scenes import RATE, scene

NEAR = 0.3  # audit.near_strength


def with_noise(sound: Waveform) -> Waveform:
    noise = np.random.default_rng(9).normal(0, np.sqrt(np.mean(sound**2) * 10 ** (-30 / 10)), len(sound))
    return (sound + noise).astype(np.float32)


def later(sound: Waveform, seconds: float) -> Waveform:
    return np.pad(sound, (round(seconds * RATE), 0))[: len(sound)]


def resampled(sound: Waveform, rate: int) -> Waveform:
    return np.asarray(soxr.resample(soxr.resample(sound, RATE, rate), rate, RATE), np.float32)


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
        *((partial(later, seconds=seconds), -seconds) for seconds in (0.05, 0.37, 1.0)),
        (partial(resampled, rate=8_000), 0.0),
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


# The stage on small real files, from resampling on.
def write_pets(folder: Path, changed: dict[str, Waveform], source: dict[str, Any]) -> None:
    """Seven recordings a class, of 2 s at 16 kHz; `changed` says what some of them hold instead."""
    for number, label in enumerate(("dog", "rain", "sneeze")):
        place = folder / "data/raw/pets/audio" / label
        place.mkdir(parents=True)
        for take in range(7):
            sound = changed.get(f"{label}/{take}.wav", scene(100 * number + take, 2.0))
            soundfile.write(place / f"{take}.wav", sound, RATE)
    (folder / "data/raw/pets/source.json").write_text(json.dumps({"kind": "path"}))
    edit_params(folder, lambda params: params["audit"].update(trees=20))
    edit_params(folder, lambda record: record["source"].update(source), "datasets/pets.yaml")


def run(*stages: str) -> None:
    for each in stages:
        run_here(each, "pets")


def read_audit(folder: Path) -> tuple[dict[str, Any], str]:
    place = folder / "metrics/pets"
    return json.loads((place / "audit.json").read_text("utf-8")), (place / "audit.md").read_text("utf-8")


LATER_AND_SOFTER, BY_ANOTHER_RATE = 0.4 * later(scene(0, 2.0), 0.25), resampled(scene(101, 2.0), 11_025)


def test_planted_copies_in_two_parts_fail_until_acknowledged(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = {f"dog/{take}.wav": LATER_AND_SOFTER for take in (4, 5, 6)} | {"rain/6.wav": BY_ANOTHER_RATE}
    write_pets(project, planted, {})
    run("resample", "split")
    told = stage_here(project, "audit", "pets", expect=1)
    audit, page = read_audit(project)
    pairs = {(pair["first"], pair["second"]): pair for pair in audit["pairs"]}
    same = [("dog/4.wav", "dog/5.wav"), ("dog/4.wav", "dog/6.wav"), ("dog/5.wav", "dog/6.wav")]
    near = [*(("dog/0.wav", f"dog/{take}.wav") for take in (4, 5, 6)), ("rain/1.wav", "rain/6.wav")]
    kinds = dict.fromkeys(same, "same bytes") | dict.fromkeys(near, "near")
    assert {pair: of["kind"] for pair, of in pairs.items()} == kinds
    assert all(of["groups"] == ["dog/4.wav", "dog/4.wav"] for of in pairs.values() if of["kind"] == "same bytes")
    apart = {pair for pair, of in pairs.items() if any(column.startswith("source_") for column in of["across"])}
    assert apart
    assert told.startswith("pets: split source promises no leak and has one\n")
    for first, second in apart:
        assert f"{first} and {second}, near of strength" in told
        assert f"| {first} " in page
    assert told.endswith(
        "Give such clips one group (datasets/pets.yaml: source.name or source.known_repetitions), "
        "or acknowledge a pair there under known_pairs.\n"
    )

    known = [list(pair) for pair in apart]
    edit_params(project, lambda record: record.update(known_pairs=known), "datasets/pets.yaml")
    capsys.readouterr()
    run("audit")
    told = f"pets: 7 pairs of clips are the same sound, {len(apart)} of them acknowledged\n"
    assert capsys.readouterr().out.startswith(told)
    assert "known pairs only" in read_audit(project)[1]


def test_known_repetitions_are_one_group_and_reported_and_strangers_pass(project: Path) -> None:
    repetitions = {"known_repetitions": {"exact": [["dog/0", "dog/4"]]}}
    write_pets(project, {"dog/4.wav": LATER_AND_SOFTER}, repetitions)
    run("resample", "split", "audit")
    audit, page = read_audit(project)
    assert audit["known_errors"]["repetitions"]["exact"]["pairs_heard"] == 1
    assert "| known repetitions, exact | 1 groups | 1 of 1 pairs heard to be the same |" in page
    assert [row["cues"] for row in audit["cues"]["source"]] == ["loudness", "band_limit", "duration", "all"]
    assert audit["cues"]["source"][0]["recordings"] == 21
    assert audit["splits"]["window"]["columns"]["window"]["recordings_in_two_parts"] > 0
