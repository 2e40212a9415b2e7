"""The plain way to train prototypes gives what ours gives."""

from pathlib import Path

import librosa
import pytest
import torch

from benchmarks.harness import now
from benchmarks.paths import make_path
from benchmarks.plain_prototypes import PlainPrototypeTraining, plain_copy
from beyond_spectrograms.classifiers.prototypes.model import PrototypeLayer
from beyond_spectrograms.params import STUDIES, Params, Protocol, load_params
from support.numeric import assert_rounded, assert_same, by_default_float64, distance
from support.repository import REPOSITORY

BANDS, FRAMES, CLASSES = 128, 32, 3


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(STUDIES / "prototypes", REPOSITORY)


@pytest.mark.numeric
@pytest.mark.usefixtures("one_thread")
def test_the_plain_way_gives_the_same_errors_loss_and_gradients(params: Params) -> None:
    protocol = params.protocols["prototypes"]
    torch.manual_seed(0)
    layer = PrototypeLayer(protocol.prototypes, BANDS, CLASSES)
    torch.nn.init.uniform_(layer.prototypes)
    for parameter in (layer.decoders.last, layer.decoders.last_bias, *layer.decoders.biases):
        torch.nn.init.normal_(parameter, std=0.3)  # all of the bounds: pitches by up to an e-fold, held at the ends
    windows, targets = torch.randn(8, BANDS, FRAMES) * 30 - 40, torch.arange(8) % CLASSES
    pitch = layer.transformations(layer.scale(windows))["pitch"]
    assert pitch.min() < -0.2
    assert pitch.max() > 0.2
    rounded = both_ways(layer, protocol, windows, targets)
    with by_default_float64():
        exact = both_ways(layer.double(), protocol, windows.double(), targets)
    assert len(exact) > 10
    for name, (ours, plain) in exact.items():
        assert ours.abs().max() > 0
        assert_same(plain, ours, what=name)
        assert_rounded(rounded[name][0], ours, roundings=BANDS * FRAMES, lost=distance(rounded[name][1], ours))


def both_ways(
    layer: PrototypeLayer, protocol: Protocol, windows: torch.Tensor, targets: torch.Tensor
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Errors, loss and gradients by name, of our layer and of the plain way with the same weights."""
    plain = plain_copy(layer, BANDS).to(windows.dtype)
    hertz = librosa.mel_frequencies(BANDS + 2, fmin=0, fmax=protocol.prototypes.top_hz)[1:-1]
    plain.hertz = torch.from_numpy(hertz).to(windows.dtype)  # kept in fp32 otherwise
    ours = layer.errors(windows)
    entropy = torch.nn.functional.cross_entropy(layer.logits(ours), targets)
    loss = ours[torch.arange(8), targets].mean() + protocol.prototypes.cross_entropy * entropy
    of_plain = PlainPrototypeTraining(protocol, plain).loss(windows, targets)
    found = {"errors": (ours.detach(), plain.errors(windows).detach()), "loss": (loss.detach(), of_plain.detach())}
    layer.zero_grad()
    torch.autograd.backward(loss)
    torch.autograd.backward(of_plain)
    transformations = [*protocol.prototypes.transformations]
    gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
    by_decoder = {"skips.2.weight": "skips.2", "skips.0.bias": "biases.0", "ups.3.weight": "ups.3"}
    for name, parameter in plain.named_parameters():
        if name.startswith("decoders."):
            prototype, place, rest = name.removeprefix("decoders.").split(".", 2)
            transformation = ("pitch", "gain", "filters")[int(place)]
            if rest not in by_decoder:
                continue
            each = int(prototype), transformations.index(transformation)
            expected = gradients[f"decoders.{by_decoder[rest]}"][each]
        else:
            expected = gradients[name].reshape(parameter.shape)
        found[name] = expected.clone(), parameter.grad
    return found


@pytest.mark.long
def test_ours_train_two_runs_for_an_epoch_in_processes_of_their_own(params: Params, tmp_path: Path) -> None:
    path = make_path("prototypes_6", params, tmp_path, None)
    assert (path.unit, path.units) == ("windows trained on", 512.0)
    began = now()
    spent = path.run("ours")
    here = now() - began
    assert spent.wall > 0
    assert spent.processor > here.processor  # that of the processes in which they train is in it


@pytest.mark.usefixtures("one_thread")
def test_the_plain_way_learns(params: Params) -> None:
    protocol = params.protocols["prototypes"].model_copy(update={"batch_size": 4})
    torch.manual_seed(0)
    plain = PlainPrototypeTraining(protocol, plain_copy(PrototypeLayer(protocol.prototypes, 16, 2), 16))
    part = torch.randn(8, 16, 8) * 5 - 40, torch.arange(8) % 2
    before = plain.loss(*part)
    for _ in range(3):
        plain.epoch(part, part)
    assert plain.loss(*part) < before
