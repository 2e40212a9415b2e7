"""Raw files, features and weights -> what classifying costs by each representation, metrics/<dataset>/costs.json.

On the CPU alone. A representation measured before is kept while all that decides its costs is the same.
"""

from pathlib import Path
from typing import Any

from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.data.windows import has_features, read_windows
from beyond_spectrograms.evaluation.cost_measurement import CostsError, Subject, choose_sounds, measure
from beyond_spectrograms.evaluation.costs import read_costs
from beyond_spectrograms.params.study import PAPER, RAW, SPLITS, Study
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import write_json
from beyond_spectrograms.util.machine import memory_can_be_measured
from stages.arguments import parse


def main() -> None:
    study, (dataset,) = parse(__doc__, "dataset")
    params, place = study.params, study.metrics(dataset) / "costs.json"
    marks = {name: study.cost_mark(dataset, [name, *params.claims.baselines]) for name in params.grid.representations}
    known = {name: found.model_dump() for name, found in read_costs(place).items() if name in marks}
    kept = {name for name in known if known[name]["mark"] == marks[name]}
    table, raw, settings = read_windows(SPLITS / dataset), RAW / dataset / "audio", params.costs
    plausible = params.datasets[dataset].source.seconds
    sounds = choose_sounds(
        table, raw, count=settings.clips, seed=settings.seed, length_s=params.windows.length_s, plausible=plausible
    )
    if not memory_can_be_measured():
        print("memory is not measured: that takes Linux with the GNU C library")
    costs: dict[str, Any] = {}
    for name, mark in marks.items():
        if name in kept:
            costs[name] = known[name]
        elif has_features(features_of(study, dataset, name)):
            subjects = find_subjects(study, dataset, name)
            found = measure(dataset, subjects, sounds, rounds=settings.rounds, seed=settings.seed)
            costs[name] = {"mark": mark} | found
            write_json(place, {"representations": known | costs})  # a killed run goes on from here
        elif name in known:
            print(f"{dataset}, {name}: left out: measured under other params or versions, its features are not here")
    write_json(place, {"representations": costs})
    measured = len(costs.keys() - kept)
    print(f"{dataset}: measured {measured} representations, kept {len(costs) - measured}")


def features_of(study: Study, dataset: str, name: str) -> Path:
    """Find the features of a representation; those that stand beside the study's are of the paper's experiment."""
    folder = Path("data/features", PAPER, dataset, name) if name in study.params.grid.beside else None
    return folder or study.features(dataset, name)


def find_subjects(study: Study, dataset: str, name: str) -> list[Subject]:
    """Find features and weights of a representation, and of the baselines beside which it is measured.

    Raises:
        CostsError: one has no features.
    """
    from beyond_spectrograms.training.epoch import choose_precision

    params, subjects = study.params, []
    precision = choose_precision(params.training_precision, "cpu")
    for one in dict.fromkeys([name, *params.claims.baselines]):
        if not has_features(features := features_of(study, dataset, one)):
            raise CostsError(f"{features}: missing. Costs are measured beside {one}'s.")
        weights = tuple(fetch_encoder(params, one))
        record = params.representations[one]
        subjects.append(Subject(one, record, weights, features, params.costs.classifier, precision))
    return subjects


if __name__ == "__main__":
    run_stage(main)
