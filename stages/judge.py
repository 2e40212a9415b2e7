"""Scores, curves and costs of every data set of the grid -> the paper's claims judged, metrics/claims.md and .json."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from beyond_spectrograms.costs import Costs
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.evidence.claims import CLAIMS, claims_table, judge, rules
from beyond_spectrograms.files import write_json, write_text
from beyond_spectrograms.params import load_params
from beyond_spectrograms.results import Results
from beyond_spectrograms.tabular import to_markdown
from stages.report import read_all_costs, read_results


def write_claims(judged: Sequence[tuple[Results, Mapping[str, Costs]]], place: Path) -> None:
    """Write <place>.json and <place>.md: the rules, and every verdict with its reason."""
    verdicts = {results.dataset: judge(results, costs) for results, costs in judged}
    stated = rules(judged[0][0]) if judged else {}
    write_json(
        place.with_suffix(".json"),
        {"rules": stated, "verdicts": [asdict(verdict) for mine in verdicts.values() for verdict in mine]},
    )
    parts = [
        "# The paper's claims, judged\n\nEach codec against each spectrogram; a control is an untrained encoder.\n"
    ]
    for results, _ in judged:
        tables = [claims_table(results, verdicts[results.dataset], claim) for claim in CLAIMS]
        parts += [f"#{to_markdown(table)}" for table in tables if table.rows]
    write_text(place.with_suffix(".md"), "\n".join(parts))


def main() -> None:
    params = load_params()
    argparse.ArgumentParser(description=__doc__).parse_args()
    judged = []
    for dataset in params.grid.datasets:
        if Path(f"metrics/splits/{dataset}.json").exists():
            results = read_results(params, dataset, params.grid, params.ablations)
            judged.append((results, read_all_costs(results)))
    write_claims(judged, Path("metrics/claims"))
    names = [results.dataset for results, _ in judged]
    print("metrics/claims.md:", ", ".join(names))
    if missing := [name for name in params.grid.datasets if name not in names]:
        print("not run, not judged:", ", ".join(missing))


if __name__ == "__main__":
    run_stage(main)
