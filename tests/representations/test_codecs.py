"""Engines and quantisers of codecs against the encodec package's own code and direct runs of Lyra's files."""

import functools
import os
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from beyond_spectrograms.data.audio import Format, Waveform
from beyond_spectrograms.params import STUDIES, Encodec, load_params
from beyond_spectrograms.params.representations import BITRATES
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import CheckpointError, EngineError, Representation
from beyond_spectrograms.representations.encodec import EncodecLatents, create_engine, untrained_model
from support.clones import run
from support.common import noise, refusal, stack
from support.numeric import UNIT, assert_rounded, distance, likely, shake
from support.repository import REPOSITORY

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")

ENGINES = ["openvino", "torch"]
# Terms that are summed one after the other on the way to a latent: channels x taps of all convolutions, 13,000, and the
# 2 x 1024 of the LSTM in each of 150 frames.
TERMS = 13_000 + 2 * 1024 * 150
FORMATS = {"24khz": Format(24_000, 1), "48khz": Format(48_000, 2)}
ONE_LONG = ["24khz", pytest.param("48khz", marks=pytest.mark.long)]  # the same code at twice the rate and channels


def encodec(model: str, engine: str = "auto", **options: Any) -> EncodecLatents:
    record = Encodec(kind="encodec", weights="untrained", model=model, seed=3, engine=engine, **options)
    return EncodecLatents("untrained", record, [])


ready = functools.cache(encodec)


@pytest.fixture(autouse=True, scope="module")
def gone_afterwards() -> Iterator[None]:
    """Let go of the encoders, some gigabytes, after the last test here."""
    yield
    ready.cache_clear()
    packages_encoder.cache_clear()


@functools.cache
def packages_encoder(model: str, dtype: torch.dtype) -> torch.nn.Module:
    return untrained_model(model, 3).encoder.eval().to(dtype)


def packages_latents(model: str, windows: Waveform, dtype: torch.dtype = torch.float32) -> npt.NDArray[Any]:
    encoder = packages_encoder(model, dtype)
    with torch.inference_mode():
        return np.concatenate([encoder(torch.from_numpy(window[None]).to(dtype)).numpy() for window in windows])


def stereo(count: int, seconds: float) -> Waveform:
    """Windows [count, 2, samples] whose channels differ."""
    sounds = [noise(seconds, 48_000, seed) * 10.0 ** -(seed // 2) for seed in range(2 * count)]
    return np.stack(sounds).reshape(count, 2, -1).astype(np.float32)


@pytest.mark.numeric
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", FORMATS)
@pytest.mark.parametrize("seconds", [0.3, 1.001])
def test_latents_are_the_packages_own(model: str, engine: str, seconds: float) -> None:
    form = FORMATS[model]
    windows = stereo(2, seconds) if form.channels == 2 else stack(2, form, seconds)
    found, own = ready(model, engine).encode(windows, form.sample_rate), packages_latents(model, windows)
    assert found.shape == own.shape
    if engine == "torch":
        assert np.array_equal(found, own)  # the same kernels: not a bit differs
    reference = packages_latents(model, windows, torch.float64)
    for window, plain, exact in zip(found, own, reference, strict=True):
        assert_rounded(window, exact, roundings=likely(TERMS), lost=distance(plain, exact))


@pytest.mark.numeric
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", FORMATS)
def test_a_windows_bits_depend_on_no_other_window(model: str, engine: str) -> None:
    representation, form = ready(model, engine), FORMATS[model]
    windows = stack(3, form, 0.5)
    together = representation.encode(windows, form.sample_rate)
    for window, found in zip(windows, together, strict=True):
        np.testing.assert_array_equal(representation.encode(window[None], form.sample_rate)[0], found)
    np.testing.assert_array_equal(representation.encode(windows[::-1], form.sample_rate), together[::-1])


DIGEST = """
import hashlib, os, sys
os.environ.pop("OMP_NUM_THREADS")  # as many threads as there are cores
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: int(sys.argv[1])]))
import numpy as np
from beyond_spectrograms.params import Encodec
from beyond_spectrograms.representations.encodec import EncodecLatents
windows = np.random.default_rng(0).normal(0, 0.1, (3, 1, 12_000)).astype(np.float32)
for engine in ("openvino", "torch"):
    record = Encodec(kind="encodec", weights="untrained", model="24khz", seed=3, engine=engine)
    print(hashlib.sha256(EncodecLatents("untrained", record, []).encode(windows, 24_000).tobytes()).hexdigest())
"""


@pytest.mark.long
def test_bits_do_not_depend_on_how_many_cores_there_are() -> None:
    one, two = (run(REPOSITORY, sys.executable, "-c", DIGEST, cores, errors=False) for cores in ("1", "2"))
    assert len(set(one.split())) == 2  # one digest an engine
    assert one == two


@pytest.mark.numeric
@pytest.mark.parametrize("model", ONE_LONG)
def test_bf16_is_near_and_not_equal(model: str) -> None:
    from openvino import Core

    if "BF16" not in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor does not multiply in bf16")
    if os.environ.get("ONEDNN_MAX_CPU_ISA") == "AVX2":
        pytest.skip("oneDNN is held to kernels without bf16; OpenVINO, which asks the processor, does not know")
    form = FORMATS[model]
    windows = stack(2, form, 0.5)
    found = encodec(model, precision="bf16").encode(windows, form.sample_rate)
    reference, plain = (packages_latents(model, windows, dtype) for dtype in (torch.float64, torch.float32))
    # Three roundings to 8 significant bits a layer: of its input, its weights and its output.
    encoder = shake(untrained_model(model, 3).encoder.eval().double(), 3 * int(2.0**-9 / UNIT))
    with torch.inference_mode():
        shaken = encoder(torch.from_numpy(windows).double()).numpy()
    assert_rounded(found, reference, roundings=0, lost=distance(shaken, reference))
    assert distance(found, reference) > 100 * distance(plain, reference)


def test_auto_is_openvino_where_it_is_installed_and_torch_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    found = encodec("24khz")
    assert (found.engine, found.packages) == ("openvino", ("encodec", "numpy", "torch", "openvino"))
    monkeypatch.setattr(f"{EncodecLatents.__module__}.find_spec", {"openvino": None}.__getitem__)
    assert encodec("24khz").engine == "torch"


class OldProcessor:
    """In place of openvino's Core."""

    def get_property(self, *_: str) -> list[str]:
        return ["FP32", "INT8"]


@pytest.mark.parametrize(
    ("installed", "engine", "precision", "message"),
    [
        (False, "openvino", "fp32", "engine openvino is wanted and not installed. Install the extra 'openvino', or "
         "choose representations.codec.engine torch."),
        (False, "auto", "bf16", "precision bf16 needs the engine openvino, which is not installed. Install the extra "
         "'openvino', or choose representations.codec.precision fp32."),
        (True, "auto", "bf16", "precision bf16 needs a processor that multiplies in bf16 (avx512_bf16, amx_bf16); this "
         "one offers FP32, INT8. Choose representations.codec.precision fp32."),
    ],
)  # fmt: skip
def test_an_engine_that_cannot_do_what_is_asked_is_refused(
    installed: bool, engine: Any, precision: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from beyond_spectrograms.representations import openvino_engine

    monkeypatch.setattr(openvino_engine.ov, "Core", OldProcessor)
    if not installed:
        monkeypatch.setattr(f"{EncodecLatents.__module__}.find_spec", {"openvino": None}.__getitem__)
    given = ("codec", untrained_model("24khz", 0).encoder, engine, precision)
    assert refusal(EngineError, create_engine, *given) == f"codec: {message}"


def test_openvino_is_imported_without_what_reports_to_its_makers() -> None:
    program = (
        "from beyond_spectrograms.representations import openvino_engine\n"
        "from openvino.tools import ovc\n"
        "print(type(ovc.telemetry).__module__)"
    )
    told = run(REPOSITORY, sys.executable, "-c", program, errors=False)
    assert told == "openvino.tools.ovc.telemetry_stub\n"


# Latents through a codec's quantiser, and its codes.
RECORDS = load_params(STUDIES / "bitrates", REPOSITORY).representations
QUANTIZED = {bitrate: f"soundstream_{bitrate}bps" for bitrate in (3200, 6000, 9200)}


def soundstream(mirror: Path, name: str) -> Representation:
    files = [mirror / "soundstream_encoder.tflite", mirror / "quantizer.tflite"]
    return create_representation(name, RECORDS[name], files[: 1 + (name != "soundstream")])


@pytest.mark.parametrize("bitrate", QUANTIZED)
@pytest.mark.numeric
def test_quantised_soundstream_is_a_direct_run_of_lyras_quantiser(mirror: Path, bitrate: int) -> None:
    from ai_edge_litert.interpreter import Interpreter

    plain, quantized = soundstream(mirror, "soundstream"), soundstream(mirror, QUANTIZED[bitrate])
    windows = stack(2, plain.form)
    features = quantized.encode(windows, 16_000)
    assert features.shape == (2, 64, 50)
    direct = Interpreter(model_path=str(mirror / "quantizer.tflite"), num_threads=1)
    encode, decode = direct.get_signature_runner("encode"), direct.get_signature_runner("decode")
    for latents, found in zip(plain.encode(windows, 16_000), features, strict=True):
        for frame in range(50):
            count = np.array(bitrate // 200, dtype=np.int32)  # 4 bits of each of 50 frames a second
            codes = encode(input_frames=latents[:, frame].reshape(1, 1, 64), num_quantizers=count)["output_0"]
            expected = decode(encoding_indices=codes)["output_0"]
            np.testing.assert_array_equal(found[:, frame], expected.ravel())


@pytest.mark.numeric
def test_soundstream_codes_are_entries_of_16_in_bitrate_over_200_codebooks(mirror: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    bitrate = 3200
    codes, plain = soundstream(mirror, f"soundstream_codes_{bitrate}bps"), soundstream(mirror, "soundstream")
    windows = stack(3, codes.form)
    found = codes.encode(windows, 16_000)
    assert found.shape == (3, bitrate // 50 // 4, 50)
    assert set(np.unique(found)) <= set(range(16))
    assert len(np.unique(found)) > 8
    encode = Interpreter(model_path=str(mirror / "quantizer.tflite"), num_threads=1).get_signature_runner("encode")
    latent = plain.encode(windows, 16_000)[1, :, 7].reshape(1, 1, 64)
    direct = encode(input_frames=latent, num_quantizers=np.int32(bitrate // 200))["output_0"].ravel()
    np.testing.assert_array_equal(found[1, :, 7], direct[: bitrate // 200])
    assert set(direct[bitrate // 200 :]) <= {-1}  # the codebooks left out


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("quantizer", "quantizer"), "its weights file is not Lyra's SoundStream encoder. "),
        (("soundstream_encoder", "soundstream_encoder"), "its second weights file is not Lyra's quantiser. "),
    ],
)
@pytest.mark.numeric
def test_lyras_files_in_the_wrong_place_are_refused(mirror: Path, files: tuple[str, str], message: str) -> None:
    name = "soundstream_3200bps"
    mixed = create_representation(name, RECORDS[name], [mirror / f"{file}.tflite" for file in files])
    assert refusal(CheckpointError, mixed.encode, stack(1, mixed.form), 16_000).startswith(f"{name}: {message}")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.numeric
@pytest.mark.parametrize("model", ONE_LONG)
def test_quantised_encodec_is_the_packages_own_at_every_bitrate(tmp_path: Path, model: str) -> None:
    from encodec.model import EncodecModel

    state, path = untrained_model(model, 4).state_dict(), tmp_path / "encodec.th"
    generator = torch.Generator().manual_seed(4)
    for key in [key for key in state if key.endswith("_codebook.embed")]:
        state[key] = 0.1 * torch.randn(state[key].shape, generator=generator)  # untrained, and not all zero
    torch.save(state, path)
    build, rate, bits = {
        "24khz": (EncodecModel.encodec_model_24khz, 24_000, 750),  # 10 bits of each of 75 frames a second
        "48khz": (EncodecModel.encodec_model_48khz, 48_000, 1500),
    }[model]
    package = build(pretrained=False).eval()
    package.load_state_dict(torch.load(path, weights_only=True))
    named = {
        record.bitrate: name
        for name, record in RECORDS.items()
        if isinstance(record, Encodec) and record.model == model and record.bitrate and not record.codes
    }
    assert sorted(named) == [1000 * kbps for kbps in package.target_bandwidths] == list(BITRATES[model])
    windows = stack(2, Format(rate, 1 if model == "24khz" else 2), 0.4)
    seen = []
    for bitrate, name in named.items():
        # The package's own bits decide which entry is near.
        record = RECORDS[name].model_copy(update={"engine": "torch"})
        dequantized = create_representation(name, record, [path]).encode(windows, rate)
        codes = create_representation(name, record.model_copy(update={"codes": True}), [path]).encode(windows, rate)
        assert dequantized.shape == (2, 128, rate // 800)
        assert codes.shape == (2, bitrate // bits, rate // 800)
        with torch.no_grad():
            for window, mine, tokens in zip(windows, dequantized, codes, strict=True):
                latents = package.encoder(torch.tensor(window).unsqueeze(0))
                expected = package.quantizer.encode(latents, package.frame_rate, bitrate / 1000)
                np.testing.assert_array_equal(tokens, expected[:, 0].numpy())
                np.testing.assert_array_equal(mine, package.quantizer.decode(expected)[0].numpy())
        assert 0 <= codes.min() < codes.max() <= 1023
        np.testing.assert_array_equal(codes, np.round(codes))
        seen.append(dequantized)
    assert all(not np.array_equal(first, second) for first, second in pairwise(seen))
