"""Encoders in TFLite and ONNX files: against direct runs of their runtimes, and every way of not fitting a record."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from onnx import TensorProto, helper, numpy_helper

from beyond_spectrograms.data.audio import Format, mono_at
from beyond_spectrograms.params import load_params
from beyond_spectrograms.params.encoders import Onnx, TFLite
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import CheckpointError, Representation, RepresentationError
from support.common import noise, refusal, stack
from support.repository import REPOSITORY

RECORDS = load_params(root=REPOSITORY).representations
YAMNET = "yamnet_audio_classifier_with_metadata.tflite"
KERNEL = np.random.default_rng(0).normal(0, 0.1, (6, 1, 400)).astype(np.float32)  # six bands, hop 320
SETTINGS: dict[str, Any] = {"weights": "w", "sample_rate": 16_000, "samples": None, "hop_length": 320}


def write_encoder(
    path: Path,
    *,
    swapped: bool = False,
    length: int | str = "samples",
    more: bool = False,
    pooled: bool = False,
    metadata: dict[str, str] | None = None,
    external: bool = False,
) -> Path:
    """Write a convolution as ONNX: sound [1, 1, samples] -> latents [1, 6, frames] or, swapped, [1, frames, 6].

    `pooled`: the mean over frames. `external`: its kernel in a file beside it, as torch's exporter writes it.
    """
    nodes = [helper.make_node("Conv", ["sound", "kernel"], ["latents"], strides=[320])]
    if swapped:
        nodes = [
            helper.make_node("Conv", ["sound", "kernel"], ["bands"], strides=[320]),
            helper.make_node("Transpose", ["bands"], ["latents"], perm=[0, 2, 1]),
        ]
    if pooled:
        nodes = [nodes[0], helper.make_node("ReduceMean", ["latents"], ["mean"], axes=[2], keepdims=1)]
    inputs = [helper.make_tensor_value_info("sound", TensorProto.FLOAT, [1, 1, length])]
    inputs += [helper.make_tensor_value_info("state", TensorProto.FLOAT, [1])] * more
    outputs = [helper.make_tensor_value_info("mean" if pooled else "latents", TensorProto.FLOAT, [1, None, None])]
    graph = helper.make_graph(nodes, "encoder", inputs, outputs, [numpy_helper.from_array(KERNEL, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path, save_as_external_data=external, location=f"{path.name}.data", size_threshold=0)
    return path


def make(path: Path, **settings: Any) -> Representation:
    return create_representation("mine", Onnx(kind="onnx", **SETTINGS | settings), [path])


def latents(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Convolve sound [windows, samples] by torch."""
    return torch.nn.functional.conv1d(torch.from_numpy(sound)[:, None], torch.from_numpy(KERNEL), stride=320).numpy()


@pytest.mark.numeric
@pytest.mark.parametrize(("rate", "form"), [(16_000, Format(16_000, 1)), (32_000, Format(48_000, 2))])
@pytest.mark.parametrize("swapped", [False, True])
def test_an_onnx_encoder_gives_what_its_graph_computes(tmp_path: Path, rate: int, form: Format, swapped: bool) -> None:
    path = write_encoder(tmp_path / "encoder.onnx", swapped=swapped)
    made = make(path, sample_rate=rate, layout="frames_bands" if swapped else "bands_frames")
    windows = stack(3, form)
    expected = latents(mono_at(rate, windows, form))
    assert (made.form, made.bands, made.frame_rate) == (form, 6, rate / 320)
    assert made.frames(form.sample_rate) == expected.shape[2] == (rate - 400) // 320 + 1
    np.testing.assert_allclose(made.encode(windows, form.sample_rate), expected, atol=1e-5)


@pytest.mark.numeric
def test_a_whole_clip_is_heard_at_once_and_its_frames_are_cut(tmp_path: Path) -> None:
    made = make(write_encoder(tmp_path / "encoder.onnx"), layout="bands_frames", context="clip")
    clip = noise(2.5, 16_000)[None].astype(np.float32)
    cut = made.encode_clip(clip, [0.0, 0.5, 2.0], 1.0)
    whole = latents(np.concatenate([clip, clip[:, -2:-8_002:-1]], axis=1))[0]  # reflected to three seconds
    assert made.hears_clips
    assert cut.shape == (3, 6, 49)
    for window, first in zip(cut, (0, 25, 100), strict=True):
        np.testing.assert_allclose(window, whole[:, first : first + 49], atol=1e-5)


def test_a_call_of_fixed_length_gives_a_frame_and_a_short_window_is_padded(tmp_path: Path) -> None:
    made = make(write_encoder(tmp_path / "encoder.onnx", length=400), samples=400, layout="bands_frames")
    sound = noise(0.1, 16_000)[None, None].astype(np.float32)
    assert made.frames(1600) == 4
    np.testing.assert_allclose(made.encode(sound, 16_000), latents(sound[0]), atol=1e-5)
    short = made.encode(sound[:, :, :100], 16_000)
    np.testing.assert_allclose(short, latents(np.pad(sound[0, :, :100], ((0, 0), (0, 300)))), atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "settings", "told"),
    [
        ({}, {"output": "scores"}, "has no output 'scores'. Choose from latents"),
        ({"more": True}, {}, "takes sound tensor(float), state tensor(float); one input tensor(float) is expected"),
        ({"length": 800}, {"samples": 400}, "takes [1, 1, 800], and samples says 400"),
        (
            {},
            {"samples": 1600, "layout": "bands_frames"},
            "gives [1, 6, 4] for a call of 1600 samples; one vector is expected. "
            "Leave samples out if it takes sound of any length",
        ),
    ],
)
def test_an_onnx_file_that_does_not_fit_its_record_is_refused(
    tmp_path: Path, wrong: dict[str, Any], settings: dict[str, Any], told: str
) -> None:
    path = write_encoder(tmp_path / "encoder.onnx", **wrong)
    assert refusal(CheckpointError, make, path, **settings) == f"mine: encoder.onnx: {told}"


# What the convolution of hop 320 is told to be, and what it is.
@pytest.mark.parametrize("context", ["window", "clip"])
@pytest.mark.parametrize("hop", [160, 300, 640, 48_000])
def test_a_hop_length_that_is_not_the_models_is_refused(tmp_path: Path, hop: int, context: str) -> None:
    path = write_encoder(tmp_path / "encoder.onnx")
    assert refusal(CheckpointError, make, path, layout="bands_frames", hop_length=hop, context=context) == (
        "mine: encoder.onnx: gives 49 frames for 16000 samples and 99 for 32000, one every 320; "
        f"hop_length says one every {hop}"
    )


def test_a_hop_length_that_is_off_by_little_is_refused_where_a_clips_frames_run_out(tmp_path: Path) -> None:
    made = make(write_encoder(tmp_path / "encoder.onnx"), layout="bands_frames", hop_length=319, context="clip")
    clip = noise(30, 16_000)[None].astype(np.float32)
    assert made.encode_clip(clip[:, :80_000], [0.0, 4.0], 1.0).shape == (2, 6, 49)
    assert refusal(RepresentationError, made.encode_clip, clip, [0.0, 29.0], 1.0) == (
        "mine: gave 1499 frames for a clip of 30 s, 5 fewer than its windows need at 50.1567 a second. "
        "Choose context: window."
    )


def test_one_vector_for_all_it_hears_is_a_windows_and_its_hop_length_the_windows(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "encoder.onnx", pooled=True)
    assert refusal(CheckpointError, make, path, layout="bands_frames", context="clip") == (
        "mine: encoder.onnx: gives one vector for all it hears, which cannot be cut into windows. "
        "Choose context: window"
    )
    made = make(path, layout="bands_frames")
    assert refusal(CheckpointError, made.encode, stack(1, made.form), 16_000) == (
        "mine: encoder.onnx: gives one vector for all it hears: for a window of 16000 samples hop_length is 16000, "
        "not 320"
    )
    whole = make(path, layout="bands_frames", hop_length=16_000)
    windows = stack(2, whole.form)
    assert whole.frame_rate == 1
    np.testing.assert_allclose(whole.encode(windows, 16_000), latents(windows[:, 0]).mean(2, keepdims=True), atol=1e-5)


def test_weights_in_a_file_beside_an_onnx_file_are_refused_wherever_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_encoder(tmp_path / "encoder.onnx", external=True)
    assert (tmp_path / "encoder.onnx.data").stat().st_size == KERNEL.nbytes
    told = (
        "mine: encoder.onnx: its weights stand in a file beside it, and a record has one file. Export it as one: "
        "torch.onnx.export(..., external_data=False), or onnx.save(onnx.load(path), path)"
    )
    assert refusal(CheckpointError, make, path) == told
    monkeypatch.chdir(tmp_path)  # where onnxruntime would find it, and no digest would be asked
    assert refusal(CheckpointError, make, path) == told
    onnx.save(onnx.load(path), path)  # as the message says
    assert make(path, layout="bands_frames").bands == 6


@pytest.mark.parametrize("key", ["sample_rate", "sampling_rate"])
def test_a_rate_in_an_onnx_files_metadata_is_that_of_the_record(tmp_path: Path, key: str) -> None:
    path = write_encoder(tmp_path / "encoder.onnx", metadata={key: "24000", "author": "someone"})
    told = "mine: encoder.onnx: its metadata says 24000 Hz, and sample_rate 16000"
    assert refusal(CheckpointError, make, path, layout="bands_frames") == told
    assert make(path, layout="bands_frames", sample_rate=24_000).frame_rate == 75


def test_files_of_another_kind_and_rates_too_fast_are_refused(tmp_path: Path) -> None:
    (path := tmp_path / "encoder.onnx").write_bytes(b"no model")
    assert refusal(CheckpointError, make, path).startswith("mine: encoder.onnx: not an ONNX model: ")
    told = "mine: sample_rate is 96000 Hz; clips are stored at 48000 Hz at most"
    assert refusal(RepresentationError, make, path, sample_rate=96_000) == told
    told = "mine: its weights file is missing. Run its featurize stage, which fetches it."
    assert refusal(CheckpointError, make, tmp_path / "gone.onnx") == told
    record = TFLite(kind="tflite", **SETTINGS)
    assert refusal(CheckpointError, create_representation, "mine", record, [path]) == (
        "mine: encoder.onnx: not a TFLite model with an input: The model is not a valid Flatbuffer buffer"
    )


@pytest.mark.parametrize("name", ["yamnet", "yamnet_scores"])
def test_yamnet_gives_what_its_runtime_gives(mirror: Path, name: str) -> None:
    record = RECORDS[name]
    assert isinstance(record, TFLite)
    made = create_representation(name, record, [mirror / YAMNET])
    with pytest.warns(UserWarning, match="experimental_preserve_all_tensors"):
        plain = Interpreter(
            str(mirror / YAMNET), num_threads=1, experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN,
        )  # fmt: skip
    plain.allocate_tensors()
    windows, expected = stack(2, Format(16_000, 1), 1.5), []
    for window in windows[:, 0]:
        for first in (0, 7680):
            plain.set_tensor(0, window[first : first + 15_600])
            plain.invoke()
            if name == "yamnet":
                scale, zero = 0.022328350692987442, -128  # of tensor 115, the mean over time and frequency
                expected.append((plain.get_tensor(115).ravel().astype(np.float32) - zero) * np.float32(scale))
            else:
                expected.append(plain.get_tensor(120).ravel())
    features = made.encode(windows, 16_000)
    assert features.shape == (2, {"yamnet": 1024, "yamnet_scores": 521}[name], 2)
    assert np.array_equal(features.transpose(0, 2, 1).reshape(4, -1), np.array(expected))


def test_a_tflite_file_that_does_not_fit_its_record_is_refused(mirror: Path, tmp_path: Path) -> None:
    def refused(**changed: Any) -> str:
        record = RECORDS["yamnet"].model_copy(update=changed)
        return refusal(CheckpointError, create_representation, "yamnet", record, [mirror / YAMNET])

    told = f"yamnet: {YAMNET}: has no tensor 'embedding'. Its outputs are tower0/network/layer32/final_output; "
    assert refused(output="embedding") == told + "an inner one may be named, too"
    assert refused(sample_rate=8000) == f"yamnet: {YAMNET}: its metadata says 16000 Hz, and sample_rate 8000"
    content = (mirror / YAMNET).read_bytes()
    start = content.index(b"M001")  # of the metadata, behind the place of their first table
    (broken := tmp_path / YAMNET).write_bytes(content[: start - 4] + b"\xff\xff\xff\x7f" + content[start:])
    unknown = create_representation("yamnet", RECORDS["yamnet"].model_copy(update={"sample_rate": 8000}), [broken])
    assert unknown.frame_rate == 8000 / 7680  # damaged metadata say nothing
    assert refused(samples=16_000) == f"yamnet: {YAMNET}: takes [15600], and samples says 16000"


def test_a_tflite_model_of_another_length_is_refused_where_it_cannot_be_resized(mirror: Path) -> None:
    name = "soundstream_encoder.tflite"
    record = TFLite(kind="tflite", **SETTINGS, layout="frames_bands")
    told = refusal(CheckpointError, create_representation, "mine", record, [mirror / name])
    assert told.startswith(f"mine: {name}: cannot be run on 16000 samples: ")  # and what the runtime says
    assert "\n" not in told
