"""Typed, validated view of params.yaml: every key known, every value checked, before any work starts."""

from beyond_spectrograms.params.base import ParamsError
from beyond_spectrograms.params.datasets import (
    SAMPLE_RATES,
    LabelTable,
    Notice,
    Source,
    Split,
    SplitLists,
    WeightsRecord,
    Windows,
)
from beyond_spectrograms.params.defaults import is_project, load_all_params
from beyond_spectrograms.params.evidence import Audit, Statistics
from beyond_spectrograms.params.experiment import Params
from beyond_spectrograms.params.loading import (
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
    "PARAMS_FILE",
    "SAMPLE_RATES",
    "STUDIES",
    "Audit",
    "Codec",
    "Encodec",
    "Hear",
    "LabelTable",
    "Mel",
    "Notice",
    "Params",
    "ParamsError",
    "Protocol",
    "PrototypeSettings",
    "Representation",
    "SoundStream",
    "Source",
    "Split",
    "SplitLists",
    "Statistics",
    "WeightsRecord",
    "Windows",
    "is_project",
    "load_all_params",
    "load_params",
    "weights_of",
]
