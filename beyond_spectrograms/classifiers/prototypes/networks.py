"""What predicts the transformations: an encoder shared by all, a decoder for each prototype and transformation.

Section 3.4 of the paper: 2-D convolutions and poolings over bands and time; at each level the bands are collapsed to a
few maps by a learned pooling; decoders are 1-D convolutions over time with these maps as skip connections.
"""

import torch
from torch import Tensor, nn

WIDTHS = (8, 16, 32, 32, 32)  # channels by level; four poolings and the first width are the released code's
MAPS = 2  # to which the bands of a level are collapsed
HIDDEN = 8  # channels of a decoder
OUTPUTS = 4  # numbers a decoder may give a frame


class Encoder(nn.Module):
    """Windows [windows, bands, frames] -> maps [windows, MAPS, frames of the level] of every level, finest first."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        heights = [bands]
        for _ in WIDTHS[1:]:
            heights.append(-(-heights[-1] // 2))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, width, 3, padding=1) for before, width in zip((1, *WIDTHS), WIDTHS, strict=False)
        )
        self.collapses = nn.ModuleList(
            nn.Conv2d(width, MAPS, (height, 1)) for width, height in zip(WIDTHS, heights, strict=True)
        )

    def forward(self, windows: Tensor) -> list[Tensor]:
        """Encode."""
        image, maps = windows.unsqueeze(1).contiguous(memory_format=torch.channels_last), []
        for level, (convolve, collapse) in enumerate(zip(self.convolutions, self.collapses, strict=True)):
            if level:
                image = nn.functional.max_pool2d(image, 2, ceil_mode=True)
            image = nn.functional.relu(convolve(image))
            maps.append(collapse(image).squeeze(2))
        return maps


class Decoders(nn.Module):
    """A decoder for each prototype and transformation, all in one pass: weights [prototypes, transformations, ...].

    They start at zero output, and so at no change of the prototype.
    """

    def __init__(self, prototypes: int, transformations: int) -> None:
        super().__init__()
        each, levels = (prototypes, transformations), len(WIDTHS)
        self.skips = nn.ParameterList(
            torch.randn(*each, HIDDEN, MAPS, 3) * (2 / (3 * MAPS)) ** 0.5 for _ in range(levels)
        )
        self.biases = nn.ParameterList(torch.zeros(*each, HIDDEN) for _ in range(levels))
        self.ups = nn.ParameterList(
            torch.randn(*each, HIDDEN, HIDDEN, 3) * (2 / (3 * HIDDEN)) ** 0.5 for _ in range(levels - 1)
        )
        self.last = nn.Parameter(torch.zeros(*each, OUTPUTS, HIDDEN))
        self.last_bias = nn.Parameter(torch.zeros(*each, OUTPUTS))

    def forward(self, maps: list[Tensor], used: int) -> Tensor:
        """Decode the first `used` transformations [windows, prototypes, used, OUTPUTS, frames]; 0 is none."""
        prototypes = len(self.last)

        def of_used(weight: Tensor) -> Tensor:
            return weight[:, :used].flatten(0, 2)

        hidden: Tensor | None = None
        for level in reversed(range(len(maps))):
            skip = nn.functional.conv1d(maps[level], of_used(self.skips[level]), of_used(self.biases[level]), padding=1)
            if hidden is not None:
                risen = nn.functional.interpolate(hidden, size=skip.shape[2])
                weight = of_used(self.ups[level])
                skip = skip + nn.functional.conv1d(risen, weight, padding=1, groups=prototypes * used)
            hidden = nn.functional.relu(skip)
        assert hidden is not None  # there are levels
        bias = self.last_bias[:, :used].flatten()
        numbers = nn.functional.conv1d(hidden, of_used(self.last)[..., None], bias, groups=prototypes * used)
        return numbers.reshape(len(numbers), prototypes, used, OUTPUTS, -1)
