"""A model as a folder anyone can read: card.json, classifier.safetensors and, where licences allow, encoder weights."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from beyond_spectrograms.inference.card import CARD_FILE, Card, EncoderFile, ModelError, StoredFile, read_card
from beyond_spectrograms.inference.model import Model
from beyond_spectrograms.inference.networks import read_network
from beyond_spectrograms.params import Hear, is_project, weights_folder
from beyond_spectrograms.params.study import WEIGHTS
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import Representation
from beyond_spectrograms.util.files import (
    check_plain,
    digest_file,
    partial_beside,
    read_sealed,
    replace_folder,
    write_sealed,
)
from beyond_spectrograms.util.tensor_file import OF_ENCODERS, read_head

CLASSIFIER_FILE = "classifier.safetensors"
COPY_AGAIN = "Copy the whole folder, or export the model again."
COPIED_LICENCES = ("Apache-2.0", "MIT", "BSD-3-Clause", "CC BY 4.0")  # let anyone pass a file on, with its notice


def describe_file(path: Path) -> StoredFile:
    """Measure and digest a file."""
    return StoredFile(file=path.name, bytes=path.stat().st_size, sha256=digest_file(path))


def holds(folder: Path, classifier: Path) -> bool:
    """Say whether a folder is a model of this classifier: a safetensors file."""
    stored = folder / CLASSIFIER_FILE
    return stored.is_file() and digest_file(stored) == digest_file(classifier)


def make_way(folder: Path, classifier: Path) -> None:
    """Remove a model of this classifier, which a run that was stopped has left, for it to be written again."""
    if holds(folder, classifier):
        folder.replace(removed := partial_beside(folder))
        shutil.rmtree(removed)


def save_model(folder: Path, card: Card, classifier: Path, encoder_files: Iterable[Path]) -> None:
    """Write a model: its card, its classifier (a safetensors file) and those encoder files the card includes.

    Raises:
        ModelError: the place is taken.
    """
    with new_folder(folder) as beside:
        shutil.copyfile(classifier, beside / CLASSIFIER_FILE)
        included = {file.file for file in card.encoder_files if file.included}
        for path in encoder_files:
            if path.name in included:
                shutil.copyfile(path, beside / path.name)
        write_sealed(beside / CARD_FILE, card.model_dump(mode="json"))


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """Yield a folder beside `place` to write to; it is renamed to `place` when the block ends without an error.

    Raises:
        ModelError: the place is taken, if only by a link that leads nowhere.
    """
    if place.exists() or place.is_symlink():
        raise ModelError(f"{place}: exists already. Choose another name, or remove it.")
    beside = partial_beside(place)
    beside.mkdir(parents=True)
    try:
        yield beside
        replace_folder(beside, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def load_model(
    folder: str | Path,
    *,
    device: str = "auto",
    weights: str | Path | None = None,
    allowed_modules: Collection[str] = (),
) -> Model:
    """Load a model folder. No code is run from it, nor any that its card names but of `allowed_modules`.

    Args:
        folder: as `beyond-spectrograms export` writes it.
        device: auto, cpu or cuda: where the classifier computes; auto takes CUDA for what is not computed by NumPy.
        weights: a folder with the encoder's weights, where their licence kept them out of the model's folder; by
            default where `train` keeps them (`data_folder`).
        allowed_modules: modules with the HEAR API that a model of kind hear may import: their code runs.

    Raises:
        ModelError: the folder is not whole, not of a version this program reads, or names another module.

    >>> from beyond_spectrograms import load_model
    >>> model = load_model(example_model)
    >>> model.classes
    ('high', 'low')
    >>> window = np.zeros((1, 1, 22_050), dtype=np.float32)
    >>> model.representation.encode(window, 22_050).shape
    (1, 16, 173)
    """
    folder = Path(folder)
    card = _read_folder(folder)
    encoder = card.representation
    if isinstance(encoder.record, Hear) and encoder.record.module not in allowed_modules:
        raise ModelError(
            f"{folder}: runs the code of the module {encoder.record.module}. If you trust it, allow it with "
            f"--allow-module {encoder.record.module} (in Python: load_model(..., allowed_modules=[...]))."
        )
    kept = weights_folder(encoder.name, encoder.record)
    paths = [_find_encoder_file(folder, kept, file, weights) for file in card.encoder_files]
    representation = create_representation(encoder.name, encoder.record, paths)
    _check_encoder(folder, card, representation)
    network = read_network(folder / CLASSIFIER_FILE, card, device)
    if card.warning:
        warnings.warn(f"{folder}: {card.warning}", stacklevel=2)
    return Model(card, representation, network, folder / CLASSIFIER_FILE, tuple(paths))


def _read_folder(folder: Path) -> Card:
    """Read the card and check that the folder holds what it names, and nothing else."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder. A model is made by `beyond-spectrograms train` or `export`.")
    if not (folder / CARD_FILE).is_file():
        raise ModelError(f"{folder}: {CARD_FILE} is missing. {COPY_AGAIN}")
    card = read_card(folder / CARD_FILE)
    expected = [card.classifier_file, *(file for file in card.encoder_files if file.included)]
    found = {path.name for path in folder.iterdir() if not path.name.startswith(".")} - {CARD_FILE}
    names = {file.file for file in expected}
    if missing := sorted(names - found):
        raise ModelError(f"{folder}: {', '.join(missing)} is missing. {COPY_AGAIN}")
    if extra := sorted(found - names):
        raise ModelError(f"{folder}: {', '.join(extra)} is no part of the model. Remove it from the folder.")
    for file in expected:
        _check_file(folder / file.file, file, COPY_AGAIN)
    return card


def _check_encoder(folder: Path, card: Card, made: Representation) -> None:
    """See that the card's figures of the representation are those of the one its record makes."""
    stated = card.representation
    samples = round(card.windows.length_s * made.form.sample_rate)
    wanted = (made.form.sample_rate, made.form.channels, made.bands, made.frames(samples))
    found = (stated.sample_rate, stated.channels, stated.bands, stated.frames)
    if found != wanted:
        raise ModelError(
            f"{folder / CARD_FILE}: sample rate, channels, bands and frames of {stated.name} are {list(found)}; its "
            f"record and a window of {card.windows.length_s:g} s make them {list(wanted)}. {COPY_AGAIN}"
        )


def _check_file(path: Path, wanted: StoredFile, remedy: str) -> None:
    try:
        check_plain(path)
        size, sha256 = path.stat().st_size, digest_file(path)
    except OSError as error:
        raise ModelError(f"{path}: {(error.strerror or str(error)).lower()}. {remedy}") from None
    if (size, sha256) != (wanted.bytes, wanted.sha256):
        raise ModelError(
            f"{path}: {size} bytes, sha256 {sha256}; the model's card says {wanted.bytes} bytes, sha256 "
            f"{wanted.sha256}. {remedy}"
        )


def _find_encoder_file(folder: Path, name: str, file: EncoderFile, weights: str | Path | None) -> Path:
    if file.included:
        if file.file.endswith(".safetensors"):
            try:
                read_head(folder / file.file, OF_ENCODERS)
            except ValueError as error:
                raise ModelError(f"{folder / file.file}: {error}. {COPY_AGAIN}") from None
        return folder / file.file
    path = (Path(weights) if weights is not None else data_folder() / "weights" / name) / file.file
    remedy = (
        f"The weights of {name} ({file.licence}) are no part of a model's folder. Download {file.url} and name its "
        "folder with --weights (in Python: load_model(..., weights=folder))."
    )
    if not path.is_file():
        raise ModelError(f"{path}: no such file. {remedy}")
    _check_file(path, file, remedy)
    return path


def data_folder() -> Path:
    """Where weights are kept, in weights/<representation>: data/ of a checkout, elsewhere the user's cache."""
    if is_project() or WEIGHTS.is_dir():
        return WEIGHTS.parent
    import pooch

    return Path(pooch.os_cache("beyond-spectrograms"))


def read_weights_record(folder: Path) -> list[EncoderFile]:
    """Read which files the pipeline's data/weights/<representation> holds, and decide which a model may include.

    Raises:
        ModelError: there is no such record, or it is damaged.
    """
    path = folder / "record.json"
    if not path.is_file():
        raise ModelError(f"{path}: no such file. Run a featurize stage of {folder.name}.")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        files = (told if told.keys() == {"files"} else read_sealed(path) or {})["files"]  # earlier code did not seal it
    except (ValueError, LookupError, AttributeError):
        raise ModelError(f"{path}: damaged. Run a featurize stage of {folder.name} again.") from None
    return [EncoderFile(**file, included=file["licence"] in COPIED_LICENCES) for file in files]
