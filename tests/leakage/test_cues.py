"""File-level cues are measured right, and a forest that is shown them scores what they give away."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soxr

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.leakage.cues import CUES, measure_cues, measure_sound, score_cues, wilson_interval
from support.common import noise, tone
from support.scenes import write_clips

AUDIT: Any = SimpleNamespace(trees=50, seed=0)


def test_level_and_band_limit_of_a_sine() -> None:
    cues = measure_sound(tone(2.0, 9_000, 48_000), 48_000)
    assert cues["peak_dbfs"] == pytest.approx(-6.02, abs=0.01)
    assert cues["rms_dbfs"] == pytest.approx(-9.03, abs=0.01)
    assert cues["silent_share"] == 0
    assert cues["hz_of_99_percent"] == pytest.approx(9_000, abs=24)
    assert cues["db_above_8_khz"] == pytest.approx(0.0, abs=0.01)
    assert cues["db_above_10_khz"] < -40


def test_level_and_band_limit_of_noise_and_silence() -> None:
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


def scored(cues: pd.DataFrame, labels: list[str]) -> dict[str, dict[str, Any]]:
    groups = pd.Series([str(number) for number in range(len(labels))])
    rows = score_cues(cues, pd.Series(labels), groups, pd.DataFrame({"source_1": DEALT}), AUDIT)
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
    rows = scored(cue_set(tmp_path, sounds), LABELS)
    assert rows["loudness"]["accuracy"] == rows["all"]["accuracy"] == 1
    assert rows["loudness"]["recordings"] == 12
    assert rows["loudness"]["chance"] == rows["duration"]["accuracy"] == 0.5
    assert rows["band_limit"]["low"] < 0.5 < rows["band_limit"]["high"]
    assert rows["loudness"]["by_fold"] == {"source_1": 1.0}


def test_classes_that_differ_in_band_limit_are_told_by_it(tmp_path: Path) -> None:
    limits = [11_025 if label == "dog" else None for label in LABELS]
    sounds = {f"{label}/{n}.wav": half_second(n, 1.0, limits[n]) for n, label in enumerate(LABELS)}
    assert scored(cue_set(tmp_path, sounds), LABELS)["band_limit"]["accuracy"] == 1


def test_nonsense_in_the_test_part_changes_no_score() -> None:
    random = np.random.default_rng(0)
    names = [name for names in CUES.values() for name in names]
    cues = pd.DataFrame(random.normal(size=(48, len(names))), columns=names)
    before = scored(cues, LABELS)
    cues.loc[[part == "test" for part in DEALT]] = np.nan
    nonsense = ["nonsense" if part == "test" else label for label, part in zip(LABELS, DEALT, strict=True)]
    assert scored(cues, nonsense) == before
