"""Modules with the HEAR API as representations: a small one, our own, and every way of breaking the rules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beyond_spectrograms.params import Hear, load_params
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import CheckpointError, Representation, RepresentationError
from support.common import refusal, stack
from support.numeric import assert_rounded

SMALL = """
from pathlib import Path

import torch

class Levels(torch.nn.Module):
    sample_rate = {rate}
    scene_embedding_size = timestamp_embedding_size = 4

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

def load_model(model_file_path=""):
    return Levels(float(Path(model_file_path).read_text()) if model_file_path else 1.0)

def get_timestamp_embeddings(audio, model):
    hop = model.sample_rate // 50
    frames = audio.unfold(1, hop, hop)  # [sounds, frames, hop]
    embeddings = model.scale * torch.stack([frames.mean(2), frames.std(2), frames.amax(2), frames.amin(2)], 2)
    times = 10 + 20.0 * torch.arange(frames.shape[1])
    return embeddings, times.expand(len(audio), -1)

def get_scene_embeddings(audio, model):
    return get_timestamp_embeddings(audio, model)[0].mean(1)
"""


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a module to import; a new name each, for Python imports one once."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(rate: int = 16_000, **replaced: str) -> str:
        text, name = SMALL.replace("{rate}", str(rate)), f"{tmp_path.name}_{len(list(tmp_path.glob('*.py')))}"
        for old, new in replaced.items():
            text = text.replace(old, new)
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


def make(module: str, weights: Path | None = None, **more: Any) -> Representation:
    record = Hear(kind="hear", module=module, weights=None if weights is None else "some", **more)
    return create_representation("levels", record, [] if weights is None else [weights])


@pytest.mark.numeric
@pytest.mark.parametrize(("rate", "form"), [(16_000, "mono_16000"), (44_100, "stereo_48000"), (48_000, "stereo_48000")])
def test_a_module_is_a_representation(rate: int, form: str, write_module: Any) -> None:
    levels = make(write_module(rate=rate))
    assert (levels.form.name, levels.bands, levels.frame_rate) == (form, 4, 50)
    windows = stack(3, levels.form)
    features = levels.encode(windows, levels.form.sample_rate)
    assert features.shape == (3, 4, levels.frames(windows.shape[2])) == (3, 4, 50)
    hop = levels.form.sample_rate // 50
    expected = windows[:, 0].astype(np.float64).reshape(3, 50, hop).std(2, ddof=1)
    if rate == levels.form.sample_rate:
        assert_rounded(features[:, 1], expected, roundings=hop)
    else:
        np.testing.assert_allclose(features[:, 1], expected, rtol=0.1, atol=1e-7)  # resampling takes the highest tenth
    assert levels.frames(levels.form.sample_rate // 2) == 25


def test_weights_and_code_are_what_features_depend_on(write_module: Any, tmp_path: Path) -> None:
    (tmp_path / "scale.txt").write_text("3")
    module = write_module()
    plain, scaled = make(module), make(module, weights=tmp_path / "scale.txt")
    windows = stack(1, plain.form)
    np.testing.assert_allclose(scaled.encode(windows, 16_000), 3 * plain.encode(windows, 16_000), rtol=1e-6)
    by_name = make(module, model=str(tmp_path / "scale.txt"))
    np.testing.assert_array_equal(by_name.encode(windows, 16_000), scaled.encode(windows, 16_000))
    assert plain.files == (tmp_path / f"{module}.py",)
    told = "levels: its weights file is missing. Run its featurize stage, which fetches it."
    assert refusal(CheckpointError, make, module, weights=tmp_path / "none.txt") == told


@pytest.mark.usefixtures("project")
def test_frames_are_as_many_a_second_as_its_timestamps_say(write_module: Any) -> None:
    levels = make(write_module(rate=22_050, **{"20.0 *": "50.0 *"}))
    assert (levels.hop_length, levels.frame_rate) == (1102, 20.0)


def test_our_own_module_gives_our_own_representation() -> None:
    ours = make("beyond_spectrograms.hear", model="log_mel_2048_50hz")
    record = load_params().representations["log_mel_2048_50hz"]
    log_mel = create_representation("log_mel_2048_50hz", record, [])
    windows = stack(2, log_mel.form)
    assert (ours.form, ours.bands) == (log_mel.form, log_mel.bands)
    features = ours.encode(windows, 22_050)
    assert np.array_equal(features, log_mel.encode(windows, 22_050)[:, :, : features.shape[2]])
    assert ours.frame_rate == pytest.approx(log_mel.frame_rate)


BROKEN = {
    "has no get_scene_embeddings, which the HEAR API needs": {"def get_scene": "def get_scenes"},
    "load_model gave a str; it must be a torch.nn.Module": {"return Levels(": "return str("},
    "its model's sample_rate is 8000 Hz. Choose from 16000, 22050, 32000, 44100, 48000.": {"16000": "8000"},
    "its model's scene_embedding_size is 4.0; it must be a whole number above 0": {"= 4": "= 4.0"},
    "get_timestamp_embeddings gave a Tensor; it must be a pair of tensors": {", times.expand(len(audio), -1)": ""},
    "embeddings are torch.float32 [2, 50, 3]; promised torch.float32 [2, frames, 4]": {", frames.amin(2)": ""},
    "embeddings are torch.float64 [2, 50, 4]; promised torch.float32 [2, frames, 4]": {
        "beddings, t": "beddings.double(), t"
    },
    "timestamps are not regular: their steps are 20 to 1940 ms": {".arange(frames.shape[1])": ".arange(50) ** 2"},
    "timestamps are float32 and not finite numbers, all of them": {
        "torch.arange(frames.shape[1])": "torch.arange(50) / 0"
    },
    "timestamps are [2, 49], of embeddings [2, 50, 4]": {"torch.arange(frames.shape[1])": "torch.arange(49)"},
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_module_that_breaks_the_rules_is_refused(reason: str, write_module: Any) -> None:
    module = write_module(**BROKEN[reason])
    middle = " " if reason.startswith("has no") else ": "
    assert refusal(RepresentationError, make, module) == f"levels: module {module}{middle}{reason}"


FAILING = {
    "failed when it was imported: FileNotFoundError: [Errno 2] No such file or directory: 'labels.csv'": {
        "import torch\n": "import torch\nopen('labels.csv')\n"
    },
    "load_model failed: RuntimeError: Error(s) in loading state_dict: Missing key(s)": {
        "    return Levels(": "    raise RuntimeError('Error(s) in loading state_dict:\\n\\tMissing key(s)')\n    ("
    },
    "get_timestamp_embeddings failed: ValueError: audio is too short": {
        "    hop = ": "    raise ValueError('audio is too short')\n    hop = "
    },
}


@pytest.mark.parametrize("reason", FAILING)
def test_a_module_that_fails_is_told_of_in_one_line(
    reason: str, write_module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = write_module(**FAILING[reason])
    middle = " " if reason.startswith("failed") else ": "
    assert refusal(RepresentationError, make, module) == f"levels: module {module}{middle}{reason}"


def test_frames_far_apart_are_warned_of(write_module: Any) -> None:
    module = write_module(**{"// 50": "// 10", "10 + 20.0": "50 + 100.0"})
    with pytest.warns(UserWarning, match="^levels: frames are 100 ms apart; the API suggests 50 or less$"):
        make(module)


def test_random_and_missing_modules_are_refused(write_module: Any) -> None:
    random = make(write_module(**{"model.scale *": "torch.rand(1) *"}))
    told = "levels: gave two results for one window; it must be deterministic"
    assert refusal(RepresentationError, random.encode, stack(1, random.form), 16_000) == told
    assert refusal(RepresentationError, make, "no_such_module_here") == (
        "levels: module no_such_module_here cannot be imported: No module named 'no_such_module_here'. Install it, or "
        "put it in the folder you run in."
    )
