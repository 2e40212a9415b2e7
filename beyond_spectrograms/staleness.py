"""Which committed results the present code or params would compute anew: `python -m beyond_spectrograms.staleness`.

DVC itself says which stages it would run (`dvc repro --dry --allow-missing` needs no data, only dvc.lock). A result is
stale if a stage on its path would run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from beyond_spectrograms.params import load_params

SCORES = Path("metrics/scores")


def stages_of(dataset: str, representation: str, protocol: str) -> list[str]:
    """Name the stages between a sound and the scores of a cell, in order."""
    return [
        f"download@{dataset}",
        f"resample@{dataset}",
        f"split@{dataset}",
        f"download_weights@{representation}",
        f"featurize@{dataset}-{representation}",
        f"train@{dataset}-{representation}-{protocol}",
        f"evaluate@{dataset}-{representation}-{protocol}",
    ]


def stale_results(scores: Path = SCORES) -> dict[str, str]:
    """Find the score files that are stale, each with the stages that would run."""
    cells = {path: (path.parent.name, *path.stem.rsplit("-", 1)) for path in sorted(scores.glob("*/*.json"))}
    grid = load_params().grid
    in_grid = {
        cell
        for cell in cells.values()
        if cell[0] in grid.datasets and cell[1] in grid.representations and cell[2] in grid.protocols
    }
    would_run = _dry_run([stages_of(*cell)[-1] for cell in in_grid]) if in_grid else set()
    stale = {}
    for path, cell in cells.items():
        stages = [stage for stage in stages_of(*cell) if stage in would_run]
        if cell not in in_grid:
            stale[str(path)] = "not in the grid of params.yaml"
        elif stages:
            stale[str(path)] = f"would run {', '.join(stages)}"
    return stale


def _dry_run(targets: list[str]) -> set[str]:
    command = [sys.executable, "-m", "dvc", "repro", "--dry", "--allow-missing", *targets]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own arguments
    if finished.returncode:
        sys.exit(f"`dvc repro --dry` failed:\n{finished.stderr}")
    return set(re.findall(r"Running stage '([^']+)'", finished.stdout))


def main() -> None:
    """Print one line a stale result."""
    stale = stale_results()
    for path, why in stale.items():
        print(f"{path}: stale, {why}")
    count = len(list(SCORES.glob("*/*.json")))
    if not count:
        print(f"no results in {SCORES}: `dvc repro` makes them")
    else:
        print(f"{len(stale)} of {count} results are stale" if stale else f"all {count} results are fresh")


if __name__ == "__main__":
    main()
