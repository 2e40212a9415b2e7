"""Direct classification: a temporal convolutional network, the baseline without any prototype.

Loiseau et al., ISMIR 2022, section 4, give no more details. Padding and the mean over time let it take windows of any
length; conv1d needs 49 frames.
"""

from torch import Tensor, nn

from beyond_spectrograms.classifiers.convolutional import TimeConvolution

WIDTHS = (128, 128, 256)  # channels of its convolutions, each over five frames
DROPOUT = 0.5  # as conv1d's


class MeanOverTime(nn.Module):
    """[windows, channels, frames] -> [windows, channels]."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Average."""
        return hidden.mean(2)


def build(bands: int, frames: int, classes: int) -> nn.Sequential:  # noqa: ARG001  as the others
    """Build the network: windows [windows, bands, frames] -> logits [windows, classes]."""
    layers: list[nn.Module] = []
    for before, width in zip((bands, *WIDTHS), WIDTHS, strict=False):
        layers += [nn.ConstantPad1d(2, 0.0), TimeConvolution(before, width, kernel_size=5), nn.ReLU()]
    return nn.Sequential(*layers, MeanOverTime(), nn.Dropout(DROPOUT), nn.Linear(WIDTHS[-1], classes))
