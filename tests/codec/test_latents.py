"""Latents of a codec after any of its steps are a representation like others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from beyond_spectrograms.codec.network import Codec, save_codec
from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.params import Params, ParamsError, TrainedCodec, load_all_params
from beyond_spectrograms.params.study import load_study
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import CheckpointError
from support.cells import edit_params, write_params
from support.codecs import ENCODEC_48, SMALL
from support.common import noise, refusal

RECORD = TrainedCodec(kind="codec", weights=None, codec="mine", seed=1, step=30)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("network", [SMALL, ENCODEC_48.model_copy(update={"filters": 2, "lstm": 1})])
def test_latents_are_those_of_the_codec_s_encoder(tmp_path: Path, network: object) -> None:
    torch.manual_seed(0)
    codec = Codec(network).eval()  # type: ignore[arg-type]
    path = tmp_path / RECORD.file
    path.parent.mkdir(parents=True)
    save_codec(path, codec, codec.state_dict(), {})
    made = create_representation("mine", RECORD, [path])
    rate, channels = codec.network.sample_rate, codec.network.channels
    windows = np.stack([np.repeat(noise(0.3, rate, seed)[None], channels, axis=0) for seed in range(10)])
    features = made.encode(windows, rate)
    assert features.shape == (10, codec.network.dimension, made.frames(windows.shape[2]))
    with torch.inference_mode():
        expected = np.concatenate([codec.latents(torch.from_numpy(each[None])).numpy() for each in windows])
    assert np.array_equal(features, expected)


def test_a_codec_that_was_not_trained_yet_is_asked_for() -> None:
    assert refusal(CheckpointError, create_representation, "mine", RECORD, [Path("nowhere")]) == (
        "mine: mine of seed 1 after 30 steps is not here. Run the stage train_codec@mine."
    )


def study() -> Params:
    write_params(Path(), "codec")
    return load_study("codec").params


@pytest.mark.usefixtures("in_an_empty_folder")
def test_weights_are_looked_for_where_the_training_leaves_them() -> None:
    params = study()
    (path,) = fetch_encoder(params, "speech_s2_1000")
    assert path == Path("data/codecs/speech/seed_2/step_1000.safetensors")


@pytest.mark.usefixtures("in_an_empty_folder")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"codec": "none"},
            "representations.speech_s0_0.codec: 'none' is none of codecs: environment, speech, both, "
            "environment_log_mel, shipped, pilot, encodec_24khz, encodec_48khz",
        ),
        ({"seed": 5}, "representations.speech_s0_0.seed: 5 is none of codecs.speech.seeds, [0, 1, 2]"),
        (
            {"step": 5},
            "representations.speech_s0_0.step: 5 is none of codecs.speech.steps, [0, 100, 1000, 3000]",
        ),
    ],
)
def test_latents_of_a_codec_seed_or_step_that_there_is_not_are_refused(change: dict[str, object], told: str) -> None:
    study()
    edit_params(
        Path(), lambda params: params["representations"]["speech_s0_0"].update(change), "studies/codec/params.yaml"
    )
    assert refusal(ParamsError, load_study, "codec") == f"studies/codec/params.yaml: {told}"


@pytest.mark.usefixtures("in_an_empty_folder")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"network.entries": 200}, "network: entries 200 is no power of 2, so that a code has no whole number of bits"),
        (
            {"network.bitrates": [1000]},
            "network: bitrates: 1000 is no multiple of the 400 bits a second of a codebook, up to 4800",
        ),
        (
            {"network.channels": 2},
            "network: channels 2: clips are stored with 2 at 48000 Hz, and with 1 at other rates",
        ),
        (
            {"dead_below": 2.0},
            "dead_below 2: a batch has 400 latents for 256 entries, so that most would be dead in every step",
        ),
        (
            {"network.norm": "time_group_norm", "network.causal": False},
            "start: scaled is for norm: weight_norm; time_group_norm scales by itself",
        ),
        ({"steps": [100, 0]}, "steps [100, 0] do not rise"),
        ({"gain_db": [6.0, -10.0]}, "gain_db: 6 is more than -10"),
        ({"window_s": 0.00001}, "window_s 1e-05 is not a whole number of samples"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_in_a_line(change: dict[str, object], told: str) -> None:
    study()

    def edit(params: dict[str, Any]) -> None:
        speech = params["codecs"]["speech"]
        speech["network"] = dict(speech["network"])  # no longer the one that all share
        for where, value in change.items():
            section, _, key = where.rpartition(".")
            (speech[section] if section else speech)[key] = value

    edit_params(Path(), edit, "studies/codec/params.yaml")
    where = "codecs.speech.network" if told.startswith("network: ") else "codecs.speech"
    expected = f"studies/codec/params.yaml: {where}: {told.removeprefix('network: ')}"
    assert refusal(ParamsError, load_study, "codec") == expected


@pytest.mark.usefixtures("in_an_empty_folder")
def test_models_of_one_s_own_sounds_are_offered_no_latents_that_only_the_study_has() -> None:
    assert any(record.kind == "codec" for record in study().representations.values())
    assert not any(record.kind == "codec" for record in load_all_params().representations.values())


@pytest.mark.usefixtures("in_an_empty_folder")
def test_codecs_name_data_sets_that_there_are() -> None:
    study()
    edit_params(
        Path(),
        lambda params: params["codecs"]["pilot"]["judged"][0].update(dataset="nowhere"),
        "studies/codec/params.yaml",
    )
    told = refusal(ParamsError, load_study, "codec")
    assert told.startswith("studies/codec/params.yaml: codecs.pilot.judged.0.dataset: 'nowhere' is not defined. Choose")
