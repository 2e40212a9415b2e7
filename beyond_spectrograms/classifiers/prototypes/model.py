"""Prototypes: spectra, each with its own transformations; the one that reconstructs a window best names its class.

What predicts the transformations is section 3.4 of the paper (Loiseau et al., ISMIR 2022): 2-D convolutions and
poolings over bands and time, shared by all; at each level the bands are collapsed to a few maps by a learned pooling;
decoders, one for each prototype and transformation, are 1-D convolutions over time with these maps as skip connections.
"""

from functools import partial

import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.base import ClassifierError, MeasuringLayer, best_by_class
from beyond_spectrograms.classifiers.prototypes.transformations import BOUNDS, filter_bands, read_frames, shift_pitch
from beyond_spectrograms.params import PrototypeSettings

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


class PrototypeLayer(MeasuringLayer):
    """Prototypes [prototypes, bands, prototype frames] and what transforms them; logits of windows by their errors.

    Loiseau et al., ISMIR 2022, sections 3.1 to 3.3. A prototype of several frames is stretched over the window; the
    paper's have one. `used` is how many of the settings' transformations are applied, from the first: those whose
    decoders were never trained change nothing. `rest` [bands], learned too, is what a level of nothing leads to.
    """

    class_of: Tensor

    def __init__(self, settings: PrototypeSettings, bands: int, classes: int) -> None:
        super().__init__()
        count = settings.per_class * classes
        self.settings, self.classes, self.used = settings, classes, len(settings.transformations)
        self.prototypes = nn.Parameter(torch.zeros(count, bands, settings.frames))
        self.rest = nn.Parameter(torch.zeros(bands)) if "level" in settings.transformations else None
        self.tau = nn.Parameter(torch.tensor(settings.tau))
        self.register_buffer("class_of", torch.arange(classes).repeat_interleave(settings.per_class))
        self.encoder = Encoder(bands) if self.used else None
        self.decoders = Decoders(count, self.used) if self.used else None

    def scale(self, windows: Tensor) -> Tensor:
        """Bring features to the scale of the prototypes, about 0 to 1."""
        return (windows + self.settings.offset) / self.settings.scale

    def transformations(self, scaled: Tensor) -> dict[str, Tensor]:
        """Predict each transformation [windows, prototypes, frames(, 4)] of every prototype for scaled windows."""
        if not self.used or self.encoder is None or self.decoders is None:
            return {}
        numbers = torch.tanh(self.decoders(self.encoder(scaled), self.used))
        found: dict[str, Tensor] = {}
        for place, name in enumerate(self.settings.transformations[: self.used]):
            mine = numbers[:, :, place]
            found[name] = BOUNDS[name] * (mine.transpose(2, 3) if name == "filters" else mine[:, :, 0])
        return found

    def transform(self, found: dict[str, Tensor], frames: int) -> Tensor:
        """Apply transformations, of which there may be none, to every prototype.

        Returns:
            [windows, prototypes, frames, bands]; windows and frames are 1 where all are the same.
        """
        prototypes = self.prototypes.transpose(1, 2)
        if "time" in found:
            result = read_frames(prototypes, found["time"])
        else:
            spectra = prototypes  # one frame stands for all
            if self.settings.frames > 1:
                stretch = partial(nn.functional.interpolate, mode="linear", align_corners=True)
                spectra = stretch(self.prototypes, size=frames).transpose(1, 2)
            pitch = found.get("pitch")
            result = spectra[None] if pitch is None else shift_pitch(spectra, pitch, self.settings.top_hz)
        if self.rest is not None and "level" in found:
            result = self.rest + (1 + found["level"][..., None]) * (result - self.rest)
        if "gain" in found:
            result = result + found["gain"][..., None]
        if "filters" in found:
            result = result + filter_bands(found["filters"], result.shape[-1])
        return result

    def reconstruct(self, scaled: Tensor) -> Tensor:
        """Reconstruct scaled windows [windows, bands, frames] by every prototype, as `transform` gives it."""
        return self.transform(self.transformations(scaled), scaled.shape[2])

    def errors(self, windows: Tensor) -> Tensor:
        """Mean squared difference over bands and frames [windows, prototypes] of features as they come."""
        scaled = self.scale(windows)
        return self.errors_of(scaled, self.reconstruct(scaled))

    @staticmethod
    def errors_of(scaled: Tensor, rendered: Tensor) -> Tensor:
        """Mean squared difference [windows, prototypes] of scaled windows and what `transform` gave for them."""
        return (scaled.transpose(1, 2)[:, None] - rendered).square().mean((2, 3))

    def logits(self, errors: Tensor) -> Tensor:
        """Class logits [windows, classes]: -softplus(tau) times the error of the class's best prototype."""
        return -nn.functional.softplus(self.tau) * best_by_class(errors, self.class_of, self.classes)

    def forward(self, windows: Tensor) -> Tensor:
        """Classify windows [windows, bands, frames]."""
        return self.logits(self.errors(windows))

    def measure(self, windows: Tensor) -> dict[str, Tensor]:
        """Measure the error of the best prototype and, without supervision, which it is, each [windows]."""
        error, best = self.errors(windows).min(1)
        return {"reconstruction_error": error} | ({} if self.settings.supervised else {"cluster": best})


def build(bands: int, frames: int, classes: int, *, settings: PrototypeSettings) -> nn.Sequential:  # noqa: ARG001  as the others
    """Build the network; its prototypes are still to be started from data.

    Raises:
        ClassifierError: windows of a single band.
    """
    if bands < 2:
        raise ClassifierError(f"prototypes need windows of at least 2 bands, got {bands}")
    return nn.Sequential(PrototypeLayer(settings, bands, classes))
