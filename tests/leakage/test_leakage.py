"""Planted copies are found, strangers are not, and file-level cues are scored without the test part."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soxr

from beyond_spectrograms.leakage.audit import (
    LeakageError,
    Pair,
    Sound,
    check_known_pairs,
    check_no_leak,
    describe_repetitions,
    describe_splits,
    find_pairs,
    fingerprint_clips,
    parts_of_clips,
)
from beyond_spectrograms.leakage.fingerprints import Match
from beyond_spectrograms.leakage.tables import print_audit
from support.scenes import RATE, scene, write_clips

HALF = Match(0, 1, similarity=0.5, strength=0.5, offset_s=0.0, overlap_s=1.0)
NEAR = 0.3  # audit.near_strength
SPLITS: Any = {"window": SimpleNamespace(kind="window"), "source": SimpleNamespace(kind="source")}


GROUPS = {"dog/a.wav": "1", "dog/b.wav": "2", "dog/c.wav": "3", "rain/d.wav": "4", "rain/e.wav": "4"}
CLIPS = pd.DataFrame(GROUPS.items(), columns=["clip", "group"]).assign(
    label=["dog", "dog", "dog", "rain", "rain"], sha256=["a", "b", "c", "de", "de"]
)
PARTS = {"source_1": ["train", "test", "validation", "train", "train"], "source_2": ["train"] * 2 + ["test"] * 3}


@pytest.fixture
def planted(tmp_path: Path) -> tuple[pd.DataFrame, list[Sound]]:
    """Five clips: b has a's samples, c is a at another level, d has e's bytes."""
    tones = [np.asarray(soxr.resample(scene(seed), RATE, 48_000), np.float32) for seed in range(2)]
    stored = {"dog/a.wav": tones[0], "dog/b.wav": tones[0], "dog/c.wav": 0.3 * tones[0]}
    write_clips(tmp_path, stored | {"rain/d.wav": tones[1], "rain/e.wav": tones[1]})
    return CLIPS, fingerprint_clips(tmp_path, list(GROUPS))


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
    return CLIPS[["clip", "group"]], pd.DataFrame(parts)


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
        "Give such clips one group (datasets/pets.yaml: source.name or source.known_repetitions), "
        "or acknowledge a pair there under known_pairs."
    )


def test_acknowledged_pairs_pass_and_are_counted(planted: tuple[pd.DataFrame, list[Sound]]) -> None:
    acknowledged = [["dog/b.wav", "dog/a.wav"], ["dog/a.wav", "dog/c.wav"], ["dog/b.flac", "dog/c.flac"]]
    described, pairs = audit(planted, acknowledged)
    check_no_leak("pets", described, pairs)
    counted = described["source"]["columns"]["source_1"]
    assert (counted["known_pairs_across"], counted["leaks"]) == (3, 0)


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
    assert "\n  and 3 more pairs, all in metrics/pets/audit.md\n" in str(caught.value)


def test_an_acknowledged_pair_names_clips_that_exist() -> None:
    check_known_pairs("pets", list(GROUPS), [["dog/a.au", "dog/b.wav"]])
    with pytest.raises(LeakageError) as caught:
        check_known_pairs("pets", list(GROUPS), [["dog/a.wav", "dog/x.wav"]])
    assert str(caught.value) == (
        "datasets/pets.yaml: known_pairs name dog/x.wav, which is not a clip of pets. "
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
    pair = Pair("dog/b.wav", "dog/a.wav", ("dog",) * 2, ("2", "1"), "near", HALF, (), False)
    known = {"exact": [["dog/a", "dog/b", "dog/gone"], ["rain/d.au", "rain/e.au"], ["dog/c", "dog/missing"]]}
    described = describe_repetitions(CLIPS, [pair], {"source_1": places()["source_1"]}, known)
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


def test_sources_moved_to_one_fold_are_named_on_the_page() -> None:
    moved = ["131943", "134049", "209698", "234879"]
    audit = {"dataset": "esc50", "clips": 2000, "groups": 1524, "near_strength": NEAR, "clips_too_quiet_to_compare": 3}
    audit |= {"splits": {}, "cues": {}, "pairs": [], "known_errors": {"moved": moved, "repetitions": {}}}
    page = print_audit(audit)
    for group in moved:
        assert f"| group in two published folds, moved to one | {group} | -     |" in page
    assert "- 3 clips have too little audible sound to be found near to another." in page
