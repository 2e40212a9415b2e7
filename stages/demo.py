"""The report over the demo's cells; with --show, print it and where its pictures are: what `make demo` ends with."""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.params import load_params
from beyond_spectrograms.results import ResultError
from stages.judge import write_claims
from stages.report import read_all_costs, read_results, write_report

TABLES, FIGURES, CURVES = Path("metrics/demo"), Path("plots/demo/figures"), Path("plots/demo/convergence.csv")
PAGE = Path("plots/demo/report/index.html")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", action="store_true", help="print what is there, compute nothing")
    if parser.parse_args().show:
        show()
        return
    params = load_params()
    demo = params.demo
    results = read_results(params, "demo", demo)
    for name, protocol in product(demo.representations, demo.protocols):
        if results.cell(name, protocol).scores is None:
            raise ResultError(
                f"demo: no scores of {name} under {protocol}. List its files under the deps of stage demo in dvc.yaml."
            )
    write_report(results, TABLES, FIGURES, CURVES)
    write_claims([(results, read_all_costs(results))], TABLES / "claims")


def show() -> None:
    """Print the result table, and the paths of all tables and pictures."""
    print((TABLES / "results.md").read_text(encoding="utf-8"))
    print("Tables:", *sorted(TABLES.glob("*.md")), sep="\n  ")
    print("Pictures (also as .svg):", *sorted(FIGURES.glob("*.png")), sep="\n  ")
    if PAGE.exists():
        print(f"All of it in one page: {PAGE}")


if __name__ == "__main__":
    run_stage(main)
