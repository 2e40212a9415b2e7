"""Scores of the prototypes' cells of a representation -> metrics/prototypes/<dataset>/<representation>.csv and .md.

Beside them <representation>-differences.csv: what the leaky split, each transformation and the cross-entropy change.
Of the test part it reads what `evaluate` wrote and, for the share of it that errors leave unexplained, the features'
variance.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from beyond_spectrograms.ablation import (
    Cell,
    count_recordings,
    find_leaks,
    find_steps,
    sum_errors,
    tabulate_cells,
    tabulate_differences,
    variance_of,
)
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import write_text
from beyond_spectrograms.params import Protocol, load_params
from beyond_spectrograms.recordings import read_recordings
from beyond_spectrograms.tabular import to_csv, to_markdown
from beyond_spectrograms.windows import columns_of, open_features, read_parts, read_windows


def main() -> None:
    params = load_params()
    wanted = params.prototypes
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=wanted.datasets)
    parser.add_argument("representation", choices=[*wanted.representations, *wanted.latents])
    arguments = parser.parse_args()
    dataset, representation = arguments.dataset, arguments.representation
    latent = representation in wanted.latents
    names = wanted.latent_protocols if latent else [*wanted.protocols, *wanted.baselines]
    protocols = {name: params.protocols[name] for name in names}
    cells = read_cells(dataset, representation, protocols)
    every = tabulate_cells(dataset, representation, cells, params.statistics)
    differences = [
        tabulate_differences(f"{dataset}, {representation}: {what}", cells, pairs, params.statistics)
        for what, pairs in (
            ("what the leaky split adds", find_leaks(protocols, params.splits)),
            ("what each part of prototypes changes", find_steps(protocols)),
        )
        if pairs
    ]
    place, rows = f"metrics/prototypes/{dataset}/{representation}", [row for table in differences for row in table.rows]
    write_text(Path(f"{place}.csv"), to_csv(every.rows, list(every.rows[0])))
    write_text(Path(f"{place}-differences.csv"), to_csv(rows, list(rows[0]) if rows else ["change"]))
    written = "\n".join(to_markdown(table) for table in (every, *differences))
    write_text(Path(f"{place}.md"), written)
    print(written)


def read_cells(dataset: str, representation: str, protocols: Mapping[str, Protocol]) -> dict[str, Cell]:
    """Read what `evaluate` wrote of each protocol."""
    splits = Path("data/splits", dataset)
    table, parts = read_windows(splits), read_parts(splits)
    sources = dict(zip(table["clip"], table["group"], strict=True))
    features = open_features(Path("data/features", dataset, representation), len(table))
    tested = {
        split: np.flatnonzero((parts[columns_of(split, parts)] == "test").any(axis=1))
        for split in {protocol.split for protocol in protocols.values()}
    }
    variances = {split: variance_of(features, rows) for split, rows in tested.items()}
    cells = {}
    for name, protocol in protocols.items():
        place = f"{dataset}/{representation}-{name}"
        recordings = read_recordings(Path(f"plots/recordings/{place}.csv"), sources)
        predictions = pd.read_csv(f"plots/predictions/{place}.csv", dtype={"clip": str}, keep_default_na=False)
        unit = protocol.prototypes.scale**2 if protocol.prototypes else 1.0
        cells[name] = Cell(
            runs=json.loads(Path(f"metrics/scores/{place}.json").read_text(encoding="utf-8"))["by_fold"],
            right=count_recordings(recordings),
            errors=sum_errors(recordings, predictions, unit),
            variance=variances[protocol.split],
        )
    return cells


if __name__ == "__main__":
    run_stage(main)
