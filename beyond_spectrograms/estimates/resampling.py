"""Checking and resampling sound files, with an estimate before it begins."""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import soundfile
from joblib import cpu_count

from beyond_spectrograms.data.clips import Outcome, prepare_clips, raw_files
from beyond_spectrograms.estimates.rates import Rate, read_rates, record_rates
from beyond_spectrograms.estimates.timing import Estimate, timed
from beyond_spectrograms.util.progress import quiet

KEY = "resample"
FILES_A_CORE = 3  # of a pilot; files go through side by side


def timed_resampling(
    dataset: str, raw: Path, work: Path, seconds: tuple[float, float], versions: Mapping[str, int | str]
) -> list[Outcome]:
    """Do as `clips.prepare_clips`; say what it will take if no clip is kept, what it took, and record that."""
    files, anew = raw_files(raw), not work.exists()
    sound_s = sum(map(length_of, files))
    rate = read_rates().get(KEY) or pilot_resampling(files, seconds)
    share = sound_s / rate.units
    estimate = Estimate(share * rate.seconds, round(share * rate.disk_bytes), rate.memory_bytes)
    with timed(f"{dataset}: {len(files)} files, {sound_s:,.0f} s of sound, to check and resample", estimate) as taken:
        outcomes = prepare_clips(raw, work, seconds, versions)
    usable_s = sum(outcome.seconds for outcome in outcomes)
    if anew and usable_s:
        size = _stored_bytes(work)
        rate = Rate(units=usable_s, seconds=taken.wall_s, disk_bytes=size, memory_bytes=taken.memory_bytes)
        record_rates({KEY: rate})
    return outcomes


def pilot_resampling(files: list[Path], seconds: tuple[float, float]) -> Rate:
    """Resample a few of the files <folder>/<label>/<name>, spread over all; units are seconds of sound."""
    some = files[:: max(1, len(files) // (FILES_A_CORE * cpu_count()))][: FILES_A_CORE * cpu_count()]
    with tempfile.TemporaryDirectory() as folder, quiet():
        place = Path(folder)
        for path in some:
            link = place / "raw" / path.parent.name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.absolute())
        began = time.perf_counter()
        prepare_clips(place / "raw", place / "work", seconds)
        took = time.perf_counter() - began
        return Rate(units=sum(map(length_of, some)) or 1, seconds=took, disk_bytes=_stored_bytes(place / "work"))


def length_of(path: Path) -> float:
    """Read from a file's header how many seconds of sound it says it holds; 0 where it says none."""
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.LibsndfileError, ZeroDivisionError):
        return 0.0


def _stored_bytes(work: Path) -> int:
    return sum(path.stat().st_size for path in work.rglob("*.flac"))
