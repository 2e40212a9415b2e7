"""Pretrained weights -> data/weights/<representation>: the files as published and record.json, or the record alone."""

import argparse
import shutil
from pathlib import Path

from beyond_spectrograms.downloads import fetch, file_name
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import locked, replace_folder, write_json
from beyond_spectrograms.params import Params, load_params, weights_of

DOWNLOADS = Path("data/downloads")


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("representation", choices=params.representations)
    representation = parser.parse_args().representation
    work = Path("data/partial/weights", representation)
    with locked(work):
        download(params, representation, work)


def download(params: Params, representation: str, work: Path) -> None:
    """Fill `work` and put it in the place of data/weights/<representation>."""
    record = params.representations[representation]
    shutil.rmtree(work, ignore_errors=True)  # left by a run that was stopped
    work.mkdir(parents=True)
    files = []
    for weights in weights_of(record):
        found = fetch(f"weights {weights}", [params.weights[weights]], DOWNLOADS)
        url, licence = found.record.url, found.record.licence
        files.append(
            {"file": file_name(url), "url": url, "bytes": found.bytes, "sha256": found.sha256, "licence": licence}
        )
        shutil.copyfile(found.path, work / file_name(url))
    if not files:
        print(f"{representation}: no weights to download")
    write_json(work / "record.json", {"weights": record.weights, "files": files})
    replace_folder(work, Path("data/weights", representation))


if __name__ == "__main__":
    run_stage(main)
