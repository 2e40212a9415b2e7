"""A codec that would hear what tests it is refused, by name, by group, and by what is heard."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.leakage import fingerprints
from beyond_spectrograms.leakage.audit import LeakageError
from beyond_spectrograms.leakage.fingerprints import FORMAT, find_matches, fingerprint
from beyond_spectrograms.leakage.heard import check_unheard, find_heard
from support.common import noise, refusal, store_clip

ADVICE = "\nName data sets of the same recordings under codecs.mine.sounds.apart_from, or clips under without."


def steps(seed: int) -> Waveform:
    """Make two seconds whose spectrum changes all the time, as a fingerprint needs."""
    random, rate = np.random.default_rng(seed), FORMAT.sample_rate
    parts = [noise(0.1, rate, seed * 100 + part) * random.uniform(0.2, 1) for part in range(20)]
    time = np.arange(rate // 10) / rate
    return np.concatenate([part + 0.2 * np.sin(2 * np.pi * random.uniform(200, 6000) * time) for part in parts]).astype(
        np.float32
    )


def clip(dataset: str, name: str, group: str) -> dict[str, str]:
    return {"dataset": dataset, "clip": f"a/{name}.wav", "label": "a", "group": group, "sha256": f"{dataset} {name}"}


@pytest.fixture
def tables(tmp_path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three clips that are heard and two that test, all of other sounds."""
    heard = [clip("big", "one", "1"), clip("big", "two", "2"), clip("small", "three", "3")]
    tested = [clip("small", "four", "4"), clip("small", "five", "5")]
    for seed, row in enumerate([*heard, *tested]):
        store_clip(tmp_path / row["dataset"], FORMAT, row["clip"], steps(seed))
    return pd.DataFrame(heard), pd.DataFrame(tested)


def test_clips_on_two_sides_are_compared_without_the_pairs_of_a_side(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [fingerprint(steps(seed)) for seed in (0, 1, 0, 2, 1, 0)]
    pairs = {(match.first, match.second) for match in find_matches(cells, 0.9)}
    assert pairs == {(0, 2), (0, 5), (2, 5), (1, 4)}
    monkeypatch.setattr(fingerprints, "BLOCK_BYTES", 0)  # a clip a block
    for apart, across in ((1, {(0, 2), (0, 5)}), (3, {(0, 5), (2, 5), (1, 4)}), (5, {(0, 5), (2, 5)})):
        assert {(match.first, match.second) for match in find_matches(cells, 0.9, apart)} == across


Tables = tuple[pd.DataFrame, pd.DataFrame]


def told(tables: Tables, folder: Path, apart_from: dict[str, list[str]] | None = None) -> str:
    lines, pairs, _ = find_heard(*tables, folder, 0.3, apart_from or {})
    return refusal(LeakageError, check_unheard, "mine", lines, pairs).removesuffix(ADVICE)


def test_sounds_that_are_not_heard_are_let_through(tables: Tables, tmp_path: Path) -> None:
    lines, pairs, quiet = find_heard(*tables, tmp_path, 0.3, {})
    assert (lines, pairs, quiet) == ([], [], 0)
    check_unheard("mine", lines, pairs)


def test_a_clip_and_a_group_that_test_are_named(tables: Tables, tmp_path: Path) -> None:
    heard, tested = tables
    tested = pd.concat([tested, heard.iloc[[2]]])
    assert told((heard, tested), tmp_path).splitlines()[:3] == [
        "mine: would hear what is tested",
        "  small: a/three.wav, which tests",
        "  small: group 3, which tests in small",
    ]


def test_groups_of_another_data_set_are_compared_where_they_are_the_same(tables: Tables, tmp_path: Path) -> None:
    heard, tested = tables
    tested = tested.assign(group=["1", "5"])
    assert find_heard(heard, tested, tmp_path, 0.3, {})[0] == []
    expected = "mine: would hear what is tested\n  big: group 1, which tests in small"
    assert told((heard, tested), tmp_path, {"big": ["small"]}) == expected


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda sound: sound, "same samples"),
        (lambda sound: 0.4 * sound + 0.001 * noise(2, FORMAT.sample_rate, 99), "near of strength"),
        (lambda sound: sound[: FORMAT.sample_rate * 3 // 2], "near of strength"),
    ],
    ids=["as it is", "softer, with noise", "a part of it"],
)
def test_a_planted_test_recording_is_heard_under_another_name(
    tables: Tables, tmp_path: Path, change: object, kind: str
) -> None:
    store_clip(tmp_path / "big", FORMAT, "a/two.wav", change(steps(4)))  # type: ignore[operator]
    heard, tested = tables
    lines = told((heard.iloc[[1, 2, 0]], tested), tmp_path).splitlines()  # data sets in any order
    assert lines[0] == "mine: would hear what is tested"
    assert lines[1].startswith(f"  heard big/a/two.wav and tested small/a/five.wav, {kind}")
    assert len(lines) == 2
