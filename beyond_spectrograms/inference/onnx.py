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
from beyond_spectrograms.representations.mel import (
    FULL_SCALE,
    POWER_FLOOR,
    cepstrum,
    delta,
    pool,
    smoother_share,
)
from beyond_spectrograms.util.errors import require
from beyond_spectrograms.util.files import written_beside

OPSET = 18  # ONNX 1.13 (2022) and later


def check_exportable(record: Representation) -> None:
    """Stop where no ONNX graph can be made.

    Raises:
        ModelError: the representation has no graph of its own here.
        MissingPackageError: the packages that write it are not installed.
    """
    if record.kind not in ("mel", "waveform"):
        why = {
            "soundstream": "Lyra's encoder is a TFLite file, run by its own runtime",
            "encodec": "EnCodec's encoder is not exported by this program",
            "hear": "what a module does is not known to this program",
        }.get(record.kind, "its encoder is not exported by this program")
        raise ModelError(
            f"kind {record.kind} has no ONNX graph: {why}. Choose a representation of kind mel or waveform."
        )
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
        self.record = record
        past, first = smoothing(record, 1 + samples // record.hop_length)
        self.register_buffer("past", past)
        self.register_buffer("first", first)
        cosines = None
        if record.n_mfcc is not None:  # the transform of mel.cepstrum, as a matrix [coefficients, bands]
            cosines = torch.from_numpy(cepstrum(np.eye(record.n_mels, dtype=np.float32)[None], record.n_mfcc)[0])
        self.register_buffer("cosines", cosines)
        pooled, means = record.pooled_frame_rate, None
        if pooled is not None:  # the mean over time of mel.pool, as a matrix [frames before, frames]
            before = np.eye(1 + samples // record.hop_length, dtype=np.float32)
            means = torch.from_numpy(pool(before[None], samples * pooled // record.sample_rate)[0])
        self.register_buffer("means", means)
        frames = 1 + samples // record.hop_length if means is None else means.shape[1]
        # The derivatives over time of mel.delta, as matrices [frames, frames].
        steps = np.eye(frames, dtype=np.float32)[None]
        slopes = [torch.from_numpy(delta(steps, order + 1)[0]) for order in range(record.deltas or 0)]
        self.register_buffer("slopes", torch.stack(slopes) if slopes else None)

    def forward(self, windows: Tensor) -> Tensor:
        """Give [windows, bands, frames]."""
        waves = self.transform(nn.functional.pad(windows[:, None], (self.padding, self.padding)))
        real, imaginary = waves.chunk(2, dim=1)
        power, filters = real**2 + imaginary**2, cast("Tensor", self.filters)
        if self.record.scale == "pcen":
            power = self.normalize_energy(nn.functional.conv1d(power.sqrt(), filters))
        else:
            power = nn.functional.conv1d(power, filters)
        if self.record.scale == "db":
            power = 10 * torch.log10(power.clamp(min=POWER_FLOOR))
        if self.cosines is not None:
            power = cast("Tensor", self.cosines) @ power
        if self.means is not None:
            power = power @ cast("Tensor", self.means)
        if self.slopes is None:
            return power
        return torch.cat([power, *(power @ slopes for slopes in cast("Tensor", self.slopes))], 1)

    def normalize_energy(self, magnitude: Tensor) -> Tensor:
        """Do as mel.normalize_energy does, whose smoother is a matrix [frames, frames] here."""
        settings, scaled = self.record.pcen, magnitude * FULL_SCALE
        smoothed = scaled @ cast("Tensor", self.past) + cast("Tensor", self.first)
        gained = scaled * (settings["eps"] + smoothed) ** -settings["gain"]
        bias, power = settings["bias"], settings["power"]
        return cast("Tensor", bias**power * torch.expm1(power * torch.log1p(gained / bias)))


def smoothing(record: Mel, frames: int) -> tuple[Tensor, Tensor]:
    """Write the smoother of PCEN as a matrix [frames, smoothed frames], and what its first level of 1 adds [frames]."""
    share, ages = smoother_share(record), np.subtract.outer(-np.arange(frames), -np.arange(frames))
    past = np.where(ages >= 0, share * (1 - share) ** np.maximum(ages, 0), 0.0)
    first = (1 - share) ** np.arange(1, frames + 1)
    return torch.from_numpy(past.astype(np.float32)), torch.from_numpy(first.astype(np.float32))


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
    front = MelGraph(record, samples) if isinstance(record, Mel) else nn.Unflatten(1, (1, samples))
    whole = nn.Sequential(front, network, *last).eval()
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
