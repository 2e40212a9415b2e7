"""From a trained cell of the pipeline to a model folder: one fold and seed, with all that its card has to say."""

import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from beyond_spectrograms.data.clips import read_clips
from beyond_spectrograms.data.windows import parts_of_run, read_parts, read_windows
from beyond_spectrograms.evaluation.records import SCORES_FILE, cell_name
from beyond_spectrograms.evaluation.result_files import ACCURACIES
from beyond_spectrograms.inference.card import (
    Card,
    Confidence,
    Encoder,
    ModelError,
    MultiLabel,
    Recipe,
    Scores,
    Training,
)
from beyond_spectrograms.inference.folder import CLASSIFIER_FILE, describe_file, read_weights_record, save_model
from beyond_spectrograms.params import Params, Protocol, weights_folder
from beyond_spectrograms.params.study import CLIPS, SPLITS, WEIGHTS, Study
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import check_hears_windows
from beyond_spectrograms.training.tuning import recipe_of
from beyond_spectrograms.util.commands import ask_git
from beyond_spectrograms.util.files import digest_lines, read_told

REMARKS = {
    "dropout_at_evaluation": "the scores were measured with dropout active, as the paper's code does; in use it is not",
    "shuffle_labels": "a control, trained on shuffled labels: it has learned nothing",
    "training_share": "trained on a share of the training recordings alone",
    "examples_per_class": "trained on a few recordings of each class alone",
    "deal_labels": "a control, trained on labels dealt by recording: it has learned nothing but the recordings",
}


def export_cell(
    study: Study, dataset: str, representation: str, protocol: str, *, fold: int, seed: int, out: Path
) -> Card:
    """Write the classifier that `train` made of one fold and seed as a model folder.

    Works in the folder that holds the pipeline's data/ and metrics/.

    Raises:
        ModelError: the cell, its scores or its data are not there, its scores are of other weights, or the place is
            taken.
    """
    params = study.params
    again = f"Run `dvc repro {study.stage('evaluate', dataset)}`."
    trained = study.models(dataset, representation) / protocol / f"fold_{fold}-seed_{seed}.safetensors"
    if not trained.is_file():
        runs = sorted(re.sub("[-_]", " ", path.stem) for path in trained.parent.glob("fold_*.safetensors"))
        there = f" There are {', '.join(runs)}." if runs else ""
        raise ModelError(f"{trained}: no such file.{there} {again}")
    if not study.is_trained(dataset, representation, protocol):
        raise ModelError(
            f"{trained}: trained under other params, versions or parts than those that stand now. Run `dvc repro "
            f"{study.stage('train', dataset, representation)}`."
        )
    table, parts = read_windows(SPLITS / dataset), read_parts(SPLITS / dataset)
    learned = parts_of_run(params.protocols[protocol], parts, table, fold, seed) == "train"
    clips = read_clips(CLIPS / dataset)
    cell, place = (dataset, representation, protocol), study.metrics(dataset) / SCORES_FILE
    return write_model(
        out,
        trained,
        params=params.model_copy(update={"windows": params.windows_of(dataset)}),
        recipe=recipe_of(params.protocols[protocol], trained.parent, fold),
        cell=cell,
        run=(fold, seed),
        weights=WEIGHTS / weights_folder(representation, params.representations[representation]),
        licences=[archive.licence for archive in params.datasets[dataset].source.archives or []],
        clips=clips[clips["clip"].isin(table["clip"][learned])],
        scores=_read_scores(place, cell_name(*cell[1:]), again, trained, (fold, seed)),
    )


def write_model(
    out: Path,
    trained: Path,
    *,
    params: Params,
    recipe: Protocol,
    cell: tuple[str, str, str],
    run: tuple[int, int],
    weights: Path,
    licences: Sequence[str],
    clips: pd.DataFrame,
    scores: Scores,
    confidence: Confidence | None = None,
    multi_label: MultiLabel | None = None,
) -> Card:
    """Write a trained classifier and its representation as a model folder.

    Args:
        out: the new folder.
        trained: the classifier, as `train` left it.
        params: windows, and the record of the cell's representation.
        recipe: what it was trained under.
        cell: names of data set, representation and protocol.
        run: fold and seed; fold 0 where it was trained on all data.
        weights: the folder with the representation's weights and their record.json.
        licences: of the data set.
        clips: those it learned from, with the columns `clip` and `sha256`.
        scores: how good it is.
        confidence: how sure its answers are, where that was found.
        multi_label: from which probability on a sound has each class, where it may have several.

    Raises:
        ModelError: `out` exists already, or there is no record of the weights.
    """
    from safetensors import safe_open

    (dataset, name, protocol), windows, encoder_files = cell, params.windows, read_weights_record(weights)
    record = params.representations[name]
    paths = [weights / file.file for file in encoder_files]
    check_hears_windows(name, record)
    encoder = create_representation(name, record, paths)
    sample_rate, packages = encoder.form.sample_rate, {package: version(package) for package in encoder.packages}
    shape = {"bands": encoder.bands, "frames": encoder.frames(round(windows.length_s * sample_rate))}
    shape |= {"sample_rate": sample_rate, "channels": encoder.form.channels}
    with safe_open(trained, framework="pt") as stored:
        notes = json.loads(stored.metadata()["notes"])
    # As archives.manifest_digest does.
    manifest = digest_lines(f"{sha256}  {clip}" for sha256, clip in zip(clips["sha256"], clips["clip"], strict=True))
    epoch, diverged = notes["epoch"], notes["diverged_at_epoch"]
    of_run: dict[str, Any] = {"fold": run[0], "seed": run[1], "epoch": epoch, "diverged_at_epoch": diverged}
    remarks = [remark for key, remark in REMARKS.items() if getattr(recipe, key)]
    if diverged is not None:
        remarks.append(f"training diverged at epoch {diverged}; this is epoch {epoch}")
    card = Card(
        format="beyond-spectrograms model",
        version=1,
        classes=notes["classes"],
        windows=windows,
        representation=Encoder(name=name, record=record, packages=packages, **shape),
        untrained_encoder=record.is_untrained,
        encoder_files=encoder_files,
        classifier_file=describe_file(trained).model_copy(update={"file": CLASSIFIER_FILE}),
        protocol=Recipe(name=protocol, record=recipe),
        training=Training(
            dataset=dataset, licences=list(licences), clips=len(clips), manifest_sha256=manifest, **of_run
        ),
        scores=scores,
        confidence=confidence,
        multi_label=multi_label,
        remarks=remarks,
    )
    save_model(out, card, trained, paths)
    return card


def _read_scores(path: Path, cell: str, again: str, trained: Path, run: tuple[int, int]) -> Scores:
    """Read the scores of one run (fold, seed), which must be those of the file of weights `trained`."""
    if not path.is_file():
        raise ModelError(f"{path}: no such file. {again}")
    cells = read_told(path).get("cells", {})
    runs = {(found["fold"], found["seed"]): found for found in cells.get(cell, {}).get("by_fold", [])}
    if run not in runs:
        raise ModelError(f"{path}: no scores of {cell}, fold {run[0]}, seed {run[1]}. {again}")
    scored = runs[run]["weights_sha256"]
    if scored is None:
        raise ModelError(f"{path}: the scores of {cell} do not say of which weights they are. {again}")
    if scored != (found := describe_file(trained).sha256):
        raise ModelError(
            f"{path}: the scores of {cell}, fold {run[0]}, seed {run[1]}, are of other weights ({scored[:12]}) than "
            f"{trained} ({found[:12]}). {again}"
        )
    return Scores(file=path.as_posix(), commit=_commit(path), **{name: runs[run][name] for name in ACCURACIES})


def _commit(path: Path) -> str | None:
    """Name the commit that holds the file as it is; None where none does, or there is no git."""
    changed = ask_git("status", "--porcelain", "--", str(path))
    return None if changed else ask_git("log", "-1", "--format=%H", "--", str(path)) or None
