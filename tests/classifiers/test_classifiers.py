"""The networks: their shapes, that our order of layers is the released code's, codes as tokens, the mean over time."""

import math

import pytest
import torch
from torch import nn

from beyond_spectrograms.classifiers.base import TOKEN_SIZE, ClassifierError, EmbedCodes, Standardize
from beyond_spectrograms.classifiers.baselines import APNetLayer, _distances, _pool, _unpool
from beyond_spectrograms.classifiers.convolutional import conv1d, mean_linear
from beyond_spectrograms.classifiers.registry import CLASSIFIERS, build_network
from beyond_spectrograms.params.protocols import OF_SAMPLES
from beyond_spectrograms.util.machine import DeviceError, choose_device
from support.common import refusal
from support.models import PARAMS
from support.numeric import assert_rounded, assert_same, by_default_float64

PROTOCOLS = PARAMS.protocols


SIZES = [(128, 173), (128, 150), (128, 75), (64, 50)]  # bands and frames of every representation


@pytest.mark.parametrize(
    ("classifier", "bands", "frames"),
    [(name, *size) for name in sorted({*CLASSIFIERS} - {"prototypes", *OF_SAMPLES}) for size in SIZES]
    + [("temporal_cnn", 16, frames) for frames in (1, 7)],  # takes windows of any length
)
def test_all_take_every_representation_and_give_logits(classifier: str, bands: int, frames: int) -> None:
    assert CLASSIFIERS[classifier](bands, frames, 10)(torch.randn(3, bands, frames)).shape == (3, 10)


def test_conv1d_has_the_parameters_of_the_released_network() -> None:
    # Conv1d 128 -> 128 k5, Conv1d 128 -> 256 k5, Linear on 256 x 5: 173 frames become 169, pooled 33, 29, pooled 5.
    expected = (128 * 128 * 5 + 128) + (256 * 128 * 5 + 256) + (256 * 5 * 10 + 10)
    assert sum(parameter.numel() for parameter in conv1d(128, 173, 10).parameters()) == expected


@pytest.mark.numeric
def test_pooling_before_relu_changes_neither_values_nor_gradients() -> None:
    ours = conv1d(16, 75, 4).eval()
    released = nn.Sequential(*(ours[index] for index in (0, 2, 1, 3, 5, 4, 6, 7, 8))).eval()
    windows = torch.randn(5, 16, 75)
    gradients = []
    for network in (ours, released):
        network.zero_grad()
        network(windows).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in ours.parameters()])
    assert torch.equal(ours(windows), released(windows))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize(
    ("classifier", "bands", "frames", "message"),
    [
        ("conv1d", 128, 48, "conv1d needs windows of at least 49 frames, got 48: take a shorter hop_length"),
        ("conv2d", 9, 173, "conv2d needs windows of at least 10 x 10, got 9 bands x 173 frames"),
        ("apnet", 16, 3, "apnet needs windows of at least 4 bands x 4 frames, got 16 x 3"),
        ("autoencoder_kmeans", 16, 3, "autoencoder_kmeans needs windows of at least 8 bands x 8 frames, got 16 x 3"),
    ],
)
def test_windows_too_small_are_refused(classifier: str, bands: int, frames: int, message: str) -> None:
    assert refusal(ClassifierError, CLASSIFIERS[classifier], bands, frames, 10) == message


@pytest.mark.numeric
def test_standardize_works_per_band() -> None:
    windows = torch.randn(4, 2, 50, dtype=torch.float64) * torch.tensor([3.0, 5.0])[:, None] + 1.0
    layer = Standardize(windows.mean((0, 2)), windows.std((0, 2), correction=0))
    assert_same(1 + layer(windows).mean((0, 2)), torch.ones(2).double())
    assert_same(layer(windows).std((0, 2), correction=0), torch.ones(2).double())


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_cuda_asked_for_and_absent_stops() -> None:
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    told = "device is cuda in params.yaml, and torch finds no CUDA device. Choose auto or cpu."
    assert refusal(DeviceError, choose_device, "cuda") == told


@pytest.mark.numeric
def test_mean_linear_is_a_linear_map_of_the_mean_over_time() -> None:
    network, windows = mean_linear(6, 50, 4).double(), torch.randn(5, 6, 50, dtype=torch.float64)
    linear = network[-1]
    expected = windows.mean(2) @ linear.weight.T + linear.bias
    assert_same(network(windows), expected)
    assert_same(network(windows[:, :, torch.randperm(50)]), expected)  # the order of frames is lost
    assert sum(parameter.numel() for parameter in network.parameters()) == 6 * 4 + 4


@pytest.mark.numeric
def test_embedded_codes_are_a_plain_sum_over_codebooks_each_with_entries_of_its_own() -> None:
    codes = torch.randint(0, 16, (3, 5, 7)).float()  # [windows, codebooks, frames], as cached
    with by_default_float64():
        layer = EmbedCodes(5, 16)
    embedded = layer(codes)
    assert embedded.shape == (3, TOKEN_SIZE, 7)
    tables = layer.table.weight.reshape(5, 16, TOKEN_SIZE)
    for window in range(3):
        for frame in range(7):
            vectors = [nn.functional.embedding(codes[window, book, frame].long(), tables[book]) for book in range(5)]
            assert_same(embedded[window, :, frame], torch.stack(vectors).sum(0))


@pytest.mark.parametrize("codebooks", [1, 16, 46])
def test_embedded_codes_start_at_variance_1_however_many_codebooks_there_are(codebooks: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codes = torch.randint(0, 1024, (4, codebooks, 50)).float()
        assert EmbedCodes(codebooks, 1024)(codes).var().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("protocol", ["paper", "fair", "mean_linear"])
def test_codes_are_embedded_and_never_standardised(protocol: str) -> None:
    network = build_network(PROTOCOLS[protocol], 16, 50, 10, 1024)
    assert isinstance(network[0], EmbedCodes)
    assert not any(isinstance(layer, Standardize) for layer in network)
    assert network(torch.randint(0, 1024, (3, 16, 50)).float()).shape == (3, 10)


def test_numbers_are_standardised_where_the_protocol_says_so() -> None:
    networks = {name: build_network(PROTOCOLS[name], 64, 50, 10, None) for name in ("source_split", "standardized")}
    assert isinstance(networks["standardized"][0], Standardize)
    assert not any(isinstance(layer, Standardize) for layer in networks["source_split"])
    assert isinstance(build_network(PROTOCOLS["mean_linear"], 64, 50, 10, None)[-1], nn.Linear)


@pytest.mark.numeric
def test_a_window_whose_latents_are_a_prototype_is_as_similar_as_can_be() -> None:
    torch.manual_seed(0)
    with by_default_float64():
        layer = APNetLayer(16, 8, 2, clusters=False)
    windows = torch.randn(2, 16, 8, dtype=torch.float64)
    with torch.no_grad():
        # With all convolutions at 0 the latents are leaky_relu of the last bias.
        for convolution in (layer.first, layer.second, layer.third):
            convolution.weight.zero_()
            convolution.bias.fill_(0.5)
        layer.prototypes.fill_(0.5)
        layer.prototypes[1:] += 32**-0.5  # 16 channels x 2 columns: 1 apart in each row
        similarities = layer.go(windows, torch.zeros(2, dtype=torch.long))[3]
    expected = torch.tensor([1.0, *[math.exp(-1)] * 5], dtype=torch.float64).expand(2, 6)
    assert_same(similarities, expected)


@pytest.mark.numeric
def test_apnets_distances_are_sums_over_channels_and_columns_of_squared_differences() -> None:
    torch.manual_seed(0)
    latents, prototypes = torch.randn(3, 4, 5, 6), torch.randn(2, 4, 5, 6)
    exact = latents.double(), prototypes.double()
    plain = (exact[0][:, None] - exact[1]).square().sum((2, 4))
    assert_same(_distances(*exact), plain)
    assert_rounded(_distances(latents, prototypes), plain, roundings=4 * 6)


@pytest.mark.numeric
def test_what_apnet_unpools_stands_where_it_was_also_in_maps_of_odd_size() -> None:
    torch.manual_seed(0)
    maps = torch.rand(2, 3, 7, 9)
    pooled, peaks = _pool(maps)
    back = _unpool(pooled, peaks)
    assert torch.equal(back, torch.where(peaks > 0, maps, 0.0))
    assert (peaks.sum((2, 3)) == 3 * 4).all()
    assert (peaks[:, :, 6] == 0).all()
    assert (peaks[..., 8] == 0).all()
