"""K-means on whole windows: the baseline whose prototypes have no transformation at all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.clusters import best_by_class


class Centres(nn.Module):
    """As many centres [clusters, bands, frames] as classes, each named by a class. Logits are minus the errors."""

    centres: Tensor
    class_of: Tensor

    def __init__(self, bands: int, frames: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(classes, bands, frames))
        self.register_buffer("class_of", torch.arange(classes))

    def errors(self, windows: Tensor) -> Tensor:
        """Mean squared differences [windows, clusters] of windows [windows, bands, frames]."""
        values, centres = windows.flatten(1), self.centres.flatten(1)
        return torch.stack([(values - centre).square().mean(1) for centre in centres], 1)

    def forward(self, windows: Tensor) -> Tensor:
        """Give logits [windows, classes]."""
        return -best_by_class(self.errors(windows), self.class_of, len(self.centres))


def build(bands: int, frames: int, classes: int) -> nn.Sequential:
    """Build the network; its centres are still to be found."""
    return nn.Sequential(Centres(bands, frames, classes))


def centres_of(network: nn.Sequential) -> Centres:
    """Find the network's last layer."""
    layer = network[-1]
    assert isinstance(layer, Centres)
    return layer


def measure(network: nn.Sequential, windows: Tensor) -> dict[str, Tensor]:
    """Measure the nearest centre's error and number, each [windows]."""
    error, cluster = centres_of(network).errors(network[:-1](windows)).min(1)
    return {"reconstruction_error": error, "cluster": cluster}
