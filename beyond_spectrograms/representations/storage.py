"""Storing features as float16, half the disk: refused where a value does not fit, and what is lost is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.util.errors import ProjectError

DType = Literal["float32", "float16"]
Stored = npt.NDArray[Any]


class PrecisionError(ProjectError):
    """Features hold values that the type they are to be stored in cannot; the message names the largest."""


@dataclass(frozen=True)
class Rounding:
    """What storing lost.

    Attributes:
        largest: largest difference between a value and what is stored, over the largest magnitude in its window.
        vanished: values that are not 0 and were stored as 0, being below half of float16's smallest, 6e-8.
    """

    largest: float = 0.0
    vanished: int = 0

    def __add__(self, other: Rounding) -> Rounding:
        """Join what two blocks of windows lost."""
        return Rounding(max(self.largest, other.largest), self.vanished + other.vanished)


def store(features: npt.NDArray[np.float32], dtype: DType, name: str) -> tuple[Stored, Rounding]:
    """Convert features [windows, bands, frames] to `dtype`, and say what that lost.

    Raises:
        PrecisionError: a value is beyond the range of float16. It would become infinite.
    """
    if dtype == "float32" or not features.size:
        return features.astype(dtype, copy=False), Rounding()
    peaks = np.abs(features).max(axis=(1, 2))
    # Halfway from the largest float16 to the next, values round to infinity (IEEE 754-2019, 4.3.1).
    with np.errstate(over="ignore"):
        stored = features.astype(np.float16)
    if not np.isfinite(stored).all():
        raise PrecisionError(
            f"{name}: its largest value is {peaks.max():g}, and float16 holds {np.finfo(np.float16).max:g} at most. "
            "Set features.dtype to float32 in params.yaml (mel power needs it; decibels and latents do not)."
        )
    off = np.abs(stored.astype(np.float32) - features).max(axis=(1, 2))
    largest = float((off[peaks > 0] / peaks[peaks > 0]).max(initial=0.0))
    return stored, Rounding(largest, int(np.count_nonzero((stored == 0) & (features != 0))))
