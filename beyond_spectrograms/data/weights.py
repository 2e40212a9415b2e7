"""Pretrained weights as published, in a folder of their own with record.json, which says what they are."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beyond_spectrograms.data.downloads import fetch, file_name
from beyond_spectrograms.util.files import locked, replace_folder, write_json

if TYPE_CHECKING:
    from beyond_spectrograms.params import WeightsRecord


def fetch_weights(what: str, records: Sequence[WeightsRecord], place: Path, downloads: Path, work: Path) -> list[Path]:
    """Give the files of `records` in `place`: those that lie there whole, else all of them fetched anew.

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
        found = fetch(f"weights of {what}", [record], downloads)
        shutil.copyfile(found.path, work / file_name(record.url))
        told: dict[str, Any] = {"file": file_name(record.url), "url": record.url}
        files.append({**told, "bytes": found.bytes, "sha256": found.sha256, "licence": record.licence})
    write_json(work / "record.json", {"files": files})
    replace_folder(work, place)


def _is_whole(place: Path, records: Sequence[WeightsRecord]) -> bool:
    """Say whether `place` holds those files and no others, each with its size and digest."""
    try:
        told = json.loads((place / "record.json").read_text(encoding="utf-8"))["files"]
        if [file["file"] for file in told] != [file_name(record.url) for record in records]:
            return False
        return all(_is(place / file["file"], record) for file, record in zip(told, records, strict=True))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is(path: Path, record: WeightsRecord) -> bool:
    if path.stat().st_size != record.bytes:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(record.sha256)
