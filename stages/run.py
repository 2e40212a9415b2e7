"""Publish the one variant `run` of params.yaml: its scores, history and predictions under names that never change.

Two experiments with different `run` then show side by side in `dvc metrics diff` and `dvc plots diff`.
"""

from __future__ import annotations

from pathlib import Path

from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import write_text
from beyond_spectrograms.params import load_params


def main() -> None:
    run = load_params().run
    cell = f"{run.dataset}/{run.representation}-{run.protocol}"
    for source, place in (
        (f"metrics/scores/{cell}.json", "metrics/run.json"),
        (f"plots/history/{cell}.csv", "plots/run/history.csv"),
        (f"plots/predictions/{cell}.csv", "plots/run/predictions.csv"),
    ):
        write_text(Path(place), Path(source).read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_stage(main)
