"""Prototypes the plain way, as one would write them from the paper: the yardstick for `prototypes_*`, never a result.

Loiseau et al., ISMIR 2022, section 3: a loop over prototypes, in it one over transformations, a decoder module for each
of both; torch's own layers, memory layout and optimizer, its default threads, whole batches.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import librosa
import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.prototypes.model import HIDDEN, MAPS, WIDTHS

if TYPE_CHECKING:
    from beyond_spectrograms.classifiers.prototypes.model import PrototypeLayer
    from beyond_spectrograms.params import Protocol, PrototypeSettings

NUMBERS = {"pitch": 1, "gain": 1, "filters": 4}  # that a decoder gives a frame, in the order in which they are applied
BOUNDS = {"pitch": 1.0, "gain": 0.5, "filters": 0.25}


class PlainEncoder(nn.Module):
    """Windows [windows, bands, frames] -> maps [windows, MAPS, frames of the level] of every level, finest first."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.convolutions, self.collapses = nn.ModuleList(), nn.ModuleList()
        for before, width in zip((1, *WIDTHS), WIDTHS, strict=False):
            self.convolutions.append(nn.Conv2d(before, width, kernel_size=3, padding=1))
            self.collapses.append(nn.Conv2d(width, MAPS, kernel_size=(bands, 1)))
            bands = math.ceil(bands / 2)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, windows: Tensor) -> list[Tensor]:
        """Encode."""
        image = windows.unsqueeze(1)
        maps: list[Tensor] = []
        for convolution, collapse in zip(self.convolutions, self.collapses, strict=True):
            image = torch.relu(convolution(image if not maps else self.pool(image)))
            maps.append(collapse(image).squeeze(2))
        return maps


class PlainDecoder(nn.Module):
    """Maps of all levels -> the numbers [windows, numbers, frames] of one transformation of one prototype."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        levels = len(WIDTHS)
        self.skips = nn.ModuleList(nn.Conv1d(MAPS, HIDDEN, kernel_size=3, padding=1) for _ in range(levels))
        self.ups = nn.ModuleList(
            nn.Conv1d(HIDDEN, HIDDEN, kernel_size=3, padding=1, bias=False) for _ in range(levels - 1)
        )
        self.last = nn.Conv1d(HIDDEN, numbers, kernel_size=1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Decode, from the coarsest level on."""
        hidden = torch.relu(self.skips[-1](maps[-1]))
        for level in range(len(maps) - 2, -1, -1):
            skip = self.skips[level](maps[level])
            hidden = torch.relu(skip + self.ups[level](nn.functional.interpolate(hidden, size=skip.shape[2])))
        numbers: Tensor = self.last(hidden)
        return numbers


class PlainPrototypes(nn.Module):
    """Prototypes of one frame [prototypes, bands], one a class, and their transformations."""

    hertz: Tensor

    def __init__(self, settings: PrototypeSettings, bands: int, classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.prototypes = nn.Parameter(torch.zeros(classes, bands))
        self.tau = nn.Parameter(torch.tensor(settings.tau))
        self.encoder = PlainEncoder(bands)
        # [prototypes][transformations]
        self.decoders = nn.ModuleList(
            nn.ModuleList(PlainDecoder(numbers) for numbers in NUMBERS.values()) for _ in range(classes)
        )
        hertz = librosa.mel_frequencies(bands + 2, fmin=0, fmax=settings.top_hz)
        self.register_buffer("hertz", torch.from_numpy(hertz[1:-1]).float())
        self.mel_a_band = float(librosa.hz_to_mel(settings.top_hz)) / (bands + 1)

    def errors(self, windows: Tensor) -> Tensor:
        """Mean squared differences [windows, prototypes]."""
        scaled = (windows + self.settings.offset) / self.settings.scale
        maps, errors = self.encoder(scaled), []
        for prototype, decoders in zip(self.prototypes, self.decoders, strict=True):
            result = prototype
            assert isinstance(decoders, nn.ModuleList)
            for name, decoder in zip(NUMBERS, decoders, strict=True):
                numbers = BOUNDS[name] * torch.tanh(decoder(maps))
                if name == "pitch":
                    result = self.shift(result, numbers[:, 0])
                elif name == "gain":
                    result = result + numbers[:, 0, :, None]
                else:
                    result = result + filters(numbers, len(prototype))
            errors.append(((scaled.transpose(1, 2) - result) ** 2).mean(dim=(1, 2)))
        return torch.stack(errors, dim=1)

    def shift(self, prototype: Tensor, shift: Tensor) -> Tensor:
        """Scale the frequencies of a prototype [bands] by e^shift [windows, frames]: [windows, frames, bands]."""
        hertz = self.hertz * torch.exp(-shift[..., None])
        # Slaney's mel, librosa's: linear up to 1000 Hz, then logarithmic.
        mel = torch.where(hertz < 1000, hertz * 3 / 200, 15 + 27 / math.log(6.4) * torch.log(hertz / 1000))
        positions = (mel / self.mel_a_band - 1).clamp(0, len(prototype) - 1)
        below = positions.floor().long().clamp(max=len(prototype) - 2)
        share = positions - below
        return (1 - share) * prototype[below] + share * prototype[below + 1]


def filters(numbers: Tensor, bands: int) -> Tensor:
    """Compute what two filters of numbers [windows, 4, frames] add: [windows, frames, bands]."""
    band = torch.linspace(0, 1, bands)
    slope_high, cut_high, slope_low, cut_low = numbers[..., None].unbind(dim=1)
    high = slope_high * nn.functional.softplus(2 * (band - 0.5 + cut_high), beta=10)
    return high + slope_low * nn.functional.softplus(-2 * (band - 0.5 + cut_low), beta=10)


def plain_copy(layer: PrototypeLayer, bands: int) -> PlainPrototypes:
    """Write our layer, of one prototype of one frame a class, the plain way, with the same weights."""
    plain = PlainPrototypes(layer.settings, bands, layer.classes)
    ours, weights = dict(layer.named_parameters()), {}
    names: list[str] = [*layer.settings.transformations]
    for key in plain.state_dict():
        module, _, place = key.partition(".")
        if module != "decoders":
            weights[key] = ours[key][..., 0] if key == "prototypes" else ours.get(key, plain.state_dict()[key])
            continue
        prototype, transformation, part = place.split(".", 2)
        name = tuple(NUMBERS)[int(transformation)]
        each = int(prototype), names.index(name)
        kind, _, rest = part.partition(".")
        if kind == "last":
            weight = ours["decoders.last" if rest == "weight" else "decoders.last_bias"][each][: NUMBERS[name]]
            weights[key] = weight[..., None] if rest == "weight" else weight
        else:
            level, _, what = rest.partition(".")
            weights[key] = ours[f"decoders.{'biases' if what == 'bias' else kind}.{level}"][each]
    plain.load_state_dict(weights)
    return plain


class PlainPrototypeTraining:
    """One run of the supervised prototypes over windows [windows, bands, frames], from given weights on."""

    def __init__(self, protocol: Protocol, network: PlainPrototypes) -> None:
        settings = network.settings
        self._batch_size, self._network, self._weight = protocol.batch_size, network, settings.cross_entropy
        others = [parameter for name, parameter in network.named_parameters() if name != "tau"]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": others, "lr": protocol.learning_rate},
                {"params": [network.tau], "lr": settings.tau_learning_rate},
            ],
            weight_decay=settings.weight_decay,
        )

    def loss(self, windows: Tensor, targets: Tensor) -> Tensor:
        """Error of the class's own prototype, and the cross-entropy times its weight."""
        errors = self._network.errors(windows)
        logits = -nn.functional.softplus(self._network.tau) * errors
        own = errors[torch.arange(len(targets)), targets].mean()
        return own + self._weight * nn.functional.cross_entropy(logits, targets)

    def epoch(self, training: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor]) -> None:
        """Train on windows and targets in batches, and validate on others."""
        for places in torch.split(torch.randperm(len(training[0])), self._batch_size):
            loss = self.loss(training[0][places], training[1][places])
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
            self._optimizer.step()
        with torch.no_grad():
            for batch in zip(*(torch.split(values, self._batch_size) for values in validation), strict=True):
                self.loss(*batch)
