"""Make every table, verdict and figure again from the results in git: `make tables`. Works on a bare clone.

With `--stale`, list the committed cells that the params and versions that stand now would compute anew, and the folders
of sounds that have changed since they were copied: `make stale`.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from beyond_spectrograms.data.archives import has_changed
from beyond_spectrograms.data.elsewhere import listing_changed
from beyond_spectrograms.evaluation.records import SCORES_FILE, cell_name
from beyond_spectrograms.evaluation.result_files import read_evaluation
from beyond_spectrograms.evaluation.verification import TRIALS_FILE, read_trial_scores
from beyond_spectrograms.params.study import RAW, Study, list_studies, load_study
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.storage.places import is_elsewhere
from stages import ablate, draw, draw_codecs, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stale", action="store_true", help="list stale cells, make nothing")
    only_stale = parser.parse_args().stale
    studies = [load_study(name) for name in list_studies()]
    every = [(study, name) for study in studies for name in study.params.grid.datasets]
    known = [(study, name) for study, name in every if (study.metrics(name) / SCORES_FILE).exists()]
    tried = [(study, name) for study, name in every if (study.metrics(name) / TRIALS_FILE).exists()]
    if only_stale:
        scored = [(*one, disturbance) for one in known for disturbance in (None, *one[0].params.disturbances)]
        stale = [line for one in scored for line in stale_cells(*one)]
        stale += [line for one in tried for line in stale_trials(*one)]
        total = sum(len(read_evaluation(study.metrics(name, which), name).scores) for study, name, which in scored)
        total += sum(len(read_trial_scores(study.metrics(name), name).cells) for study, name in tried)
        last = f"{len(stale)} of {total} results are stale" if stale else f"all {total} results are fresh"
        print(*changed_folders(studies), *stale, last, sep="\n")
        return
    for study, dataset in known:
        place = study.metrics(dataset) / "tables"
        (ablate.write_tables if study.params.grid.heard else report.write_report)(study, dataset)
        print(f"{place}: {len(list(place.iterdir()))} files")
    for study, dataset in tried:
        report.write_trials(study, dataset)
        print(f"{study.metrics(dataset) / 'tables'}: the table of trials")
    for study in studies:
        for told in draw_codecs.write_codecs(study):
            print(told)
        if made := draw.write_figures(study):
            print(f"{study.plots('figure_4')}: {2 * made} files")


def changed_folders(studies: Sequence[Study]) -> list[str]:
    """Say of each data set from a user's folder that is gone, or not what it was when it was copied, what to do."""
    lines = []
    for study in studies:
        for dataset in study.params.grid.datasets:
            source, copied = study.params.datasets[dataset].source, RAW / dataset / "audio"
            if source.path is None or is_elsewhere(source.path) or not copied.is_dir():
                continue  # nobody asks a store of files whenever somebody asks what is stale
            try:
                changed = listing_changed(source, RAW / dataset) if source.layout else has_changed(source, copied)
            except ProjectError as error:  # such as a folder that is gone
                lines.append(f"{dataset}: {error}")
                continue
            if changed:
                stage = study.stage("download", dataset)
                lines.append(f"{dataset}: {source.path} has changed since it was copied; say dvc repro -f {stage}")
    return lines


def stale_cells(study: Study, dataset: str, disturbance: str | None = None) -> list[str]:
    """Say of each committed cell that is stale, or no longer asked for, why; of those of a disturbance if it is one."""
    found, lines = read_evaluation(study.metrics(dataset, disturbance), dataset), []
    asked = {cell_name(*cell): cell for cell in study.params.grid.cells()}
    for name, scores in found.scores.items():
        place = f"{study.metrics(dataset, disturbance) / SCORES_FILE}: {name}"
        if name not in asked:
            lines.append(f"{place}: not in the grid of {study.folder / 'params.yaml'}")
            continue
        lines += tell_changes(place, scores["provenance"], study.score_provenance(dataset, *asked[name], disturbance))
    return lines


def stale_trials(study: Study, dataset: str) -> list[str]:
    """Say of each committed embedding's scores that are stale, or no longer asked for, why."""
    lines, verification = [], study.params.verification
    keys = verification.embeddings if verification else {}
    asked = {cell_name(name, key) for name in study.params.grid.representations for key in keys}
    for name, cell in read_trial_scores(study.metrics(dataset), dataset).cells.items():
        place = f"{study.metrics(dataset) / TRIALS_FILE}: {name}"
        if name not in asked:
            lines.append(f"{place}: not asked for in {study.folder / 'params.yaml'}")
            continue
        now = study.trial_provenance(dataset, cell.representation, cell.embedding)
        lines += tell_changes(place, cell.provenance, now)
    return lines


def tell_changes(place: str, was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Say in a line what of a provenance is not what it was; none where all is the same."""
    changed = [key for key in now["versions"] if was["versions"].get(key) != now["versions"][key]]
    changed += [key for key in ("params", "data") if was[key] != now[key]]
    return [f"{place}: stale, changed: {', '.join(changed)}"] if changed else []


if __name__ == "__main__":
    run(main)
