"""Attention pooling gives the logits of a weighted mean of frames, weights by the formula of the source."""

import numpy as np
import pytest
import torch

from beyond_spectrograms.classifiers.attention import AttentionPooling
from support.numeric import assert_same


@pytest.mark.numeric
def test_weights_and_logits_are_those_of_the_formula() -> None:
    torch.manual_seed(0)
    layer, windows = AttentionPooling(6, 50, 4).double(), torch.randn(5, 6, 50, dtype=torch.float64)
    matrices = (layer.hidden.weight, layer.hidden.bias, layer.score.weight, layer.linear.weight, layer.linear.bias)
    first, bias, second, linear, offset = (each.detach().numpy() for each in matrices)
    for window, logits, told in zip(windows.numpy(), layer(windows), layer.weigh(windows), strict=True):
        scores = np.array([second[0] @ np.tanh(first @ frame + bias) for frame in window.T])
        weights = np.exp(scores) / np.exp(scores).sum()
        assert_same(told, torch.from_numpy(weights))
        assert_same(logits, torch.from_numpy(linear @ (window @ weights) + offset))


@pytest.mark.numeric
def test_the_order_of_frames_is_lost_and_one_frame_can_decide() -> None:
    layer, windows = AttentionPooling(6, 50, 4).double(), torch.randn(5, 6, 50, dtype=torch.float64)
    assert_same(layer(windows[:, :, torch.randperm(50)]), layer(windows))
    with torch.no_grad():
        layer.score.weight.fill_(1e6)
    loudest = layer.weigh(windows).argmax(1)
    alone = windows[torch.arange(5), :, loudest]
    torch.testing.assert_close(layer(windows), layer.linear(alone))
