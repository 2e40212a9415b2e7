"""Print what `dvc repro` would take for the whole grid, without running it; every cell goes to data/estimate.csv.

`--cells` prints a row a cell.
"""

import argparse
import time
from pathlib import Path

from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import write_text
from beyond_spectrograms.foretelling.calibration import CLIP_S, CLIPS_PER_CLASS, WINDOWS, calibrate_grid
from beyond_spectrograms.foretelling.counts import count_dataset
from beyond_spectrograms.foretelling.forecasts import MARGIN, Rate
from beyond_spectrograms.foretelling.grid import estimate_table, foretell_grid
from beyond_spectrograms.lock import finished_stages
from beyond_spectrograms.params import load_params
from beyond_spectrograms.tabular import to_csv, to_markdown

EVERY_CELL = Path("data/estimate.csv")


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", action="store_true", help="a row a cell, not a row a stage and data set")
    each = parser.parse_args().cells
    names = [*params.grid.representations, *params.ablations.representations]
    print(
        f"Calibrating {len(names)} representations on {CLIPS_PER_CLASS} synthesised clips of {CLIP_S:g} s a class, and "
        f"their classifiers on {WINDOWS} made windows each: about a minute",
        flush=True,
    )
    began = time.perf_counter()
    counts = {dataset: count_dataset(params, dataset) for dataset in params.grid.datasets}
    measured = calibrate_grid(params, names)
    for name in names:
        encoded = measured.encoded[name]
        bands, frames = encoded.shape
        speed = "not calibrated, its weights are not here" if encoded.rate is None else _per_second(encoded.rate)
        conv = {kind: one for (of, kind), one in measured.trained.items() if of == name}
        training = "; ".join(f"{kind} trains {_per_second(one.pilot.rate)}" for kind, one in conv.items())
        print(f"  {name} [{bands}, {frames}]: encodes {speed}; {training}, a core")
    print(f"  resample {_per_second(measured.resample)}, split {_per_second(measured.split)} (seconds of sound)")
    starts = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in measured.start_s.items())
    print(f"  to start: {starts}. Took {time.perf_counter() - began:.0f} s.\n")

    cells = list(foretell_grid(params, counts, measured, finished_stages()))
    table = estimate_table(cells, counts, each)
    print(to_markdown(table))
    every = estimate_table(cells, counts, each=True).rows
    write_text(EVERY_CELL, to_csv(every, list(every[0])))
    print(
        f"Windows of train and evaluate are those of all runs, of train times the epochs; runs may stop earlier.\n"
        f"Times: as busy as the machine is now, {MARGIN:.0%} either way (once more for runs side by side); a "
        "calibration of seconds cannot see more.\n"
        "Done: run with the params and code that stand now, outputs in place (by dvc.lock; `make stale` looks closer). "
        "Done cells count in no other column.\n"
        "Not in it: downloads, DVC's own time, audit, measure, report, judge, page. "
        f"Every cell: {EVERY_CELL}"
    )


def _per_second(rate: Rate) -> str:
    low, high = 1 / rate.slowest, 1 / rate.quickest
    return f"{low:,.0f}/s" if f"{low:,.0f}" == f"{high:,.0f}" else f"{low:,.0f} to {high:,.0f}/s"


if __name__ == "__main__":
    run_stage(main)
