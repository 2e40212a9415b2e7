"""Baselines of the prototypes: K-means, and autoencoders that classify, one by K-means on its latents, and APNet.

kmeans on whole windows is the one whose prototypes have no transformation at all.

autoencoder_kmeans: Loiseau et al., ISMIR 2022, section 4, "Clustering": two-dimensional, without skip connections,
trained on the mean squared difference. From the authors' released code (bd509c5c): four convolutions of 5 x 5 with
leaky ReLU, three poolings between, and transposed convolutions back. They have 32 channels.

apnet: Zinemanas et al., "An Interpretable Deep Learning Model for Automatic Sound Classification", Electronics 10 (7),
2021: three convolutions of 5 x 5 with leaky ReLU and two poolings, which the decoder undoes; similarity
exp(-squared distance) for each row of frequencies, weighted over frequency for each prototype; a linear layer. Losses
are weighted 2 : 1 : 1, as theirs (10 : 5 : 5) and in Loiseau et al.'s code, from which the softmax over frequency
weights is taken too. Prototypes start near 0, as in their code (pzinemanas/APNet, ac624f43): farther away exp gives 0
and no gradient. With K-means on the similarities (apnet_kmeans) it clusters, though it is trained with labels.
"""

import itertools

import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.base import ClassifierError, MeasuringLayer, best_by_class

CHANNELS = 16  # to train on two cores within an hour
LEVELS = 4  # of the one whose latents are clustered
PER_CLASS = 3  # prototypes of APNet; the released code has 100 for 33 classes
START = 0.05  # farthest a prototype's value starts from 0: Keras's `uniform`
PROTOTYPE_LOSS, RECONSTRUCTION_LOSS = 0.5, 0.5  # weights beside the cross-entropy's 1


class Centres(MeasuringLayer):
    """As many centres [clusters, bands, frames] as classes, each named by a class; all are still to be found.

    Logits are minus the errors.
    """

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

    def measure(self, windows: Tensor) -> dict[str, Tensor]:
        """Measure the nearest centre's error and number, each [windows]."""
        error, cluster = self.errors(windows).min(1)
        return {"reconstruction_error": error, "cluster": cluster}


class ReconstructingLayer(MeasuringLayer):
    """Takes windows [windows, bands, frames] and gives logits [windows, classes]."""

    mean: Tensor  # of the training part's features, one number
    deviation: Tensor  # likewise
    centres: Tensor  # [clusters, dimensions] of K-means on the points of `go`; empty where the layer classifies itself
    class_of: Tensor  # of each cluster [clusters], by majority of its training windows

    def __init__(self, classes: int, dimensions: int) -> None:
        super().__init__()
        self.classes, self.clusters = classes, bool(dimensions)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))
        self.register_buffer("centres", torch.zeros(classes, dimensions))
        self.register_buffer("class_of", torch.arange(classes))

    def scale(self, windows: Tensor) -> Tensor:
        """Bring features to images [windows, 1, bands, frames] of mean 0 and deviation 1 over the training part."""
        return ((windows - self.mean) / self.deviation)[:, None]

    def distances(self, points: Tensor) -> Tensor:
        """Squared distances [windows, clusters] of points [windows, dimensions] to the centres."""
        return torch.cdist(points, self.centres).square()

    def by_cluster(self, points: Tensor) -> Tensor:
        """Logits [windows, classes]: minus the squared distance of the class's nearest centre."""
        return -best_by_class(self.distances(points), self.class_of, self.classes)

    def go(self, windows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute loss, error, logits and points of windows.

        The loss [windows] is minimised; the error [windows] is the mean squared difference of the reconstruction in
        the features' own squared unit; points [windows, dimensions] are what K-means clusters.
        """
        raise NotImplementedError

    def _go_without_targets(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute what `go` does; the loss then means nothing."""
        return self.go(windows, torch.zeros(len(windows), dtype=torch.long, device=windows.device))

    def forward(self, windows: Tensor) -> Tensor:
        """Classify windows [windows, bands, frames]."""
        return self._go_without_targets(windows)[2]

    def measure(self, windows: Tensor) -> dict[str, Tensor]:
        """Measure each window's reconstruction error, and its cluster where there are clusters."""
        _, error, _, points = self._go_without_targets(windows)
        clusters = {"cluster": self.distances(points).argmin(1)} if self.clusters else {}
        return {"reconstruction_error": error, **clusters}


class AutoencoderLayer(ReconstructingLayer):
    """An autoencoder, and clusters of its innermost maps, which are still to be found.

    Raises:
        ClassifierError: windows too small to be pooled three times.
    """

    def __init__(self, bands: int, frames: int, classes: int) -> None:
        shrunk = 2 ** (LEVELS - 1)
        if min(bands, frames) < shrunk:
            what = f"at least 8 bands x 8 frames, got {bands} x {frames}"
            raise ClassifierError(f"autoencoder_kmeans needs windows of {what}")
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


class APNetLayer(ReconstructingLayer):
    """Autoencoder, prototypes [prototypes, channels, rows, columns] in its latents, and the classifier behind.

    Raises:
        ClassifierError: windows too small to be pooled twice.
    """

    def __init__(self, bands: int, frames: int, classes: int, *, clusters: bool) -> None:
        if min(bands, frames) < 4:
            raise ClassifierError(f"apnet needs windows of at least 4 bands x 4 frames, got {bands} x {frames}")
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
        # A step then takes 0.7 of the processor time. torch's stubs lack the keyword.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

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
