"""params.yaml of a study, anchors and defaults resolved -> data/params/<study>, a file for each thing stages depend on.

grid.json says what is asked for and trained_on.json what weights may know; features/<representation>.json is what
`featurize` depends on, and training/<representation>.json what `train` does. An edit re-runs what it touches alone, and
dvc.lock, which DVC writes anew after every stage, holds a digest in place of all values.
"""

from pathlib import Path
from typing import Any

from beyond_spectrograms.params.study import Study
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import fresh_work, replace_folder, write_json
from stages.arguments import parse


def main() -> None:
    study, _ = parse(__doc__)
    work = study.work("params")
    with fresh_work(work):
        for name in study.params.grid.representations:
            for kind, decides in (("features", features(study, name)), ("training", training(study, name))):
                write_json(work / kind / f"{name}.json", decides, flushed=False)
        grid = study.params.grid.model_dump(exclude={"datasets", "seeds", "codecs", "learning"}) | {
            "order": list(study.params.representations)
        }
        write_json(work / "grid.json", grid, flushed=False)
        trained_on = {name: of for name in study.params.representations if (of := study.params.trained_on(name))}
        write_json(work / "trained_on.json", trained_on, flushed=False)
        replace_folder(work, Path("data/params", study.name))


def features(study: Study, name: str) -> dict[str, Any]:
    """List what decides a representation's features beside sounds and versions."""
    params = study.params
    return {
        "representation": params.representations[name].model_dump(),
        "weights": {
            weights: known.model_dump(exclude={"trained_on"}) for weights, known in params.weights_records(name).items()
        },
        "windows": params.windows.model_dump(),
        "features": params.features.model_dump(),
    }


def training(study: Study, name: str) -> dict[str, Any]:
    """List what decides how classifiers are trained on a representation, beside features, parts and versions."""
    params = study.params
    few: dict[str, Any] = {"seeds": params.grid.seeds} if params.grid.seeds else {}  # of some cells
    if (stacked := params.representations[name].stacked) is not None:
        few["stacked"] = stacked
    return {
        **few,
        "device": params.device,
        "training_precision": params.training_precision,
        "codebook_size": params.representations[name].codebook_size,
        "protocols": {protocol: params.protocols[protocol].model_dump() for protocol in params.grid.protocols_of(name)},
    }


if __name__ == "__main__":
    run_stage(main)
