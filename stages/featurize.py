"""data/clips -> data/features/<study>/<dataset>/<representation>, rows in the order of the table of windows."""

from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.data.windows import read_windows
from beyond_spectrograms.estimates.forecasts import Forecast, compare, spending
from beyond_spectrograms.estimates.pilot_extraction import pilot_extraction
from beyond_spectrograms.params.study import CLIPS, SPLITS
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.feature_cache import FEATURE_VERSIONS, FeatureRequest, extract, fingerprint
from beyond_spectrograms.util.errors import run_stage
from beyond_spectrograms.util.files import write_json
from beyond_spectrograms.util.memory import memory_can_be_measured, peak_bytes
from stages.arguments import parse


def main() -> None:
    study, (dataset, name) = parse(__doc__, "dataset", "representation")
    params, called = study.params, f"{dataset} as {name}"
    record, length_s = params.representations[name], params.windows.length_s
    weights = fetch_encoder(params, name)
    representation = create_representation(name, record, weights)
    versions = {noun: params.versions[noun] for noun in FEATURE_VERSIONS}
    decided = fingerprint(representation, record.model_dump(), weights, length_s, versions)
    table, clips, dtype = read_windows(SPLITS / dataset), CLIPS / dataset, params.features.dtype
    request = FeatureRequest(representation, table, clips, length_s, decided, dtype)
    foretold: list[Forecast] = []

    def announce(windows: int) -> None:
        if windows:
            print(f"{called}: calibrating on a few clips", flush=True)
            rate = pilot_extraction(representation, table, clips, length_s)
            memory = peak_bytes() if memory_can_be_measured() else None
            foretold.append(Forecast(windows, windows * length_s, rate.seconds(windows), request.bytes, memory))
            print(f"{called}: {foretold[0]}", flush=True)

    place = study.features(dataset, name)
    with spending() as spent:
        extraction = extract(request, place, study.work("features", dataset, name), called=called, announce=announce)
    for forecast in foretold:
        print(compare(spent, forecast))
    print(
        f"{called}: computed {extraction.computed} of {len(table)} windows by {representation.engine}, kept "
        f"the others; encoded {extraction.encoded}: repeated and silent ones once"
    )
    windows, bands, frames = request.shape
    described = {
        "windows": windows,
        "bands": bands,
        "frames": frames,
        "bytes": request.bytes,
        "frame_rate": representation.frame_rate,
        "engine": representation.engine,
        "dtype": request.dtype,
        "largest_rounding": extraction.rounding.largest,
        "values_stored_as_zero": extraction.rounding.vanished,
        "provenance": study.feature_provenance(name),
    }
    write_json(place / "features.json", described)


if __name__ == "__main__":
    run_stage(main)
