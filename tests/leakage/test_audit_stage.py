"""The stage on small real files, from resampling on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from beyond_spectrograms.data.audio import Waveform
from support.cells import edit_params
from support.clones import stage
from support.repository import REPOSITORY, run_here
from support.scenes import scene

CLASSES = ("dog", "rain", "sneeze")


def write_pets(folder: Path, changed: dict[str, Callable[[], Waveform]], source: dict[str, Any]) -> None:
    """Seven recordings a class, of 2 s at 16 kHz; `changed` says what some of them hold instead."""
    for number, label in enumerate(CLASSES):
        for take in range(7):
            clip = f"{label}/{take}.wav"
            sound = changed[clip]() if clip in changed else scene(100 * number + take, 2.0)
            path = folder / "data/raw/pets/audio" / clip
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound, 16_000)
    (folder / "data/raw/pets/source.json").write_text(json.dumps({"kind": "path"}))
    edit_params(folder, lambda params: params["audit"].update(trees=20))
    edit_params(folder, lambda record: record["source"].update(source), "datasets/pets.yaml")


def acknowledge(folder: Path, pairs: list[list[str]]) -> None:
    edit_params(folder, lambda record: record.update(known_pairs=pairs), "datasets/pets.yaml")


def run(*stages: str) -> None:
    for each in stages:
        run_here(each, "pets")


def read_audit(folder: Path) -> tuple[dict[str, Any], str]:
    place = folder / "metrics/pets"
    return json.loads((place / "audit.json").read_text("utf-8")), (place / "audit.md").read_text("utf-8")


def later_and_softer() -> Waveform:
    return np.concatenate([np.zeros(4_000, np.float32), 0.4 * scene(0, 2.0)])[:32_000].astype(np.float32)


def by_another_rate() -> Waveform:
    return np.asarray(soxr.resample(soxr.resample(scene(101, 2.0), 16_000, 11_025), 11_025, 16_000), np.float32)


def test_planted_copies_in_two_parts_fail_until_acknowledged(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = {f"dog/{take}.wav": later_and_softer for take in (4, 5, 6)} | {"rain/6.wav": by_another_rate}
    write_pets(project, planted, {})
    run("resample", "split")
    told = stage(project, "audit", "pets", expect=1, code=REPOSITORY)
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

    acknowledge(project, [list(pair) for pair in apart])
    capsys.readouterr()
    run("audit")
    told = f"pets: 7 pairs of clips are the same sound, {len(apart)} of them acknowledged\n"
    assert capsys.readouterr().out.startswith(told)
    assert "known pairs only" in read_audit(project)[1]


def test_known_repetitions_are_one_group_and_reported_and_strangers_pass(project: Path) -> None:
    repetitions = {"known_repetitions": {"exact": [["dog/0", "dog/4"]]}}
    write_pets(project, {"dog/4.wav": later_and_softer}, repetitions)
    run("resample", "split", "audit")
    audit, page = read_audit(project)
    assert audit["known_errors"]["repetitions"]["exact"]["pairs_heard"] == 1
    assert "| known repetitions, exact | 1 groups | 1 of 1 pairs heard to be the same |" in page
    assert [row["cues"] for row in audit["cues"]["source"]] == ["loudness", "band_limit", "duration", "all"]
    assert audit["cues"]["source"][0]["recordings"] == 21
    assert audit["splits"]["window"]["columns"]["window"]["recordings_in_two_parts"] > 0
