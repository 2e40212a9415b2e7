"""Extracting features, with an estimate before it begins."""

import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from beyond_spectrograms.estimates.rates import Rate, read_rates, record_rates
from beyond_spectrograms.estimates.timing import Estimate, Taken, timed
from beyond_spectrograms.representations.feature_cache import Extraction, FeatureRequest, extract
from beyond_spectrograms.util.progress import quiet

CLIPS, WINDOWS = 3, 64  # of a pilot, at most


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
    print(
        f"{called}: computed {done.computed} of {windows} windows by {request.representation.engine}, kept the others; "
        f"encoded {done.encoded}: repeated and silent ones once"
    )
    size = request.bytes * done.computed // windows
    for taken in of_run:
        rate = Rate(units=done.computed * length_s, seconds=taken.wall_s, disk_bytes=size, shape=(bands, frames))
        record_rates({key: rate.model_copy(update={"memory_bytes": taken.memory_bytes})})
    return done


def pilot_extraction(request: FeatureRequest) -> Rate:
    """Encode a few clips, spread over the table of windows, into a temporary folder; units are seconds of sound.

    Two windows are encoded before, untimed: they pay for imports, filters and the compiling of networks.
    """
    names = request.table["clip"].unique()
    spread = names[:: max(1, len(names) // CLIPS)][:CLIPS]
    some = request.table[request.table["clip"].isin(spread)].head(WINDOWS)
    with tempfile.TemporaryDirectory() as folder, quiet():
        for number, part in enumerate((some.head(2), some)):
            began = time.perf_counter()
            extract(replace(request, table=part), Path(folder, f"{number}"), Path(folder, f"{number}.work"))
        return Rate(units=len(some) * request.length_s, seconds=time.perf_counter() - began)
