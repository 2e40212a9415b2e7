"""Files written by torch.save, read without running any code they may hold."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any


class UnreadableError(ValueError):
    """A file is no checkpoint, or holds more than tensors and plain values."""


def read_checkpoint(path: Path, device: str = "cpu") -> Any:
    """Read tensors (onto `device`) and plain values.

    Raises:
        UnreadableError: see there; whatever torch raises of a broken file ends in it.
    """
    import torch

    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, struct.error) as error:
        raise UnreadableError(f"{path}: {error}") from error
