"""What is encoded once, and what an extraction with threads gives: the same rows as window by window."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from beyond_spectrograms.data.audio import Waveform, cut_windows, read_clip, write_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.data.windows import open_features
from beyond_spectrograms.representations import window_encoder
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.representations.feature_cache import Extraction
from beyond_spectrograms.representations.storage import Rounding
from support.envelope import FORM, Envelope, run

Sound = Callable[..., Waveform]
RATE = FORM.sample_rate


class SideBySide(Envelope):
    """An envelope whose windows threads encode, each two at a time."""

    chunk: ClassVar[int | None] = 2


class Broken(SideBySide):
    """Fails as an engine may."""

    def _encode(self, windows: Waveform) -> Features:  # noqa: ARG002
        raise RuntimeError("the engine failed")


def store(folder: Path, clips: dict[str, list[Waveform]]) -> pd.DataFrame:
    """Write each clip, a list of its seconds, and list its windows."""
    for name, seconds in clips.items():
        path = clip_path(folder / "clips", FORM, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, np.concatenate(seconds)[:, None], RATE)
    rows = [(name, float(start)) for name, seconds in clips.items() for start in range(len(seconds))]
    return pd.DataFrame(rows, columns=["clip", "start_s"])


def assert_rows_are_window_by_window(folder: Path, table: pd.DataFrame) -> None:
    for row, (clip, start_s) in zip(
        open_features(folder / "place", len(table)), table.itertuples(index=False), strict=True
    ):
        window = cut_windows(read_clip(clip_path(folder / "clips", FORM, clip), FORM), [start_s], 1.0, RATE)
        np.testing.assert_array_equal(row, Envelope().encode(window, RATE)[0])


@pytest.mark.parametrize("kind", [Envelope, SideBySide])
def test_repeated_windows_silent_windows_and_equal_clips_are_encoded_once(
    tmp_path: Path, noise: Sound, kind: type[Envelope]
) -> None:
    a, b, silence = noise(1, RATE, 0), noise(1, RATE, 1), np.zeros(RATE, np.float32)
    clips = {
        "x/1.wav": [a, silence, a, b],  # two distinct windows besides silence
        "x/2.wav": [silence, silence],
        "x/3.wav": [b, a],  # encoded again: what repeats is looked for within a clip
        "x/4.wav": [a, silence, a, b],  # the first clip once more
    }
    table = store(tmp_path, clips)
    assert run(tmp_path, table, made=kind()) == Extraction(
        windows=12, computed=12, encoded=2 + 1 + 2, rounding=Rounding()
    )
    assert_rows_are_window_by_window(tmp_path, table)
    assert run(tmp_path, table, made=kind()) == Extraction(windows=12, computed=0, encoded=0, rounding=Rounding())


def test_windows_that_differ_in_one_sample_are_two(tmp_path: Path, noise: Sound) -> None:
    sound = noise(1, RATE, 0)
    other = sound.copy()
    other[17] += 0.5
    table = store(tmp_path, {"x/1.wav": [sound, other]})
    assert run(tmp_path, table, made=Envelope()).encoded == 2
    assert_rows_are_window_by_window(tmp_path, table)


def test_rows_are_in_order_when_many_clips_are_under_way_and_a_clip_has_many_blocks(
    tmp_path: Path, noise: Sound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_encoder, "BLOCK", 3)
    lengths = {"x/1.wav": 7, "x/2.wav": 1, "x/3.wav": 3, "x/4.wav": 2, "x/5.wav": 1}
    sounds = {
        name: [noise(1, RATE, 10 * n + k) for k in range(count)] for n, (name, count) in enumerate(lengths.items())
    }
    table = store(tmp_path, sounds)
    assert run(tmp_path, table, made=SideBySide()).encoded == 14
    assert_rows_are_window_by_window(tmp_path, table)
    index = json.loads((tmp_path / "place/index.json").read_text())["clips"]
    assert [clip[:3] for clip in index] == [
        ["x/1.wav", 0, 7], ["x/2.wav", 7, 1], ["x/3.wav", 8, 3], ["x/4.wav", 11, 2], ["x/5.wav", 13, 1],
    ]  # fmt: skip


def test_an_error_in_a_thread_ends_the_extraction(tmp_path: Path, noise: Sound) -> None:
    table = store(tmp_path, {f"x/{n}.wav": [noise(1, RATE, n)] for n in range(3)})
    with pytest.raises(RuntimeError, match=r"^the engine failed$"):
        run(tmp_path, table, made=Broken())
    assert not (tmp_path / "place").exists()
