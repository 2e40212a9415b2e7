"""How many clips and windows a data set has and how they are dealt: from what is here, else from params."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from beyond_spectrograms.data.audio import window_starts
from beyond_spectrograms.data.windows import PARTS, columns_of, read_parts

if TYPE_CHECKING:
    from beyond_spectrograms.params import Params, Source, Split

PUBLISHED_FOLDS = 5  # of ESC-10 and ESC-50; counted once the data is here


@dataclass(frozen=True)
class Counts:
    """What a data set holds.

    Attributes:
        clips: usable files.
        audio_s: seconds of sound in them.
        windows: rows of the table of windows.
        splits: for each split the windows of (train, validation, test), a tuple a fold.
        spread: the fewest and the most windows there can be, as shares of `windows`; 1 and 1 where all is known.
        origin: where the counts come from, in words.
    """

    clips: int
    audio_s: float
    windows: int
    splits: Mapping[str, tuple[tuple[int, int, int], ...]]
    spread: tuple[float, float]
    origin: str


def count_dataset(params: Params, dataset: str, root: Path = Path()) -> Counts | None:
    """Count a data set: from data/splits, else from data/clips, else from params; None where nothing says."""
    source, cut = params.datasets[dataset].source, params.windows_of(dataset)
    clips_file, splits = root / "data/clips" / dataset / "clips.csv", root / "data/splits" / dataset

    def windows_of(seconds: float) -> int:
        return len(window_starts(seconds, cut.length_s, cut.hop_s, cut.tail))

    if clips_file.exists():
        lengths = pd.read_csv(clips_file)["seconds"].tolist()
        if (splits / "parts.csv").exists():
            parts = read_parts(splits)
            dealt = {name: tuple(_sizes(parts[column]) for column in columns_of(name, parts)) for name in params.splits}
            return Counts(len(lengths), sum(lengths), len(parts), dealt, (1, 1), "the table of windows")
        windows, spread, origin = sum(map(windows_of, lengths)), (1.0, 1.0), "the clips"
    elif source.clips is None:
        return None
    else:
        low, high = source.seconds if source.synthetic is None else (source.synthetic.seconds,) * 2
        lengths = [(low + high) / 2] * (source.clips - len(source.known_bad))
        windows = len(lengths) * windows_of(lengths[0])
        spread = (windows_of(low) / windows_of(lengths[0]), windows_of(high) / windows_of(lengths[0]))
        origin = "params" if low == high else f"params, clips of {low:g} to {high:g} s"
    dealt = {name: tuple(_deal(split, source, windows)) for name, split in params.splits.items()}
    return Counts(len(lengths), sum(lengths), windows, dealt, spread, origin)


def _sizes(column: pd.Series[str]) -> tuple[int, int, int]:
    train, validation, test = (int((column == part).sum()) for part in PARTS)
    return train, validation, test


def _deal(split: Split, source: Source, windows: int) -> list[tuple[int, int, int]]:
    """Deal the windows as `splits.assign_parts` would, by shares: a source is taken to be small."""
    if split.fractions is not None:
        first, second = (round(share * windows) for share in (split.fractions[0], sum(split.fractions[:2])))
        return [(first, second - first, windows - second)]
    if source.lists is not None and source.clips is not None:
        entries = (source.lists.train.entries, source.lists.validation.entries, source.lists.test.entries)
        train, validation, test = (round(windows * count / source.clips) for count in entries)
        return [(train, validation, test)]
    folds = source.folds or PUBLISHED_FOLDS
    held = round(windows / folds)
    return [(windows - 2 * held, held, held)] * folds
