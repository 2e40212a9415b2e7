"""Pretrained weights -> data/weights/<representation>: the file as published and record.json, or the record alone."""

import argparse
import shutil
from pathlib import Path
from typing import Any

from beyond_spectrograms.downloads import fetch, file_name
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import replace_folder, write_json
from beyond_spectrograms.params import load_params

DOWNLOADS = Path("data/downloads")


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("representation", choices=params.representations)
    representation = parser.parse_args().representation
    weights = params.representations[representation].weights
    work = Path("data/partial/weights", representation)
    shutil.rmtree(work, ignore_errors=True)  # left by a run that was stopped
    work.mkdir(parents=True)
    record: dict[str, Any] = dict.fromkeys(("weights", "file", "url", "bytes", "sha256", "licence"))
    record["weights"] = weights
    if weights in (None, "untrained"):
        print(f"{representation}: no weights to download")
    else:
        found = fetch(f"weights {weights}", [params.weights[weights]], DOWNLOADS)
        url = found.record.url
        record |= {"file": file_name(url), "url": url, "bytes": found.bytes, "sha256": found.sha256}
        record["licence"] = found.record.licence
        shutil.copyfile(found.path, work / file_name(url))
    write_json(work / "record.json", record)
    replace_folder(work, Path("data/weights", representation))


if __name__ == "__main__":
    run_stage(main)
