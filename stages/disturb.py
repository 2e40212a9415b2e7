"""Raw files of the test part, disturbed -> what trained classifiers answer: data/disturbed/<study>/<dataset>/<...>.

There is a folder for each disturbance and protocol, with the answers of every run to its own test windows. Features are
made as `featurize` makes them, of one disturbance at a time, and are gone once it is answered. Disturbances answered
before are kept while all that decides the answers is the same. Of labels the names of the classes alone are read.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.disturbances import KINDS, write_disturbed
from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.data.windows import columns_of, open_features, read_parts, read_windows
from beyond_spectrograms.estimates.preparation import timed_disturbances
from beyond_spectrograms.evaluation.predict import ModelError, predict, read_predictions, write_predictions
from beyond_spectrograms.params import PARAMS_FILE, ParamsError, Protocol
from beyond_spectrograms.params.study import CLIPS, RAW, SPLITS, Study
from beyond_spectrograms.representations.feature_cache import FeatureRequest, extract, request_features
from beyond_spectrograms.training.tuning import recipe_of
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import digest_file, locked, replace_folder, write_json
from beyond_spectrograms.util.machine import choose_device
from stages.arguments import parse


@dataclass(frozen=True)
class TestedRun:
    """A trained run of a protocol, the recipe it was trained under, and the `rows` of the windows that it tests."""

    protocol: str
    recipe: Protocol
    fold: int
    seed: int
    rows: npt.NDArray[np.int64]
    weights: Path

    @property
    def answers(self) -> Path:
        """Where its answers are, below the folder of a disturbance."""
        return Path(self.protocol, f"{self.weights.stem}.predictions.safetensors")


def main() -> None:
    study, (dataset, name) = parse(__doc__, "dataset", "representation")
    params, called, place = study.params, f"{dataset} as {name}", study.disturbed(dataset, name)
    if not params.disturbances:
        raise ParamsError(f"{study.folder / PARAMS_FILE}: no disturbances. Describe some: {', '.join(KINDS)}.")
    work = study.work("disturbed", dataset, name)
    finished, seconds = work / "finished", params.datasets[dataset].source.seconds
    runs = list(list_runs(study, dataset, name))
    wanted = {
        each: {run.protocol: study.weights_provenance(dataset, name, run.protocol, each) for run in runs}
        for each in params.disturbances
    }
    table, tested = read_windows(SPLITS / dataset), np.unique(np.concatenate([run.rows for run in runs]))
    windows, classes = table.loc[tested, ["clip", "start_s"]], sorted(table["label"].unique())
    record, device = params.representations[name], choose_device(params.device)

    def make_features(request: FeatureRequest, disturbance: str, work: Path) -> None:
        clips, form = list(request.table["clip"].unique()), request.representation.form
        raw, changed = RAW / dataset / "audio", params.disturbances[disturbance]
        write_disturbed(raw, clips, changed, seconds=seconds, form=form, place=work / "clips")
        extract(replace(request, clips=work / "clips", shards_at=None), work / "features", work / "extracting")

    with locked(work):
        todo = [each for each in wanted if not keep_answers(runs, wanted[each], finished / each, place / each)]
        print(f"{called}: {len(wanted)} disturbances, {len(wanted) - len(todo)} kept", flush=True)
        request = request_features(params, name, fetch_encoder(params, name), windows, CLIPS / dataset)
        with timed_disturbances(called, request, todo, make_features):
            for each in todo:
                make_features(request, each, work / each)
                features = open_features(work / each / "features", len(tested))
                for run in runs:
                    found = predict(
                        run.weights, run.recipe, features,
                        rows=np.searchsorted(tested, run.rows), classes=classes, codebook_size=record.codebook_size,
                        fold=run.fold, seed=run.seed, device=device, stacked=record.stacked,
                    )  # fmt: skip
                    write_predictions(finished / each / run.answers, replace(found, rows=run.rows))
                for protocol, decided in wanted[each].items():  # last: it says that the answers are whole
                    write_json(finished / each / protocol / "provenance.json", decided)
                shutil.rmtree(work / each)
        for stray in {path.name for path in finished.iterdir()} - set(wanted):  # of params that a killed run had
            shutil.rmtree(finished / stray)
        replace_folder(finished, place)
        shutil.rmtree(work)


def list_runs(study: Study, dataset: str, name: str) -> Iterator[TestedRun]:
    """List the runs of a representation under every protocol of the grid.

    Raises:
        ModelError: a protocol's weights are not here, or not of what decides them now.
    """
    parts = read_parts(SPLITS / dataset)
    for protocol in study.params.grid.protocols_of(name):
        asked, folder = study.params.protocols[protocol], study.models(dataset, name) / protocol
        if not study.is_trained(dataset, name, protocol):
            raise ModelError(
                f"{folder}: no weights of the params, versions and parts that stand now. Run its train stage."
            )
        columns = columns_of(asked.split, parts)
        for fold, seed in study.params.runs_of(dataset, name, protocol, len(columns)):
            rows = np.flatnonzero(parts[columns[fold - 1]] == "test")
            weights = folder / f"fold_{fold}-seed_{seed}.safetensors"
            yield TestedRun(protocol, recipe_of(asked, folder, fold), fold, seed, rows, weights)


def keep_answers(runs: Sequence[TestedRun], wanted: Mapping[str, Any], finished: Path, earlier: Path) -> bool:
    """Keep whole answers to a disturbance: those a killed run left in `finished`, else a copy of `earlier` ones."""
    if are_whole(finished, runs, wanted):
        return True
    shutil.rmtree(finished, ignore_errors=True)
    if whole := are_whole(earlier, runs, wanted):
        shutil.copytree(earlier, finished, copy_function=shutil.copyfile)  # DVC's cached files are read-only
    return whole


def are_whole(folder: Path, runs: Sequence[TestedRun], wanted: Mapping[str, Any]) -> bool:
    """Say whether `folder` has the answers of every run's weights to its rows, by the provenances `wanted`."""
    try:
        decided = {
            protocol: json.loads((folder / protocol / "provenance.json").read_text(encoding="utf-8"))
            for protocol in wanted
        }
        known = [read_predictions(folder / run.answers, int(run.rows.max()) + 1) for run in runs]
    except (FileNotFoundError, ValueError, ModelError):  # a record that is damaged is no JSON
        return False
    same = (
        np.array_equal(found.rows, run.rows) and found.weights_sha256 == digest_file(run.weights)
        for found, run in zip(known, runs, strict=True)
    )
    return decided == wanted and all(same)


if __name__ == "__main__":
    run_stage(main)
