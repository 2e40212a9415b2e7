"""How windows become stored rows: by which encoder, in which type. It is made once a process, wherever that runs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.feature_shards import dequantize
from beyond_spectrograms.representations.base import Features, Representation, RepresentationError
from beyond_spectrograms.representations.stored_rows import DType, PrecisionError


@dataclass(frozen=True)
class Recipe:
    """How windows become stored rows; it can be handed to another process."""

    make: Callable[[], Representation]
    fingerprint: str  # digest of all that decides a window's features besides its sound
    clips: Path  # the folder of stored clips
    length_s: float  # of a window
    dtype: DType
    at: str | None = None  # where its shards lie, where that is elsewhere


class Maker(NamedTuple):
    """What makes the rows of a recipe: the encoder, the type they are stored in, and codebooks where they are codes."""

    encoder: Representation
    stored: np.dtype[Any]
    codebooks: Features | None


_maker: tuple[tuple[str, DType], Maker] | None = None  # of the last recipe: an encoder takes seconds to be made


def maker_of(recipe: Recipe, made: Representation | None = None) -> Maker:
    """Make what encodes by a recipe, once a process; `made` is its representation, where that is there already.

    Raises:
        RepresentationError: codes are wanted, and it has none.
    """
    global _maker  # noqa: PLW0603  kept from one piece to the next
    known = (recipe.fingerprint, recipe.dtype)
    if made is not None or _maker is None or _maker[0] != known:
        representation = made or recipe.make()
        if recipe.dtype != "codes":
            _maker = known, Maker(representation, np.dtype(recipe.dtype), None)
        else:
            encoder, entries, codebooks = representation.coded()
            _maker = known, Maker(encoder, type_of_codes(entries), codebooks)
            _prove(representation, _maker[1], recipe.length_s)
    return _maker[1]


def type_of_codes(entries: int) -> np.dtype[Any]:
    """Choose the type in which codes of a codebook of so many entries are stored."""
    return np.min_scalar_type(entries - 1)


def forget_maker() -> None:
    """Let go of the last recipe's encoder."""
    global _maker  # noqa: PLW0603
    _maker = None


def _prove(representation: Representation, maker: Maker, length_s: float) -> None:
    """See that codes and codebooks give what the representation gives itself, by a window of noise."""
    form = representation.form
    shape = (1, form.channels, round(length_s * form.sample_rate))
    window = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    wanted = representation.encode(window, form.sample_rate)
    codes = store_codes(maker.encoder.encode(window, form.sample_rate), maker.stored, representation.name)
    if dequantize(codes, maker.codebooks).tobytes() != wanted.tobytes():
        raise RepresentationError(
            f"{representation.name}: its codes give other features than it gives itself. Choose features.dtype float32 "
            "or float16."
        )


def store_codes(codes: Features, stored: np.dtype[Any], name: str) -> npt.NDArray[Any]:
    """Convert codes [windows, codebooks, frames] to the type they are stored in.

    Raises:
        PrecisionError: one is none of its numbers.
    """
    numbers = codes.astype(stored)
    if not np.array_equal(numbers, codes):
        raise PrecisionError(f"{name}: gave codes that {stored} does not hold. Set features.dtype to float32.")
    return numbers
