"""A study is one experiment of the pipeline: its params, and where its files are.

The root's own, the paper's experiment, has its dvc.yaml, params.yaml, metrics/ and plots/ in the root; every other has
them in studies/<name>/. Sounds (data/raw, data/clips, data/splits) are shared by all studies; features and models are a
study's own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beyond_spectrograms.params import PARAMS_FILE, STUDIES, Params, ParamsError, TrainedCodec, load_params
from beyond_spectrograms.util.files import digest_record, read_told

PAPER = "paper"  # the name of the root's own
RAW, CLIPS, SPLITS = Path("data/raw"), Path("data/clips"), Path("data/splits")
CODEC_SOUNDS, CODECS = Path("data/codec_sounds"), Path("data/codecs")  # of codecs that are trained here
CODECS_EXPORTED = Path("data/exported_codecs")
DOWNLOADS, PARTIAL, WEIGHTS = Path("data/downloads"), Path("data/partial"), Path("data/weights")
SHARD_CACHE = Path("data/cache/shards")  # copies of shards of features that lie elsewhere
# Versions that features hang on (beside packages of one kind of representation alone, Record.packages), weights beside
# them, and answers to disturbed sounds, scores or costs beside these; scores of trials hang on features alone. Nouns of
# this project's code, and packages. dvc.yaml has the same.
FEATURES_BY = (
    *("data", "representations", "ai-edge-litert", "encodec", "librosa", "numpy", "openvino", "scipy", "soundfile"),
    "torch",
)
WEIGHTS_BY = ("classifiers", "training", "numpy", "scikit-learn", "torch")
DISTURBED_BY = ("disturbances", "soxr")
SCORES_BY = ("evaluation", "soxr")
LABELS_BY = ("label_scores",)  # beside these, of sounds that may have several
COSTS_BY = ("costs", "soxr")
TRIALS_BY = ("trials", "soxr")
CODECS_BY = ("data", "codec", "encodec", "numpy", "scipy", "soundfile", "torch")  # codecs that are trained here


@dataclass(frozen=True)
class Study:
    """An experiment by its `name`; its paths are relative to the folder that holds params.yaml."""

    name: str
    params: Params

    @property
    def folder(self) -> Path:
        """Where its dvc.yaml and params.yaml are."""
        return folder_of(self.name)

    def metrics(self, dataset: str, disturbance: str | None = None) -> Path:
        """Figures of a data set, in git: scores.json, predictions.csv.gz, curves.csv.gz and others.

        Those of answers to sounds with a disturbance are in a folder of their own.
        """
        return disturbed_in(self.folder / "metrics" / dataset, disturbance)

    def codec_metrics(self, codec: str) -> Path:
        """Figures of a codec that is trained here, in git."""
        return self.folder / "metrics" / "codecs" / codec

    def plots(self, dataset: str) -> Path:
        """Pictures of a data set."""
        return self.folder / "plots" / dataset

    def features(self, dataset: str, representation: str) -> Path:
        """One array of features [windows, bands, frames]."""
        return Path("data/features", self.name, dataset, representation)

    def models(self, dataset: str, representation: str) -> Path:
        """Trained classifiers, a folder a protocol."""
        return Path("data/models", self.name, dataset, representation)

    def disturbed(self, dataset: str, representation: str) -> Path:
        """Answers to disturbed sounds, a folder a disturbance and in it one a protocol."""
        return Path("data/disturbed", self.name, dataset, representation)

    def answers(self, dataset: str, representation: str, protocol: str, disturbance: str | None = None) -> Path:
        """Answers of a cell's runs: to sounds as they are, which stand beside the weights, or to disturbed ones."""
        if disturbance is None:
            return self.models(dataset, representation) / protocol
        return self.disturbed(dataset, representation) / disturbance / protocol

    def is_trained(self, dataset: str, representation: str, protocol: str, disturbance: str | None = None) -> bool:
        """Say whether a cell's weights are here, of the params and versions that stand now.

        With a `disturbance`: whether their answers to sounds that have it are.
        """
        path = self.answers(dataset, representation, protocol, disturbance) / "provenance.json"
        if not path.exists():
            return False
        return self._is_of(read_told(path), self.weights_provenance(dataset, representation, protocol, disturbance))

    def _is_of(self, told: dict[str, Any], decides: dict[str, Any]) -> bool:
        """Compare what is told of features or weights with what decides them now; early ones do not tell the clips."""
        return {"clips": decides["clips"]} | told == decides

    def stage(self, verb: str, *names: str) -> str:
        """Name a stage as `dvc repro` takes it."""
        pipeline = "" if self.name == PAPER else f"{self.folder.as_posix()}/dvc.yaml:"
        return f"{pipeline}{verb}@{'-'.join(names)}"

    def work(self, kind: str, *names: str) -> Path:
        """Where a stage works on what it will rename into place."""
        return PARTIAL / kind / "-".join((self.name, *names))

    def feature_provenance(self, dataset: str, representation: str) -> dict[str, Any]:
        """Name what decides features: a digest of params, versions, and the clips."""
        return self._of_clips(
            dataset, self._provenance(self._feature_params(representation), self._features_by(representation))
        )

    def weights_provenance(
        self, dataset: str, representation: str, protocol: str, disturbance: str | None = None
    ) -> dict[str, Any]:
        """Name what decides weights that lie here, or answers of theirs: as `provenance`, and the clips."""
        return self._of_clips(dataset, self.provenance(dataset, representation, protocol, disturbance))

    def _of_clips(self, dataset: str, decides: dict[str, Any]) -> dict[str, Any]:
        return decides | {"clips": self.split_record(dataset)["clips_sha256"]}

    def provenance(
        self, dataset: str, representation: str, protocol: str, disturbance: str | None = None
    ) -> dict[str, Any]:
        """Name what decides a cell's weights: a digest of params and of the windows' parts, and versions.

        With a `disturbance`: what decides their answers to sounds that have it.
        """
        recipe = self.params.protocols[protocol]
        asked = {
            "seeds": self.params.seeds_of(dataset, representation, protocol),
            "epochs": self.params.epochs_of(dataset, protocol),
        }
        decides = {
            **self._feature_params(representation),
            "protocol": recipe.model_dump() | asked,
            "device": self.params.device,
            "training_precision": self.params.training_precision,
            "parts": self.split_record(dataset)["sha256"].get(recipe.split),
        }
        nouns = dict.fromkeys((*self._features_by(representation), *WEIGHTS_BY))
        if disturbance is not None:
            decides["disturbance"] = self.params.disturbances[disturbance].model_dump()
            decides["clips"] = self.split_record(dataset)["clips_sha256"]
            nouns |= dict.fromkeys(DISTURBED_BY)
        return self._provenance(decides, nouns)

    def score_provenance(
        self, dataset: str, representation: str, protocol: str, disturbance: str | None = None
    ) -> dict[str, Any]:
        """Name what decides a cell's scores: what its answers hang on, where the data is from, and how it is scored."""
        known = self.provenance(dataset, representation, protocol, disturbance)
        several = self.params.protocols[protocol].loss is not None
        more = {noun: self.params.versions[noun] for noun in (*SCORES_BY, *LABELS_BY * several)}
        return known | {"versions": known["versions"] | more, "data": self._data(dataset)}

    def is_featurized(self, dataset: str, representation: str) -> bool:
        """Say whether a representation's features are here, of the params and versions that stand now."""
        path = self.features(dataset, representation) / "features.json"
        if not path.exists():
            return False
        return self.is_of_now(read_told(path), dataset, representation)

    def is_of_now(self, described: dict[str, Any], dataset: str, representation: str) -> bool:
        """Say whether what features.json tells is of the clips, params and versions that stand now."""
        return self._is_of(described.get("provenance", {}), self.feature_provenance(dataset, representation))

    def trial_provenance(self, dataset: str, representation: str, embedding: str) -> dict[str, Any]:
        """Name what decides the scores of trials: features, embedding, which trials, and how they are judged."""
        verification, record = self.params.verification, self.params.datasets[dataset]
        assert verification is not None  # of studies that verify speakers
        assert record.trials is not None  # Params sees to it
        statistics = self.params.statistics
        decides = {
            **self._feature_params(representation),
            "embedding": verification.embeddings[embedding].model_dump(),
            "verification": verification.model_dump(exclude={"embeddings"}),
            "statistics": statistics.model_dump(include={"confidence", "minimum_sources"}),
            "trials": record.trials.model_dump(),
        }
        return self._provenance(decides, dict.fromkeys((*self._features_by(representation), *TRIALS_BY))) | {
            "data": self._data(dataset)
        }

    def cost_mark(self, dataset: str, names: Sequence[str]) -> str:
        """Digest all that decides the costs of the first of `names`, timed beside the others."""
        params = self.params
        features_by = [noun for name in names for noun in self._features_by(name)]
        decides = {
            "source": params.datasets[dataset].source.model_dump(),
            "costs": params.costs.model_dump(),
            "precision": params.training_precision,
            "features": {name: self._feature_params(name) for name in names},
            "versions": {noun: params.versions[noun] for noun in (*features_by, *WEIGHTS_BY, *COSTS_BY)},
        }
        return digest_record(decides)

    def split_file(self, dataset: str) -> Path:
        """Find splits.json of a data set: its own, that of the paper's experiment, or another study's.

        Where there is none it is that of the paper's experiment.
        """
        studies = dict.fromkeys((self.name, *list_studies()))
        places = [folder_of(name) / "metrics" / dataset / "splits.json" for name in studies]
        root = folder_of(PAPER) / "metrics" / dataset / "splits.json"
        return next(filter(Path.exists, places), root)

    def split_record(self, dataset: str) -> dict[str, Any]:
        """Read what `split` wrote of a data set.

        Raises:
            ParamsError: there is none, or it is damaged.
        """
        path = self.split_file(dataset)
        if not path.exists():
            raise ParamsError(f"{path}: missing. Run the split stage of {dataset}.")
        told: dict[str, Any] = read_told(path)
        return told

    def _data(self, dataset: str) -> str:
        """Digest where a data set is from, and its clips."""
        source = self.params.datasets[dataset].source.model_dump()
        return digest_record({"source": source, "clips": self.split_record(dataset)["clips_sha256"]})

    def _features_by(self, representation: str) -> tuple[str, ...]:
        """List the versions that its features hang on; packages of its kind alone are no part of the others'."""
        return (*FEATURES_BY, *self.params.representations[representation].packages)

    def codec_params(self, name: str) -> dict[str, Any]:
        """Name what decides a codec that is trained here, beside its seed and the versions: its recipe and clips."""
        recipe = self.params.codecs[name]
        sets = [sounds.dataset for sounds in recipe.sounds]
        return {
            "recipe": recipe.model_dump(exclude={"seeds", "steps", "judged"}),
            "clips": {dataset: self.split_record(dataset)["clips_sha256"] for dataset in sets},
        }

    def _feature_params(self, representation: str) -> dict[str, Any]:
        params, record = self.params, self.params.representations[representation]
        return ({"codec": self.codec_params(record.codec)} if isinstance(record, TrainedCodec) else {}) | {
            "windows": params.windows.model_dump(),
            "features": params.features.model_dump(),
            "representation": record.model_dump(),
            "weights": [known.identity for known in params.weights_records(representation).values()],
        }

    def _provenance(self, decides: dict[str, Any], nouns: Iterable[str]) -> dict[str, Any]:
        return {"params": digest_record(decides), "versions": {noun: self.params.versions[noun] for noun in nouns}}


def disturbed_in(metrics: Path, disturbance: str | None) -> Path:
    """Find the result files of answers to sounds with a disturbance below those of a data set; None: these."""
    return metrics if disturbance is None else metrics / "disturbed" / disturbance


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
