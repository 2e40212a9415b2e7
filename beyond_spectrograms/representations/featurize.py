"""Stored clips -> the features of every window, with an estimate before and what it took afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beyond_spectrograms.estimates.extraction import timed_extraction
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.feature_cache import FEATURE_VERSIONS, FeatureRequest, fingerprint

if TYPE_CHECKING:
    import pandas as pd

    from beyond_spectrograms.params import Params


def featurize(
    params: Params,
    name: str,
    weights: Sequence[Path],
    table: pd.DataFrame,
    clips: Path,
    *,
    called: str,
    place: Path,
    work: Path,
) -> dict[str, Any]:
    """Write place/features.npy [windows, bands, frames], rows in the order of `table`; rows that still hold are kept.

    Args:
        params: windows, features and versions, and the record of the representation `name`.
        name: the representation.
        weights: its files.
        table: a row a window: clip, start_s, ...
        clips: the folder of stored clips.
        called: what messages call all this.
        place: the folder to write.
        work: a folder to work in; a run that was stopped goes on from it.

    Returns:
        what features.json says of the array.
    """
    record, length_s = params.representations[name], params.windows.length_s
    representation = create_representation(name, record, weights)
    versions = {noun: params.versions[noun] for noun in FEATURE_VERSIONS}
    decided = fingerprint(representation, record.model_dump(), weights, length_s, versions)
    request = FeatureRequest(representation, table, clips, length_s, decided, params.features.dtype)
    extraction = timed_extraction(request, place, work, called)
    print(
        f"{called}: computed {extraction.computed} of {len(table)} windows by {representation.engine}, kept "
        f"the others; encoded {extraction.encoded}: repeated and silent ones once"
    )
    windows, bands, frames = request.shape
    return {
        "windows": windows,
        "bands": bands,
        "frames": frames,
        "bytes": request.bytes,
        "frame_rate": representation.frame_rate,
        "engine": representation.engine,
        "dtype": request.dtype,
        "largest_rounding": extraction.rounding.largest,
        "values_stored_as_zero": extraction.rounding.vanished,
    }
