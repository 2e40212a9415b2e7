"""The plain way to train prototypes gives what ours gives, and a path measured later joins the stored results."""

import json
from pathlib import Path
from typing import Any

import librosa
import pytest
import torch

from benchmarks.pairings import PAIRINGS, PROTOTYPES, make_pairing, now
from benchmarks.plain_prototypes import PlainPrototypes, PlainPrototypeTraining, plain_copy
from benchmarks.results import bench_table, merge
from beyond_spectrograms.classifiers.prototypes.model import PrototypeLayer
from beyond_spectrograms.params import STUDIES, Params, Protocol, load_params
from beyond_spectrograms.report.table import to_markdown
from beyond_spectrograms.util.errors import ProjectError
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
    assert protocol.prototypes is not None
    torch.manual_seed(0)
    layer = PrototypeLayer(protocol.prototypes, BANDS, CLASSES)
    assert layer.decoders is not None
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
    assert protocol.prototypes is not None
    plain = plain_copy(layer, BANDS).to(windows.dtype)
    hertz = librosa.mel_frequencies(BANDS + 2, fmin=0, fmax=protocol.prototypes.top_hz)[1:-1]
    plain.hertz = torch.from_numpy(hertz).to(windows.dtype)  # kept in fp32 otherwise
    assert isinstance(plain, PlainPrototypes)
    ours = layer.errors(windows)
    entropy = torch.nn.functional.cross_entropy(layer.logits(ours), targets)
    loss = ours[torch.arange(8), targets].mean() + protocol.prototypes.cross_entropy * entropy
    of_plain = PlainPrototypeTraining(protocol, plain).loss(windows, targets)
    found = {"errors": (ours.detach(), plain.errors(windows).detach()), "loss": (loss.detach(), of_plain.detach())}
    layer.zero_grad()
    torch.autograd.backward(loss)
    torch.autograd.backward(of_plain)
    transformations: list[str] = [*protocol.prototypes.transformations]
    gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
    by_decoder = {
        "skips.2.weight": "decoders.skips.2",
        "skips.0.bias": "decoders.biases.0",
        "ups.3.weight": "decoders.ups.3",
    }
    for name, parameter in plain.named_parameters():
        if name.startswith("decoders."):
            prototype, place, rest = name.removeprefix("decoders.").split(".", 2)
            transformation = ("pitch", "gain", "filters")[int(place)]
            if rest not in by_decoder:
                continue
            each = int(prototype), transformations.index(transformation)
            expected = gradients[by_decoder[rest]]
            assert expected is not None
            expected = expected[each]
        else:
            expected = gradients[name]
            assert expected is not None
            expected = expected.reshape(parameter.shape)
        assert parameter.grad is not None
        found[name] = expected.clone(), parameter.grad
    return found


def test_ours_train_two_runs_for_an_epoch_in_processes_of_their_own(params: Params, tmp_path: Path) -> None:
    pairing = make_pairing("prototypes_6", params, tmp_path, None)
    assert pairing is not None
    assert (pairing.unit, pairing.units) == ("windows trained on", 512.0)
    began = now()
    spent = pairing.run("ours")
    here = now() - began
    assert spent.wall > 0
    assert spent.processor > here.processor  # that of the processes in which they train is in it


@pytest.mark.usefixtures("one_thread")
def test_the_plain_way_learns(params: Params) -> None:
    protocol = params.protocols["prototypes"].model_copy(update={"batch_size": 4})
    assert protocol.prototypes is not None
    torch.manual_seed(0)
    plain = PlainPrototypeTraining(protocol, plain_copy(PrototypeLayer(protocol.prototypes, 16, 2), 16))
    part = torch.randn(8, 16, 8) * 5 - 40, torch.arange(8) % 2
    before = plain.loss(*part)
    for _ in range(3):
        plain.epoch(part, part)
    assert plain.loss(*part) < before


def results(processor: str, load: float, **ratios: float) -> dict[str, Any]:
    """What stages.bench lays out, as far as tables show it."""
    of = {
        name: {
            "unit": "windows trained on",
            "per_second": {"ours": 2.0, "plain": 1.0},
            "ratio": {clock: {"median": ratio, "lowest": 1.0, "highest": 9.0} for clock in ("wall", "processor")},
            "share_of_matrix_rate": None,
            "ratio_at_matrix_rate": None,
            "memory_bytes": {},
        }
        for name, ratio in ratios.items()
    }
    return {
        "processor": processor, "cores": 2, "load_before": load, "rounds": 5, "pairings": of,
        "encoder_milliseconds": {"plain": {"LSTM": 1.0}} if "mel" in ratios else {}, "notes": ["a note"],
    }  # fmt: skip


def test_paths_measured_later_join_the_stored_results_and_leave_the_others() -> None:
    stored = results("any", 0.2, mel=3.0, train_mel=2.0)
    kept = json.dumps(stored)
    merged = merge(stored, results("any", 0.4, prototypes_6=4.0, train_mel=2.5), PAIRINGS)
    assert json.dumps(stored) == kept
    assert list(merged["pairings"]) == ["mel", "train_mel", "prototypes_6"]
    assert merged["pairings"]["mel"] == stored["pairings"]["mel"]
    assert (merged["load_before"], merged["encoder_milliseconds"]) == (0.2, {"plain": {"LSTM": 1.0}})
    assert [one["ratio"]["wall"]["median"] for one in merged["pairings"].values()] == [3.0, 2.5, 4.0]
    said = "Measured in a later run than the others: train_mel (load 0.4), prototypes_6 (load 0.4)."
    assert merged["notes"] == ["a note", said]
    again = merge(merged, results("any", 0.0, prototypes_6=5.0), PAIRINGS)
    assert again["notes"] == ["a note", said.replace("6 (load 0.4)", "6 (load 0.0)")]
    assert "| prototypes_6 | windows trained on | 1.0   | 2.0  | 5.00 [1.00, 9.00]" in to_markdown(bench_table(again))


def test_results_of_two_machines_do_not_join() -> None:
    with pytest.raises(ProjectError) as error:
        merge(results("any", 0.0, mel=3.0), results("another", 0.0, prototypes_6=4.0), PAIRINGS)
    assert str(error.value) == (
        "the stored results are of any, 2 cores; these are of another, 2 cores. Run all paths here, without --only."
    )


def test_every_prototype_path_is_one_of_the_benchs() -> None:
    assert set(PROTOTYPES) <= set(PAIRINGS)
