"""Time our paths and the plain ways they replace, in turn: metrics/bench.json and .md, plots/bench.

For people, on an idle machine: nothing in the pipeline depends on it. `--only` runs some paths and leaves the stored
results of the others as they are.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from joblib import cpu_count

from benchmarks.harness import WAYS, Round, TimedPath, Way, run_rounds
from benchmarks.paths import (
    CLIP_S,
    CLIPS_PER_CLASS,
    MEL_CLIPS_PER_CLASS,
    PATHS,
    Extraction,
    find_weights,
    make_path,
    matrix_rate,
    run_once,
)
from benchmarks.profiles import layers_table, our_profile, plain_profile, steps_table
from benchmarks.results import bench_figure, bench_table, merge, publish, summarise
from benchmarks.watching import watch_well
from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.estimates.timing import roughly
from beyond_spectrograms.params import STUDIES, Params, load_params
from beyond_spectrograms.report.figures import save
from beyond_spectrograms.representations.base import EngineError
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.machine import memory_can_be_measured, processor_name
from beyond_spectrograms.util.progress import quiet

RESULTS, FIGURES = Path("metrics/bench.json"), Path("plots/bench")
QUIET_LOAD = 0.5  # processes waiting for a core over the last minute
NOTES = [
    "Times as fast: the plain way's seconds over ours, median of the rounds and their range.",
    "% of mm: 3.0 (EnCodec 24 kHz) and 6.2 (48 kHz) GFLOP a second of sound, over the rate of torch.mm on the same "
    "cores in the same round, in fp32 (ours in bf16: in bf16). Times as fast at 100 %: were ours at that rate and "
    "nothing else to do.",
    "MB: memory of its own of a process that runs one way once, imports and what it starts included.",
]


def main() -> None:
    params = load_params(STUDIES / "prototypes")  # which has the root's, too
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=PATHS, nargs="+", default=list(PATHS))
    parser.add_argument("--once", choices=WAYS, help="run one way once and measure nothing: what memory is measured by")
    arguments = parser.parse_args()
    soundstream = find_weights(params, "soundstream_encoder")
    if arguments.once:
        run_once(arguments.only[0], arguments.once, params, soundstream)
        return
    load = os.getloadavg()[0]
    print(
        f"{len(arguments.only)} paths, ours and the plain way, in {arguments.rounds} rounds of shuffled order after an "
        f"untimed one, then each alone for its memory; {6 * CLIPS_PER_CLASS * CLIP_S:g} s of synthesised sound (mel "
        f"{6 * MEL_CLIPS_PER_CLASS * CLIP_S:g}), {cpu_count()} cores, load {load:.1f}. About "
        f"{2 * arguments.rounds + 5} minutes on two idle cores.",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as place:
        paths = make_paths(arguments.only, params, Path(place), soundstream)
        rounds: dict[str, list[Round]] = {name: [] for name in paths}
        rates: dict[str, list[dict[Way, float]]] = {name: [] for name in paths}
        began = time.perf_counter()
        for name, one in run_rounds({name: path.run for name, path in paths.items()}, arguments.rounds):
            rounds[name].append(one)
            plain = matrix_rate("fp32")
            rates[name].append(
                {"ours": matrix_rate("bf16") if paths[name].precision == "bf16" else plain, "plain": plain}
            )
            ratio = one["plain"].wall / one["ours"].wall
            print(f"{roughly(time.perf_counter() - began)}: {name} {ratio:.2f} times as fast", flush=True)
        with quiet():
            steps = {name: path.steps() if isinstance(path, Extraction) else {} for name, path in paths.items()}
        memory = {name: measure_memory(name, Path(place)) if memory_can_be_measured() else {} for name in paths}
    results = {
        "processor": processor_name(),
        "cores": cpu_count(),
        "load_before": load,
        "rounds": arguments.rounds,
        "pairings": {
            name: summarise(paths[name], rounds[name], rates[name], memory[name], steps[name]) for name in paths
        },
        "encoder_milliseconds": measure_layers(paths),
        "notes": [*NOTES, f"Load before: {load:.1f}" + ("; the machine was not idle" if load > QUIET_LOAD else "")],
    }
    if len(arguments.only) < len(PATHS) and RESULTS.exists():
        results = merge(json.loads(RESULTS.read_text(encoding="utf-8")), results, PATHS)
    steps_of, layers_of = results["pairings"], results["encoder_milliseconds"]
    publish(RESULTS, results, bench_table(results), steps_table(steps_of, results["cores"]), layers_table(layers_of))
    FIGURES.mkdir(parents=True, exist_ok=True)
    save(bench_figure(results), FIGURES, "ratios")


def make_paths(names: list[str], params: Params, folder: Path, soundstream: Path | None) -> dict[str, TimedPath]:
    """Get paths ready; one that cannot run here is left out, and a line says so."""
    paths = {}
    for name in names:
        try:
            path = make_path(name, params, folder, soundstream)
        except EngineError as error:
            print(f"{name} is left out: {error}")
            continue
        if path is None:
            print(f"{name} is left out: its weights are neither in data/weights nor in ${MIRROR_VARIABLE}")
        else:
            paths[name] = path
    return paths


def measure_memory(name: str, folder: Path) -> dict[str, int]:
    """Run each way once in a process of its own; bytes that its processes held together, mapped files apart.

    Raises:
        ProjectError: one failed.
    """
    memory: dict[str, int] = {}
    for way in WAYS:
        log = folder / f"{name}-{way}.log"
        command = [sys.executable, "-m", "benchmarks", "--only", name, "--once", way]
        memory[way] = watch_well(command, log, f"{name}, {way}: failed alone").own_bytes
    return memory


def measure_layers(paths: dict[str, TimedPath]) -> dict[str, dict[str, float]]:
    """Profile EnCodec's encoder by kind of layer, where its paths were run: milliseconds a second of sound."""
    layers: dict[str, dict[str, float]] = {}
    if "encodec_24khz_untrained" in paths:
        layers["plain"] = plain_profile()
        if find_spec("openvino"):
            layers["ours"] = our_profile("fp32")
    if "encodec_24khz_untrained_bf16" in paths:
        layers["ours, bf16"] = our_profile("bf16")
    return layers


if __name__ == "__main__":
    run(main)
