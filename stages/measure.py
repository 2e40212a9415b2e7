"""Raw files, features and weights -> what classifying costs by each representation, metrics/<dataset>/costs.json.

On the CPU alone. A representation measured before is kept while all that decides its costs is the same.
"""

import hashlib
import json
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.data.windows import read_windows
from beyond_spectrograms.evaluation.cost_measurement import (
    Bench,
    CostsError,
    Sounds,
    Subject,
    choose_sounds,
    peak_memory,
    time_rounds,
)
from beyond_spectrograms.evaluation.costs import TIMES, cached_bytes_per_second, coded_bytes_per_second, read_costs
from beyond_spectrograms.params import Codec
from beyond_spectrograms.params.study import FEATURES_BY, PAPER, RAW, SPLITS, WEIGHTS_BY, Study
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import write_json
from beyond_spectrograms.util.machine import memory_can_be_measured, one_thread, processor_name
from beyond_spectrograms.util.progress import track
from stages.arguments import parse

COSTS_BY = ("costs", "soxr")  # versions beside those of features and weights
START_S = 5.0  # seconds a process of its own takes to start, about


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    params = study.params
    baselines = params.claims.baselines
    marks = {name: mark(study, dataset, [name, *baselines]) for name in params.grid.representations}
    place = study.metrics(dataset) / "costs.json"
    known = {name: costs for name, costs in read_costs(place).items() if name in marks}
    kept = {name: known[name].model_dump() for name in known if known[name].mark == marks[name]}
    sounds = choose_sounds(
        read_windows(SPLITS / dataset),
        RAW / dataset / "audio",
        count=params.costs.clips,
        seed=params.costs.seed,
        length_s=params.windows.length_s,
        plausible=params.datasets[dataset].source.seconds,
    )
    if not memory_can_be_measured():
        print("memory is not measured: that takes Linux with the GNU C library")
    costs: dict[str, Any] = {}
    for name in params.grid.representations:
        if name in kept:
            costs[name] = kept[name]
        elif _features(study, dataset, name).exists():
            costs[name] = {"mark": marks[name]} | measure(study, dataset, name, baselines, sounds)
            others = {other: known[other].model_dump() for other in known if other not in costs}
            write_json(place, {"representations": others | costs})  # a killed run goes on from here
        elif name in known:
            print(f"{dataset}, {name}: left out: measured under other params or versions, its features are not here")
    write_json(place, {"representations": costs})
    measured = len(costs.keys() - kept.keys())
    print(f"{dataset}: measured {measured} representations, kept {len(costs) - measured}")


def _features(study: Study, dataset: str, name: str) -> Path:
    """Find the features of a representation; those that stand beside the study's are of the paper's experiment."""
    folder = Path("data/features", PAPER, dataset, name) if name in study.params.grid.beside else None
    return (folder or study.features(dataset, name)) / "features.npy"


def mark(study: Study, dataset: str, names: Iterable[str]) -> str:
    """Digest all that decides the costs of the first of `names`, timed beside the others."""
    params = study.params
    decides = {
        "source": params.datasets[dataset].source.model_dump(),
        "windows": params.windows.model_dump(),
        "costs": params.costs.model_dump(),
        "features": params.features.model_dump(),
        "precision": params.training_precision,
        "representations": {name: params.representations[name].model_dump() for name in names},
        "versions": {noun: params.versions[noun] for noun in (*FEATURES_BY, *WEIGHTS_BY, *COSTS_BY)},
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def measure(study: Study, dataset: str, name: str, baselines: Iterable[str], sounds: Sounds) -> dict[str, Any]:
    """Measure one representation; baselines go through the same rounds, so that ratios are of times side by side."""
    settings, length_s = study.params.costs, study.params.windows.length_s
    subjects = find_subjects(study, dataset, list(dict.fromkeys([name, *baselines])))
    print(
        f"{dataset}, {' beside '.join(one.name for one in subjects)}: {len(sounds.clips)} clips, "
        f"{sounds.seconds:.1f} s of sound, {settings.rounds} rounds after an untimed one, on one thread of the CPU "
        "(no other device is measured)"
    )
    benches = {one.name: Bench(one, sounds) for one in subjects}
    with one_thread(everywhere=True):
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
        features, bitrate = bench.cache.features, record.bitrate if isinstance(record, Codec) else None
        size = cached_bytes_per_second(features.shape[1], features.shape[2], length_s, features.itemsize)
        representations[subject.name] = {
            **{key: [one[subject.name][key] for one in rounds] for key in TIMES},
            **dict.fromkeys(f"{way}_{part}_bytes" for part in ("peak", "total") for way in ("cached", "file")),
            "cached_bytes_per_s": size,
            "raw_bytes_per_s": raw,
            "coded_bytes_per_s": coded_bytes_per_second(bitrate),
            "parameters": bench.parameters,
        }
    if memory_can_be_measured():
        for way in ("cached", "file"):
            peak, total = peak_memory(way, subjects[0], sounds)
            representations[name] |= {f"{way}_peak_bytes": peak, f"{way}_total_bytes": total}
    return {
        "dataset": dataset,
        "representation": name,
        "clips": len(sounds.clips),
        "seconds_of_sound": sounds.seconds,
        "rounds": settings.rounds,
        "threads": 1,
        "processor": processor_name(),
        "representations": representations,
    }


def find_subjects(study: Study, dataset: str, names: Collection[str]) -> list[Subject]:
    """Find the features and weights of each representation.

    Raises:
        CostsError: one has no features.
    """
    from beyond_spectrograms.training.epoch import choose_precision

    params = study.params
    if missing := [name for name in names if not _features(study, dataset, name).exists()]:
        raise CostsError(f"{_features(study, dataset, missing[0])}: missing. Costs are measured beside {missing[0]}'s.")
    precision = choose_precision(params.training_precision, "cpu")
    places = {name: _features(study, dataset, name).parent for name in names}
    return [
        Subject(name, params.representations[name], tuple(fetch_encoder(params, name)), place, precision)
        for name, place in places.items()
    ]


if __name__ == "__main__":
    run_stage(main)
