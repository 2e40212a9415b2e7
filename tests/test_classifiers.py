"""The two networks: their shapes, and that our order of layers is the released code's."""

import pytest
import torch
from torch import nn

from beyond_spectrograms.classifiers import ClassifierError, Standardize, choose_device, conv1d, conv2d


@pytest.mark.parametrize(("bands", "frames"), [(128, 173), (128, 150), (128, 75), (64, 50)])
def test_both_take_every_representation_and_give_logits(bands: int, frames: int) -> None:
    windows = torch.randn(3, bands, frames)
    assert conv1d(bands, frames, 10)(windows).shape == (3, 10)
    assert conv2d(bands, frames, 10)(windows).shape == (3, 10)


def test_conv1d_has_the_parameters_of_the_released_network() -> None:
    # Conv1d 128 -> 128 k5, Conv1d 128 -> 256 k5, Linear on 256 x 5: 173 frames become 169, pooled 33, 29, pooled 5.
    expected = (128 * 128 * 5 + 128) + (256 * 128 * 5 + 256) + (256 * 5 * 10 + 10)
    assert sum(parameter.numel() for parameter in conv1d(128, 173, 10).parameters()) == expected


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


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(ClassifierError) as raised:
        conv1d(128, 48, 10)
    assert str(raised.value) == "conv1d needs windows of at least 49 frames, got 48: take a shorter hop_length"
    conv1d(128, 49, 10)(torch.randn(1, 128, 49))
    with pytest.raises(ClassifierError) as raised:
        conv2d(9, 173, 10)
    assert str(raised.value) == "conv2d needs windows of at least 10 x 10, got 9 bands x 173 frames"


def test_standardize_works_per_band() -> None:
    windows = torch.randn(4, 2, 50) * torch.tensor([3.0, 5.0])[:, None] + torch.tensor([1.0, -2.0])[:, None]
    layer = Standardize(windows.mean((0, 2)), windows.std((0, 2), correction=0))
    assert torch.allclose(layer(windows).mean((0, 2)), torch.zeros(2), atol=1e-6)
    assert torch.allclose(layer(windows).std((0, 2), correction=0), torch.ones(2), atol=1e-6)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_cuda_asked_for_and_absent_stops() -> None:
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(ClassifierError) as raised:
        choose_device("cuda")
    assert str(raised.value) == "device is cuda in params.yaml, and torch finds no CUDA device. Choose auto or cpu."
