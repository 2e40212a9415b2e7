"""Stored files, held against the digests that this project writes itself: into them, or beside them.

For what DVC does not know: weights of others, downloads, checkpoints, and outputs of stages that were run by hand.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from beyond_spectrograms.data.archives import manifest_digest
from beyond_spectrograms.data.downloads import check_kept
from beyond_spectrograms.data.weights import find_damaged_weights, hub_endpoint
from beyond_spectrograms.data.windows import FeaturesError, check_content, read_parts, read_windows, split_digests
from beyond_spectrograms.evaluation.predict import ModelError, read_predictions
from beyond_spectrograms.evaluation.records import CURVES_FILE, PREDICTIONS_FILE, SCORES_FILE, ResultError
from beyond_spectrograms.evaluation.result_files import read_evaluation
from beyond_spectrograms.integrity.outputs import Damage, run_again
from beyond_spectrograms.params.datasets import File
from beyond_spectrograms.params.study import CLIPS, DOWNLOADS, PARTIAL, RAW, SPLITS, WEIGHTS, Study
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import digest_file, is_whole_checkpoint, read_sealed

HEAD_OF_GZIP = bytes.fromhex("1f8b08000000000002ff")  # as records.write_gzip_csv writes it
ANSWERS = ".predictions.safetensors"
WITHOUT_DIGEST = ("features.json", "provenance.json")  # beside features and answers: what their stages tell


def check_weights(studies: Iterable[Study]) -> tuple[int, list[Damage]]:
    """Check weights of others, and downloads that records of the studies name; give how many files, and the damaged."""
    again = "Run again any featurize stage that takes them: they are fetched anew"
    places = sorted(path for path in WEIGHTS.glob("*") if path.is_dir())
    found = [Damage(path, what, again) for place in places for path, what in find_damaged_weights(place).items()]
    records = {record.url: record for study in studies for record in _downloads_of(study)}
    kept, anew = check_kept(DOWNLOADS, list(records.values())), "Remove it: the stage that needs it fetches it anew"
    found += [Damage(path, what, anew) for path, what in kept.items() if what]
    return sum(path.is_file() for place in places for path in place.glob("*")) + len(kept), found


def _downloads_of(study: Study) -> Iterator[File]:
    for dataset in study.params.datasets.values():
        yield from dataset.source.archives or []
        yield from (record for _, record in dataset.source.lists or [])
        if dataset.trials is not None and dataset.trials.published is not None:
            yield dataset.trials.published
    yield from study.params.weights.values()
    for hub in study.params.hub.values():
        yield from hub.downloads(hub_endpoint())


def check_checkpoints() -> tuple[int, list[Damage]]:
    """Check what killed trainings left to go on from."""
    paths = sorted(PARTIAL.rglob("*.checkpoint.pt"))
    again = "Run its train stage: the run starts anew"
    damaged = [path for path in paths if not is_whole_checkpoint(path)]
    return len(paths), [Damage(path, "damaged, or not a checkpoint of a training", again) for path in damaged]


def check_sounds(study: Study, dataset: str) -> Iterator[Damage]:
    """Check a data set's raw sounds against their manifest, those of its clips one by one, and its table of windows."""
    raw, clips, splits = RAW / dataset, CLIPS / dataset, SPLITS / dataset
    if (source := raw / "source.json").exists():
        again = run_again(study.stage("download", dataset))
        try:
            known = json.loads(source.read_text(encoding="utf-8"))["manifest_sha256"]
        except (ValueError, LookupError, TypeError):
            yield Damage(source, "damaged", again)
        else:
            if manifest_digest(raw / "audio") != known:
                damaged = list(_changed_sounds(raw / "audio", clips / "clips.csv")) or [raw / "audio"]
                yield from (Damage(path, "not what source.json says was stored", again) for path in damaged)
    if (splits / "windows.csv").exists() and study.split_file(dataset).exists():
        try:
            digests = split_digests(read_windows(splits), read_parts(splits), study.params.splits)
            same = digests == study.split_record(dataset)["sha256"]
        except (ProjectError, ValueError, LookupError):
            same = False
        if not same:
            what = f"not the windows and parts that {study.split_file(dataset)} describes"
            yield Damage(splits, what, run_again(study.stage("split", dataset)))


def held_sounds(study: Study, dataset: str) -> Iterator[Path]:
    """List the files that check_sounds holds against a digest."""
    raw, splits = RAW / dataset, SPLITS / dataset
    if (raw / "source.json").exists():
        yield from (raw / "source.json", *(raw / "audio").glob("*/*"))
    if (splits / "windows.csv").exists() and study.split_file(dataset).exists():
        yield from (splits / "windows.csv", splits / "parts.csv")


def _changed_sounds(audio: Path, table: Path) -> Iterator[Path]:
    """Name the raw files whose digest is not the one that the table of clips has of them, where there is one."""
    if table.exists():
        known = pd.read_csv(table, dtype=str, keep_default_na=False)
        for clip, sha256 in zip(known["clip"], known["sha256"], strict=True):
            if not (audio / clip).exists() or digest_file(audio / clip) != sha256:
                yield audio / clip


def check_features(study: Study, dataset: str, name: str) -> Iterator[Damage]:
    """Check rows and index of one representation's features."""
    if (folder := study.features(dataset, name)).is_dir():
        try:
            check_content(folder, f"{dataset} as {name}")
        except (FeaturesError, FileNotFoundError) as error:
            yield Damage(folder, _reason(error, folder), run_again(study.stage("featurize", dataset, name)))


def check_models(study: Study, dataset: str, name: str) -> Iterator[Damage]:
    """Check records, weights and answers of every run on one representation, and its answers to disturbed sounds."""
    again = run_again(study.stage("train", dataset, name))
    for weights in sorted(study.models(dataset, name).rglob("*.safetensors")):
        if weights.name.endswith(ANSWERS):
            yield from _check_answers(weights, again)
        elif (record := read_sealed(path := weights.with_suffix(".json"))) is None:
            yield Damage(path, "missing or damaged", again)
        elif digest_file(weights) != record["weights_sha256"]:
            yield Damage(weights, f"not the weights that {path.name} is of", again)
    again = run_again(study.stage("disturb", dataset, name))
    for answers in sorted(study.disturbed(dataset, name).rglob(f"*{ANSWERS}")):
        yield from _check_answers(answers, again)


def _check_answers(path: Path, again: str) -> Iterator[Damage]:
    try:
        read_predictions(path, windows=2**62)
    except ModelError as error:
        yield Damage(path, _reason(error, path), again)


def _reason(error: Exception, path: Path) -> str:
    """Take a message's reason: without the path before it and the advice behind it."""
    told = str(error).removeprefix(f"{path}: ").removeprefix(f"{path}/")
    return re.split(r"\. (?:Run |One of the two)", told, maxsplit=1)[0].rstrip(".")


def check_results(folder: Path, dataset: str) -> Iterator[Damage]:
    """Read a data set's results, and hold the rows of predictions.csv.gz against scores.json."""
    tables = [folder / name for name in (PREDICTIONS_FILE, CURVES_FILE)]
    try:
        read_evaluation(folder, dataset)
        for path in tables:
            if path.read_bytes()[: len(HEAD_OF_GZIP)] != HEAD_OF_GZIP:
                raise ResultError(f"{path}: its head is not the one that was written")
    except ResultError as error:
        path = next((path for path in tables if str(error).startswith(str(path))), folder / SCORES_FILE)
        yield Damage(path, _reason(error, path), "Restore it from git, or remove it and run its evaluate stage again")
