"""Scores of the prototypes' cells of a data set -> metrics/prototypes/<dataset>/<representation>.csv and .md."""

import argparse
import json
from pathlib import Path

from beyond_spectrograms.ablation import tabulate_ablation
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import write_text
from beyond_spectrograms.params import load_params
from beyond_spectrograms.tabular import to_csv, to_markdown


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=params.prototypes.datasets)
    dataset = parser.parse_args().dataset
    for representation in params.prototypes.representations:
        folder = Path("metrics/scores", dataset)
        scores = {
            protocol: json.loads((folder / f"{representation}-{protocol}.json").read_text(encoding="utf-8"))
            for protocol in (*params.prototypes.protocols, *params.prototypes.baselines)
        }
        recipes = {name: recipe.prototypes for name, recipe in params.protocols.items()}
        scales = {name: settings.scale for name, settings in recipes.items() if settings is not None}
        table = tabulate_ablation(dataset, representation, scores, scales)
        place = Path("metrics/prototypes", dataset, representation)
        write_text(place.with_suffix(".csv"), to_csv(table.rows, list(table.rows[0])))
        write_text(place.with_suffix(".md"), to_markdown(table))
        print(to_markdown(table))


if __name__ == "__main__":
    run_stage(main)
