"""Pretrained weights as published, in a folder of their own with record.json, which says what they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beyond_spectrograms.data.downloads import fetch, file_name
from beyond_spectrograms.params import weights_of
from beyond_spectrograms.params.study import WEIGHTS
from beyond_spectrograms.util.files import digest_file, locked, replace_folder, write_json

if TYPE_CHECKING:
    from beyond_spectrograms.params import Params, WeightsRecord


def fetch_encoder(params: Params, name: str, data: Path = WEIGHTS.parent) -> list[Path]:
    """Give the weights files of the representation `name`, in <data>/weights/<name>, as `fetch_weights` does."""
    wanted = [params.weights[weights] for weights in weights_of(params.representations[name])]
    work = data / "partial/weights" / name
    return fetch_weights(name, wanted, data / "weights" / name, data / "downloads", work)


def fetch_weights(what: str, records: Sequence[WeightsRecord], place: Path, downloads: Path, work: Path) -> list[Path]:
    """Give the files of `records` in `place`: those that are there and whole, or else all of them, fetched again.

    Args:
        what: named where a file cannot be had.
        records: what the files must be, by size and digest.
        place: gets the files under the names they are published under, and record.json.
        downloads: where fetched files are kept.
        work: a folder to work in.

    Raises:
        DownloadError: a file cannot be had.
    """
    if not _is_whole(place, records):
        with locked(work):
            if not _is_whole(place, records):  # another run may have been quicker
                _fetch(what, records, place, downloads, work)
    return [place / file_name(record.url) for record in records]


def _fetch(what: str, records: Sequence[WeightsRecord], place: Path, downloads: Path, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)  # left by a run that was stopped
    work.mkdir(parents=True)
    files = []
    for record in records:
        found, name = fetch(f"weights of {what}", [record], downloads), file_name(record.url)
        shutil.copyfile(found.path, work / name)
        described = {"file": name, "url": record.url, "bytes": found.bytes, "sha256": found.sha256}
        files.append({**described, "licence": record.licence})
    write_json(work / "record.json", {"files": files})
    replace_folder(work, place)


def _is_whole(place: Path, records: Sequence[WeightsRecord]) -> bool:
    """Say whether `place` holds those files and no others, each with its size and digest."""
    try:
        files = json.loads((place / "record.json").read_text(encoding="utf-8"))["files"]
        paths = [place / file_name(record.url) for record in records]
        return [file["file"] for file in files] == [path.name for path in paths] and all(
            path.stat().st_size == record.bytes and digest_file(path).startswith(record.sha256)
            for path, record in zip(paths, records, strict=True)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False
