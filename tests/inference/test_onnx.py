"""The exported graph says what the model says, in onnxruntime."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.inference import Model, ModelError
from beyond_spectrograms.inference.onnx import check_exportable, export_onnx
from beyond_spectrograms.inference.stream_windows import Batch
from beyond_spectrograms.params import Hear, Mel
from beyond_spectrograms.representations import create_representation
from support import models
from support.common import tone
from support.numeric import assert_rounded


def random_model(folder: Path, protocol: str, record: dict[str, Any]) -> Model:
    """Make a model with weights drawn at random, that tells windows apart."""
    recipe = models.PARAMS.protocols[protocol]
    mel = Mel.model_validate(record)
    representation = create_representation("any", mel, [])
    frames = representation.frames(mel.sample_rate)
    torch.manual_seed(0)
    network = build_network(recipe, mel.n_mels, frames, 3, None).eval()
    if recipe.standardize:
        network[0].mean, network[0].deviation = torch.full((mel.n_mels,), -40.0), torch.full((mel.n_mels,), 20.0)
    card = models.card(models.write_model(folder) / "classifier.safetensors")
    encoder = card.representation.model_copy(update={"record": mel, "sample_rate": mel.sample_rate})
    return Model(card.model_copy(update={"representation": encoder}), representation, network, "cpu")


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("protocol", "changes"),
    [
        ("fair", {}),
        ("mean_linear", {"scale": "power", "sample_rate": 16_000}),
        ("paper", {"n_fft": 2048, "hop_length": 220, "pooled_frame_rate": 50}),
    ],
)
def test_the_graph_says_what_the_model_says(protocol: str, changes: dict[str, Any], tmp_path: Path) -> None:
    model = random_model(tmp_path / "model", protocol, models.MEL | changes)
    rate = model.card.representation.sample_rate
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    windows = np.random.default_rng(0).normal(0, 0.1, (5, rate)).astype(np.float32)
    windows *= 10.0 ** -np.arange(5, dtype=np.float32)[:, None]
    windows[4] = tone(1, 1000, rate)
    (found,) = session.run(None, {"windows": windows})
    sound = Batch(np.arange(len(windows), dtype=float), windows[:, None], np.zeros(len(windows), bool))
    expected = model.judge(sound)
    assert found.shape == (5, 3)
    assert np.ptp(expected, axis=0).max() > 0.01  # windows differ, or the comparison would say nothing
    assert_rounded(found, expected, roundings=128 * 5)  # terms of conv1d's longest sum
    assert json.loads(session.get_modelmeta().custom_metadata_map["card"]) == model.card.model_dump(mode="json")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("soundstream", "Lyra's encoder is a TFLite file, run by its own runtime"),
        ("encodec_24khz_untrained", "EnCodec's encoder is not exported by this program"),
        ("theirs", "what a module does is not known to this program"),
    ],
)
def test_what_has_no_graph_is_refused(name: str, why: str) -> None:
    theirs = Hear(kind="hear", module="beyond_spectrograms.hear", weights=None)
    record = {**models.PARAMS.representations, "theirs": theirs}[name]
    with pytest.raises(ModelError) as error:
        check_exportable(record)
    assert str(error.value) == f"kind {record.kind} has no ONNX graph: {why}. Choose a representation of kind mel."
