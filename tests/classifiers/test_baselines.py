"""What prototypes are compared with: the parts of APNet."""

import math

import pytest
import torch

from beyond_spectrograms.classifiers.apnet import APNetLayer, _distances, _pool, _unpool
from support.numeric import assert_rounded, assert_same, by_default_float64

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.numeric]


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


def test_apnets_distances_are_sums_over_channels_and_columns_of_squared_differences() -> None:
    torch.manual_seed(0)
    latents, prototypes = torch.randn(3, 4, 5, 6), torch.randn(2, 4, 5, 6)
    exact = latents.double(), prototypes.double()
    plain = (exact[0][:, None] - exact[1]).square().sum((2, 4))
    assert_same(_distances(*exact), plain)
    assert_rounded(_distances(latents, prototypes), plain, roundings=4 * 6)


def test_what_apnet_unpools_stands_where_it_was_also_in_maps_of_odd_size() -> None:
    torch.manual_seed(0)
    maps = torch.rand(2, 3, 7, 9)
    pooled, peaks = _pool(maps)
    back = _unpool(pooled, peaks)
    assert torch.equal(back, torch.where(peaks > 0, maps, 0.0))
    assert (peaks.sum((2, 3)) == 3 * 4).all()
    assert (peaks[:, :, 6] == 0).all()
    assert (peaks[..., 8] == 0).all()
