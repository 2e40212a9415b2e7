"""A second or two of an extraction, by the way the whole of it goes, to foretell the rest."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from beyond_spectrograms.estimates.forecasts import Rate, calibrate
from beyond_spectrograms.representations.feature_cache import FeatureRequest, extract
from beyond_spectrograms.util.progress import quiet

if TYPE_CHECKING:
    import pandas as pd

    from beyond_spectrograms.representations.base import Representation

PIECE_S = 0.5  # seconds of work a piece should take
PIECES = 3
SHORT_S = 10.0  # for work of less one piece will do
FIRST = 4  # windows of the untimed and of the first timed piece


def pilot_extraction(
    representation: Representation, table: pd.DataFrame, clips: Path, length_s: float, short_s: float = SHORT_S
) -> Rate:
    """Measure the seconds a window takes from stored clips to features.npy, decoding included.

    `table` (clip, start_s, ...) is what is to be encoded; a few of its clips, spread over it, are encoded into a
    temporary folder. A first piece, untimed, pays for imports, filters and the compiling of networks.
    Work of less than `short_s` seconds is calibrated in one piece.
    """
    names = table["clip"].unique()
    # Neighbours are of one class; a stride coprime to their number visits clips of all classes, each once.
    stride = next(step for step in count(max(1, round(len(names) * 0.618))) if np.gcd(step, len(names)) == 1)
    spread = [names[place * stride % len(names)] for place in range(len(names))]
    with tempfile.TemporaryDirectory() as folder, quiet():
        numbers = count()

        def encode(part: pd.DataFrame) -> float:
            place = Path(folder, str(next(numbers)))
            extract(FeatureRequest(representation, part, clips, length_s, "pilot"), place, place.with_suffix(".work"))
            return float(len(part))

        first = table[table["clip"] == spread[0]].head(FIRST)
        encode(first)
        began = time.perf_counter()
        rough = encode(first) / (time.perf_counter() - began)
        pieces = PIECES if len(table) / rough > short_s else 1
        return calibrate(partial(encode, _piece(table, spread, number, rough)) for number in range(pieces))


def _piece(table: pd.DataFrame, spread: list[str], number: int, rough: float) -> pd.DataFrame:
    """Choose the clips of a piece: as many as PIECE_S allows at `rough` windows per second, at least one."""
    windows = rough * PIECE_S
    wanted = max(1, round(windows * len(spread) / len(table)))
    chosen = {spread[(number * wanted + place) % len(spread)] for place in range(min(wanted, len(spread)))}
    part = table[table["clip"].isin(chosen)]
    return part if wanted > 1 else part.head(max(FIRST, round(windows)))
