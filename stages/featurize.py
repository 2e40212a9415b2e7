"""data/clips -> data/features/<study>/<dataset>/<representation>, rows in the order of the table of windows."""

from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.data.windows import read_windows
from beyond_spectrograms.params.study import CLIPS, SPLITS
from beyond_spectrograms.representations.featurize import featurize
from beyond_spectrograms.util.errors import run_stage
from beyond_spectrograms.util.files import write_json
from stages.arguments import parse


def main() -> None:
    study, (dataset, name) = parse(__doc__, "dataset", "representation")
    params, place = study.params, study.features(dataset, name)
    described = featurize(
        params, name, fetch_encoder(params, name), read_windows(SPLITS / dataset), CLIPS / dataset,
        called=f"{dataset} as {name}", place=place, work=study.work("features", dataset, name),
    )  # fmt: skip
    write_json(place / "features.json", {**described, "provenance": study.feature_provenance(name)})


if __name__ == "__main__":
    run_stage(main)
