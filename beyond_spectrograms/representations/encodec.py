"""EnCodec's encoder, run by one of the engines, and the encodec package's quantiser where a bitrate is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import numpy as np

from beyond_spectrograms.data.audio import Format, Waveform
from beyond_spectrograms.params import Encodec
from beyond_spectrograms.representations.base import (
    CheckpointError,
    Coded,
    Engine,
    EngineError,
    Features,
    Representation,
    enter_torch_thread,
)
from beyond_spectrograms.util.errors import require
from beyond_spectrograms.util.files import UnreadableError, read_checkpoint

if TYPE_CHECKING:
    from encodec.model import EncodecModel
    from encodec.modules.seanet import SEANetEncoder

Precision = Literal["fp32", "bf16"]


class EncodecLatents(Representation):
    """Latents [128, ceil(samples / 320)] from one encoder call on each window, as the paper's authors compute them.

    24 kHz is mono and causal. At 48 kHz (stereo) the encoder is called on the window itself: `EncodecModel.encode`
    would cut it into overlapping segments and divide each by its level, giving 152 frames for 1 s instead of 150.
    With a bitrate the latents go through the residual vector quantiser and back (at 48 kHz it was trained on segments
    divided by their level, which these are not), or `codes` are kept: entry numbers, 0 to 1023, a band a codebook.
    With `precision: bf16` latents differ from the package's by about 1 % of the largest, with fp32 by less than 1e-5.
    With `weights: untrained` the encoder has the package's own random initialisation, drawn from the seed: a control.
    """

    chunk: ClassVar[int | None] = 5  # as many as share a call of the LSTM, and few enough to keep cores busy

    def __init__(self, name: str, record: Encodec, weights: Sequence[Path]) -> None:
        self.name = name
        self.form = Format(24_000, 1) if record.model == "24khz" else Format(48_000, 2)
        model = untrained_model(record.model, record.seed or 0)
        if record.weights != "untrained":
            self._require(weights)
            load_checkpoint(model, weights[0])
        fold_weight_norm(model.encoder)
        self._engine = create_engine(name, model.encoder.eval(), record.engine, record.precision)
        self.engine, self.spare_threads = self._engine.name, self._engine.spare_threads
        self.packages = ("encodec", "numpy", "torch", *self._engine.packages)
        self._quantizer = model.quantizer.eval()
        self._codes = record.codes
        self._kbps = None if record.bitrate is None else record.bitrate / 1000
        self._frame_rate = model.frame_rate
        self._codebooks = int(self._quantizer.get_num_quantizers_for_bandwidth(model.frame_rate, self._kbps))
        self.bands = self._codebooks if record.codes else int(model.encoder.dimension)
        self.hop_length = int(model.encoder.hop_length)  # numpy makes it: not JSON

    _enter_thread = staticmethod(enter_torch_thread)

    def coded(self) -> Coded:
        """Give the codes, and the quantiser's codebooks: it adds up an entry of each."""
        if self._kbps is None:
            return super().coded()
        entries = int(self._quantizer.bins)
        if self._codes:
            return Coded(self, entries, None)
        encoder = copy(self)
        encoder.bands, encoder._codes = self._codebooks, True
        codebooks = [layer.codebook.numpy() for layer in self._quantizer.vq.layers[: self._codebooks]]
        return Coded(encoder, entries, np.stack(codebooks))

    def _encode(self, windows: Waveform) -> Features:
        latents = self._engine.encode(windows)
        if self._kbps is None:
            return latents
        import torch

        with torch.inference_mode():
            codes = self._quantizer.encode(torch.from_numpy(latents), self._frame_rate, self._kbps)
            # The package gives [codebooks, windows, frames].
            values = codes.transpose(0, 1) if self._codes else self._quantizer.decode(codes)
        return np.asarray(values.numpy(), dtype=np.float32)


class TorchEngine(Engine):
    """Calls the encoder. The calling thread's share of cores is its own affair: set torch to one thread before."""

    name: ClassVar[str] = "torch"
    packages: ClassVar[tuple[str, ...]] = ("torch",)

    def __init__(self, encoder: SEANetEncoder) -> None:
        self._encoder = encoder

    def encode(self, windows: Waveform) -> Features:
        """Encode windows [windows, channels, samples], one after the other, as latents [windows, 128, frames]."""
        import torch

        with torch.inference_mode():
            latents = [self._encoder(torch.from_numpy(window[None])) for window in windows]
            return np.asarray(torch.cat(latents).numpy(), dtype=np.float32)


def create_engine(name: str, encoder: SEANetEncoder, wanted: str, precision: Precision) -> Engine:
    """Make the engine that runs `encoder` (weight norm folded) for the representation `name`.

    `auto` is openvino where it is installed, and plain PyTorch elsewhere; the features record which.

    Raises:
        EngineError: the wanted engine is not installed, or cannot compute in `precision` here.
    """
    installed = find_spec("openvino") is not None
    if wanted == "openvino" and not installed:
        raise EngineError(
            f"{name}: engine openvino is wanted and not installed. Install the extra 'openvino', or choose "
            f"representations.{name}.engine torch."
        )
    if installed and wanted != "torch":
        from beyond_spectrograms.representations.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(name, encoder, precision)
    if precision != "fp32":
        raise EngineError(
            f"{name}: precision {precision} needs the engine openvino, which is not installed. Install "
            f"the extra 'openvino', or choose representations.{name}.precision fp32."
        )
    return TorchEngine(encoder)


def fold_weight_norm(encoder: SEANetEncoder) -> None:
    """Compute every convolution's weight once; weight_norm would compute it again at each call."""
    import torch

    for module in encoder.modules():
        if hasattr(module, "weight_g"):
            torch.nn.utils.remove_weight_norm(module)


def untrained_model(model: str, seed: int) -> EncodecModel:
    """Build the package's model `24khz` or `48khz` with weights drawn from `seed`, leaving torch's own state alone."""
    require("encodec", "torchaudio")
    import torch
    from encodec.model import EncodecModel

    build = EncodecModel.encodec_model_24khz if model == "24khz" else EncodecModel.encodec_model_48khz
    with torch.random.fork_rng(), warnings.catch_warnings():
        # encodec 0.1.1 uses the older of torch's two weight_norm functions.
        warnings.filterwarnings("ignore", message=".*weight_norm.* is deprecated", category=FutureWarning)
        torch.manual_seed(seed)
        return cast("EncodecModel", build(pretrained=False))


def load_checkpoint(model: EncodecModel, path: Path) -> None:
    """Load a state dict into `model` without running any code the file may hold.

    Raises:
        CheckpointError: the file holds more than tensors, or its tensors are not the model's.
    """
    try:
        state = read_checkpoint(path)
    except UnreadableError as error:
        raise CheckpointError(
            f"{path}: not a plain checkpoint of tensors, refused without running it. Delete it and download it again."
        ) from error
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not the weights of EnCodec at {model.sample_rate} Hz. {error}") from error
