"""What sounds like a given sound: every window of many recordings, compared by what a representation gives of it.

A window is its bands' mean and deviation over time. These are standardised over all windows searched, and the cosine of
the angle between them says how alike two are. All windows are compared, none is sampled; in memory is one block.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.audio import BadAudioError
from beyond_spectrograms.data.sound_files import open_sound
from beyond_spectrograms.inference.batch import prefetch
from beyond_spectrograms.inference.networks import mean_and_deviation
from beyond_spectrograms.inference.stream_windows import CutSound
from beyond_spectrograms.representations.base import Representation
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import digest_file, read_sealed, write_sealed, written_beside

BLOCK = 4096  # windows compared at a time
ROUNDING = float(np.finfo(np.float32).eps)  # a value that varies by less over all windows is constant

Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]  # [windows, 2 bands]


@dataclass(frozen=True)
class Summary:
    """What is kept of a recording: rows [windows, values] in the file `place`; those of silent windows are NaN.

    `computed`: just now.
    """

    path: Path
    place: Path
    values: int
    computed: bool

    @property
    def windows(self) -> int:
        """How many rows there are."""
        return self.place.stat().st_size // (self.values * np.dtype(np.float32).itemsize)

    def blocks(self) -> Iterator[tuple[int, Values]]:
        """Read the rows by blocks, each with the number of its first."""
        with self.place.open("rb") as file:
            for first in range(0, self.windows, BLOCK):
                rows = np.fromfile(file, np.float32, BLOCK * self.values)
                yield first, rows.reshape(-1, self.values).astype(np.float64)


@dataclass(frozen=True)
class Summarizer:
    """How recordings become rows, a window each, and where these are kept.

    `fingerprint` is that of feature_cache: it decides a window's features besides its sound.
    """

    representation: Representation
    length_s: float
    hop_s: float
    fingerprint: str
    cache: Path

    def read_or_compute(self, path: Path) -> Summary:
        """Summarize a recording, or find what is kept of it.

        Raises:
            BadAudioError: it is no sound that `segment` takes.
        """
        try:
            if path.exists() and not path.is_file():
                raise BadAudioError("is no plain file, and search reads a sound twice")
            content = [self.fingerprint, digest_file(path), self.length_s, self.hop_s]
        except OSError as error:
            raise BadAudioError((error.strerror or str(error)).lower()) from None
        place = self.cache / f"{hashlib.sha256(json.dumps(content).encode()).hexdigest()}.f32"
        record = read_sealed(place.with_suffix(".json"))
        computed = record is None or not place.exists() or digest_file(place) != record["rows"]
        if computed:
            with written_beside(place, flushed=False) as beside, beside.open("wb") as file:
                for rows in self._compute(path):
                    file.write(rows.tobytes())
            write_sealed(place.with_suffix(".json"), {"rows": digest_file(place)}, flushed=False)
        return Summary(path, place, 2 * self.representation.bands, computed)

    def _compute(self, path: Path) -> Iterator[Rows]:
        form = self.representation.form
        with open_sound(path) as file:
            sound = CutSound(file.blocks(), file.sample_rate, form, length_s=self.length_s, hop_s=self.hop_s)
            for batch in prefetch(sound):
                rows = np.full((len(batch.silent), 2 * self.representation.bands), np.nan, np.float32)
                if not batch.silent.all():
                    features = self.representation.encode(batch.windows[~batch.silent], form.sample_rate)
                    rows[~batch.silent] = mean_and_deviation(features)
                yield rows


@dataclass(frozen=True)
class Match:
    """A window that starts at `start_s` of a recording, and the cosine of the angle between it and the query."""

    path: Path
    start_s: float
    similarity: float


def search(query: Summary, recordings: Sequence[Summary], hop_s: float, count: int) -> list[Match]:
    """Find the `count` windows most like the query, which is the mean of its windows; of equal ones the first.

    Silent windows are not compared.

    Raises:
        ProjectError: the query is silent, or the recordings' windows are all the same.
    """
    mean, deviation = _moments(recordings)
    of_query, _ = _moments([query])
    if np.isnan(of_query).any():
        raise ProjectError(f"{query.path}: silent, and silence is not compared")
    wanted = (of_query - mean) / deviation
    if not wanted.any() or np.isnan(mean).any():
        raise ProjectError("nothing to compare: all windows of the recordings are silent or the same")
    best = np.empty((0, 3))  # similarity, number of the recording, number of the window
    for number, recording in enumerate(recordings):
        for first, block in recording.blocks():
            places = np.full(len(block), number), first + np.arange(len(block))
            found = np.column_stack([_cosines((block - mean) / deviation, wanted), *places])
            best = np.concatenate([best, found[~np.isnan(found[:, 0])]])
            best = best[np.argsort(-best[:, 0], kind="stable")[:count]]
    return [Match(recordings[int(number)].path, window * hop_s, alike) for alike, number, window in best.tolist()]


def _moments(recordings: Iterable[Summary]) -> tuple[Values, Values]:
    """Give mean and deviation of each value over all windows; NaN of none, and of what is constant no end of deviation.

    Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983, equation 2.1.
    """
    count, mean, squares = 0, np.full(1, np.nan), np.zeros(1)
    for recording in recordings:
        for _, block in recording.blocks():
            heard = block[~np.isnan(block[:, 0])]
            if not len(heard):
                continue
            of_block = heard.mean(axis=0)
            apart = of_block - (mean if count else of_block)
            squares = (
                squares + ((heard - of_block) ** 2).sum(axis=0) + apart**2 * count * len(heard) / (count + len(heard))
            )
            count += len(heard)
            mean = of_block - apart * (1 - len(heard) / count)
    deviation = np.sqrt(squares / max(count, 1))
    return mean, np.where(deviation > ROUNDING * np.abs(mean), deviation, np.inf)


def _cosines(windows: Values, wanted: Values) -> Values:
    # Not by a matrix product: its last bit hangs on where a row stands, and equal windows must be equally alike.
    lengths = np.sqrt((windows**2).sum(axis=1) * (wanted**2).sum())
    return np.asarray(
        np.divide((windows * wanted).sum(axis=1), lengths, out=np.zeros(len(windows)), where=lengths != 0)
    )


def without(query: Path, paths: Iterable[Path]) -> list[Path]:
    """Leave out the query itself, under whatever name, and files that are not there twice."""

    def is_query(path: Path) -> bool:
        try:
            return path.samefile(query)
        except OSError:  # it is not there, or cannot be: reading it tells
            return False

    return [path for path in dict.fromkeys(paths) if not is_query(path)]
