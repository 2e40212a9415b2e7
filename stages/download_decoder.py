"""A codec's decoder, which makes latents audible -> data/decoders/<representation>: as published, and record.json."""

import argparse
import shutil
from pathlib import Path

from beyond_spectrograms.downloads import fetch, file_name
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import locked, replace_folder, write_json
from beyond_spectrograms.params import Params, decoder_of, load_params

DOWNLOADS = Path("data/downloads")


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("representation", choices=params.prototypes.latents)
    representation = parser.parse_args().representation
    work = Path("data/partial/decoders", representation)
    with locked(work):
        download(params, representation, work)


def download(params: Params, representation: str, work: Path) -> None:
    """Fill `work` and put it in the place of data/decoders/<representation>."""
    decoder = decoder_of(params.representations[representation])
    assert decoder is not None  # params.Params sees to it
    found = fetch(f"decoder {decoder}", [params.decoders[decoder]], DOWNLOADS)
    url, licence = found.record.url, found.record.licence
    shutil.rmtree(work, ignore_errors=True)  # left by a run that was stopped
    work.mkdir(parents=True)
    shutil.copyfile(found.path, work / file_name(url))
    record = {"file": file_name(url), "url": url, "bytes": found.bytes, "sha256": found.sha256, "licence": licence}
    write_json(work / "record.json", record)
    replace_folder(work, Path("data/decoders", representation))


if __name__ == "__main__":
    run_stage(main)
