"""Lyra v2's SoundStream encoder, and its quantiser where a bitrate is asked for: TFLite files run by ai-edge-litert."""

import os
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from beyond_spectrograms.data.audio import Format, Waveform
from beyond_spectrograms.params import SoundStream
from beyond_spectrograms.representations.base import CheckpointError, Coded, Features, Representation
from beyond_spectrograms.util.errors import require

_greeting, _greeted = threading.Lock(), threading.Event()  # one thread at a time turns stderr; whether it was done
LEFT_OUT = -1  # in place of a code: the codebook is not used
BITS = 4  # of a code: lyra's quantizer.tflite gives it as the second output of `encode`


class SoundStreamLatents(Representation):
    """Latents [64, samples // 320] of 16 kHz mono, 50 frames a second.

    The encoder is stateful, 320 samples a call. The delegate (XNNPACK) and the single thread are pinned because another
    delegate differs by a quantisation step. Windows are encoded one by one: two threads with an interpreter each wait
    for each other and take 1.1 times as long as one.

    With a bitrate each frame goes through the residual vector quantiser and back, or its `codes` are kept: entry
    numbers, 0 to 15, a band a codebook. A frame has bitrate / 50 bits, 4 for each codebook used (Lyra's
    residual_vector_quantizer.cc); a codebook left out is number -1.
    """

    packages = ("ai-edge-litert", "numpy")
    engine = "ai-edge-litert"

    def __init__(self, name: str, record: SoundStream, weights: Sequence[Path]) -> None:
        self.name = name
        self._require(weights)
        self.form = Format(16_000, 1)
        self.hop_length = 320
        self._codebooks = 0 if record.bitrate is None else round(record.bitrate / self.frame_rate / BITS)
        self._codes = record.codes
        self.bands = self._codebooks if record.codes else 64
        self._model, *quantizer = [path.read_bytes() for path in weights]
        self._quantizer_model = quantizer[0] if quantizer else b""

    def frames(self, samples: int) -> int:
        """Count whole hops: the encoder takes no partial one."""
        return samples // self.hop_length

    def _encode(self, windows: Waveform) -> Features:
        frames, hop = self.frames(windows.shape[2]), self.hop_length
        hops = windows[:, 0, : frames * hop].reshape(len(windows), frames, 1, hop)
        try:
            encoded = np.array([run_model(self._model, window) for window in hops], dtype=np.float32)
            latents = np.ascontiguousarray(encoded.reshape(len(windows), frames, 64).transpose(0, 2, 1))
        except ValueError as error:  # all that the runtime raises, for a broken file as for another model's
            raise CheckpointError(
                f"{self.name}: its weights file is not Lyra's SoundStream encoder. {error}"
            ) from error
        if not self._codebooks:
            return latents
        try:
            return self._quantize(latents)
        except ValueError as error:
            raise CheckpointError(f"{self.name}: its second weights file is not Lyra's quantiser. {error}") from error

    def coded(self) -> Coded:
        """Give the codes, and what the quantiser's file makes of each entry alone: it adds them up one by one."""
        if not self._codebooks:
            return super().coded()
        if self._codes:
            return Coded(self, 1 << BITS, None)
        decode = _interpreter(self._quantizer_model).get_signature_runner("decode")
        unused = np.full(decode.get_input_details()["encoding_indices"]["shape"], LEFT_OUT, np.int32)
        codebooks = np.empty((self._codebooks, 1 << BITS, self.bands), np.float32)
        for number, entry in np.ndindex(codebooks.shape[:2]):
            one = unused.copy()
            one[number] = entry
            codebooks[number, entry] = decode(encoding_indices=one)["output_0"].ravel()
        encoder = copy(self)
        encoder.bands, encoder._codes = self._codebooks, True
        return Coded(encoder, 1 << BITS, codebooks)

    def _quantize(self, latents: Features) -> Features:
        """Quantise latents [windows, 64, frames], frame by frame: dequantised, or [windows, codebooks, frames]."""
        interpreter = _interpreter(self._quantizer_model)
        encode, decode = (interpreter.get_signature_runner(name) for name in ("encode", "decode"))
        quantized = np.empty((len(latents), self.bands, latents.shape[2]), dtype=np.float32)
        for window, frame in np.ndindex(len(latents), latents.shape[2]):
            latent = np.ascontiguousarray(latents[window, :, frame]).reshape(1, 1, -1)
            codes: Any = encode(input_frames=latent, num_quantizers=np.int32(self._codebooks))["output_0"]
            if self._codes:
                quantized[window, :, frame] = codes[: self._codebooks, 0, 0]
            else:
                quantized[window, :, frame] = decode(encoding_indices=codes)["output_0"].ravel()
        return quantized


def run_model(model: bytes, inputs: Waveform) -> list[Any]:
    """Run a stateful model on inputs [calls, ...] one after the other; gives its output of every call.

    It gets an interpreter of its own: `reset_all_variables` does not clear its state.

    Raises:
        ValueError: the model is broken, or takes other inputs.
    """
    interpreter = quiet_interpreter(model)
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]
    outputs = []
    for given in inputs:
        interpreter.set_tensor(source, given)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(result))
    return outputs


def quiet_interpreter(model: bytes, keep_all: bool = False) -> Any:
    """Make an interpreter on one thread, ready to be called; with `keep_all` inner tensors can be read after a call.

    Raises:
        ValueError: the model is broken.
    """
    interpreter = _interpreter(model, keep_all)
    with _ungreeted():
        interpreter.allocate_tensors()
    return interpreter


def _interpreter(model: bytes, keep_all: bool = False) -> Any:
    require("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors.*")  # it takes memory: we know
        return Interpreter(
            model_content=model,
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN,
            experimental_preserve_all_tensors=keep_all,
        )


@contextmanager
def _ungreeted() -> Iterator[None]:
    """Keep off stderr the line of INFO that the runtime writes when a process first makes its delegate.

    It has no setting for that. All else that is written meanwhile is passed on.
    """
    if _greeted.is_set():
        yield
        return
    with _greeting, tempfile.TemporaryFile() as written:
        stderr = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            os.write(2, b"".join(line for line in written if not line.startswith(b"INFO: Created TensorFlow Lite")))
            _greeted.set()
