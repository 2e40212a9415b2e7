"""EnCodec's encoder as a graph of OpenVINO: the same layers and weights, compiled for the processor at hand.

The graph is built from the layers of the encodec package, operation by operation, and not converted from a trace: in
0.02 s instead of 12, with four axes [1, channels, 1, samples]. OpenVINO keeps those channels-last throughout; with
three it turns the array round before and after every padding (2 ms of 38 at 24 kHz, 11 of 84 at 48 kHz).

Up to the LSTM windows go one by one, so that what lies between two layers stays in the cache. The LSTM takes several at
once: for one window each step is a matrix by a vector, bound by memory (24 kHz: 12 ms a window alone, 6 beside others,
in bf16 11 and 3).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from joblib import cpu_count

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.representations.base import Engine, EngineError, Features

# On import openvino reports to its makers unless the user has opted out; without this package it takes a stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino import opset15 as ops  # noqa: E402

if TYPE_CHECKING:
    from encodec.modules.conv import SConv1d
    from encodec.modules.lstm import SLSTM
    from encodec.modules.seanet import SEANetEncoder
    from torch import nn

HINTS = {"fp32": "f32", "bf16": "bf16"}
FEWEST = 2  # windows the LSTM takes: one alone is computed by other code, to other bits


class OpenVinoEngine(Engine):
    """Compiles the encoder for each length of window it meets, with as many streams of one thread as there are cores.

    In bf16 convolutions and LSTM multiply numbers of 8 significant bits and add in fp32.
    """

    name: ClassVar[str] = "openvino"
    packages: ClassVar[tuple[str, ...]] = ("openvino",)
    spare_threads: ClassVar[int] = 1

    def __init__(self, name: str, encoder: SEANetEncoder, precision: str) -> None:
        self._core = ov.Core()
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and "BF16" not in capabilities:
            raise EngineError(
                f"{name}: precision bf16 needs a processor that multiplies in bf16 (avx512_bf16, amx_bf16); this one "
                f"offers {', '.join(capabilities)}. Choose representations.{name}.precision fp32."
            )
        self._encoder, self._hint = encoder, HINTS[precision]
        self._models: dict[tuple[int, ...], list[ov.CompiledModel]] = {}
        self._compiling = threading.Lock()
        self._of_thread = threading.local()

    def encode(self, windows: Waveform) -> Features:
        """Encode windows [windows, channels, samples] as latents [windows, 128, frames]."""
        requests: dict[tuple[int, ...], list[ov.InferRequest]] = vars(self._of_thread).setdefault("requests", {})
        if (shape := windows.shape[1:]) not in requests:
            requests[shape] = [model.create_infer_request() for model in self._compile(shape)]
        before_lstm, from_lstm = requests[shape]
        maps = [np.array(before_lstm.infer([window[None]], share_inputs=True)[0]) for window in windows]
        maps += maps[-1:] * (FEWEST - len(maps))
        latents = from_lstm.infer([np.concatenate(maps)], share_inputs=True)[0]
        return np.array(latents[: len(windows)])

    def _compile(self, shape: tuple[int, ...]) -> list[ov.CompiledModel]:
        cores = str(cpu_count())
        # A thread pinned to its core would wait while another, which decodes or writes, has that core.
        config = {"NUM_STREAMS": cores, "INFERENCE_NUM_THREADS": cores, "ENABLE_CPU_PINNING": False}
        config |= {"INFERENCE_PRECISION_HINT": self._hint}
        with self._compiling:
            if shape not in self._models:
                graphs = build_graphs(self._encoder, *shape)
                self._models[shape] = [self._core.compile_model(graph, "CPU", config) for graph in graphs]
            return self._models[shape]


def build_graphs(encoder: SEANetEncoder, channels: int, samples: int) -> tuple[ov.Model, ov.Model]:
    """Build the layers before the LSTM, for one window, and those from it on, for any number. Weight norm is folded.

    The first takes [1, channels, samples] and gives maps [1, 512, 1, frames]; the second takes maps
    [windows, 512, 1, frames] and gives latents [windows, 128, frames].
    """
    from encodec.modules.lstm import SLSTM

    layers = list(encoder.model)
    recurrent = next(number for number, layer in enumerate(layers) if isinstance(layer, SLSTM))
    window = ops.parameter([1, channels, samples], np.float32)
    before = _add_layers(layers[:recurrent], ops.unsqueeze(window, _integers(2)))
    maps = ops.parameter(ov.PartialShape([-1, *list(before.get_output_shape(0))[1:]]), np.float32)
    latents = ops.squeeze(_add_layers(layers[recurrent:], maps), _integers(2))
    return ov.Model([before], [window]), ov.Model([latents], [maps])


def _add_layers(layers: Iterable[nn.Module], x: ov.Node) -> ov.Node:
    for layer in layers:
        x = _add_layer(layer, x)
    return x


def _add_layer(layer: nn.Module, x: ov.Node) -> ov.Node:
    """Add what a layer of the package does to x [windows, channels, 1, samples]."""
    from encodec.modules.conv import SConv1d
    from encodec.modules.lstm import SLSTM
    from encodec.modules.seanet import SEANetResnetBlock
    from torch import nn

    if isinstance(layer, nn.Sequential):
        return _add_layers(layer, x)
    if isinstance(layer, SEANetResnetBlock):
        return ops.add(_add_layer(layer.shortcut, x), _add_layer(layer.block, x))
    if isinstance(layer, nn.ELU):
        return ops.elu(x, layer.alpha)
    if isinstance(layer, SConv1d):
        return _add_convolution(layer, x)
    if isinstance(layer, SLSTM):
        return _add_lstm(layer, x)
    raise TypeError(f"{type(layer).__name__} is no layer of encodec 0.1.1's encoder")


def _add_convolution(layer: SConv1d, x: ov.Node) -> ov.Node:
    """Pad as SConv1d does (encodec/modules/conv.py), convolve and, at 48 kHz, normalise over channels and time."""
    from torch import nn

    convolution: Any = layer.conv.conv
    norm: Any = layer.conv.norm
    (kernel,), (stride,), (dilation,) = convolution.kernel_size, convolution.stride, convolution.dilation
    total = (kernel - 1) * dilation - (stride - 1)
    extra = -(_length(x, 3) - kernel + total) % stride  # so that the last frame is whole
    left, right = (total, extra) if layer.causal else (total - total // 2, total // 2 + extra)
    if left or right:
        x = ops.pad(x, _integers(0, 0, 0, left), _integers(0, 0, 0, right), "reflect")
    weight = ops.constant(_array(convolution.weight)[:, :, None])
    x = ops.convolution(x, weight, [1, stride], [0, 0], [0, 0], [1, dilation])
    x = ops.add(x, _per_channel(convolution.bias))
    if isinstance(norm, nn.GroupNorm):  # of one group
        x = ops.mvn(x, _integers(1, 2, 3), True, norm.eps, "inside_sqrt")
        x = ops.add(ops.multiply(x, _per_channel(norm.weight)), _per_channel(norm.bias))
    return x


def _add_lstm(layer: SLSTM, x: ov.Node) -> ov.Node:
    """Run the LSTM's layers along time, and add what went in."""
    channels, frames = _length(x, 1), _length(x, 3)
    windows = ops.gather(ops.shape_of(x), _integers(0), _integers(0))
    x = ops.transpose(ops.squeeze(x, _integers(2)), _integers(0, 2, 1))  # [windows, frames, channels]
    y, lengths = x, ops.broadcast(_integers(frames), windows)
    zeros = ops.broadcast(np.float32(0), ops.concat([windows, _integers(1, channels)], 0))
    for number in range(layer.lstm.num_layers):
        w, r, b, c = (
            _reorder_gates(_array(getattr(layer.lstm, f"{part}_l{number}")))
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        weights = [ops.constant(array[None]) for array in (w, r, b + c)]
        y = ops.lstm_sequence(y, zeros, zeros, lengths, *weights, channels, "forward").output(0)
        y = ops.squeeze(y, _integers(1))
    if layer.skip:
        y = ops.add(y, x)
    return ops.unsqueeze(ops.transpose(y, _integers(0, 2, 1)), _integers(2))


def _reorder_gates(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Put gates that torch stacks as input, forget, cell, output in OpenVINO's order: forget, input, cell, output."""
    i, f, c, o = np.split(array, 4)
    return np.concatenate([f, i, c, o])


def _length(x: ov.Node, axis: int) -> int:
    """Tell the length of an axis that does not depend on the number of windows."""
    return int(x.get_output_partial_shape(0)[axis].get_length())


def _per_channel(tensor: Any) -> ov.Node:
    return ops.constant(_array(tensor).reshape(1, -1, 1, 1))


def _array(tensor: Any) -> npt.NDArray[np.float32]:
    return np.asarray(tensor.detach().numpy(), dtype=np.float32)


def _integers(*numbers: int) -> ov.Node:
    return ops.constant(np.array(numbers, dtype=np.int64))
