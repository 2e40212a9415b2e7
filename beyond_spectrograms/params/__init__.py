"""Typed, validated view of params.yaml: every key known, every value checked, before any work starts."""

from beyond_spectrograms.params.datasets import (
    SAMPLE_RATES,
    Archive,
    Dataset,
    FeatureSettings,
    LabelTable,
    Source,
    Split,
    SplitList,
    SplitLists,
    Synthetic,
    WeightsRecord,
    Windows,
)
from beyond_spectrograms.params.loading import PARAMS_FILE, Grid, Params, Product, Run, load_params
from beyond_spectrograms.params.protocols import Audit, Claims, CostSettings, Protocol, PrototypeSettings, Statistics
from beyond_spectrograms.params.representations import (
    Codec,
    Encodec,
    Hear,
    Mel,
    Representation,
    SoundStream,
    weights_of,
)
from beyond_spectrograms.params.sections import ParamsError

__all__ = [
    "PARAMS_FILE",
    "SAMPLE_RATES",
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
    "Params",
    "ParamsError",
    "Product",
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
    "load_params",
    "weights_of",
]
