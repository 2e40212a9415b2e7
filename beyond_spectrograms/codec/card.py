"""A trained codec as it is passed on: codec.safetensors in half precision, and card.json, which says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beyond_spectrograms.codec.network import Codec, save_codec
from beyond_spectrograms.util.files import digest_file, write_json

CODEC, UNTRAINED, CARD = "codec.safetensors", "untrained.safetensors", "card.json"


def write_codec(place: Path, name: str, codec: Codec, notes: Mapping[str, Any]) -> None:
    """Write a codec's weights under a `name`, and what is noted of it."""
    told = {key: value for key, value in notes.items() if key != "network"}
    save_codec(place, codec, codec.state_dict(), {**told, "name": name}, half=True)


def write_card(folder: Path, name: str, parameters: int, told: Mapping[str, Any]) -> dict[str, Any]:
    """Write the card of the codec that `write_codec` wrote into a folder, and what else is `told` of it; give it."""
    card = {"name": name, **describe_file(folder / CODEC), "parameters": parameters, **told}
    write_json(folder / CARD, card)
    return card


def describe_file(path: Path) -> dict[str, Any]:
    """Say what a file is known by."""
    return {"sha256": digest_file(path), "bytes": path.stat().st_size}


def count_parameters(codec: Codec) -> int:
    """Count the weights and the numbers of the codebooks."""
    return sum(parameter.numel() for parameter in codec.parameters()) + codec.quantizer.codebooks.numel()
