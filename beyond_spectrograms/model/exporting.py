"""From a trained cell of the pipeline to a model folder: one fold and seed, with all that its card has to say."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beyond_spectrograms.model.card import Card, Encoder, ModelError, Recipe, Scores, Training
from beyond_spectrograms.model.folder import CLASSIFIER_FILE, describe_file, read_weights_record, save_model
from beyond_spectrograms.params import Params
from beyond_spectrograms.params.datasets import Source
from beyond_spectrograms.windows import columns_of, read_parts, read_windows

if TYPE_CHECKING:
    import pandas as pd

REMARKS = {
    "dropout_at_evaluation": "the scores were measured with dropout active, as the paper's code does; in use it is not",
    "shuffle_labels": "a control, trained on shuffled labels: it has learned nothing",
}


def export_cell(
    params: Params, dataset: str, representation: str, protocol: str, *, fold: int, seed: int, out: Path
) -> Card:
    """Write the classifier that `train` made of one fold and seed as a model folder.

    Works in the folder that holds the pipeline's data/ and metrics/.

    Raises:
        ModelError: the cell, its scores or its data are not there, or the place is taken.
    """
    from beyond_spectrograms.representations import create_representation

    cell = f"{representation}-{protocol}"
    stage = f"evaluate@{dataset}-{cell}"
    trained = Path("data/models", dataset, cell, f"fold_{fold}-seed_{seed}.safetensors")
    if not trained.is_file():
        raise ModelError(f"{trained}: no such file.{_choices(trained)} Run `dvc repro {stage}`.")
    notes = _read_notes(trained)
    record, recipe = params.representations[representation], params.protocols[protocol]
    weights = Path("data/weights", representation)
    encoder_files = read_weights_record(weights)
    paths = [weights / file.file for file in encoder_files]
    encoder = create_representation(representation, record, paths)
    samples = round(params.windows.length_s * encoder.form.sample_rate)
    card = Card(
        format="beyond-spectrograms model",
        version=1,
        classes=notes["classes"],
        windows=params.windows,
        representation=Encoder(
            name=representation,
            record=record,
            sample_rate=encoder.form.sample_rate,
            channels=encoder.form.channels,
            bands=encoder.bands,
            frames=encoder.frames(samples),
            packages={package: version(package) for package in encoder.packages},
        ),
        untrained_encoder=record.weights == "untrained",
        encoder_files=list(encoder_files),
        classifier_file=describe_file(trained).model_copy(update={"file": CLASSIFIER_FILE}),
        protocol=Recipe(name=protocol, record=recipe),
        training=_describe_training(
            dataset, params.datasets[dataset].source, recipe.split, fold=fold, seed=seed, notes=notes
        ),
        scores=_read_scores(Path("metrics/scores", dataset, f"{cell}.json"), stage, fold, seed),
        remarks=_remarks(recipe.model_dump(), notes),
    )
    save_model(out, card, trained, paths)
    return card


def _choices(trained: Path) -> str:
    found = sorted(path.stem.replace("-", " ").replace("_", " ") for path in trained.parent.glob("fold_*.safetensors"))
    return f" There are {', '.join(found)}." if found else ""


def _read_notes(trained: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(trained, framework="pt") as stored:
        notes: dict[str, Any] = json.loads(stored.metadata()["notes"])
    return notes


def _describe_training(
    dataset: str, source: Source, split: str, *, fold: int, seed: int, notes: dict[str, Any]
) -> Training:
    splits, clips = Path("data/splits", dataset), Path("data/clips", dataset, "clips.csv")
    table, parts = read_windows(splits), read_parts(splits)
    used = set(table["clip"][parts[columns_of(split, parts)[fold - 1]] == "train"])
    return Training(
        dataset=dataset,
        licences=[archive.licence for archive in source.archives or []],
        clips=len(used),
        manifest_sha256=_manifest(_read_clips(clips), used),
        fold=fold,
        seed=seed,
        epoch=notes["epoch"],
        diverged_at_epoch=notes["diverged_at_epoch"],
    )


def _read_clips(path: Path) -> pd.DataFrame:
    import pandas

    return pandas.read_csv(path, dtype=str, keep_default_na=False)


def _manifest(clips: pd.DataFrame, used: set[str]) -> str:
    """Digest the sorted lines `<sha256>  <label>/<file>` of those clips, as archives.manifest_digest does."""
    pairs = zip(clips["sha256"], clips["clip"], strict=True)
    lines = sorted(f"{sha256}  {clip}\n".encode() for sha256, clip in pairs if clip in used)
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _read_scores(path: Path, stage: str, fold: int, seed: int) -> Scores:
    if not path.is_file():
        raise ModelError(f"{path}: no such file. Run `dvc repro {stage}`.")
    runs = json.loads(path.read_text(encoding="utf-8"))["by_fold"]
    run = next((run for run in runs if (run["fold"], run["seed"]) == (fold, seed)), None)
    if run is None:
        raise ModelError(f"{path}: no scores of fold {fold}, seed {seed}. Run `dvc repro {stage}`.")
    names = ("window_accuracy", "recording_accuracy", "class_accuracy")
    return Scores(file=path.as_posix(), commit=_commit(path), **{name: run[name] for name in names})


def _commit(path: Path) -> str | None:
    """Name the commit that holds the file as it is; None where none does, or there is no git."""
    git = shutil.which("git")
    if git is None:
        return None

    def ask(*arguments: str) -> str:
        finished = subprocess.run([git, *arguments], capture_output=True, text=True, check=False)  # noqa: S603  our own
        return finished.stdout.strip()

    changed = ask("status", "--porcelain", "--", str(path))
    return None if changed else ask("log", "-1", "--format=%H", "--", str(path)) or None


def _remarks(recipe: dict[str, Any], notes: dict[str, Any]) -> list[str]:
    remarks = [remark for key, remark in REMARKS.items() if recipe[key]]
    if notes["diverged_at_epoch"] is not None:
        remarks.append(f"training diverged at epoch {notes['diverged_at_epoch']}; this is epoch {notes['epoch']}")
    return remarks
