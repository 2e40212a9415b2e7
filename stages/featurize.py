"""data/clips/<dataset> -> data/features/<dataset>/<representation>, rows in the order of the table of windows."""

import argparse
import json
from pathlib import Path

import numpy as np

from beyond_spectrograms.code_versions import load_versions
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.features import FEATURE_VERSIONS, extract, fingerprint
from beyond_spectrograms.files import write_json
from beyond_spectrograms.foretelling.forecasts import Forecast, compare, spending
from beyond_spectrograms.foretelling.pilot_extraction import pilot_extraction
from beyond_spectrograms.memory import memory_can_be_measured, peak_bytes
from beyond_spectrograms.params import load_params
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.windows import read_windows


def main() -> None:
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=params.datasets)
    parser.add_argument("representation", choices=params.representations)
    arguments = parser.parse_args()
    dataset, name = arguments.dataset, arguments.representation
    record, length_s = params.representations[name], params.windows.length_s
    table = read_windows(Path("data/splits", dataset))
    weights_folder = Path("data/weights", name)
    files = json.loads((weights_folder / "record.json").read_text(encoding="utf-8"))["files"]
    weights = [weights_folder / file["file"] for file in files]

    representation = create_representation(name, record, weights)
    frames = representation.frames(round(length_s * representation.form.sample_rate))
    size = len(table) * representation.bands * frames * np.dtype(params.features.dtype).itemsize
    clips = Path("data/clips", dataset)
    print(f"{dataset} as {name}: calibrating on a few clips", flush=True)
    rate = pilot_extraction(representation, table, clips, length_s)
    memory = peak_bytes() if memory_can_be_measured() else None
    foretold = Forecast(len(table), len(table) * length_s, rate.seconds(len(table)), size, memory)
    print(f"{dataset} as {name}: {foretold}, if no window is kept from an earlier run", flush=True)
    place, work = Path("data/features", dataset, name), Path("data/partial/features", f"{dataset}-{name}")
    mark = fingerprint(representation, record.model_dump(), weights, length_s, load_versions().of(*FEATURE_VERSIONS))
    with spending() as spent:
        extraction = extract(
            representation, table, clips,
            length_s=length_s, mark=mark, place=place, work=work, dtype=params.features.dtype,
        )  # fmt: skip
    print(compare(spent, foretold))
    print(
        f"computed {extraction.computed} windows by {representation.engine}, kept the others; encoded "
        f"{extraction.encoded}: repeated and silent ones once"
    )

    metrics = {
        "dataset": dataset,
        "representation": name,
        "windows": len(table),
        "bands": representation.bands,
        "frames": frames,
        "frame_rate": representation.frame_rate,
        "bytes": size,
        "engine": representation.engine,
        "dtype": params.features.dtype,
        "largest_rounding": extraction.rounding.largest,
        "values_stored_as_zero": extraction.rounding.vanished,
        "computed_windows": extraction.computed,
        "encoded_windows": extraction.encoded,
        "foretold": foretold.record(),
        "spent": spent,
    }
    write_json(Path("metrics/features", dataset, f"{name}.json"), metrics)


if __name__ == "__main__":
    run_stage(main)
