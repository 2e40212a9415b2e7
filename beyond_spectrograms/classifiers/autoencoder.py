"""K-means on the innermost maps of a convolutional autoencoder, a baseline of the prototypes.

Loiseau et al., ISMIR 2022, section 4, "Clustering": two-dimensional, without skip connections, trained on the mean
squared difference. From the authors' released code (bd509c5c): four convolutions of 5 x 5 with leaky ReLU, three
poolings between, and transposed convolutions back. They have 32 channels; ours has 16, to train within an hour.
"""

import itertools

from torch import Tensor, nn

from beyond_spectrograms.classifiers.base import ClassifierError
from beyond_spectrograms.classifiers.reconstruction import ReconstructingLayer

CHANNELS = 16
LEVELS = 4


class AutoencoderLayer(ReconstructingLayer):
    """An autoencoder, and clusters of its innermost maps."""

    def __init__(self, bands: int, frames: int, classes: int) -> None:
        shrunk = 2 ** (LEVELS - 1)
        super().__init__(classes, CHANNELS * (bands // shrunk) * (frames // shrunk))
        widths = [1, *[CHANNELS] * LEVELS]
        self.down = nn.ModuleList(nn.Conv2d(*pair, 5, padding=2) for pair in itertools.pairwise(widths))
        widths.reverse()
        self.up = nn.ModuleList(nn.ConvTranspose2d(*pair, 5, padding=2) for pair in itertools.pairwise(widths))

    def go(self, windows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: ARG002  without labels
        """See ReconstructingLayer; the loss is the error on the scale of deviation 1."""
        images = self.scale(windows)
        hidden, sizes = images, []
        for level, convolve in enumerate(self.down):
            if level:
                sizes.append(hidden.shape[2:])
                hidden = nn.functional.max_pool2d(hidden, 2)
            hidden = nn.functional.leaky_relu(convolve(hidden))
        points = hidden.flatten(1)
        for level, convolve in enumerate(self.up):
            hidden = convolve(hidden)
            if level < LEVELS - 1:
                hidden = nn.functional.leaky_relu(nn.functional.interpolate(hidden, size=sizes.pop()))
        loss = (hidden - images).square().mean((1, 2, 3))
        return loss, loss * self.deviation**2, self.by_cluster(points), points


def build(bands: int, frames: int, classes: int) -> nn.Sequential:
    """Build the network; its clusters are still to be found.

    Raises:
        ClassifierError: windows too small to be pooled three times.
    """
    if min(bands, frames) < 2 ** (LEVELS - 1):
        raise ClassifierError(
            f"autoencoder_kmeans needs windows of at least 8 bands x 8 frames, got {bands} x {frames}"
        )
    return nn.Sequential(AutoencoderLayer(bands, frames, classes))
