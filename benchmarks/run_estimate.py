"""Print what `dvc repro` would take for all cells, without running it; every cell goes to data/estimate.csv.

`--cells` prints a row a cell.
"""

import argparse
import time
from pathlib import Path

from benchmarks.estimate.calibration import CLIP_S, CLIPS_PER_CLASS, WINDOWS, calibrate_grid
from benchmarks.estimate.cells import list_cells
from benchmarks.estimate.counts import count_dataset
from benchmarks.estimate.grid import estimate_table, foretell_grid
from beyond_spectrograms.estimates.forecasts import MARGIN, Rate
from beyond_spectrograms.params.study import PAPER, list_studies, load_study
from beyond_spectrograms.report.table import to_csv, to_markdown
from beyond_spectrograms.util.errors import run_stage
from beyond_spectrograms.util.files import write_text

EVERY_CELL = Path("data/estimate.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default=PAPER, choices=list_studies(), help="default: %(default)s, the root's own")
    parser.add_argument("--cells", action="store_true", help="a row a cell, not a row a stage and data set")
    arguments = parser.parse_args()
    study, each = load_study(arguments.study), arguments.cells
    params, cells = study.params, list(list_cells(study))
    print(
        f"Calibrating representations on {CLIPS_PER_CLASS} synthesised clips of {CLIP_S:g} s a class, and their "
        f"classifiers on {WINDOWS} made windows each: about three minutes on idle cores",
        flush=True,
    )
    began = time.perf_counter()
    counts = {dataset: count_dataset(params, dataset) for dataset in dict.fromkeys(cell.dataset for cell in cells)}
    measured = calibrate_grid(params, cells)
    for name, encoded in measured.encoded.items():
        bands, frames = encoded.shape
        speed = "not calibrated, its weights are not here" if encoded.rate is None else _per_second(encoded.rate)
        rates = {
            str(recipe): one.pilot.rate for recipe, one in measured.trained.items() if recipe.representation == name
        }
        training = "; ".join(f"{recipe} trains {_per_second(rate)}" for recipe, rate in rates.items())
        print(f"  {name} [{bands}, {frames}]: encodes {speed}; {training}, a core")
    print(f"  resample {_per_second(measured.resample)}, split {_per_second(measured.split)} (seconds of sound)")
    starts = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in measured.start_s.items())
    print(f"  to start: {starts}. Took {time.perf_counter() - began:.0f} s.\n")

    foretold = list(foretell_grid(params, cells, counts, measured))
    table = estimate_table(foretold, counts, each)
    print(to_markdown(table))
    every = estimate_table(foretold, counts, each=True).rows
    write_text(EVERY_CELL, to_csv(every, list(every[0])))
    print(
        f"Windows of train are those of all runs, times the epochs; runs may stop earlier.\n"
        f"Times: as busy as the machine is now, {MARGIN:.0%} either way (once more for runs side by side); a "
        "calibration of seconds cannot see more. K-means takes some times as long as told: more windows need "
        "more rounds.\n"
        "Done: its output is here; of weights, of the params and versions that stand now. Done cells count in no other "
        "column.\n"
        "Not in it: downloads, DVC's own time, audit, evaluate, measure, illustrate, listen, report, page. "
        f"Every cell: {EVERY_CELL}"
    )


def _per_second(rate: Rate) -> str:
    low, high = 1 / rate.slowest, 1 / rate.quickest
    return f"{low:,.0f}/s" if f"{low:,.0f}" == f"{high:,.0f}" else f"{low:,.0f} to {high:,.0f}/s"


if __name__ == "__main__":
    run_stage(main)
