"""A study is one experiment of the pipeline: what decides it, and where it keeps what.

The root's own, the paper's experiment, has its dvc.yaml, params.yaml, metrics/ and plots/ in the root; every other has
them in studies/<name>/. Sounds (data/raw, data/clips, data/splits) are shared by all studies; features and models are a
study's own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beyond_spectrograms.params import PARAMS_FILE, STUDIES, Params, ParamsError, load_params, weights_of

PAPER = "paper"  # the name of the root's own
RAW, CLIPS, SPLITS = Path("data/raw"), Path("data/clips"), Path("data/splits")
DOWNLOADS, PARTIAL = Path("data/downloads"), Path("data/partial")
# What trained weights hang on beside params: nouns of this project's code, and packages.
DECIDING = (
    *("data", "representations", "classifiers", "training"),
    *(
        "ai-edge-litert",
        "encodec",
        "librosa",
        "numpy",
        "openvino",
        "scikit-learn",
        "scipy",
        "soundfile",
        "soxr",
        "torch",
    ),
)


@dataclass(frozen=True)
class Study:
    """An experiment by its `name`; its paths are relative to the folder that holds params.yaml."""

    name: str
    params: Params

    @property
    def folder(self) -> Path:
        """Where its dvc.yaml and params.yaml are."""
        return folder_of(self.name)

    def metrics(self, dataset: str) -> Path:
        """Figures of a data set, in git: scores.json, predictions.csv.gz, curves.csv.gz and others."""
        return self.folder / "metrics" / dataset

    def plots(self, dataset: str) -> Path:
        """Pictures of a data set."""
        return self.folder / "plots" / dataset

    def features(self, dataset: str, representation: str) -> Path:
        """One array of features [windows, bands, frames]."""
        return Path("data/features", self.name, dataset, representation)

    def models(self, dataset: str, representation: str) -> Path:
        """Trained classifiers, a folder a protocol."""
        return Path("data/models", self.name, dataset, representation)

    def is_trained(self, dataset: str, representation: str, protocol: str) -> bool:
        """Say whether a cell's weights are here, of the params and versions that stand now."""
        path = self.models(dataset, representation) / protocol / "provenance.json"
        decided = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        return bool(decided == self.provenance(dataset, representation, protocol))

    def stage(self, verb: str, *names: str) -> str:
        """Name a stage as `dvc repro` takes it."""
        pipeline = "" if self.name == PAPER else f"{self.folder.as_posix()}/dvc.yaml:"
        return f"{pipeline}{verb}@{'-'.join(names)}"

    def work(self, kind: str, *names: str) -> Path:
        """Where a stage works on what it will rename into place."""
        return PARTIAL / kind / "-".join((self.name, *names))

    def provenance(self, dataset: str, representation: str, protocol: str, *more: str) -> dict[str, Any]:
        """Name what decides a cell's weights: a digest of all its params, and versions of code and packages.

        Its scores hang on `more`.
        """
        params, recipe = self.params, self.params.protocols[protocol]
        record = params.representations[representation]
        decides = {
            "dataset": params.datasets[dataset].model_dump(include={"source", "max_epochs"}),
            "windows": params.windows_of(dataset).model_dump(),
            "features": params.features.model_dump(),
            "representation": record.model_dump(),
            "weights": [params.weights[name].sha256 for name in weights_of(record)],
            "protocol": recipe.model_dump(),
            "split": params.splits[recipe.split].model_dump(),
        }
        digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
        return {"params": digest, "versions": {name: params.versions[name] for name in (*DECIDING, *more)}}


def folder_of(name: str) -> Path:
    """Find the folder of a study."""
    return Path() if name == PAPER else STUDIES / name


def list_studies() -> list[str]:
    """List the studies there are here, the paper's experiment first."""
    return [PAPER, *sorted(path.parent.name for path in STUDIES.glob(f"*/{PARAMS_FILE}"))]


def load_study(name: str = PAPER) -> Study:
    """Read and check all that decides a study, from the current folder.

    Raises:
        ParamsError: there is no such study, or what params.load_params raises.
    """
    if name not in (known := list_studies()):
        raise ParamsError(f"no study {name!r} in {STUDIES}. Choose from {', '.join(known)}.")
    return Study(name, load_params(folder_of(name)))
