"""Models made by hand, of which the answers are known."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.inference.card import FORMAT, VERSION, Card
from beyond_spectrograms.inference.folder import CLASSIFIER_FILE, describe_file, save_model
from beyond_spectrograms.params import Protocol, load_params
from beyond_spectrograms.representations.base import Representation
from support.repository import REPOSITORY

PARAMS = load_params(root=REPOSITORY)
BANDS = 16  # of a mel spectrogram up to 11 kHz: the lower eight end near 2.5 kHz
MEL: dict[str, Any] = {"kind": "mel", "weights": None, "sample_rate": 22050, "n_fft": 512, "hop_length": 128}
MEL |= {"n_mels": BANDS, "window": "hann", "scale": "db", "pooled_frame_rate": None}
RECIPE = PARAMS.protocols["mean_linear"].model_copy(update={"standardize": False})


def card(classifier: Path, **changes: Any) -> Card:
    """Make the card of a model that tells high sounds from low ones."""
    encoder = {"name": "mel_16", "record": MEL, "sample_rate": 22050, "channels": 1, "bands": BANDS, "frames": 173}
    content = {
        "format": FORMAT,
        "version": VERSION,
        "classes": ["high", "low"],
        "windows": {"length_s": 1.0, "hop_s": 1.0, "tail": "drop"},
        "representation": encoder | {"packages": {"librosa": "0.11.0"}},
        "untrained_encoder": False,
        "encoder_files": [],
        "classifier_file": describe_file(classifier).model_copy(update={"file": CLASSIFIER_FILE}).model_dump(),
        "protocol": {"name": "mean_linear", "record": RECIPE.model_dump()},
        "training": {"dataset": "tones", "licences": [], "clips": 2, "manifest_sha256": "0" * 64}
        | {"fold": 1, "seed": 0, "epoch": 0, "diverged_at_epoch": None},
        "scores": {"file": "none.json", "commit": None}
        | {"window_accuracy": 1.0, "recording_accuracy": 1.0, "class_accuracy": 1.0},
        "remarks": [],
    }
    return Card.model_validate(content | changes)


def encoder(made: Representation, record: Any, **more: Any) -> dict[str, Any]:
    """Make what a card says of a representation made by `record`."""
    form, frames = made.form, made.frames(made.form.sample_rate)
    known = {"sample_rate": form.sample_rate, "channels": form.channels, "bands": made.bands, "frames": frames}
    return {"name": made.name, "record": record.model_dump(), "packages": {}} | known | more


def keep(
    folder: Path,
    network: torch.nn.Module,
    recipe: Protocol,
    weights: Sequence[Path] = (),
    *,
    included: bool = True,
    **changes: Any,
) -> Path:
    """Write a network as a model's folder, with the files of its encoder's weights or, if not `included`, without."""
    stored = folder.with_name(f"{folder.name}.safetensors")
    stored.parent.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), stored)
    origin = {"url": "https://there", "licence": "Apache-2.0", "included": included}
    files = [describe_file(path).model_dump() | origin for path in weights]
    told = {"encoder_files": files, "protocol": {"name": recipe.classifier, "record": recipe.model_dump()}}
    save_model(folder, card(stored, **(told | changes)), stored, weights if included else [])
    return folder


def edit_card(folder: Path, **changes: Any) -> None:
    """Change entries of a model's card, or of a section of it, and take its digest out."""
    card = json.loads((folder / "card.json").read_text())
    card.pop("sha256", None)
    for key, value in changes.items():
        card[key] = card.get(key, {}) | value if isinstance(value, dict) else value
    (folder / "card.json").write_text(json.dumps(card))


def store(folder: Path, content: bytes) -> Path:
    """Put bytes in the place of a model's classifier, and their digest in the card."""
    path = folder / CLASSIFIER_FILE
    path.write_bytes(content)
    edit_card(folder, classifier_file=describe_file(path).model_dump())
    return path


def write_model(folder: Path, bands: int = BANDS, **changes: Any) -> Path:
    """Write that model: decibels above 2.5 kHz speak for `high`, those below for `low`."""
    network = build_network(RECIPE, bands, 173, 2, None)
    high = torch.cat([-torch.ones(bands // 2), torch.ones(bands // 2)]) / 100
    with torch.no_grad():
        network[-1].weight.copy_(torch.stack([high, -high]))
        network[-1].bias.zero_()
    return keep(folder, network, RECIPE, **changes)
