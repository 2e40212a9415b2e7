"""Every engine against the encodec package's own encoder, seeded and untrained."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, stack

from beyond_spectrograms.audio import Format, Waveform
from beyond_spectrograms.params import Encodec
from beyond_spectrograms.representations import engines
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.representations.encodec import EncodecLatents, untrained_model
from beyond_spectrograms.representations.engines import EngineError, create_engine

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")

Sound = Callable[..., Waveform]
ENGINES = ["openvino", "torch"]
FORMATS = {"24khz": Format(24_000, 1), "48khz": Format(48_000, 2)}


def encodec(model: str, engine: str = "auto", **options: Any) -> EncodecLatents:
    record = Encodec(kind="encodec", weights="untrained", model=model, seed=3, engine=engine, **options)
    return EncodecLatents("untrained", record, [])


ready = functools.cache(encodec)


@functools.cache
def packages_encoder(model: str) -> torch.nn.Module:
    return untrained_model(model, 3).encoder.eval()


def packages_latents(model: str, windows: Waveform) -> Features:
    encoder = packages_encoder(model)
    with torch.inference_mode():
        return np.concatenate([encoder(torch.from_numpy(window[None])).numpy() for window in windows])


def stereo(noise: Sound, count: int, seconds: float) -> Waveform:
    """Windows [count, 2, samples] whose channels differ."""
    sounds = [noise(seconds, 48_000, seed) * 10.0 ** -(seed // 2) for seed in range(2 * count)]
    return np.stack(sounds).reshape(count, 2, -1).astype(np.float32)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", FORMATS)
@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.001])
def test_latents_are_the_packages_own(noise: Sound, model: str, engine: str, seconds: float) -> None:
    form = FORMATS[model]
    windows = stereo(noise, 2, seconds) if form.channels == 2 else stack(noise, 2, form, seconds)
    found, expected = ready(model, engine).encode(windows, form.sample_rate), packages_latents(model, windows)
    assert found.shape == expected.shape
    for window, own in zip(found, expected, strict=True):
        # Relative to the window's largest latent: 1e-4 is asked for, 3e-6 to 6e-6 measured.
        np.testing.assert_allclose(window, own, rtol=0, atol=0 if engine == "torch" else 2e-5 * np.abs(own).max())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", FORMATS)
def test_a_windows_bits_depend_on_no_other_window(noise: Sound, model: str, engine: str) -> None:
    representation, form = ready(model, engine), FORMATS[model]
    windows = stack(noise, 3, form, 0.5)
    together = representation.encode(windows, form.sample_rate)
    for window, found in zip(windows, together, strict=True):
        np.testing.assert_array_equal(representation.encode(window[None], form.sample_rate)[0], found)
    np.testing.assert_array_equal(representation.encode(windows[::-1], form.sample_rate), together[::-1])


DIGEST = """
import hashlib, os, sys
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: int(sys.argv[1])]))
import numpy as np
from beyond_spectrograms.params import Encodec
from beyond_spectrograms.representations.encodec import EncodecLatents
windows = np.random.default_rng(0).normal(0, 0.1, (3, 1, 12_000)).astype(np.float32)
for engine in ("openvino", "torch"):
    record = Encodec(kind="encodec", weights="untrained", model="24khz", seed=3, engine=engine)
    print(hashlib.sha256(EncodecLatents("untrained", record, []).encode(windows, 24_000).tobytes()).hexdigest())
"""


def test_bits_do_not_depend_on_how_many_cores_there_are() -> None:
    one, two = (
        subprocess.run(
            [sys.executable, "-c", DIGEST, cores], cwd=REPOSITORY, text=True, check=True, capture_output=True
        )
        for cores in ("1", "2")
    )
    assert len(set(one.stdout.split())) == 2  # one digest an engine
    assert one.stdout == two.stdout


@pytest.mark.parametrize("model", FORMATS)
def test_bf16_is_near_and_not_equal(noise: Sound, model: str) -> None:
    from openvino import Core

    if "BF16" not in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor does not multiply in bf16")
    form = FORMATS[model]
    windows = stack(noise, 2, form, 0.5)
    found = encodec(model, precision="bf16").encode(windows, form.sample_rate)
    expected = packages_latents(model, windows)
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert 1e-4 < error < 0.03  # 8 significant bits; 0.7 to 1.6 % measured


def test_auto_is_openvino_where_it_is_installed_and_torch_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    found = encodec("24khz")
    assert (found.engine, found.packages) == ("openvino", ("encodec", "numpy", "torch", "openvino"))
    monkeypatch.setattr(engines, "find_spec", {"openvino": None}.__getitem__)
    assert encodec("24khz").engine == "torch"


def test_an_engine_that_cannot_do_what_is_asked_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", {"openvino": None}.__getitem__)
    encoder = untrained_model("24khz", 0).encoder
    with pytest.raises(EngineError) as caught:
        create_engine("codec", encoder, "openvino", "fp32")
    assert str(caught.value) == (
        "codec: engine openvino is wanted and not installed. Install what pyproject.toml pins, or choose "
        "representations.codec.engine torch."
    )
    with pytest.raises(EngineError) as caught:
        create_engine("codec", encoder, "auto", "bf16")
    assert str(caught.value) == (
        "codec: precision bf16 needs the engine openvino, which is not installed. Install what pyproject.toml pins, "
        "or choose representations.codec.precision fp32."
    )


def test_bf16_is_refused_on_a_processor_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from beyond_spectrograms.representations.engines import openvino_engine

    class OldProcessor:
        def get_property(self, *_: str) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino_engine.ov, "Core", OldProcessor)
    with pytest.raises(EngineError) as caught:
        encodec("24khz", precision="bf16")
    assert str(caught.value) == (
        "untrained: precision bf16 needs a processor that multiplies in bf16 (avx512_bf16, amx_bf16); this one offers "
        "FP32, INT8. Choose representations.untrained.precision fp32."
    )
    assert encodec("24khz").engine == "openvino"


def test_openvino_is_imported_without_what_reports_to_its_makers() -> None:
    program = (
        "from beyond_spectrograms.representations.engines import openvino_engine\n"
        "from openvino.tools import ovc\n"
        "print(type(ovc.telemetry).__module__)"
    )
    output = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, text=True, check=True, capture_output=True)
    assert output.stdout == "openvino.tools.ovc.telemetry_stub\n"
