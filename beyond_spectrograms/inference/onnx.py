"""Representation and classifier as one ONNX graph: windows of sound in, probabilities out. Needs the extra `onnx`."""

import json
import logging
import warnings
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from beyond_spectrograms.inference.card import ModelError
from beyond_spectrograms.inference.model import Model
from beyond_spectrograms.inference.networks import read_module
from beyond_spectrograms.params import Mel, Representation
from beyond_spectrograms.representations.mel import POWER_FLOOR, cepstrum, pool
from beyond_spectrograms.util.errors import require
from beyond_spectrograms.util.files import written_beside

OPSET = 18  # ONNX 1.13 (2022) and later


def check_exportable(record: Representation) -> None:
    """Stop where no ONNX graph can be made.

    Raises:
        ModelError: the representation has no graph of its own here.
        MissingPackageError: the packages that write it are not installed.
    """
    if record.kind != "mel":
        why = {
            "soundstream": "Lyra's encoder is a TFLite file, run by its own runtime",
            "encodec": "EnCodec's encoder is not exported by this program",
            "hear": "what a module does is not known to this program",
        }[record.kind]
        raise ModelError(f"kind {record.kind} has no ONNX graph: {why}. Choose a representation of kind mel.")
    require("onnx", "onnxscript")


class MelGraph(nn.Module):
    """The mel spectrogram of representations/mel.py in operations ONNX has: windows [windows, samples] in.

    The Fourier transform is two convolutions, with cosines and with sines under the window: every runtime has those.
    """

    def __init__(self, record: Mel, samples: int) -> None:
        import librosa

        super().__init__()
        bins = 1 + record.n_fft // 2
        window = librosa.filters.get_window(record.window, record.n_fft)
        angle = 2 * np.pi / record.n_fft * np.outer(np.arange(bins), np.arange(record.n_fft))
        waves = np.concatenate([np.cos(angle), np.sin(angle)]) * window
        self.transform = nn.Conv1d(1, 2 * bins, record.n_fft, stride=record.hop_length, bias=False)
        self.transform.weight = nn.Parameter(torch.from_numpy(waves[:, None].astype(np.float32)))
        filters = librosa.filters.mel(sr=record.sample_rate, n_fft=record.n_fft, n_mels=record.n_mels)
        self.register_buffer("filters", torch.from_numpy(filters[:, :, None]))
        self.padding = record.n_fft // 2  # frames are centred, with zeros around the window
        self.decibels = record.scale == "db"
        cosines = None
        if record.n_mfcc is not None:  # the transform of mel.cepstrum, as a matrix [coefficients, bands]
            cosines = torch.from_numpy(cepstrum(np.eye(record.n_mels, dtype=np.float32)[None], record.n_mfcc)[0])
        self.register_buffer("cosines", cosines)
        pooled, means = record.pooled_frame_rate, None
        if pooled is not None:  # the mean over time of mel.pool, as a matrix [frames before, frames]
            before = np.eye(1 + samples // record.hop_length, dtype=np.float32)
            means = torch.from_numpy(pool(before[None], samples * pooled // record.sample_rate)[0])
        self.register_buffer("means", means)

    def forward(self, windows: Tensor) -> Tensor:
        """Give [windows, bands, frames]."""
        waves = self.transform(nn.functional.pad(windows[:, None], (self.padding, self.padding)))
        real, imaginary = waves.chunk(2, dim=1)
        power = nn.functional.conv1d(real**2 + imaginary**2, cast("Tensor", self.filters))
        if self.decibels:
            power = 10 * torch.log10(power.clamp(min=POWER_FLOOR))
        if self.cosines is not None:
            power = cast("Tensor", self.cosines) @ power
        return power if self.means is None else power @ cast("Tensor", self.means)


class Divide(nn.Module):
    """Divide logits by the card's temperature."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, logits: Tensor) -> Tensor:
        """Divide."""
        return logits / self.temperature


def export_onnx(model: Model, path: Path) -> None:
    """Write the model as ONNX: `windows` [windows, samples] float32 to `probabilities` [windows, classes].

    Resampling, mixing, cutting and thresholds stay the caller's. The card, which has these, is in the file's metadata,
    under `card`.

    Raises:
        ModelError: as `check_exportable`.
    """
    record = model.card.representation.record
    check_exportable(record)
    import onnx

    samples = round(model.card.windows.length_s * model.card.representation.sample_rate)
    network = read_module(model.classifier, model.card)
    answer = nn.Softmax(1) if model.card.protocol.record.loss is None else nn.Sigmoid()
    last = [answer] if model.card.temperature == 1 else [Divide(model.card.temperature), answer]
    whole = nn.Sequential(MelGraph(cast("Mel", record), samples), network, *last).eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which no model here needs
    with warnings.catch_warnings():  # of torch's own making: its exporter uses what torch calls outdated
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.onnx.export(
            whole,
            (torch.zeros(2, samples),),
            input_names=["windows"],
            output_names=["probabilities"],
            dynamic_shapes={"input": {0: torch.export.Dim("windows")}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # None is for its older way
    graph = program.model_proto
    onnx.helper.set_model_props(graph, {"card": json.dumps(model.card.model_dump(mode="json"), ensure_ascii=False)})
    with written_beside(path) as beside:
        onnx.save(graph, beside)
