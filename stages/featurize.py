"""data/clips -> data/features/<study>/<dataset>/<representation>, rows in the order of the table of windows."""

from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.data.windows import read_windows
from beyond_spectrograms.estimates.preparation import timed_extraction
from beyond_spectrograms.params.study import CLIPS, SPLITS
from beyond_spectrograms.representations.feature_cache import describe_features, request_features
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import write_json
from stages.arguments import parse


def main() -> None:
    study, (dataset, name) = parse(__doc__, "dataset", "representation")
    params, place = study.params, study.features(dataset, name)
    table, weights = read_windows(SPLITS / dataset), fetch_encoder(params, name)
    request = request_features(params, name, weights, table, CLIPS / dataset)
    done = timed_extraction(request, place, study.work("features", dataset, name), f"{dataset} as {name}")
    described = {**describe_features(request, done), "provenance": study.feature_provenance(dataset, name)}
    write_json(place / "features.json", described)


if __name__ == "__main__":
    run_stage(main)
