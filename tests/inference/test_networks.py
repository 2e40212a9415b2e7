"""Networks that NumPy computes say what torch says of the same tensors, and a mel model needs no torch to classify."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import load_file, save_file

from beyond_spectrograms.classifiers import registry
from beyond_spectrograms.inference import ModelError, load_model, networks
from beyond_spectrograms.inference.folder import CLASSIFIER_FILE
from beyond_spectrograms.params import Mel, Protocol
from beyond_spectrograms.representations import create_representation
from support import models
from support.common import noise, refusal
from support.numeric import assert_rounded, likely
from support.repository import REPOSITORY

LOG_MEL = models.PARAMS.representations["log_mel_2048"]
TERMS = 128 * 5  # of the longest sum
LEVELS = np.linspace(-80, 0, 5)[:, None, None]
WINDOWS = np.random.default_rng(0).normal(LEVELS, 20, (5, 128, 101)).astype(np.float32)


def write_random(folder: Path, classifier: str, *, standardize: bool = False) -> Path:
    """Write a model of three classes on log_mel_2048 with random tensors."""
    changes = {"classifier": classifier, "standardize": standardize}
    if classifier == "probe_mean_deviation":
        changes["inverse_penalty"] = 1.0
    recipe = Protocol.model_validate(models.PARAMS.protocols["fair"].model_dump() | changes)
    made = create_representation("log_mel_2048", LOG_MEL, [])
    torch.manual_seed(0)
    network = registry.build_network(recipe, made.bands, made.frames(22_050), 3, None)
    network.to(memory_format=torch.contiguous_format)  # as it is stored
    for name, tensor in network.state_dict().items():
        if name.endswith((".mean", ".deviation")):
            tensor.copy_(20 + 10 * torch.rand_like(tensor))
    told = {"classes": ["a", "b", "c"], "representation": models.encoder(made, LOG_MEL)}
    return models.keep(folder, network, recipe, **told)


@pytest.mark.numeric
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("classifier", networks.NETWORKS)
def test_numpy_computes_what_torch_computes(classifier: str, standardize: bool, tmp_path: Path) -> None:
    if classifier.startswith("probe") and standardize:
        pytest.skip("a probe standardises its own summaries")
    model = load_model(write_random(tmp_path / "model", classifier, standardize=standardize))
    assert isinstance(model.network, networks.NumpyNetwork)
    module = networks.read_module(tmp_path / "model" / CLASSIFIER_FILE, model.card)
    with torch.inference_mode():
        own, exact = module(torch.from_numpy(WINDOWS)), module.double()(torch.from_numpy(WINDOWS).double())
    found = model.network.logits(WINDOWS)
    assert (found.shape, found.dtype) == ((5, 3), np.float32)
    assert np.ptp(found, axis=0).min() > 0.01  # windows differ, or the comparison would say nothing
    assert_rounded(found, exact, roundings=likely(TERMS), lost=float(np.linalg.norm(own.double() - exact)))
    np.testing.assert_array_equal(model.network.logits(WINDOWS[2:3]), found[2:3])  # whatever is beside a window


def test_a_mel_model_classifies_without_torch_as_torch_does(tmp_path: Path) -> None:
    folder, sound = write_random(tmp_path / "model", "conv1d", standardize=True), noise(10, 44_100)
    soundfile.write(tmp_path / "sound.wav", sound, 44_100, subtype="FLOAT")
    heavy = ["torch", "librosa", "numba", "pandas", "sklearn", "scipy.signal", "scipy.stats"]
    heavy += ["dvc", "encodec", "matplotlib", "openvino", "requests"]
    code = (
        "import sys; from beyond_spectrograms.cli import main; status = main(sys.argv[1:]); "
        "main(['segment', *sys.argv[2:5]]); "
        f"print(sorted({{*{heavy}}} & set(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    line = [sys.executable, "-c", code, "classify", str(tmp_path / "sound.wav"), "--model", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    told = subprocess.run([*line, "--format", "json"], capture_output=True, text=True, check=True, env=environment)
    assert told.stderr == "[]\n"
    model = load_model(folder)
    model.network = networks.TorchNetwork(networks.read_module(folder / CLASSIFIER_FILE, model.card), "cpu")
    by_torch = model.classify(sound, 44_100).top(3)
    (answer,), end = json.JSONDecoder().raw_decode(told.stdout)
    assert told.stdout[end:].count("\n") > 1  # segments
    found = [(each["label"], each["probability"]) for each in answer["labels"]]
    assert [label for label, _ in found] == [label for label, _ in by_torch]
    np.testing.assert_allclose([value for _, value in found], [value for _, value in by_torch], atol=2e-6)
    assert by_torch[0][1] > by_torch[2][1] + 0.01


def test_tensors_of_the_last_epoch_are_left_out(tmp_path: Path) -> None:
    assert networks.LAST == registry.LAST
    folder = write_random(tmp_path / "model", "mean_linear")
    card, stored = load_model(folder).card, load_file(folder / CLASSIFIER_FILE)
    save_file(stored | {f"{registry.LAST}2.bias": np.zeros(3, np.float32)}, tmp_path / "both.safetensors")
    found = networks.read_network(tmp_path / "both.safetensors", card, "auto").logits(WINDOWS)
    np.testing.assert_array_equal(found, load_model(folder).network.logits(WINDOWS))


def test_windows_too_small_for_a_network_are_refused(tmp_path: Path) -> None:
    record = Mel.model_validate(models.MEL | {"pooled_frame_rate": 45})
    made = create_representation("mel_16", record, [])
    recipe = models.PARAMS.protocols["fair"].model_copy(update={"standardize": False})
    network = registry.build_network(recipe, made.bands, 49, 2, None)
    folder = models.keep(tmp_path / "model", network, recipe, representation=models.encoder(made, record))
    assert refusal(ModelError, load_model, folder) == (
        f"{folder}: conv1d needs larger windows than 16 bands x 45 frames. Export the model again."
    )


def test_what_a_card_says_of_windows_takes_no_memory(tmp_path: Path) -> None:
    folder = write_random(tmp_path / "model", "conv2d")
    card, path = load_model(folder).card, folder / CLASSIFIER_FILE
    large = card.representation.model_copy(update={"bands": 10**6, "frames": 10**6})  # 48 TB of weights
    told = (
        f"{path}: tensor 9.weight is {list(load_file(path)['9.weight'].shape)}, not [3, {64 * 249_998**2}]. The card "
        "and the file do not belong together: export again."
    )
    hostile = card.model_copy(update={"representation": large})
    assert refusal(ModelError, networks.read_network, path, hostile, "auto") == told
    assert refusal(ModelError, networks.read_module, path, hostile) == told
