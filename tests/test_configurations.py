"""Every shipped configuration is trained for an epoch on made sound, its representation computed for real."""

from pathlib import Path

import numpy as np
import pytest
import torch

from beyond_spectrograms.params import load_params
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.encodec import untrained_model
from beyond_spectrograms.scores import predict
from beyond_spectrograms.training import Job, read_history, train

PARAMS = load_params()


@pytest.fixture(scope="module", params=PARAMS.representations)
def features(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve windows of noise as one representation. EnCodec's pretrained entries get an untrained checkpoint."""
    folder, name = tmp_path_factory.mktemp("features"), request.param
    record = PARAMS.representations[name]
    weights = None
    if record.kind == "soundstream":
        weights = request.getfixturevalue("mirror") / "soundstream_encoder.tflite"
    elif record.kind == "encodec" and record.weights != "untrained":
        weights = folder / f"{name}.th"
        torch.save(untrained_model(record.model, 1).state_dict(), weights)
    representation = create_representation(name, record, weights)
    form = representation.form
    noise = np.random.default_rng(0).normal(0, 0.1, (12, 1, form.sample_rate)).astype(np.float32)
    encoded = representation.encode(np.repeat(noise, form.channels, axis=1), form.sample_rate)
    np.save(folder / "features.npy", encoded)
    (folder / "index.json").write_text("{}")
    return folder


@pytest.mark.parametrize("protocol", PARAMS.protocols)
def test_trains_an_epoch_and_predicts(protocol: str, features: Path, tmp_path: Path) -> None:
    record = PARAMS.protocols[protocol]
    parts = np.array(["train"] * 6 + ["validation"] * 3 + ["test"] * 3)
    classes = ("a", "b", "c")
    job = Job(features, np.arange(12) % 3, parts, classes, record, 1, 1, 0, "cpu", tmp_path)
    train(job)
    assert [row["epoch"] for row in read_history(job)] == [1]
    array = np.load(features / "features.npy")
    rows = np.flatnonzero(parts == "test")
    stored = tmp_path / f"{job.name}.safetensors"
    run = predict(stored, record, array, rows=rows, classes=list(classes), fold=1, seed=0, device="cpu")
    assert run.probabilities.shape == (3, 3)
    assert np.isfinite(run.probabilities).all()
