"""data/clips -> data/features/<study>/<dataset>/<representation>, rows in the order of the table of windows."""

from pathlib import Path

import numpy as np

from beyond_spectrograms.data.weights import fetch_weights
from beyond_spectrograms.data.windows import read_windows
from beyond_spectrograms.estimates.forecasts import Forecast, compare, spending
from beyond_spectrograms.estimates.pilot_extraction import pilot_extraction
from beyond_spectrograms.params import weights_of
from beyond_spectrograms.params.study import CLIPS, DOWNLOADS, PARTIAL, SPLITS
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.feature_cache import FEATURE_VERSIONS, extract, fingerprint
from beyond_spectrograms.util.errors import run_stage
from beyond_spectrograms.util.files import write_json
from beyond_spectrograms.util.memory import memory_can_be_measured, peak_bytes
from stages.arguments import parse


def main() -> None:
    study, (dataset, name) = parse(__doc__, "dataset", "representation")
    params = study.params
    record, length_s, dtype = params.representations[name], params.windows.length_s, params.features.dtype
    wanted = [params.weights[weights] for weights in weights_of(record)]
    weights = fetch_weights(name, wanted, Path("data/weights", name), DOWNLOADS, PARTIAL / "weights" / name)
    table, clips = read_windows(SPLITS / dataset), CLIPS / dataset
    representation = create_representation(name, record, weights)
    frames = representation.frames(round(length_s * representation.form.sample_rate))
    size = len(table) * representation.bands * frames * np.dtype(dtype).itemsize

    foretold: list[Forecast] = []

    def announce(windows: int) -> None:
        if windows:
            print(f"{dataset} as {name}: calibrating on a few clips", flush=True)
            rate = pilot_extraction(representation, table, clips, length_s)
            memory = peak_bytes() if memory_can_be_measured() else None
            foretold.append(Forecast(windows, windows * length_s, rate.seconds(windows), size, memory))
            print(f"{dataset} as {name}: {foretold[0]}", flush=True)

    versions = {noun: params.versions[noun] for noun in FEATURE_VERSIONS}
    place = study.features(dataset, name)
    with spending() as spent:
        extraction = extract(
            representation, table, clips,
            length_s=length_s, mark=fingerprint(representation, record.model_dump(), weights, length_s, versions),
            place=place, work=study.work("features", dataset, name), dtype=dtype, called=f"{dataset} as {name}",
            announce=announce,
        )  # fmt: skip
    for forecast in foretold:
        print(compare(spent, forecast))
    print(
        f"{dataset} as {name}: computed {extraction.computed} of {len(table)} windows by {representation.engine}, kept "
        f"the others; encoded {extraction.encoded}: repeated and silent ones once"
    )
    described = {
        "windows": len(table),
        "bands": representation.bands,
        "frames": frames,
        "bytes": size,
        "frame_rate": representation.frame_rate,
        "engine": representation.engine,
        "dtype": dtype,
        "largest_rounding": extraction.rounding.largest,
        "values_stored_as_zero": extraction.rounding.vanished,
        "provenance": study.feature_provenance(name),
    }
    write_json(place / "features.json", described)


if __name__ == "__main__":
    run_stage(main)
