"""Any encoder that comes as a TFLite or ONNX file: mono sound in, vectors out, by its record alone.

YAMNet is one (TFLite); AudioDec's, NeMo's or a colleague's encoder comes in as an ONNX export.
"""

import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.audio import Waveform, mono_at, stored_format
from beyond_spectrograms.params import ModelFile
from beyond_spectrograms.representations.base import CheckpointError, Features, Representation, RepresentationError
from beyond_spectrograms.representations.soundstream import quiet_interpreter
from beyond_spectrograms.util.errors import require

Run = Callable[[Waveform], npt.NDArray[Any]]  # one call: mono sound [samples] -> what the model gives
PROBE_S = 1.0
# A TensorProto's external_data (field 13) with its first key, as onnx.proto has it.
ELSEWHERE = re.compile(rb"\x6a.{1,2}\n\x08location\x12", re.DOTALL)
RATE_KEYS = ("sample_rate", "sampling_rate")  # of an ONNX file's metadata, as some exporters write them


class ModelFileEncoder(Representation):
    """Vectors of a model file as [bands, frames].

    How many bands and frames there are is found by running it on white noise. A model with `samples` gives a frame a
    call; where a window is shorter than a call, zeros follow it, and what is left behind the last whole call is not
    heard. One without gives all its frames in one call, and must give one more for each further hop_length.
    """

    def __init__(self, name: str, record: ModelFile, weights: Sequence[Path]) -> None:
        self.name, self._record, self._file = name, record, weights[0] if weights else Path()
        self._require(weights)
        try:
            self.form = stored_format(record.sample_rate)
        except ValueError as error:
            raise RepresentationError(f"{name}: sample_rate is {error}") from None
        self.hears_clips = record.hears_clips
        self.engine, load = RUNTIMES[record.kind]
        self.packages = (self.engine, "numpy")
        self._run = load(self._file.read_bytes(), record, self._error)
        self.hop_length = round(record.hop_length * self.form.sample_rate / record.sample_rate)
        self._frames: dict[int, int] = {}
        length = round(PROBE_S * record.sample_rate)
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * length).astype(np.float32)
        heard = self._frames_of(noise[:length])
        self.bands = len(heard)
        self._one_vector = record.samples is None and self._check_hop(
            heard.shape[1], self._frames_of(noise).shape[1], length
        )

    @property
    def frame_rate(self) -> float:
        """Frames per second, by the model's own rate."""
        return self._record.sample_rate / self._record.hop_length

    def frames(self, samples: int) -> int:
        """Count the frames of a window of `samples` samples of `form`, as the model makes them."""
        if samples not in self._frames:
            own = mono_at(self._record.sample_rate, np.zeros((1, 1, samples), np.float32), self.form)[0]
            if self._one_vector and len(own) != self._record.hop_length:
                raise self._error(
                    f"gives one vector for all it hears: for a window of {len(own)} samples hop_length is {len(own)}, "
                    f"not {self._record.hop_length}"
                )
            self._frames[samples] = self._frames_of(own).shape[1]
        return self._frames[samples]

    def _encode(self, windows: Waveform) -> Features:
        return np.stack([self._frames_of(window) for window in mono_at(self._record.sample_rate, windows, self.form)])

    def _frames_of(self, sound: Waveform) -> Features:
        """Encode mono sound [samples] as [bands, frames]."""
        samples, hop = self._record.samples, self._record.hop_length
        if samples is None:
            return self._oriented(self._run(sound))
        if len(sound) < samples:
            sound = np.pad(sound, (0, samples - len(sound)))
        firsts = range(0, len(sound) - samples + 1, hop)
        calls = [self._run(sound[first : first + samples]) for first in firsts]
        if calls[0].squeeze().ndim > 1:
            raise self._error(
                f"gives {list(calls[0].shape)} for a call of {samples} samples; one vector is expected. "
                "Leave samples out if it takes sound of any length"
            )
        return np.stack([call.ravel() for call in calls], axis=1).astype(np.float32, copy=False)

    def _check_hop(self, short: int, long: int, samples: int) -> bool:
        """Refuse a hop_length that is not the model's, which gave so many frames for `samples` and twice as many.

        Returns:
            whether it gives one vector for all it hears.
        """
        hop, given = self._record.hop_length, f"gives {short} frames for {samples} samples and {long} for {2 * samples}"
        if long == short == 1:
            if self.hears_clips:
                raise self._error(
                    "gives one vector for all it hears, which cannot be cut into windows. Choose context: window"
                )
            return True
        if abs(long - short - samples / hop) >= 1:  # below: a hop that is no divisor
            every = f", one every {samples / (long - short):g}" if long > short else ""
            raise self._error(f"{given}{every}; hop_length says one every {hop}")
        return False

    def _oriented(self, given: npt.NDArray[Any]) -> Features:
        """Bring [1, frames, bands], or [1, bands, frames] by the record's layout, to [bands, frames]."""
        if given.ndim == 2:
            given = given[:, None] if self._record.layout == "frames_bands" else given[:, :, None]
        if given.ndim != 3 or given.shape[0] != 1:
            raise self._error(f"gives {list(given.shape)}; [1, bands, frames] or [1, frames, bands] is expected")
        frames = given[0].T if self._record.layout == "frames_bands" else given[0]
        return np.ascontiguousarray(frames, dtype=np.float32)

    def _error(self, reason: str) -> CheckpointError:
        return CheckpointError(f"{self.name}: {self._file.name}: {reason}")


def load_tflite(model: bytes, record: ModelFile, error: Callable[[str], CheckpointError]) -> Run:
    """Make what calls a TFLite model on one thread. Tensors of whole numbers are brought to their real values."""
    require("ai_edge_litert")
    try:
        interpreter = quiet_interpreter(model, record.output is not None)
        [source, *others] = interpreter.get_input_details()
    except (ValueError, RuntimeError) as reason:
        raise error(f"not a TFLite model with an input: {' '.join(str(reason).split())}") from None
    if others or source["dtype"] != np.float32:
        raise error(f"takes {1 + len(others)} inputs, the first {source['dtype'].__name__}; one of float32 is expected")
    if (told := _rate_in_tflite(model)) not in (None, record.sample_rate):
        raise error(f"its metadata says {told} Hz, and sample_rate {record.sample_rate}")
    outputs = interpreter.get_output_details()
    choices = outputs if record.output is None else interpreter.get_tensor_details()
    wanted = outputs[0]["name"] if record.output is None else record.output
    found = [tensor for tensor in choices if tensor["name"] == wanted]
    if not found:
        names = ", ".join(tensor["name"] for tensor in outputs)
        raise error(f"has no tensor {wanted!r}. Its outputs are {names}; an inner one may be named, too")
    taken, sizes = found[0], [int(size) for size in source["shape"]]

    def run(sound: Waveform) -> npt.NDArray[Any]:
        shape = [1] * (len(sizes) - 1) + [len(sound)]
        resized = shape != [int(size) for size in interpreter.get_input_details()[0]["shape"]]
        if resized and record.samples is not None and int(np.prod(sizes)) > 1:
            raise error(f"takes {sizes}, and samples says {record.samples}")
        try:
            if resized:
                interpreter.resize_tensor_input(source["index"], shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(source["index"], sound.reshape(shape))
            interpreter.invoke()
            given: npt.NDArray[Any] = interpreter.get_tensor(taken["index"])
        except (ValueError, RuntimeError) as reason:
            raise error(f"cannot be run on {len(sound)} samples: {' '.join(str(reason).split())}") from None
        scale, zero = taken["quantization"]
        return (given.astype(np.float32) - zero) * np.float32(scale) if scale else given

    return run


def _rate_in_tflite(model: bytes) -> int | None:
    """Read the sample rate in Hz that a TFLite file's metadata has for its first input; None where they tell none.

    Source: metadata_schema.fbs of tensorflow/tflite-support; numbers below are its fields' places in their tables.
    """
    from ai_edge_litert.schema_py_generated import Model
    from flatbuffers import encode, number_types, table

    def follow(parent: Any, field: int, *, first: bool = False) -> Any:
        """Give the table of a field, or the first of its list of tables; None where it is not set."""
        if parent is None or not (at := parent.Offset(4 + 2 * field)):
            return None
        if not first:
            return table.Table(parent.Bytes, parent.Indirect(parent.Pos + at))
        return table.Table(parent.Bytes, parent.Indirect(parent.Vector(at))) if parent.VectorLen(at) else None

    found: Any = Model.GetRootAs(model)
    for entry in map(found.Metadata, range(found.MetadataLength())):
        if entry.Name() != b"TFLITE_METADATA":
            continue
        try:
            content = bytes(found.Buffers(entry.Buffer()).DataAsNumpy())
            root = table.Table(content, encode.Get(number_types.UOffsetTFlags.packer_type, content, 0))
            heard = follow(follow(follow(root, 3, first=True), 2, first=True), 3)  # of the first graph's first input
            kind = heard.Offset(4) if heard else 0
            if kind and heard.Get(number_types.Uint8Flags, heard.Pos + kind) == 4:  # AudioProperties
                audio = follow(heard, 1)
                at = audio.Offset(4)
                return int(audio.Get(number_types.Uint32Flags, audio.Pos + at)) if at else None
        except (struct.error, ValueError, TypeError, IndexError):  # damaged; the model itself was read
            return None
    return None


def load_onnx(model: bytes, record: ModelFile, error: Callable[[str], CheckpointError]) -> Run:
    """Make what calls an ONNX model on one thread of the processor."""
    require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the last bits of a sum depend on how many
    options.log_severity_level = 4  # errors are raised as well
    if ELSEWHERE.search(model):  # onnxruntime would look for it in the folder one runs in
        raise error(
            "its weights stand in a file beside it, and a record has one file. Export it as one: "
            "torch.onnx.export(..., external_data=False), or onnx.save(onnx.load(path), path)"
        )
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # onnxruntime's errors share no class of their own
        raise error(f"not an ONNX model: {' '.join(str(reason).split())}") from None
    told = session.get_modelmeta().custom_metadata_map
    for rate in (told[key] for key in RATE_KEYS if key in told):
        if rate != str(record.sample_rate):
            raise error(f"its metadata says {rate} Hz, and sample_rate {record.sample_rate}")
    inputs, names = session.get_inputs(), [output.name for output in session.get_outputs()]
    if len(inputs) != 1 or inputs[0].type != "tensor(float)":
        taken = ", ".join(f"{one.name} {one.type}" for one in inputs)
        raise error(f"takes {taken}; one input tensor(float) is expected")
    if record.output is not None and record.output not in names:
        raise error(f"has no output {record.output!r}. Choose from {', '.join(names)}")
    output, rank, last = record.output or names[0], len(inputs[0].shape), inputs[0].shape[-1]
    if record.samples is not None and isinstance(last, int) and last != record.samples:
        raise error(f"takes {inputs[0].shape}, and samples says {record.samples}")

    def run(sound: Waveform) -> npt.NDArray[Any]:
        try:
            given: npt.NDArray[Any] = session.run([output], {inputs[0].name: sound.reshape([1] * (rank - 1) + [-1])})[0]
        except Exception as reason:  # as above
            raise error(f"cannot be run on {len(sound)} samples: {' '.join(str(reason).split())}") from None
        return given

    return run


# By the kind of a record: the distribution that runs it, and what makes the call.
RUNTIMES: dict[str, tuple[str, Callable[[bytes, ModelFile, Callable[[str], CheckpointError]], Run]]] = {
    "tflite": ("ai-edge-litert", load_tflite),
    "onnx": ("onnxruntime", load_onnx),
}
