"""Resampling sound files, extracting features and disturbing sounds, with an estimate before each begins."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import soundfile
from joblib import cpu_count

from beyond_spectrograms.data.clips import Outcome, prepare_clips, raw_files
from beyond_spectrograms.estimates.timing import Estimate, Rate, Taken, amount, read_rates, record_rates, timed
from beyond_spectrograms.representations.feature_cache import Extraction, FeatureRequest, extract
from beyond_spectrograms.util.cluster.pieces import pieces_go_to
from beyond_spectrograms.util.progress import quiet

RESAMPLING = "resample"
FILES_A_CORE = 3  # of a pilot; files go through side by side
CLIPS, WINDOWS = 3, 64  # of a pilot of features, at most


def timed_resampling(
    dataset: str, raw: Path, work: Path, seconds: tuple[float, float], versions: Mapping[str, int | str]
) -> list[Outcome]:
    """Do as `clips.prepare_clips`; say what it will take if no clip is kept, what it took, and record that."""
    files, anew = raw_files(raw), not work.exists()
    sound_s = sum(map(_seconds_of, files))
    rate = read_rates().get(RESAMPLING) or pilot_resampling(files, seconds)
    share = sound_s / rate.units
    estimate = Estimate(share * rate.seconds, round(share * rate.disk_bytes), rate.memory_bytes)
    with timed(f"{dataset}: {len(files)} files, {sound_s:,.0f} s of sound, to check and resample", estimate) as taken:
        outcomes = prepare_clips(raw, work, seconds, versions)
    usable_s = sum(outcome.seconds for outcome in outcomes)
    if anew and usable_s:
        size, memory = _stored_bytes(work), taken.memory_bytes
        rate = Rate(units=usable_s, seconds=taken.wall_s, disk_bytes=size, memory_bytes=memory)
        record_rates({RESAMPLING: rate})
    return outcomes


def pilot_resampling(files: list[Path], seconds: tuple[float, float]) -> Rate:
    """Resample a few of the files <folder>/<label>/<name>, spread over all; units are seconds of sound."""
    some = files[:: max(1, len(files) // (FILES_A_CORE * cpu_count()))][: FILES_A_CORE * cpu_count()]
    with tempfile.TemporaryDirectory() as folder, quiet(), pieces_go_to(None):
        place = Path(folder)
        for path in some:
            link = place / "raw" / path.parent.name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.absolute())
        began = time.perf_counter()
        prepare_clips(place / "raw", place / "work", seconds)
        took = time.perf_counter() - began
        return Rate(units=sum(map(_seconds_of, some)) or 1, seconds=took, disk_bytes=_stored_bytes(place / "work"))


def _seconds_of(path: Path) -> float:
    """Read from a file's header how many seconds of sound it says it holds; 0 where it says none."""
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.LibsndfileError, ZeroDivisionError):
        return 0.0


def _stored_bytes(work: Path) -> int:
    return sum(path.stat().st_size for path in work.rglob("*.flac"))


def extraction_key(name: str) -> str:
    """Name the kind of work: the features of a representation."""
    return f"featurize {name}"


def timed_extraction(request: FeatureRequest, place: Path, work: Path, called: str) -> Extraction:
    """Do as `extract`, and say what was done. Of computed windows say what they will take and took; record the rate."""
    key, length_s, of_run = extraction_key(request.representation.name), request.length_s, list[Taken]()
    with ExitStack() as stack:

        def announce(windows: int) -> None:
            if windows:
                rate = read_rates().get(key) or pilot_extraction(request)
                estimate = Estimate(windows * length_s * rate.seconds / rate.units, request.bytes, rate.memory_bytes)
                what = f"{called}: {windows:,} windows, {windows * length_s:,.0f} s of sound"
                of_run.append(stack.enter_context(timed(what, estimate)))

        done = extract(request, place, work, called=called, announce=announce)
    windows, bands, frames = request.shape
    size = request.bytes * done.computed // windows
    print(
        f"{called}: computed {done.computed} of {windows} windows by {request.representation.engine}, kept the others; "
        f"encoded {done.encoded}: repeated and silent ones once"
    )
    for taken in of_run:
        units, memory = done.computed * length_s, taken.memory_bytes
        rate = Rate(units=units, seconds=taken.wall_s, disk_bytes=size, memory_bytes=memory, shape=(bands, frames))
        record_rates({key: rate})
    return done


def pilot_extraction(request: FeatureRequest) -> Rate:
    """Encode a few clips; units are seconds of sound."""
    units, seconds = _pilot(request, lambda few, place: extract(few, place, place.with_suffix(".work")))
    return Rate(units=units, seconds=seconds)


def disturbance_key(name: str) -> str:
    """Name the kind of work: features of disturbed sounds, and what classifiers answer to them."""
    return f"disturb {name}"


@contextmanager
def timed_disturbances(
    called: str,
    request: FeatureRequest,
    disturbances: Sequence[str],
    make_features: Callable[[FeatureRequest, str, Path], None],
) -> Iterator[None]:
    """Say what the block will take, in which each of `disturbances` is made and answered, and took; record the rate.

    `make_features` makes the features of a request with one of them, in a folder.
    """
    if not disturbances:
        yield
        return
    key, windows = disturbance_key(request.representation.name), len(request.table)
    rate = read_rates().get(key) or pilot_disturbances(request, disturbances, make_features)
    units = len(disturbances) * windows * request.length_s
    what = (
        f"{called}: {len(disturbances)} to make of {windows:,} test windows, {amount(request.bytes)} of features each"
    )
    with timed(what, Estimate(units * rate.seconds / rate.units, memory_bytes=rate.memory_bytes)) as taken:
        yield
    record_rates({key: Rate(units=units, seconds=taken.wall_s, memory_bytes=taken.memory_bytes)})


def pilot_disturbances(
    request: FeatureRequest, disturbances: Sequence[str], make_features: Callable[[FeatureRequest, str, Path], None]
) -> Rate:
    """Make the features of a few clips with each disturbance; units are seconds of sound, each disturbance counted."""

    def make(few: FeatureRequest, place: Path) -> None:
        for each in disturbances:
            make_features(few, each, place / each)

    units, seconds = _pilot(request, make)
    return Rate(units=len(disturbances) * units, seconds=seconds)


def _pilot(request: FeatureRequest, make: Callable[[FeatureRequest, Path], object]) -> tuple[float, float]:
    """Make the features of a few clips, spread over the request's, in a temporary folder of this machine.

    Those of two windows are made before, untimed: they pay for imports, filters and the compiling of networks.

    Returns:
        seconds of sound, and seconds that these took.
    """
    names = request.table["clip"].unique()
    spread = names[:: max(1, len(names) // CLIPS)][:CLIPS]
    some = request.table[request.table["clip"].isin(spread)].head(WINDOWS)
    with tempfile.TemporaryDirectory() as folder, quiet(), pieces_go_to(None):
        for number, part in enumerate((some.head(2), some)):
            began = time.perf_counter()
            make(replace(request, table=part, shards_at=None), Path(folder, f"{number}"))
        return len(some) * request.length_s, time.perf_counter() - began
