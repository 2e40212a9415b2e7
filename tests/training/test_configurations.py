"""Every representation and every protocol is trained for an epoch on made sound, the features computed for real."""

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from beyond_spectrograms.codec.network import Codec, save_codec
from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.evaluation.predict import predict
from beyond_spectrograms.params import Encodec, TrainedCodec, Transformers, load_params, misfit
from beyond_spectrograms.params.protocols import OF_SAMPLES
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.encodec import untrained_model
from beyond_spectrograms.training.loop import train
from beyond_spectrograms.training.run import RunConfig, read_history
from support.repository import REPOSITORY
from support.tiny_models import STANDS_IN_FOR, write_tiny

PLACES = sorted(REPOSITORY.glob("studies/*/params.yaml"))
# Each study's representations and protocols are the root's and its own; together they are all there are.
STUDIES_HERE = [load_params(path.parent.relative_to(REPOSITORY), REPOSITORY) for path in PLACES]
REPRESENTATIONS = {name: record for params in STUDIES_HERE for name, record in params.representations.items()}
PROTOCOLS = {name: record for params in STUDIES_HERE for name, record in params.protocols.items()}


FEW_FRAMES = ("tflite", "efficientat")  # kinds that give conv1d too few frames a window


def trained_under(name: str) -> list[str]:
    if name == "log_mel_16khz":
        return ["prototypes"]
    if REPRESENTATIONS[name].kind == "transformers":
        params = next(each for each in STUDIES_HERE if name in each.grid.representations)
        return params.grid.only.get(name, ["fair"])
    if isinstance(record := REPRESENTATIONS[name], TrainedCodec) and (record.seed, record.step) != (0, 0):
        return []  # other weights of the same network
    return ["mean_linear" if REPRESENTATIONS[name].kind in FEW_FRAMES else "fair"]


def is_like_another(name: str) -> bool:
    """Say whether it has more or fewer stages of the same quantiser than another."""
    record = REPRESENTATIONS[name]
    return isinstance(record, Encodec) and record.bitrate not in (None, 6000)


# All of them would take minutes: what a protocol changes does not depend on which numbers, or which codes, come in.
CASES = [
    pytest.param(name, protocol, marks=[pytest.mark.long] * is_like_another(name))
    for name in REPRESENTATIONS
    for protocol in PROTOCOLS
    if protocol in trained_under(name) or name == "mel"
    if not misfit(REPRESENTATIONS[name], PROTOCOLS[protocol])
] + [pytest.param("waveform", name) for name, protocol in PROTOCOLS.items() if protocol.classifier in OF_SAMPLES]


@functools.cache
def random_state(model: str) -> dict[str, torch.Tensor]:
    """Weights of EnCodec as nobody trained them, with codebooks that are not all zero."""
    state = untrained_model(model, 1).state_dict()
    generator = torch.Generator().manual_seed(1)
    books = {key: value for key, value in state.items() if key.endswith("_codebook.embed")}
    return state | {key: torch.randn(value.shape, generator=generator) for key, value in books.items()}


@pytest.fixture(autouse=True, scope="module")
def gone_afterwards() -> Iterator[None]:
    """Let go of the checkpoints after the last test here."""
    yield
    random_state.cache_clear()


@pytest.fixture(scope="module")
def features(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Twelve windows of noise as one representation. EnCodec's pretrained entries get a random checkpoint."""
    folder, name = tmp_path_factory.mktemp("features"), request.param
    record = REPRESENTATIONS[name]
    weights = []
    if record.kind in ("soundstream", "codec_file", *FEW_FRAMES):
        params = next(each for each in STUDIES_HERE if name in each.representations)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(MIRROR_VARIABLE, str(request.getfixturevalue("mirror")))
            weights = fetch_encoder(params, name, folder)
    elif isinstance(record, Transformers) and record.weights is not None:
        weights = write_tiny(folder / "tiny_random_model", STANDS_IN_FOR[record.weights])
    elif record.kind == "encodec" and record.weights != "untrained":
        weights = [folder / f"{name}.th"]
        torch.save(random_state(record.model), weights[0])
    elif isinstance(record, TrainedCodec):
        recipe = next(each.codecs[record.codec] for each in STUDIES_HERE if record.codec in each.codecs)
        untrained = Codec(recipe.network)
        weights = [folder / "codec.safetensors"]
        save_codec(weights[0], untrained, untrained.state_dict(), {})
    representation = create_representation(name, record, weights)
    form = representation.form
    noise = np.random.default_rng(0).normal(0, 0.1, (12, 1, form.sample_rate)).astype(np.float32)
    encoded = representation.encode(np.repeat(noise, form.channels, axis=1), form.sample_rate)
    np.save(folder / "features.npy", encoded)
    (folder / "index.json").write_text("{}")
    return name, folder


@pytest.mark.parametrize(("features", "protocol"), CASES, indirect=["features"])
def test_trains_an_epoch_and_predicts(protocol: str, features: tuple[str, Path], tmp_path: Path) -> None:
    record, (name, folder) = PROTOCOLS[protocol], features
    codebook_size, stacked = REPRESENTATIONS[name].codebook_size, REPRESENTATIONS[name].stacked
    parts = np.array(["train"] * 6 + ["validation"] * 3 + ["test"] * 3)
    classes = ("a", "b", "c")
    given = (folder, np.arange(12) % 3, parts, classes, codebook_size, record, 1, 1, 0, "cpu", tmp_path)
    bands = np.load(folder / "features.npy", mmap_mode="r").shape[1]
    texts = None  # of what takes prompts: vectors that are no texts'
    if record.prompts is not None:
        texts = np.random.default_rng(0).normal(size=(3, bands)).astype(np.float32)
    config = RunConfig(*given, versions={}, stacked=stacked, class_vectors=texts)
    train(config)
    assert [row["epoch"] for row in read_history(config)] == [1]
    stored, array = tmp_path / f"{config.name}.safetensors", np.load(folder / "features.npy")
    shape = {"rows": np.flatnonzero(parts == "test"), "classes": list(classes), "codebook_size": codebook_size}
    run = predict(stored, record, array, **shape, fold=1, seed=0, device="cpu", stacked=stacked)
    assert run.probabilities.shape == (3, 3)
    assert np.isfinite(run.probabilities).all()
