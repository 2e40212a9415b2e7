"""How results in fp32 are judged: by a reference in float64, never by a number that one processor happened to meet.

A sum in fp32 is rounded in an order that depends on the processor's instruction set, and training makes more of such
differences. So the rule is, in this order:

1. Both ways in float64 (`in_float64`, or `.double()`) must agree to SAME of their size: `assert_same`. What differs by
   more is other mathematics; every processor computes this reference.
2. In fp32 a way may be off the float64 reference by twice what is bound to be lost, and no more: `assert_rounded`. What
   is bound to be lost is measured on the reference itself, or follows from the number of roundings.

Ways that promise the same bits (a run continued, windows in another order) are compared bit by bit.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pytest
import torch

from beyond_spectrograms.training import epoch, run
from beyond_spectrograms.training.trainers import base

UNIT = 2.0**-24  # fp32 rounds a number by this share of it at most
SAME = 1e-10  # of the largest value: 10^5 roundings of float64, 10^-3 of one of fp32
FACTOR = 2.0

Network = TypeVar("Network", bound=torch.nn.Module)
Values = torch.Tensor | npt.NDArray[Any] | list[float] | float


def exact(values: Values) -> npt.NDArray[np.float64]:
    """Read values of any kind as one vector in float64."""
    array = values.detach().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    return array.astype(np.float64).ravel()


def likely(terms: int) -> int:
    """Roundings to expect of a sum of so many terms: their root, as errors of either sign cancel.

    Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis, SIAM J. Sci. Comput. 41 (5), 2019.
    """
    return math.ceil(math.sqrt(terms))


@contextmanager
def by_default_float64() -> Iterator[None]:
    """Make tensors and layers of float64 where no type is named."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def distance(one: Values, other: Values) -> float:
    """Euclidean distance of two results of one shape."""
    assert np.shape(one) == np.shape(other)
    return float(np.linalg.norm(exact(one) - exact(other)))


def assert_same(found: Values, expected: Values, what: str = "") -> None:
    """Assert that two results computed in float64 are the same but for float64's own rounding."""
    for values in (found, expected):
        assert "float64" in str(getattr(values, "dtype", "float64")), f"{what}: computed in {values.dtype}"  # type: ignore[union-attr]
    assert np.shape(found) == np.shape(expected), what
    scale = np.abs(exact(expected)).max()
    np.testing.assert_allclose(exact(found), exact(expected), rtol=0, atol=SAME * scale, err_msg=what)


def assert_rounded(found: Values, reference: Values, *, roundings: int, lost: float = 0.0, what: str = "") -> None:
    """Assert that a result of fp32 is off its reference in float64 by no more than rounding explains.

    `roundings` follow each other on the way to one value, such as the terms of its longest sum; each is off by UNIT of
    the value at most. For small differences of large values `lost` is what rounding makes of the reference, as a
    distance: how far the plain way in fp32 is off, or a reference whose inputs were shaken (`in_float64`).
    """
    bound = roundings * UNIT * float(np.linalg.norm(exact(reference)))
    off = distance(found, reference)
    assert off <= FACTOR * (lost + bound), f"{what}: {off:.2g} off, {lost:.2g} + {bound:.2g} are bound to be lost"


def shake(network: Network, roundings: int) -> Network:
    """Move every weight of a network in float64 by up to so many roundings of fp32, at random; the same each time."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            noise = 2 * torch.rand(weight.shape, generator=generator, dtype=torch.float64) - 1
            weight.mul_(1 + roundings * UNIT * noise)
    return network


class _Float64Torch:
    """Torch, but what asks for float32 by its name gets float64."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextmanager
def in_float64(shaken: int = 0) -> Iterator[None]:
    """Train in float64 what is trained in fp32 otherwise, from the same initial weights and in the same order.

    The code under test is unchanged; the type it names becomes another. With `shaken` every initial weight is off by up
    to so many roundings of fp32: a product of sums of n terms in fp32 is the exact one of weights that are off by n
    roundings at most (Higham, Accuracy and Stability of Numerical Algorithms, chapter 3), so how far a shaken training
    ends from the other is what fp32 may lose, and the same on every processor.
    """
    build, weights_of = run.build_network, run.class_weights_of

    def build_double(*arguments: Any, **settings: Any) -> torch.nn.Sequential:
        torch.set_default_dtype(torch.float32)  # as in fp32: the generator draws other numbers for float64
        network = build(*arguments, **settings).double()
        torch.set_default_dtype(torch.float64)
        return shake(network, shaken)

    def weights_double(*arguments: Any) -> torch.Tensor | None:
        weights = weights_of(*arguments)
        return None if weights is None else weights.double()

    with pytest.MonkeyPatch.context() as patch, by_default_float64():
        patch.setattr(epoch, "torch", _Float64Torch())
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        patch.setattr(run, "build_network", build_double)
        patch.setattr(base, "class_weights_of", weights_double)
        yield
