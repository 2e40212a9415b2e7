"""Pretrained weights: a model's files as published, in a folder with record.json, which says what they are."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from beyond_spectrograms.data.downloads import DownloadError, Found, R, fetch, file_name
from beyond_spectrograms.params import HubFile, HubRecord, Params, TrainedCodec, WeightsRecord, weights_folder
from beyond_spectrograms.params.datasets import File
from beyond_spectrograms.params.study import WEIGHTS
from beyond_spectrograms.params.weights import HUB
from beyond_spectrograms.util.files import digest_file, fresh_work, read_sealed, replace_folder, write_sealed

HUB_VARIABLE = "HF_ENDPOINT"  # huggingface_hub's own setting of where the hub is
UNVERIFIED = "unverified: from a mirror"  # what record.json says of a revision that nothing proves


def hub_endpoint() -> str:
    """Say where the hub is."""
    return os.environ.get(HUB_VARIABLE, HUB).rstrip("/")


def fetch_encoder(params: Params, name: str, data: Path = WEIGHTS.parent) -> list[Path]:
    """Give the weights files of the representation `name`, in <data>/weights, as `fetch_weights` does.

    Their folder has the representation's name, or that of a model of the hub, which several representations share.
    Those of a codec that is trained here are in <data>/codecs.
    """
    if isinstance(mine := params.representations[name], TrainedCodec):
        return [data / "codecs" / mine.file]
    wanted = list[WeightsRecord | HubFile]()
    for record in params.weights_records(name).values():
        wanted += record.downloads(hub_endpoint()) if isinstance(record, HubRecord) else [record]
    folder = weights_folder(name, params.representations[name])
    work = data / "partial/weights" / folder
    return fetch_weights(folder, wanted, data / "weights" / folder, data / "downloads", work)


def fetch_weights(
    what: str, records: Sequence[WeightsRecord | HubFile], place: Path, downloads: Path, work: Path
) -> list[Path]:
    """Give the files of `records` in `place`: those that are there and whole, or else all of them, fetched again.

    `place` gets them under the names they are published under, and record.json. Fetched files are kept in `downloads`.
    `what` names them where one cannot be had; `work` is a folder to work in.

    What proves that a file is of the commit its record names is its digest, or the hub's URL of that commit. A mirror
    has files by their names alone: of one without a digest, record.json says that its revision is not verified.
    Digests that record.json has are those of the model from then on: a file fetched again must have them.

    Raises:
        DownloadError: a file cannot be had, or is another than the one fetched before.
    """
    paths = [place / file_name(record.url) for record in records]
    if _is_whole(place, records):
        return paths
    with fresh_work(work):
        if _is_whole(place, records):  # another run was quicker
            return paths
        files, earlier = [], _read_record(place) or {}
        for record in records:
            name = file_name(record.url)
            before = earlier.get(name, {}) if _same_place(record, earlier.get(name, {})) else {}
            found = _fetch_again(f"weights of {what}", record, before, place, downloads)
            shutil.copyfile(found.path, work / name)
            described = {"file": name, "url": record.url, "bytes": found.bytes, "sha256": found.sha256}
            files.append({**described, "licence": record.licence})
            if isinstance(record, HubFile):
                proven = record.sha256 is not None or not found.mirrored or before.get("revision") == record.revision
                files[-1]["revision"] = record.revision if proven else UNVERIFIED
                if not proven:
                    print(f"weights of {what}: {name}: its record has no digest: that it is of its commit is not known")
        write_sealed(work / "record.json", {"files": files})
        replace_folder(work, place)
    return paths


def find_damaged_weights(place: Path) -> dict[Path, str]:
    """Say what is wrong with the files of a folder that `fetch_weights` filled; nothing of those that are whole."""
    files = _read_record(place)
    if files is None:
        return {place / "record.json": "damaged"}
    wrong = {}
    for name, told in files.items():
        path = place / name
        if not path.is_file():
            wrong[path] = "missing"
        elif (found := digest_file(path)) != told["sha256"]:
            wrong[path] = f"has sha256 {found}, and had {told['sha256']} when it was fetched"
    return wrong


def _read_record(place: Path) -> dict[str, dict[str, Any]] | None:
    """Read what record.json says of each file; None where it is missing or damaged."""
    path = place / "record.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told.keys() != {"files"}:  # as earlier code wrote it, which did not seal it
            told = read_sealed(path) or {}
        return {file["file"]: file for file in told["files"]}
    except (AttributeError, OSError, ValueError, KeyError, TypeError):
        return None


def _same_place(record: File, before: dict[str, Any]) -> bool:
    """Say whether a file was asked for at the same path, which has the commit in it, of whatever server."""
    return urlsplit(str(before.get("url"))).path == urlsplit(record.url).path


def _fetch_again(what: str, record: R, before: dict[str, Any], place: Path, downloads: Path) -> Found[R]:
    """Fetch a file, which must have the digest that record.json says it had `before`, where its record has none."""
    digest = before.get("sha256")
    if record.sha256 is not None or not isinstance(digest, str):
        return fetch(what, [record], downloads)
    try:
        return fetch(what, [record.model_copy(update={"sha256": digest})], downloads)
    except DownloadError as error:
        raise DownloadError(
            f"{error}\n{place / 'record.json'} has the digest of what was fetched at first. If another file is meant, "
            f"delete the folder {place}."
        ) from None


def _is_whole(place: Path, records: Sequence[WeightsRecord | HubFile]) -> bool:
    """Say whether `place` holds record.json, the files of `records` and no others, each with its size and digest.

    Others are none of ours, and a package that is given the folder may read them. Where a record has no digest, it is
    the one that the file had when it was fetched, from the same path.
    """
    files, paths = _read_record(place), [place / file_name(record.url) for record in records]
    try:
        return (
            files is not None
            and list(files) == [path.name for path in paths]
            and {path.name for path in place.iterdir()} == {*files, "record.json"}
            and all(
                path.stat().st_size == (record.bytes or file["bytes"])
                and digest_file(path).startswith(record.sha256 or file["sha256"])
                and (record.sha256 is not None or _same_place(record, file))
                for path, record, file in zip(paths, records, files.values(), strict=True)
            )
        )
    except (OSError, KeyError, TypeError):
        return False
