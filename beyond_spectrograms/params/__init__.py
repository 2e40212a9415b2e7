"""Typed, validated view of params.yaml: every key known, every value checked, before any work starts."""

from beyond_spectrograms.params.base import ParamsError
from beyond_spectrograms.params.datasets import MadeTrials, Notice, Source, Split, Windows
from beyond_spectrograms.params.disturbances import Disturbance
from beyond_spectrograms.params.encoders import CodecFile, EfficientAT, ModelFile, Snac, TrainedCodec
from beyond_spectrograms.params.experiment import BEST_SPECTROGRAM, Audit, Params, Statistics, misfit
from beyond_spectrograms.params.loading import PARAMS_FILE, STUDIES, is_project, load_all_params, load_params
from beyond_spectrograms.params.protocols import Protocol, PrototypeSettings
from beyond_spectrograms.params.representations import (
    Codec,
    Encodec,
    Hear,
    Mel,
    RawWaveform,
    Representation,
    SoundStream,
    weights_folder,
    weights_of,
)
from beyond_spectrograms.params.transformers import Transformers
from beyond_spectrograms.params.verification import Embedding, Verification
from beyond_spectrograms.params.weights import HubFile, HubRecord, WeightsRecord
