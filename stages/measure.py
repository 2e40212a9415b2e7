"""Raw files, features and weights -> what classifying one representation costs, metrics/costs/<dataset>. CPU only."""

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from beyond_spectrograms.costs import TIMES, cached_bytes_per_second, coded_bytes_per_second
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import write_json
from beyond_spectrograms.measuring import (
    Bench,
    CostsError,
    Subject,
    choose_sounds,
    one_thread,
    peak_memory,
    time_rounds,
)
from beyond_spectrograms.memory import memory_can_be_measured
from beyond_spectrograms.params import Codec, Params, load_params
from beyond_spectrograms.processor import processor_name
from beyond_spectrograms.progress import track
from beyond_spectrograms.windows import read_windows

START_S = 5.0  # seconds a process of its own takes to start, about


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=params.datasets)
    parser.add_argument("representation", choices=params.representations)
    arguments = parser.parse_args()
    dataset, name = arguments.dataset, arguments.representation
    settings, length_s = params.costs, params.windows.length_s
    # Baselines go through the same rounds, so that a ratio to one is made of times measured side by side.
    subjects = find_subjects(params, dataset, dict.fromkeys([name, *params.claims.baselines]))
    sounds = choose_sounds(
        read_windows(Path("data/splits", dataset)),
        Path("data/raw", dataset, "audio"),
        count=settings.clips,
        seed=settings.seed,
        length_s=length_s,
        plausible=params.datasets[dataset].source.seconds,
    )
    print(
        f"{dataset}, {' beside '.join(one.name for one in subjects)}: {len(sounds.clips)} clips, "
        f"{sounds.seconds:.1f} s of sound, {settings.rounds} rounds after an untimed one, on one thread of the CPU "
        "(no other device is measured)"
    )

    benches = {one.name: Bench(one, sounds) for one in subjects}
    with one_thread():
        began = time.perf_counter()
        for bench in benches.values():
            bench.time()
        about = settings.rounds * (time.perf_counter() - began) + 2 * START_S
        print(f"about {about:.0f} s by the untimed round", flush=True)
        timed = time_rounds(benches, settings.rounds, settings.seed)
        rounds = list(track(timed, f"measure {name}", settings.rounds))

    raw = sum(clip.path.stat().st_size for clip in sounds.clips) / sounds.seconds
    representations: dict[str, Any] = {}
    for subject in subjects:
        bench, record = benches[subject.name], subject.record
        shape, bitrate = bench.cache.features.shape, record.bitrate if isinstance(record, Codec) else None
        memory = dict.fromkeys(f"{way}_{part}_bytes" for part in ("peak", "total") for way in ("cached", "file"))
        representations[subject.name] = {
            **{key: [one[subject.name][key] for one in rounds] for key in TIMES},
            **memory,
            "cached_bytes_per_s": cached_bytes_per_second(shape[1], shape[2], length_s, bench.cache.features.itemsize),
            "raw_bytes_per_s": raw,
            "coded_bytes_per_s": coded_bytes_per_second(bitrate),
            "parameters": bench.parameters,
        }
    if memory_can_be_measured():
        for way in ("cached", "file"):
            peak, total = peak_memory(way, subjects[0], sounds)
            representations[name] |= {f"{way}_peak_bytes": peak, f"{way}_total_bytes": total}
    else:
        print("memory is not measured: that takes Linux with the GNU C library")
    costs = {
        "dataset": dataset,
        "representation": name,
        "clips": len(sounds.clips),
        "seconds_of_sound": sounds.seconds,
        "rounds": settings.rounds,
        "threads": 1,
        "processor": processor_name(),
        "representations": representations,
    }
    write_json(Path("metrics/costs", dataset, f"{name}.json"), costs)


def find_subjects(params: Params, dataset: str, names: Iterable[str]) -> list[Subject]:
    """Find the features and weights of each representation.

    Raises:
        CostsError: one of them has none.
    """
    from beyond_spectrograms.epochs import choose_precision

    subjects, precision = [], choose_precision(params.training_precision, "cpu")
    for name in names:
        features, weights = Path("data/features", dataset, name), Path("data/weights", name)
        for needed, stage in ((features / "features.npy", "featurize"), (weights / "record.json", "download_weights")):
            if not needed.exists():
                raise CostsError(f"{needed}: missing, so {name} cannot be measured. Run its {stage} stage first.")
        files = json.loads((weights / "record.json").read_text(encoding="utf-8"))["files"]
        paths = tuple(weights / file["file"] for file in files)
        subjects.append(Subject(name, params.representations[name], paths, features, precision))
    return subjects


if __name__ == "__main__":
    run_stage(main)
