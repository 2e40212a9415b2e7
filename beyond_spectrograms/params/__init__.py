"""Typed, validated view of params.yaml: every key known, every value checked, before any work starts."""

from beyond_spectrograms.params.base import ParamsError as ParamsError
from beyond_spectrograms.params.datasets import SAMPLE_RATES as SAMPLE_RATES
from beyond_spectrograms.params.datasets import LabelTable as LabelTable
from beyond_spectrograms.params.datasets import Notice as Notice
from beyond_spectrograms.params.datasets import Source as Source
from beyond_spectrograms.params.datasets import Split as Split
from beyond_spectrograms.params.datasets import SplitLists as SplitLists
from beyond_spectrograms.params.datasets import WeightsRecord as WeightsRecord
from beyond_spectrograms.params.datasets import Windows as Windows
from beyond_spectrograms.params.experiment import Audit as Audit
from beyond_spectrograms.params.experiment import Params as Params
from beyond_spectrograms.params.experiment import Protocol as Protocol
from beyond_spectrograms.params.experiment import PrototypeSettings as PrototypeSettings
from beyond_spectrograms.params.experiment import Statistics as Statistics
from beyond_spectrograms.params.loading import PARAMS_FILE as PARAMS_FILE
from beyond_spectrograms.params.loading import STUDIES as STUDIES
from beyond_spectrograms.params.loading import is_project as is_project
from beyond_spectrograms.params.loading import load_all_params as load_all_params
from beyond_spectrograms.params.loading import load_params as load_params
from beyond_spectrograms.params.representations import Codec as Codec
from beyond_spectrograms.params.representations import Encodec as Encodec
from beyond_spectrograms.params.representations import Hear as Hear
from beyond_spectrograms.params.representations import Mel as Mel
from beyond_spectrograms.params.representations import Representation as Representation
from beyond_spectrograms.params.representations import SoundStream as SoundStream
from beyond_spectrograms.params.representations import weights_of as weights_of
