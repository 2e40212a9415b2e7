"""Representations behind the HEAR API, held to the rules of its public validator."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.inference import hear
from support.cells import write_params
from support.common import refusal
from support.models import BANDS, write_model
from support.numeric import assert_rounded
from support.repository import Patch

VALID_RATES = [16_000, 22_050, 44_100, 48_000]


def validate(model: hear.HearModel) -> None:
    """Hold a model to the rules of hear-validator's validate.py."""
    assert isinstance(model, torch.nn.Module)
    assert model.sample_rate in VALID_RATES
    assert isinstance(model.scene_embedding_size, int)
    assert isinstance(model.timestamp_embedding_size, int)
    for length in (1.07, 1.98, 4.0):
        sound = torch.rand(2, int(length * model.sample_rate)) * 2 - 1
        embeddings, times = hear.get_timestamp_embeddings(sound, model)
        assert embeddings.dtype == torch.float32
        assert embeddings.shape == (2, times.shape[1], model.timestamp_embedding_size)
        assert times.shape == embeddings.shape[:2]
        steps = np.diff(times.numpy())
        assert steps.max() <= 50  # its advice, for music
        assert np.abs(steps - steps.mean()).max() <= 1
        assert times.min() <= steps.mean()
        assert 1000 * length - steps.mean() <= times.max() <= 1000 * length
    scenes = hear.get_scene_embeddings(torch.rand(4, int(2.74 * model.sample_rate)) * 2 - 1, model)
    assert scenes.dtype == torch.float32
    assert scenes.shape == (4, model.scene_embedding_size)


@pytest.mark.parametrize("name", ["mel", "log_mel_2048", "log_mel_2048_50hz", "encodec_24khz_untrained"])
@pytest.mark.usefixtures("project")
def test_representations_keep_the_rules(name: str) -> None:
    validate(hear.load_model(name))


@pytest.mark.usefixtures("project")
def test_soundstream_keeps_the_rules(mirror: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, str(mirror))
    validate(hear.load_model("soundstream"))


@pytest.mark.numeric
def test_a_models_scene_is_the_mean_of_its_frames_and_times_are_their_centres(tmp_path: Path) -> None:
    model = hear.load_model(str(write_model(tmp_path / "model")))
    validate(model)
    assert model.scene_embedding_size == BANDS
    sound = torch.rand(1, 22_050)
    frames, times = hear.get_timestamp_embeddings(sound, model)
    assert_rounded(hear.get_scene_embeddings(sound, model), frames.double().mean(dim=1), roundings=frames.shape[1])
    assert times[0, :3].tolist() == pytest.approx([0, 128 / 22.05, 256 / 22.05])


def test_what_the_api_cannot_serve_is_refused(project: Path) -> None:
    write_params(project, "bitrates")
    files = (project / "params.yaml", project / "studies/bitrates/params.yaml")
    names = ", ".join(name for file in files for name in yaml.safe_load(file.read_text())["representations"])
    assert refusal(hear.HearError, hear.load_model, "mels") == (
        f"'mels' is neither a model's folder nor a representation of params.yaml. Choose from {names}."
    )
    assert refusal(hear.HearError, hear.load_model, "soundstream_codes_9200bps") == (
        "soundstream_codes_9200bps: gives the numbers of codes, which are no embedding. Choose its latents instead."
    )
    told = refusal(hear.HearError, hear.get_scene_embeddings, torch.zeros(22_050), hear.load_model("mel"))
    assert told == "audio is float32 [sounds, samples] in [-1, 1], got torch.float32 [22050]"


@pytest.mark.parametrize("name", ["mel", "log_mel_2048_50hz", "encodec_24khz_untrained", "encodec_48khz_untrained"])
@pytest.mark.usefixtures("project")
def test_sounds_of_a_tenth_of_a_second_are_embedded_and_shorter_ones_refused(name: str) -> None:
    model = hear.load_model(name)
    shortest = math.ceil(model.sample_rate / 10)
    assert hear.get_scene_embeddings(torch.rand(2, shortest) - 0.5, model).isfinite().all()
    for shape in ([1, shortest - 1], [1, 0], [0, shortest]):
        told = refusal(hear.HearError, hear.get_scene_embeddings, torch.zeros(shape), model)
        assert told == f"audio is {shape}; give one sound at least, of 0.1 s or more"
