"""Prototypes: spectra, each with its own transformations; the one that reconstructs a window best names its class."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.base import ClassifierError, MeasuringLayer
from beyond_spectrograms.classifiers.clusters import best_by_class
from beyond_spectrograms.classifiers.prototypes.networks import Decoders, Encoder
from beyond_spectrograms.classifiers.prototypes.transformations import BOUNDS, filter_bands, read_frames, shift_pitch

if TYPE_CHECKING:
    from beyond_spectrograms.params import PrototypeSettings


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
