"""One epoch: the same losses and gradients as torch's own layers, in memory or streamed, and in bf16 nearly so."""

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from torch import nn

from beyond_spectrograms import epochs
from beyond_spectrograms.bench.plain_training import PlainTraining, plain_network
from beyond_spectrograms.classifiers import CLASSIFIERS, build_network
from beyond_spectrograms.epochs import Network, Part, band_statistics, choose_precision, run_epoch
from beyond_spectrograms.params import load_params

FAIR = load_params(REPOSITORY / "params.yaml").protocols["fair"]
BANDS, FRAMES, CLASSES = 12, 75, 4


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


def gradients(network: nn.Module, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters())))


def test_loss_and_gradients_of_conv1d_are_those_of_the_papers_network() -> None:
    features, targets = windows_and_targets()
    ours = network_for("conv1d", features).eval()
    plain = plain_network(BANDS, FRAMES, CLASSES).eval()
    plain.load_state_dict(
        {f"{int(key[0]) - 1}{key[1:]}": value for key, value in ours.state_dict().items() if key[0] != "0"}
    )
    network = Network.split(ours, "fp32")
    windows, wanted = Part(network, features, targets, np.arange(40)).batch(torch.arange(40))
    loss = nn.functional.cross_entropy(network.logits(windows), wanted)
    standardised = ours[0](torch.from_numpy(features))
    expected = nn.functional.cross_entropy(plain(standardised), torch.from_numpy(targets))
    torch.testing.assert_close(loss, expected)
    for mine, its in zip(gradients(ours, loss), gradients(plain, expected), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_layers_applied_once_and_the_rest_give_what_the_whole_network_gives(classifier: str) -> None:
    features, targets = windows_and_targets()
    whole = network_for(classifier, features).eval()
    network = Network.split(whole, "fp32")
    windows, _ = Part(network, features, targets, np.arange(40)).batch(torch.arange(40))
    torch.testing.assert_close(network.logits(windows), whole(torch.from_numpy(features)))
    assert not list(network.front.parameters())


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_bf16_changes_loss_and_gradients_by_its_rounding_alone(classifier: str) -> None:
    features, targets = windows_and_targets()
    whole = network_for(classifier, features).eval()
    values = []
    for precision in ("fp32", "bf16"):
        network = Network.split(whole, precision)
        windows, wanted = Part(network, features, targets, np.arange(40)).batch(torch.arange(40))
        logits = network.logits(windows)
        assert logits.dtype == torch.float32
        loss = nn.functional.cross_entropy(logits, wanted)
        values.append((loss.item(), torch.cat([gradient.ravel() for gradient in gradients(whole, loss)])))
    (loss, gradient), (rounded_loss, rounded) = values
    assert rounded_loss == pytest.approx(loss, rel=0.01)  # bf16 keeps 8 bits: 0.4 % a number
    # A pooling window whose two largest values are nearer than that passes its gradient to the other of them.
    assert torch.linalg.vector_norm(rounded - gradient) < 0.1 * torch.linalg.vector_norm(gradient)
    if classifier == "mean_linear":  # no convolution: nothing is rounded
        assert torch.equal(rounded, gradient)
    else:
        assert not torch.equal(rounded, gradient)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_windows_read_batch_by_batch_give_the_same_bits_as_those_held_in_memory(
    classifier: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = windows_and_targets()
    network = Network.split(network_for(classifier, features).eval(), precision)
    rows, order = np.random.default_rng(1).permutation(40)[:30], torch.randperm(30)
    held = Part(network, features, targets, rows).batch(order[:16])
    monkeypatch.setattr(epochs, "HELD_BYTES", 0)
    streamed = Part(network, features, targets, rows).batch(order[:16])
    assert all(torch.equal(a, b) for a, b in zip(held, streamed, strict=True))
    assert torch.equal(network.logits(held[0]), network.logits(streamed[0]))


def test_held_windows_are_read_once_and_streamed_ones_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = windows_and_targets()
    network = Network.split(network_for("mean_linear", features), "fp32")
    places = torch.arange(5)
    held = Part(network, features, targets, np.arange(40))
    monkeypatch.setattr(epochs, "HELD_BYTES", 0)
    streamed = Part(network, features, targets, np.arange(40))
    before = [part.batch(places)[0] for part in (held, streamed)]
    features += 1
    after = [part.batch(places)[0] for part in (held, streamed)]
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_numbers_of_codes_stay_exact_in_bf16() -> None:
    codes = np.arange(40 * BANDS * FRAMES, dtype=np.float32).reshape(40, BANDS, FRAMES) % 1024
    network = Network.split(network_for("conv1d", codes, 1024), "bf16")
    windows, _ = Part(network, codes, np.zeros(40, np.int64), np.arange(40)).batch(torch.arange(40))
    assert np.array_equal(windows.numpy(), codes)
    assert network.logits(windows).shape == (40, CLASSES)


def test_an_epoch_gives_means_over_all_windows_however_they_fall_into_batches() -> None:
    features, targets = windows_and_targets()
    whole = network_for("conv1d", features).eval()
    network = Network.split(whole, "fp32")
    part = Part(network, features, targets, np.arange(40))
    logits = whole(torch.from_numpy(features))
    wanted = torch.from_numpy(targets)
    expected = ((logits.argmax(1) == wanted).double().mean(), nn.functional.cross_entropy(logits, wanted))
    for batch_size in (40, 16, 7):
        accuracy, loss = run_epoch(network, part, torch.arange(40), batch_size, None)
        assert accuracy == expected[0].item()
        assert loss == pytest.approx(expected[1].item(), rel=1e-5)


def test_with_class_weights_the_loss_is_the_mean_of_weighted_losses_however_windows_fall_into_batches() -> None:
    features, targets = windows_and_targets()
    whole = network_for("conv1d", features).eval()
    part = Part(network := Network.split(whole, "fp32"), features, targets, np.arange(40))
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    losses = nn.functional.cross_entropy(whole(torch.from_numpy(features)), torch.from_numpy(targets), reduction="none")
    expected = (losses * weights[torch.from_numpy(targets)]).mean().item()
    plain = run_epoch(network, part, torch.arange(40), 16, None)
    for batch_size in (40, 16, 7):
        accuracy, loss = run_epoch(network, part, torch.arange(40), batch_size, None, class_weights=weights)
        assert (accuracy, loss) == (plain[0], pytest.approx(expected, rel=1e-5))
    assert plain[1] != pytest.approx(expected, rel=1e-2)


def test_plain_training_learns_what_ours_learns() -> None:
    features, targets = windows_and_targets(160)
    rows = {"train": np.arange(120), "validation": np.arange(120, 160)}
    protocol = FAIR.model_copy(update={"batch_size": 16})
    torch.manual_seed(0)
    plain = PlainTraining(protocol, features, targets, rows, CLASSES)
    theirs = [plain.epoch() for _ in range(4)]
    whole = network_for("conv1d", features)
    network = Network.split(whole, "bf16")
    train, validation = (Part(network, features, targets, mine) for mine in rows.values())
    optimizer = torch.optim.Adam(whole.parameters(), lr=protocol.learning_rate)
    for _ in range(4):
        whole.train()
        training = run_epoch(network, train, torch.randperm(120), 16, optimizer)
        whole.eval()
        ours = (*training, *run_epoch(network, validation, torch.arange(40), 16, None))
    assert theirs[0][1] > 2 * theirs[-1][1]
    assert min(ours[2], theirs[-1][2]) > 0.95


def test_band_statistics_are_those_of_the_rows_given() -> None:
    features = np.random.default_rng(1).normal(3, 2, (700, 4, 10)).astype(np.float32)
    features[:, 3] = 5
    rows = np.arange(0, 700, 2)
    mean, deviation = band_statistics(features, rows)
    np.testing.assert_allclose(mean, features[rows].mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(deviation[:3], features[rows][:, :3].std((0, 2)), rtol=1e-5)
    assert deviation[3] == 1


def test_precision_is_taken_as_asked_and_auto_is_what_the_processor_multiplies() -> None:
    assert [choose_precision(asked, "cpu") for asked in ("fp32", "bf16")] == ["fp32", "bf16"]
    native = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
    assert choose_precision("auto", "cpu") == ("bf16" if native else "fp32")
