"""M5 has the published layers, and takes the samples of a waveform alone."""

import pytest
import torch

from beyond_spectrograms.classifiers import m5
from beyond_spectrograms.classifiers.base import ClassifierError
from support.common import refusal


def test_m5_has_the_layers_of_the_source_at_twice_its_rate() -> None:
    network = m5.build(1, 16_000, 10)
    convolutions = [layer for layer in network if isinstance(layer, torch.nn.Conv1d)]
    shapes = [(each.in_channels, each.out_channels, each.kernel_size[0], each.stride[0]) for each in convolutions]
    assert shapes == [(1, 128, 160, 8), (128, 128, 3, 1), (128, 256, 3, 1), (256, 512, 3, 1)]
    kinds = [type(layer).__name__ for layer in network]
    each = ["TimeConvolution", "BatchNorm1d", "ReLU", "TimePooling"]
    assert kinds == [*each, *["ConstantPad1d", *each] * 3, "Summary", "Linear"]


@pytest.mark.numeric
def test_convolutions_are_torchs_with_the_stride_of_the_first() -> None:
    network, windows = m5.build(1, 4000, 3), torch.randn(2, 1, 4000)
    for first, layer in ((0, network[0]), (5, network[5])):
        hidden = network[:first](windows)
        expected = torch.nn.functional.conv1d(hidden, layer.weight, stride=layer.stride)
        torch.testing.assert_close(layer(hidden), expected)


@pytest.mark.parametrize("frames", [m5.SHORTEST, 16_000, 24_000])
def test_windows_of_any_length_from_the_shortest_on_are_classified(frames: int) -> None:
    assert m5.build(1, frames, 10)(torch.randn(3, 1, frames)).shape == (3, 10)


@pytest.mark.parametrize(("bands", "frames"), [(128, 16_000), (1, m5.SHORTEST - 1)])
def test_what_is_no_waveform_or_too_short_is_refused(bands: int, frames: int) -> None:
    assert refusal(ClassifierError, m5.build, bands, frames, 10) == (
        f"m5 needs the samples of a waveform, one band of at least 2200 frames, got {bands} x {frames}: take a "
        "representation of kind waveform"
    )
