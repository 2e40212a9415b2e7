"""A few files of a data set checked and resampled, to foretell the rest."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from joblib import cpu_count

from beyond_spectrograms.data.clips import prepare_clips
from beyond_spectrograms.estimates.forecasts import Forecast, calibrate
from beyond_spectrograms.util.memory import memory_can_be_measured, peak_bytes
from beyond_spectrograms.util.progress import quiet

PIECES = 3
FILES_A_CORE = 2  # of a piece; files go through side by side


def foretell_resampling(files: list[Path], seconds: tuple[float, float]) -> Forecast:
    """Foretell `prepare_clips` on files <folder>/<label>/<name>, by the bytes of a few of them, spread over all.

    `seconds` is what bounds a plausible clip. Before they are decoded, nobody knows how much sound the files hold.
    """
    if not files:
        return Forecast(None, None, None, 0, None)
    size = FILES_A_CORE * cpu_count()
    chosen = files[:: max(1, len(files) // ((1 + PIECES) * size))][: (1 + PIECES) * size]
    pieces = [chosen[first : first + size] for first in range(0, len(chosen), size)]
    written = 0
    with tempfile.TemporaryDirectory() as folder, quiet():

        def resample(piece: list[Path]) -> float:
            nonlocal written
            place = Path(tempfile.mkdtemp(dir=folder))
            for path in piece:
                link = place / "raw" / path.parent.name / path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.absolute())
            prepare_clips(place / "raw", place / "work", seconds)
            written += sum(path.stat().st_size for path in (place / "work").rglob("*.flac"))
            return _bytes(piece)

        resample(pieces[0])  # pays for imports
        written = 0
        timed = pieces[1:] or pieces
        rate = calibrate(partial(resample, piece) for piece in timed)
    disk = written * _bytes(files) / sum(map(_bytes, timed))
    memory = peak_bytes() if memory_can_be_measured() else None
    return Forecast(None, None, rate.seconds(_bytes(files)), round(disk), memory)


def _bytes(files: list[Path]) -> float:
    return float(sum(1 + path.stat().st_size for path in files))  # an empty file takes a moment, too
