"""Typed, validated view of params.yaml: every key known, every value checked, before any work starts."""

from beyond_spectrograms.params.base import ParamsError
from beyond_spectrograms.params.datasets import (
    SAMPLE_RATES,
    Archive,
    Dataset,
    FeatureSettings,
    LabelTable,
    Notice,
    Source,
    Split,
    SplitList,
    SplitLists,
    Synthetic,
    WeightsRecord,
    Windows,
)
from beyond_spectrograms.params.defaults import is_project, load_all_params
from beyond_spectrograms.params.evidence import Audit, Claims, CostSettings, Statistics
from beyond_spectrograms.params.experiment import Grid, Params, Run
from beyond_spectrograms.params.loading import (
    DATASETS,
    PARAMS_FILE,
    STUDIES,
    load_params,
)
from beyond_spectrograms.params.protocols import Protocol, PrototypeSettings
from beyond_spectrograms.params.representations import (
    Codec,
    Encodec,
    Hear,
    Mel,
    Representation,
    SoundStream,
    weights_of,
)

__all__ = [
    "DATASETS",
    "PARAMS_FILE",
    "SAMPLE_RATES",
    "STUDIES",
    "Archive",
    "Audit",
    "Claims",
    "Codec",
    "CostSettings",
    "Dataset",
    "Encodec",
    "FeatureSettings",
    "Grid",
    "Hear",
    "LabelTable",
    "Mel",
    "Notice",
    "Params",
    "ParamsError",
    "Protocol",
    "PrototypeSettings",
    "Representation",
    "Run",
    "SoundStream",
    "Source",
    "Split",
    "SplitList",
    "SplitLists",
    "Statistics",
    "Synthetic",
    "WeightsRecord",
    "Windows",
    "is_project",
    "load_all_params",
    "load_params",
    "weights_of",
]
