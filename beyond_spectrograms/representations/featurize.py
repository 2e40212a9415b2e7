"""Which features are asked for, by params, and what features.json says of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.feature_cache import (
    FEATURE_VERSIONS,
    Extraction,
    FeatureRequest,
    fingerprint,
)

if TYPE_CHECKING:
    import pandas as pd

    from beyond_spectrograms.params import Params


def request_features(
    params: Params, name: str, weights: Sequence[Path], table: pd.DataFrame, clips: Path
) -> FeatureRequest:
    """Ask for the features of every window, rows in the order of `table`.

    Args:
        params: windows, features and versions, and the record of the representation `name`.
        name: the representation.
        weights: its files.
        table: a row a window: clip, start_s, ...
        clips: the folder of stored clips.
    """
    record, length_s = params.representations[name], params.windows.length_s
    representation = create_representation(name, record, weights)
    versions = {noun: params.versions[noun] for noun in FEATURE_VERSIONS}
    decided = fingerprint(representation, record.model_dump(), weights, length_s, versions)
    return FeatureRequest(representation, table, clips, length_s, decided, params.features.dtype)


def describe_features(request: FeatureRequest, extraction: Extraction) -> dict[str, Any]:
    """Say of features that were extracted what features.json holds."""
    windows, bands, frames = request.shape
    return {
        "windows": windows,
        "bands": bands,
        "frames": frames,
        "bytes": request.bytes,
        "frame_rate": request.representation.frame_rate,
        "engine": request.representation.engine,
        "dtype": request.dtype,
        "largest_rounding": extraction.rounding.largest,
        "values_stored_as_zero": extraction.rounding.vanished,
    }
