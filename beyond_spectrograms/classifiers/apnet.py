"""APNet: an autoencoder whose latents are classified by how similar they are to latent prototypes; a baseline.

Zinemanas et al., "An Interpretable Deep Learning Model for Automatic Sound Classification", Electronics 10 (7), 2021:
three convolutions of 5 x 5 with leaky ReLU and two poolings, which the decoder undoes; similarity
exp(-squared distance) for each row of frequencies, weighted over frequency for each prototype; a linear layer. Losses
are weighted 2 : 1 : 1, as theirs (10 : 5 : 5) and in Loiseau et al.'s code (bd509c5c), from which the softmax over
frequency weights is taken too. Prototypes start near 0, as in their code (pzinemanas/APNet, ac624f43): farther away exp
gives 0 and no gradient. Ours: 16 channels, to train on two cores within an hour.

With K-means on the similarities (Loiseau et al., ISMIR 2022, section 4) it clusters, though it is trained with labels.
"""

import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.base import ClassifierError
from beyond_spectrograms.classifiers.reconstruction import ReconstructingLayer

CHANNELS = 16
PER_CLASS = 3  # prototypes; the released code has 100 for 33 classes
START = 0.05  # farthest a prototype's value starts from 0: Keras's `uniform`
PROTOTYPE_LOSS, RECONSTRUCTION_LOSS = 0.5, 0.5  # weights beside the cross-entropy's 1


class APNetLayer(ReconstructingLayer):
    """Autoencoder, prototypes [prototypes, channels, rows, columns] in its latents, and the classifier behind."""

    def __init__(self, bands: int, frames: int, classes: int, *, clusters: bool) -> None:
        count = PER_CLASS * classes
        super().__init__(classes, count if clusters else 0)
        self.first, self.second, self.third = (
            nn.Conv2d(before, CHANNELS, 5, padding=2) for before in (1, CHANNELS, CHANNELS)
        )
        self.back = nn.ModuleList(
            nn.ConvTranspose2d(CHANNELS, after, 5, padding=2) for after in (CHANNELS, CHANNELS, 1)
        )
        self.prototypes = nn.Parameter(torch.empty(count, CHANNELS, bands // 4, frames // 4).uniform_(-START, START))
        self.frequency_weights = nn.Parameter(torch.zeros(count, bands // 4))
        self.linear = nn.Linear(count, classes, bias=False)

    def go(self, windows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See ReconstructingLayer; the points are the similarities to the prototypes."""
        leaky = nn.functional.leaky_relu
        images = self.scale(windows).contiguous(memory_format=torch.channels_last)
        fine = leaky(self.first(images))
        halved, fine_peaks = _pool(fine)
        middle = leaky(self.second(halved))
        quartered, middle_peaks = _pool(middle)
        latents = leaky(self.third(quartered))

        hidden = leaky(_unpool(self.back[0](latents), middle_peaks))
        hidden = leaky(_unpool(self.back[1](hidden), fine_peaks))
        error = (self.back[2](hidden) - images).square().mean((1, 2, 3))

        by_row = _distances(latents, self.prototypes)
        similarities = (torch.exp(-by_row) * self.frequency_weights.softmax(1)).sum(2)
        logits = self.linear(similarities)
        distances = by_row.mean(2)
        # Every window near a prototype, and every prototype near a window of the batch.
        nearness = distances.amin(1) + distances.amin(0).mean()
        entropy = nn.functional.cross_entropy(logits, targets, reduction="none")
        loss = entropy + PROTOTYPE_LOSS * nearness + RECONSTRUCTION_LOSS * error
        shown = self.by_cluster(similarities) if self.clusters else logits
        return loss, error * self.deviation**2, shown, similarities


def _distances(latents: Tensor, prototypes: Tensor) -> Tensor:
    """Squared distance over channels and columns of each row [windows, prototypes, rows], by matrix products.

    `latents` are [windows, channels, rows, columns], `prototypes` [prototypes, channels, rows, columns].
    """
    mine, theirs = (maps.permute(2, 0, 1, 3).flatten(2) for maps in (latents, prototypes))
    squares = mine.square().sum(2)[:, :, None] + theirs.square().sum(2)[:, None]
    return torch.baddbmm(squares, mine, theirs.transpose(1, 2), alpha=-2).clamp(min=0).permute(1, 2, 0)


def _pool(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Take the maximum of every 2 x 2 of maps [..., rows, columns], and mark where it is, 1 or 0.

    An odd row or column at the end is in no 2 x 2.
    """
    pooled = nn.functional.max_pool2d(maps, 2)
    return pooled, (maps >= _double(pooled, maps.shape, torch.inf)).float()


def _unpool(maps: Tensor, peaks: Tensor) -> Tensor:
    """Undo _pool: values where the maxima were, 0 elsewhere. torch's max_unpool2d is not deterministic."""
    return _double(maps, peaks.shape, 0.0) * peaks


def _double(maps: Tensor, shape: torch.Size, beyond: float) -> Tensor:
    """Repeat every value twice along rows and columns, up to `shape`."""
    doubled = nn.functional.interpolate(maps, scale_factor=2)
    return nn.functional.pad(doubled, (0, shape[3] - doubled.shape[3], 0, shape[2] - doubled.shape[2]), value=beyond)


def build(bands: int, frames: int, classes: int, *, clusters: bool) -> nn.Sequential:
    """Build the network.

    Raises:
        ClassifierError: windows too small to be pooled twice.
    """
    if min(bands, frames) < 4:
        raise ClassifierError(f"apnet needs windows of at least 4 bands x 4 frames, got {bands} x {frames}")
    network = nn.Sequential(APNetLayer(bands, frames, classes, clusters=clusters))
    # A step then takes 0.7 of the processor time. torch's stubs lack the keyword.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
