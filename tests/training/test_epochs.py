"""One epoch: the same losses and gradients as torch's own layers, in memory or streamed, and in bf16 nearly so."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.plain_training import PlainTraining, plain_network
from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.training import epoch
from beyond_spectrograms.training.epoch import Network, Subset, band_statistics, choose_precision, run_epoch
from support.models import PARAMS
from support.numeric import UNIT, assert_rounded, assert_same, distance, in_float64, shake
from support.protocol import PLAIN

FAIR = PARAMS.protocols["fair"]
BANDS, FRAMES, CLASSES = 12, 75, 4
LONGEST_SUM = 128 * 5  # terms of a value of conv1d's second convolution, the longest sum of the networks here
BF16 = int(2.0**-9 / UNIT)  # roundings of fp32 in one of bf16

pytestmark = pytest.mark.numeric


def windows_and_targets(windows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = np.arange(windows) % CLASSES
    features = rng.normal(-40, 15, (windows, BANDS, FRAMES)).astype(np.float32)
    features[np.arange(windows), targets] += 20
    return features, targets


def network_for(classifier: str, features: np.ndarray, codebook_size: int | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    protocol = FAIR.model_copy(update={"classifier": classifier})
    network = build_network(protocol, *features.shape[1:], CLASSES, codebook_size)
    if codebook_size is None:
        statistics = band_statistics(features, np.arange(len(features)))
        network[0].mean, network[0].deviation = map(torch.from_numpy, statistics)
    return network


def logits_of_parts(whole: nn.Sequential, features: np.ndarray, precision: str = "fp32") -> torch.Tensor:
    """Logits of all windows by our way through a network."""
    network, rows = Network.split(whole, precision), np.arange(len(features))
    windows, _ = Subset(network, features, rows, rows).batch(torch.from_numpy(rows))
    assert not list(network.front.parameters())
    logits = network.logits(windows)
    assert logits.dtype == whole[-1].weight.dtype
    return logits


def loss_and_gradients(
    whole: nn.Sequential, features: np.ndarray, targets: np.ndarray, precision: str = "fp32"
) -> list[torch.Tensor]:
    """Loss of all windows by our way through a network, and gradients of its weights."""
    loss = nn.functional.cross_entropy(logits_of_parts(whole, features, precision), torch.from_numpy(targets))
    return [loss, *torch.autograd.grad(loss, list(whole.parameters()))]


def test_loss_and_gradients_of_conv1d_are_those_of_the_papers_network() -> None:
    features, targets = windows_and_targets()
    ours = network_for("conv1d", features).eval()
    exact = deepcopy(ours).double()

    def plain_way(network: nn.Sequential) -> list[torch.Tensor]:
        standardised = network[0](torch.from_numpy(features).to(network[-1].weight.dtype))
        plain = plain_network(BANDS, FRAMES, CLASSES).eval().to(standardised.dtype)
        state = network.state_dict().items()
        plain.load_state_dict({f"{int(key[0]) - 1}{key[1:]}": value for key, value in state if key[0] != "0"})
        loss = nn.functional.cross_entropy(plain(standardised), torch.from_numpy(targets))
        return [loss, *torch.autograd.grad(loss, list(plain.parameters()))]

    with in_float64():
        same = loss_and_gradients(exact, features, targets)
    rounded = zip(loss_and_gradients(ours, features, targets), plain_way(ours), strict=True)
    for expected, found, (mine, its) in zip(plain_way(exact), same, rounded, strict=True):
        assert_same(found, expected)
        assert_rounded(mine, expected, roundings=LONGEST_SUM, lost=distance(its, expected))


@pytest.mark.parametrize("classifier", PLAIN)
def test_layers_applied_once_and_the_rest_give_what_the_whole_network_gives(classifier: str) -> None:
    features, _ = windows_and_targets()
    whole = network_for(classifier, features).eval()
    exact = deepcopy(whole).double()
    expected = exact(torch.from_numpy(features).double())
    with in_float64():
        assert_same(logits_of_parts(exact, features), expected)
    lost = distance(whole(torch.from_numpy(features)), expected)
    assert_rounded(logits_of_parts(whole, features), expected, roundings=LONGEST_SUM, lost=lost)


@pytest.mark.parametrize("classifier", PLAIN)
def test_bf16_changes_loss_and_gradients_by_its_rounding_alone(classifier: str) -> None:
    features, targets = windows_and_targets()
    whole = network_for(classifier, features).eval()
    exact = deepcopy(whole).double()
    with in_float64():
        reference = loss_and_gradients(exact, features, targets)
        # Three roundings a layer: of its input, its weights and its output. They turn maxima of pooling windows, too.
        shaken = loss_and_gradients(shake(exact, 3 * BF16), features, targets)
    (_, *fp32), (rounded_loss, *bf16) = (loss_and_gradients(whole, features, targets, p) for p in ("fp32", "bf16"))
    assert_rounded(rounded_loss, reference[0], roundings=0, lost=distance(shaken[0], reference[0]))
    gradient, rounded, expected, near = (
        torch.cat([value.ravel() for value in values]) for values in (fp32, bf16, reference[1:], shaken[1:])
    )
    assert_rounded(rounded, expected, roundings=0, lost=distance(near, expected))
    assert torch.equal(rounded, gradient) == (classifier == "mean_linear")  # no convolution: nothing is rounded


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("classifier", PLAIN)
def test_windows_read_batch_by_batch_give_the_same_bits_as_those_held_in_memory(
    classifier: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = windows_and_targets()
    network = Network.split(network_for(classifier, features).eval(), precision)
    rows, order = np.random.default_rng(1).permutation(40)[:30], torch.randperm(30)
    held = Subset(network, features, targets, rows).batch(order[:16])
    monkeypatch.setattr(epoch, "HELD_BYTES", 0)
    streamed = Subset(network, features, targets, rows).batch(order[:16])
    assert all(torch.equal(a, b) for a, b in zip(held, streamed, strict=True))
    assert torch.equal(network.logits(held[0]), network.logits(streamed[0]))


def test_numbers_of_codes_stay_exact_in_bf16() -> None:
    codes = np.arange(40 * BANDS * FRAMES, dtype=np.float32).reshape(40, BANDS, FRAMES) % 1024
    network = Network.split(network_for("conv1d", codes, 1024), "bf16")
    windows, _ = Subset(network, codes, np.zeros(40, np.int64), np.arange(40)).batch(torch.arange(40))
    assert np.array_equal(windows.numpy(), codes)
    assert network.logits(windows).shape == (40, CLASSES)


@pytest.mark.parametrize("class_weights", [None, [0.5, 1.0, 2.0, 4.0]])
def test_an_epoch_gives_means_over_all_windows_in_any_batches(class_weights: list[float] | None) -> None:
    features, targets = windows_and_targets()
    whole = network_for("conv1d", features).eval().double()
    wanted, weights = torch.from_numpy(targets), class_weights and torch.tensor(class_weights).double()
    logits = whole(torch.from_numpy(features).double())
    losses = nn.functional.cross_entropy(logits, wanted, reduction="none")
    expected = (losses if weights is None else losses * weights[wanted]).mean().item()
    with in_float64():
        part = Subset(network := Network.split(whole, "fp32"), features, targets, np.arange(40))
        for batch_size in (40, 16, 7):
            accuracy, loss = run_epoch(network, part, torch.arange(40), batch_size, None, class_weights=weights)
            assert accuracy == (logits.argmax(1) == wanted).double().mean().item()
            assert_same(loss, expected)


@pytest.mark.parametrize("batch_size", [40, 16])
def test_an_epoch_of_several_labels_is_binary_cross_entropy_by_torch(batch_size: int) -> None:
    features, _ = windows_and_targets()
    several = (np.random.default_rng(1).random((40, CLASSES)) < 0.4).astype(np.float32)
    whole = network_for("conv1d", features).eval().double()
    logits, wanted = whole(torch.from_numpy(features).double()), torch.from_numpy(several).double()
    expected = nn.BCEWithLogitsLoss()(logits, wanted)
    gradients = torch.autograd.grad(
        nn.BCEWithLogitsLoss()(logits[:batch_size], wanted[:batch_size]), [*whole.parameters()]
    )
    before = [weight.detach().clone() for weight in whole.parameters()]
    with in_float64():
        part = Subset(network := Network.split(whole, "fp32"), features, several, np.arange(40))
        share, loss = run_epoch(network, part, torch.arange(40), batch_size, None)
        step = torch.optim.SGD(whole.parameters(), lr=1.0)
        run_epoch(network, part, torch.arange(batch_size), batch_size, step)
    assert_same(loss, expected.item())
    assert share == pytest.approx(((logits > 0) == wanted.bool()).double().mean().item())
    for weight, was, gradient in zip(whole.parameters(), before, gradients, strict=True):
        np.testing.assert_allclose((was - weight).detach(), gradient, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("one_thread")
def test_plain_training_learns_too() -> None:
    features, targets = windows_and_targets(160)
    rows = {"train": np.arange(120), "validation": np.arange(120, 160)}
    torch.manual_seed(0)
    plain = PlainTraining(FAIR.model_copy(update={"batch_size": 16}), features, targets, rows, CLASSES)
    (_, loss, *_), *_, (_, last_loss, accuracy, *_) = [plain.epoch() for _ in range(4)]
    assert loss > 2 * last_loss
    assert accuracy > 0.95


def test_band_statistics_are_those_of_the_rows_given() -> None:
    features = np.random.default_rng(1).normal(3, 2, (700, 4, 10)).astype(np.float32)
    features[:, 3] = 5
    rows = np.arange(0, 700, 2)
    mean, deviation = band_statistics(features, rows)
    used = features[rows].astype(np.float64)
    assert_rounded(mean, used.mean((0, 2)), roundings=1)  # summed in float64
    assert_rounded(deviation[:3], used[:, :3].std((0, 2)), roundings=1)
    assert deviation[3] == 1


def test_precision_is_taken_as_asked_and_auto_is_what_the_processor_multiplies() -> None:
    assert [choose_precision(asked, "cpu") for asked in ("fp32", "bf16")] == ["fp32", "bf16"]
    native = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
    assert choose_precision("auto", "cpu") == ("bf16" if native else "fp32")
