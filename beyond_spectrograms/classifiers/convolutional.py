"""The networks of the paper: the one its code runs, the one its text cites, a linear and a temporal one beside them.

All take windows [windows, bands, frames] and give logits [windows, classes].
"""

import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.base import ClassifierError
from beyond_spectrograms.classifiers.summaries import Summary

DROPOUT = 0.5  # the released code's and Keras' mnist_convnet's
TEMPORAL_WIDTHS = (128, 128, 256)  # channels of temporal_cnn's convolutions, each over five frames


class TimeConvolution(nn.Conv1d):
    """Convolution over time of windows [windows, channels, frames] kept in memory as [windows, frames, channels].

    Same weights and values as torch's Conv1d. Its CPU kernels are the faster for channels that lie side by side, but
    only the two-dimensional ones take that layout: a window goes in as an image one row high.
    """

    def forward(self, windows: Tensor) -> Tensor:
        """Convolve; the result lies in memory as the input does."""
        image = windows.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return nn.functional.conv2d(image, self.weight.unsqueeze(2), self.bias, (1, *self.stride)).squeeze(2)


class TimePooling(nn.Module):
    """Maximum over `frames` frames in TimeConvolution's layout, for which torch's MaxPool1d has no kernel."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, windows: Tensor) -> Tensor:
        """Pool windows [windows, channels, frames] to [windows, channels, frames // self.frames]."""
        return nn.functional.max_pool2d(windows.unsqueeze(2), (1, self.frames)).squeeze(2)


def conv1d(bands: int, frames: int, classes: int, dropout: float = DROPOUT) -> nn.Sequential:
    """Build the released code's network: bands are channels, convolution is over time alone.

    ReLU stands behind the pooling instead of before it: both orders give the same values and gradients, this one
    touches a fifth of them.
    """
    pooled = ((frames - 4) // 5 - 4) // 5
    if pooled < 1:
        raise ClassifierError(f"conv1d needs windows of at least 49 frames, got {frames}: take a shorter hop_length")
    return nn.Sequential(
        TimeConvolution(bands, 128, kernel_size=5),
        TimePooling(5),
        nn.ReLU(),
        TimeConvolution(128, 256, kernel_size=5),
        TimePooling(5),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Flatten(),
        nn.Linear(256 * pooled, classes),
    )


def conv2d(bands: int, frames: int, classes: int, dropout: float = DROPOUT) -> nn.Sequential:
    """Build Keras' mnist_convnet, which the paper's text cites: a window is an image of bands x frames.

    Source: https://keras.io/examples/vision/mnist_convnet/
    """
    height, width = ((bands - 2) // 2 - 2) // 2, ((frames - 2) // 2 - 2) // 2
    if min(height, width) < 1:
        raise ClassifierError(f"conv2d needs windows of at least 10 x 10, got {bands} bands x {frames} frames")
    network = nn.Sequential(
        nn.Unflatten(1, (1, bands)),
        nn.Conv2d(1, 32, kernel_size=3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(64 * height * width, classes),
    )
    # As in TimeConvolution, channels side by side in memory; torch's types do not know this argument of `to`.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def mean_linear(bands: int, frames: int, classes: int) -> nn.Sequential:  # noqa: ARG001  the contract of the others
    """Build a multinomial logistic regression on the mean over time, MTEB's way of comparing representations."""
    return nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(bands, classes))


def temporal_cnn(
    bands: int,
    frames: int,  # noqa: ARG001  as the others
    classes: int,
    dropout: float = DROPOUT,
) -> nn.Sequential:
    """Build a temporal convolutional network, the direct baseline without any prototype.

    Loiseau et al., ISMIR 2022, section 4, give no more details. Padding and the mean over time let it take windows of
    any length; conv1d needs 49 frames.
    """
    layers: list[nn.Module] = []
    for before, width in zip((bands, *TEMPORAL_WIDTHS), TEMPORAL_WIDTHS, strict=False):
        layers += [nn.ConstantPad1d(2, 0.0), TimeConvolution(before, width, kernel_size=5), nn.ReLU()]
    layers += [Summary(deviation=False), nn.Dropout(dropout), nn.Linear(TEMPORAL_WIDTHS[-1], classes)]
    return nn.Sequential(*layers)
