"""EfficientAT's MobileNets, trained on AudioSet: their own mel spectrogram and network, from a file of their weights.

Sources: Schmid et al., "Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge Distillation", ICASSP
2023, with its code at https://github.com/fschmid56/EfficientAT; Howard et al., "Searching for MobileNetV3", 2019, table
1: the strides and activations of MobileNetV3-Large. Widths, kernels and blocks are read from the weights.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from beyond_spectrograms.data.audio import Waveform, mono_at, stored_format
from beyond_spectrograms.params import EfficientAT
from beyond_spectrograms.representations.base import CheckpointError, Features, Representation
from beyond_spectrograms.util.files import UnreadableError, read_checkpoint
from beyond_spectrograms.util.machine import one_thread

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE_RATE, N_FFT, WIN_LENGTH, HOP_LENGTH, N_MELS = 32_000, 1024, 800, 320, 128
TOP_HZ = 15_000.0  # 1 kHz below half the rate: fmax of the code, without its random part
PREEMPHASIS = 0.97
STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1)  # of blocks 1 to 15; the first convolution's is 2, too
SMOOTH_FROM = 7  # the block from which on hard swish takes the place of ReLU
EPSILON = 1e-3  # of the batch norms
REDUCTION = 2 * 2**4  # mel frames to a frame of the last map
# What weights of other networks end in.
OF_OTHERS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class EfficientATEncoder(Representation):
    """The last feature map's mean over frequency [channels, frames], a frame for 320 ms; or scores [527, 1].

    The mean of its frames is the embedding that the authors' code gives; scores are probabilities of AudioSet's
    classes, in the order of its class_labels_indices.csv.
    """

    packages = ("numpy", "torch")
    engine = "torch"
    chunk: ClassVar[int | None] = 8  # `_forward` holds each thread to one core

    def __init__(self, name: str, record: EfficientAT, weights: Sequence[Path]) -> None:
        self.name, self._scores, self.hears_clips = name, record.layer == "scores", record.hears_clips
        self._require(weights)
        self.form = stored_format(SAMPLE_RATE)
        try:
            state = read_checkpoint(weights[0])
            self._state: Mapping[str, Tensor] = {key: value.float() for key, value in state.items()}
            self.bands = len(self._state["classifier.5.bias" if self._scores else "features.16.1.bias"])
            self._forward(np.zeros(WIN_LENGTH, np.float32))
        except (UnreadableError, *OF_OTHERS) as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(
                f"{weights[0]}: not the weights of one of EfficientAT's mn models, from mn01 to mn40: {reason}"
            ) from None
        self.hop_length = round(REDUCTION * HOP_LENGTH * self.form.sample_rate / SAMPLE_RATE)

    def frames(self, samples: int) -> int:
        """Count frames: 100 mel frames a second, halved five times, rounded up; scores are one frame."""
        if self._scores:
            return 1
        return -(-self._mel_frames(round(samples * SAMPLE_RATE / self.form.sample_rate)) // REDUCTION)

    def _mel_frames(self, samples: int) -> int:
        return 1 + (samples - 1) // HOP_LENGTH  # pre-emphasis takes a sample away

    def _encode(self, windows: Waveform) -> Features:
        return np.stack([self._forward(window) for window in mono_at(SAMPLE_RATE, windows, self.form)])

    def _forward(self, sound: Waveform) -> Features:
        """Encode sound [samples] as [bands, frames]."""
        import torch
        from torch.nn.functional import hardswish, linear

        with one_thread(), torch.inference_mode():
            features = self._network(self._mel(torch.from_numpy(sound))[None, None])
            if not self._scores:
                return np.ascontiguousarray(features[0].mean(1).numpy())
            hidden = hardswish(linear(features.mean((2, 3)), *self._pair("classifier.2")))
            return linear(hidden, *self._pair("classifier.5")).sigmoid().numpy().T.copy()

    def _pair(self, name: str) -> tuple["Tensor", "Tensor"]:
        return self._state[f"{name}.weight"], self._state[f"{name}.bias"]

    def _mel(self, sound: "Tensor") -> "Tensor":
        """Compute the log-mel spectrogram [128, frames] as AugmentMelSTFT has it outside training."""
        import torch

        risen = sound[1:] - PREEMPHASIS * sound[:-1]
        risen = torch.nn.functional.pad(risen[None], (N_FFT // 2, N_FFT // 2), mode="reflect")[0]
        spectra = torch.stft(
            risen, N_FFT, HOP_LENGTH, WIN_LENGTH, torch.hann_window(WIN_LENGTH, periodic=False),
            center=False, return_complex=True,
        )  # fmt: skip
        power = torch.view_as_real(spectra).square().sum(-1)
        return ((self._filters @ power + 1e-5).log() + 4.5) / 5

    @cached_property
    def _filters(self) -> "Tensor":
        """Kaldi's mel filters [bands, bins]: triangles on the scale 1127 ln(1 + f / 700), each with a peak of 1."""
        import torch

        def mel(hertz: "Tensor") -> "Tensor":
            return 1127 * (1 + hertz / 700).log()

        edges = torch.linspace(
            0, float(mel(torch.tensor(TOP_HZ, dtype=torch.float64))), N_MELS + 2, dtype=torch.float64
        )
        bins = mel(torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / N_FFT)
        ramps = (bins - edges[:, None]) / edges[1]
        return torch.minimum(ramps[:-2], -ramps[2:]).clamp(min=0).float()

    def _network(self, image: "Tensor") -> "Tensor":
        """Turn a spectrogram [1, 1, bands, frames] into the last feature map [1, channels, bands, frames]."""
        features = self._convolve("features.0", image, stride=2, smooth=True)
        for number, stride in enumerate(STRIDES, 1):
            features = self._block(f"features.{number}.block", features, stride, smooth=number >= SMOOTH_FROM)
        return self._convolve("features.16", features, smooth=True)

    def _block(self, name: str, given: "Tensor", stride: int, *, smooth: bool) -> "Tensor":
        """Compute an inverted residual: widen, filter each channel, weigh the channels, narrow."""
        parts = sorted({int(key.removeprefix(f"{name}.").split(".")[0]) for key in self._state if key.startswith(name)})
        if not parts or parts != list(range(len(parts))):
            raise KeyError(f"{name} has parts {parts}")
        features, filtered = given, False
        for part in parts:
            where = f"{name}.{part}"
            if f"{where}.0.weight" not in self._state:
                features = self._excite(f"{where}.conc_se_layers.0", features)
            elif part == parts[-1]:
                features = self._convolve(where, features, smooth=None)
            else:
                filtered = self._state[f"{where}.0.weight"].shape[1] == 1
                features = self._convolve(where, features, stride=stride if filtered else 1, smooth=smooth)
        return features + given if stride == 1 and features.shape == given.shape else features

    def _convolve(self, name: str, features: "Tensor", *, stride: int = 1, smooth: bool | None) -> "Tensor":
        """Convolve, normalise, and activate by hard swish (`smooth`) or ReLU; None: not at all."""
        from torch.nn.functional import batch_norm, conv2d, hardswish, relu

        kernel = self._state[f"{name}.0.weight"]
        groups, padding = features.shape[1] // kernel.shape[1], kernel.shape[2] // 2
        norm = f"{name}.1"
        mean, variance = self._state[f"{norm}.running_mean"], self._state[f"{norm}.running_var"]
        convolved = conv2d(features, kernel, None, stride, padding, 1, groups)
        normed = batch_norm(convolved, mean, variance, *self._pair(norm), eps=EPSILON)
        return normed if smooth is None else hardswish(normed) if smooth else relu(normed)

    def _excite(self, name: str, features: "Tensor") -> "Tensor":
        """Squeeze and excitation (Hu et al. 2018): weigh channels by what the mean of all of them says."""
        from torch.nn.functional import linear, relu

        squeezed = relu(linear(features.mean((2, 3)), *self._pair(f"{name}.fc1")))
        return features * linear(squeezed, *self._pair(f"{name}.fc2")).sigmoid()[:, :, None, None]
