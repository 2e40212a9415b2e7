"""Put made data sets of 10^4, 10^5 and 10^6 windows through the real stages: metrics/scale.json and .md, a figure.

For people, on an idle machine: nothing in the pipeline depends on it.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from benchmarks.scale import SHAPE, STAGES, Run, ScaleError, describe_scale, make_project, scale_figure, scale_table
from benchmarks.scale import run_stage as run_one
from beyond_spectrograms.estimates.timing import amount, roughly
from beyond_spectrograms.report.figures import save
from beyond_spectrograms.report.table import to_markdown
from beyond_spectrograms.util.errors import run_stage
from beyond_spectrograms.util.files import write_json, write_text

SIZES = (10_000, 100_000, 1_000_000)
BYTES_PER_WINDOW = 4 * SHAPE[0] * SHAPE[1] + 1100  # features; clips, tables and what stages write besides
RESULTS, TABLE, FIGURES = Path("metrics/scale.json"), Path("metrics/scale.md"), Path("plots/bench")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, nargs="+", default=SIZES, help="multiples of 20")
    sizes = sorted(parser.parse_args().windows)
    work = Path("data/partial/scale")
    work.mkdir(parents=True, exist_ok=True)
    wanted, free = BYTES_PER_WINDOW * max(sizes), shutil.disk_usage(work).free
    print(f"{', '.join(f'{size:,}' for size in sizes)} windows through {', '.join(STAGES)}; {amount(wanted)} of disk "
          f"in {work}, removed at the end", flush=True)  # fmt: skip
    if free < 1.1 * wanted:
        raise ScaleError(f"{work}: {amount(free)} free, {amount(wanted)} needed. Make room or give fewer --windows.")
    runs: list[Run] = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            make_project(Path(folder), size, Path())
            for stage in STAGES:
                runs.append(run_one(Path(folder), stage, size))
                took = runs[-1].watched
                print(f"{stage}, {size:,} windows: {roughly(took.wall_seconds)}, {amount(took.own_bytes)}", flush=True)
    write_json(RESULTS, describe_scale(runs))
    write_text(TABLE, to_markdown(scale_table(runs)))
    FIGURES.mkdir(parents=True, exist_ok=True)
    save(scale_figure(runs), FIGURES, "scale")
    print(TABLE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_stage(main)
