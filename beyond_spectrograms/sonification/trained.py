"""A trained run's prototypes: their features, how they render clips, and their mean transformations."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from beyond_spectrograms.classifiers.prototypes.model import PrototypeLayer
from beyond_spectrograms.classifiers.prototypes.transformations import filter_bands
from beyond_spectrograms.representations.base import Features

BATCH = 32  # windows at a time; changes no result
SEMITONES = 12 / np.log(2)  # in an e-fold of frequency
DISTANCE = "factor of the distance from rest"
UNCHANGED = {DISTANCE: 1.0}  # what leaves a prototype as it is, where that is not 0

Found = dict[str, Tensor]  # transformation -> its numbers [..., frames], of filters [..., frames, 4]


def to_features(layer: PrototypeLayer, scaled: Tensor) -> npt.NDArray[np.float32]:
    """Undo the layer's scale: [..., frames, bands] as features [..., bands, frames]."""
    features = scaled * layer.settings.scale - layer.settings.offset
    return np.ascontiguousarray(features.transpose(-1, -2).detach().numpy(), dtype=np.float32)


@dataclass(frozen=True)
class Average:
    """One prototype without transformation and with its mean one.

    `windows` is the number of windows it explains, over which the mean is taken. `plain` and `transformed` are [bands,
    frames], dB of spectra or latents; `transformed` is None where it explains no window.
    """

    windows: int
    plain: npt.NDArray[np.float32]
    transformed: npt.NDArray[np.float32] | None


def averages(layer: PrototypeLayer, features: Features, rows: npt.NDArray[np.int64], targets: Tensor) -> list[Average]:
    """Apply to each prototype the mean of its transformations over frames and over the windows it explains.

    A window is explained by the prototype with the smallest error: of its class if supervised, else of all. `targets`
    [rows] are the classes of `rows`.
    """
    count, frames = len(layer.class_of), features.shape[2]
    sums: Found = {}
    windows = torch.zeros(count)
    with torch.inference_mode():
        for first in range(0, len(rows), BATCH):
            scaled = layer.scale(_windows(features, rows[first : first + BATCH]))
            found = layer.transformations(scaled)
            errors = layer.errors_of(scaled, _render(layer, found, frames))
            if layer.settings.supervised:
                others = layer.class_of != targets[first : first + BATCH, None]
                errors = errors.masked_fill(others, torch.inf)
            explained = torch.nn.functional.one_hot(errors.argmin(1), count).float()
            windows += explained.sum(0)
            for name, values in found.items():
                mean = values.mean(2, keepdim=True)
                share = explained.reshape(*explained.shape, *[1] * (mean.dim() - 2))
                sums[name] = sums.get(name, torch.zeros(())) + (mean * share).sum(0, keepdim=True)
        each = windows.clamp(min=1)
        means = {name: total / each.reshape(1, -1, *[1] * (total.dim() - 2)) for name, total in sums.items()}
        over_time = {name: mean.repeat_interleave(frames, 2) for name, mean in means.items()}
        plain = to_features(layer, _render(layer, {}, frames)[0])
        transformed = to_features(layer, _render(layer, over_time, frames)[0])
    return [
        Average(int(number), before, changed if number else None)
        for number, before, changed in zip(windows, plain, transformed, strict=True)
    ]


@dataclass(frozen=True)
class Reconstruction:
    """A window as the prototype of this number and class renders it.

    `error` is the mean squared difference over bands and frames, in squared units of the `features` [bands, frames];
    `curves` are the transformations, title with unit -> values [frames].
    """

    prototype: int
    label: str
    error: float
    features: npt.NDArray[np.float32]
    curves: dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Window:
    """A window of a clip, its features [bands, frames], and how each class renders it, the best first."""

    clip: str
    start_s: float
    label: str
    features: npt.NDArray[np.float32]
    reconstructions: list[Reconstruction]


def choose_windows(table: pd.DataFrame, rows: npt.NDArray[np.int64], per_class: int, seed: int) -> list[int]:
    """Draw up to `per_class` of `rows` of the table for each class, none silent and no two of a clip, by class."""
    drawn = np.random.default_rng(seed).permutation(rows)
    heard = table.iloc[drawn].assign(row=drawn)
    chosen = heard[heard["silent"] == 0].drop_duplicates("clip").groupby("label", sort=True).head(per_class)
    return [int(row) for row in chosen.sort_values(["label", "clip"])["row"]]


def render_window(
    layer: PrototypeLayer, features: Features, table: pd.DataFrame, row: int, classes: list[str], *, seconds: float
) -> Window:
    """Render a window of `seconds` by the best prototype of every class that has one."""
    frames = features.shape[2]
    with torch.inference_mode():
        scaled = layer.scale(_windows(features, np.array([row])))
        found = layer.transformations(scaled)
        rendered = _render(layer, found, frames)
        errors = layer.errors_of(scaled, rendered)[0]
        made, curves = to_features(layer, rendered[0]), _curves(layer, found, seconds)
    best: dict[int, int] = {}
    for prototype in errors.argsort(stable=True).tolist():
        best.setdefault(int(layer.class_of[prototype]), prototype)
    told = table.iloc[row]
    return Window(
        clip=str(told["clip"]),
        start_s=float(told["start_s"]),
        label=str(told["label"]),
        features=to_features(layer, scaled[0].T),
        reconstructions=[
            Reconstruction(
                prototype,
                classes[of_class],
                float(errors[prototype]) * layer.settings.scale**2,
                made[prototype],
                {title: values[prototype] for title, values in curves.items()},
            )
            for of_class, prototype in best.items()
        ],
    )


def _windows(features: Features, rows: npt.NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(np.asarray(features[rows], dtype=np.float32))


def _render(layer: PrototypeLayer, found: Found, frames: int) -> Tensor:
    """Apply transformations to every prototype [windows, prototypes, frames, bands]; with none windows is 1."""
    return layer.transform(found, frames).expand(-1, -1, frames, -1)


def _curves(layer: PrototypeLayer, found: Found, seconds: float) -> dict[str, npt.NDArray[np.float32]]:
    """Give the transformations of one window of `seconds` in units one hears [prototypes, frames].

    Filters: what they add to the lowest and to the highest band. Level: a factor of the latents' distance from the
    layer's `rest`; 1 changes nothing. Time: how much later the prototype is read.
    """
    curves = {}
    if "gain" in found:
        curves["gain (dB)"] = found["gain"][0] * layer.settings.scale
    if "pitch" in found:
        curves["pitch (semitones)"] = found["pitch"][0] * SEMITONES
    if "filters" in found:
        added = filter_bands(found["filters"][0], layer.prototypes.shape[1]) * layer.settings.scale
        curves |= {"lowest band (dB)": added[..., 0], "highest band (dB)": added[..., -1]}
    if "level" in found:
        curves[DISTANCE] = 1 + found["level"][0]
    if "time" in found:
        curves["read later by (ms)"] = found["time"][0] * seconds * 1000
    return {title: values.numpy() for title, values in curves.items()}
