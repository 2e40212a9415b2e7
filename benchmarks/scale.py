"""A data set of any number of windows, put through the real stages, to see how time and memory grow with it.

Windows are short (0.06 s), so that a million of them take minutes; all else is as in any data set: clips in FLAC, a
table of windows, a mel spectrogram a window, one epoch of the paper's network. For people, on an idle machine:
`python -m benchmarks.scale` writes metrics/scale.json and .md, and a figure.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from benchmarks.results import publish
from benchmarks.watching import Watched, watch_well
from beyond_spectrograms.data import audio
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.estimates.timing import amount, roughly
from beyond_spectrograms.params import PARAMS_FILE
from beyond_spectrograms.report.table import Row, Table, texts
from beyond_spectrograms.util.code_versions import VERSIONS_FILE
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES = ("split", "featurize", "train", "evaluate")
NAME, REPRESENTATION, PROTOCOL = "scale", "scale_mel", "scale_epoch"
LIMIT_BYTES = 4_000_000_000  # what a million windows may take of memory
WINDOW_S, WINDOWS_PER_CLIP, CLASSES = 0.06, 20, 10
SHAPE = (32, 51)  # bands, frames: 6.5 kB a window, so that a million fill more than 4 GB
FORM = audio.FORMATS[0]
SIZES = (10_000, 100_000, 1_000_000)
BYTES_PER_WINDOW = 4 * SHAPE[0] * SHAPE[1] + 1100  # features; clips, tables and what stages write besides
RESULTS, FIGURES = Path("metrics/scale.json"), Path("plots/bench")
CHECKOUT = Path(__file__).parents[1]  # where stages/ lies


@dataclass(frozen=True)
class Run:
    """What a stage took on so many windows."""

    stage: str
    windows: int
    watched: Watched


def make_project(folder: Path, windows: int, root: Path) -> None:
    """Write a project of its own into `folder`: params, clips of noise and their table; `windows` a multiple of 20.

    What is not the made data set's own is as in the project in `root`.
    """
    written = yaml.safe_load((root / PARAMS_FILE).read_text(encoding="utf-8"))
    written["grid"] = {"datasets": [NAME], "representations": [REPRESENTATION], "protocols": [PROTOCOL]}
    written["run"] = {"dataset": NAME, "representation": REPRESENTATION, "protocol": PROTOCOL}
    written["windows"] = {"length_s": WINDOW_S, "hop_s": WINDOW_S, "tail": "drop"}
    source = {"path": "unused", "seconds": [0.1, 600.0], "folds": 5, "fold_seed": 0}
    record: dict[str, Any] = {"source": source, "max_epochs": None, "notice": None, "drawn_from": [], "known_pairs": []}
    written["representations"][REPRESENTATION] = {
        "kind": "mel", "weights": None, "sample_rate": FORM.sample_rate, "n_fft": 256, "hop_length": 19,
        "n_mels": SHAPE[0], "window": "hann", "scale": "db",
    }  # fmt: skip
    written["protocols"][PROTOCOL] = written["protocols"]["fair"] | {"split": "window", "epochs": 1, "seeds": [0]}
    write_text(folder / PARAMS_FILE, yaml.safe_dump(written, sort_keys=False))
    write_text(folder / "datasets" / f"{NAME}.yaml", yaml.safe_dump(record, sort_keys=False))
    write_text(folder / VERSIONS_FILE, (root / VERSIONS_FILE).read_text(encoding="utf-8"))
    clips, samples = folder / "data/clips" / NAME, round(WINDOW_S * WINDOWS_PER_CLIP * FORM.sample_rate)

    def write(number: int) -> dict[str, object]:
        clip = f"class_{number % CLASSES}/{number:07d}.wav"
        # In steps of 2^-7, so that FLAC stores a byte a sample.
        noise = np.random.default_rng(number).integers(-64, 64, size=(samples, 1)).astype(np.float32) / np.float32(128)
        path = clip_path(clips, FORM, clip)
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write_clip(path, noise, FORM.sample_rate)
        seconds = samples / FORM.sample_rate
        return {"clip": clip, "label": clip.split("/", maxsplit=1)[0], "seconds": seconds, "sha256": f"{number:064x}"}

    with ThreadPoolExecutor() as pool:
        rows = pool.map(write, range(windows // WINDOWS_PER_CLIP))
        table = pd.DataFrame(list(rows)).assign(source_sample_rate=FORM.sample_rate).sort_values("clip")
    table.to_csv(clips / "clips.csv", index=False, lineterminator="\n")


def run_stage(folder: Path, stage: str, windows: int) -> Run:
    """Run one of STAGES in the project in `folder`, as `dvc repro` would, and measure it.

    Raises:
        ProjectError: it failed; the message is the stage's own.
    """
    arguments = (REPRESENTATION,) if stage in ("featurize", "train") else ()
    command = [sys.executable, "-m", f"stages.{stage}", NAME, *arguments]
    failure = f"stage {stage} failed on {windows} windows"
    return Run(stage, windows, watch_well(command, folder / f"{stage}.log", failure, folder, PYTHONPATH=str(CHECKOUT)))


def marginal(runs: Sequence[Run], stage: str) -> list[float]:
    """Processor seconds a further window takes, from each size to the next: all alike where time is linear."""
    of = sorted((run for run in runs if run.stage == stage), key=lambda run: run.windows)
    return [
        (larger.watched.processor_seconds - smaller.watched.processor_seconds) / (larger.windows - smaller.windows)
        for smaller, larger in pairwise(of)
    ]


def describe_scale(runs: Sequence[Run]) -> dict[str, Any]:
    """Lay out metrics/scale.json."""
    stages = list(dict.fromkeys(run.stage for run in runs))
    return {
        "window": {"seconds": WINDOW_S, "bands": SHAPE[0], "frames": SHAPE[1], "bytes": 4 * SHAPE[0] * SHAPE[1]},
        "runs": [{"stage": run.stage, "windows": run.windows, **asdict(run.watched)} for run in runs],
        "processor_seconds_per_further_window": {stage: marginal(runs, stage) for stage in stages},
    }


def scale_table(runs: Sequence[Run]) -> Table:
    """Lay out a row a stage and size."""
    rows: list[Row] = [
        {
            "stage": run.stage,
            "windows": f"{run.windows:,}",
            "time": roughly(run.watched.wall_seconds),
            "processor time": roughly(run.watched.processor_seconds),
            "memory of its own": amount(run.watched.own_bytes),
            "with mapped files": amount(run.watched.peak_bytes),
        }
        for run in sorted(runs, key=lambda run: (STAGES.index(run.stage), run.windows))
    ]
    notes = [
        f"Windows are {WINDOW_S:g} s of noise, a mel spectrogram {list(SHAPE)} each; one epoch of {PROTOCOL}.",
        "Pages of mapped files are the system's: it takes them back when memory is short.",
    ]
    return Table("Scale: the same stages on more windows", rows, texts(*rows[0]), notes)


def scale_figure(runs: Sequence[Run]) -> Figure:
    """Draw processor time and memory against the number of windows, a line a stage."""
    lines = {
        stage: sorted(
            (run.windows, run.watched.processor_seconds, run.watched.own_bytes) for run in runs if run.stage == stage
        )
        for stage in STAGES
    }
    return growth_figure(lines, "processor time, s", LIMIT_BYTES)


def growth_figure(
    lines: Mapping[str, Sequence[tuple[int, float, int]]], time: str, limit_bytes: int | None = None
) -> Figure:
    """Draw time, which is so called, and memory against the number of windows, a line a name: (windows, s, bytes)."""
    from beyond_spectrograms.report.figures import drawing, styles

    measured = {name: points for name, points in lines.items() if points}
    with drawing(10, 4) as figure:
        time_axes, memory_axes = figure.subplots(1, 2)
        for name, style in styles(list(measured)).items():
            windows, seconds, own_bytes = zip(*measured[name], strict=True)
            look: dict[str, Any] = {"color": style.colour, "linestyle": style.dash, "marker": style.marker}
            time_axes.plot(windows, seconds, label=name, **look)
            memory_axes.plot(windows, [each / 1e9 for each in own_bytes], label=name, **look)
        memory = "memory of its own, GB"
        if limit_bytes is not None:
            memory_axes.axhline(limit_bytes / 1e9, color="black", linewidth=0.8)
            memory += " (line: the limit)"
        for axes, label in ((time_axes, time), (memory_axes, memory)):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.set_xlabel("windows")
            axes.set_ylabel(label)
        time_axes.set_yscale("log")
        time_axes.yaxis.set_major_formatter("{x:g}")
        memory_axes.set_ylim(0)
        time_axes.legend()
        return figure


def make_on_a_disk_with_room(work: Path, wanted: float) -> None:
    """Make a folder in which so many bytes will be written.

    Raises:
        ProjectError: its disk has no room for them.
    """
    work.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(work).free) < 1.1 * wanted:
        raise ProjectError(f"{work}: {amount(free)} free, {amount(wanted)} needed. Make room or give fewer --windows.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--windows", type=int, nargs="+", default=SIZES, help="multiples of 20")
    sizes = sorted(parser.parse_args().windows)
    work = Path("data/partial/scale")
    wanted = BYTES_PER_WINDOW * max(sizes)
    print(f"{', '.join(f'{size:,}' for size in sizes)} windows through {', '.join(STAGES)}; {amount(wanted)} of disk "
          f"in {work}, removed at the end", flush=True)  # fmt: skip
    make_on_a_disk_with_room(work, wanted)
    runs: list[Run] = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            make_project(Path(folder), size, Path())
            for stage in STAGES:
                runs.append(run_stage(Path(folder), stage, size))
                took = runs[-1].watched
                print(f"{stage}, {size:,} windows: {roughly(took.wall_seconds)}, {amount(took.own_bytes)}", flush=True)
    publish(RESULTS, describe_scale(runs), scale_table(runs))
    from beyond_spectrograms.report.figures import save

    FIGURES.mkdir(parents=True, exist_ok=True)
    save(scale_figure(runs), FIGURES, "scale")


if __name__ == "__main__":
    run(main)
