"""Files written by torch.save, read without running any code they may hold; those of a training have a digest."""

import hashlib
import pickle
import struct
from pathlib import Path
from typing import Any

from beyond_spectrograms.util.files import written_beside

DIGITS = 64  # of a SHA-256


class UnreadableError(ValueError):
    """A file is no checkpoint, or holds more than tensors and plain values."""


def read_checkpoint(path: Path, device: str = "cpu") -> Any:
    """Read tensors (onto `device`) and plain values.

    Raises:
        UnreadableError: the file is no such checkpoint; whatever torch raises is turned into this.
    """
    import torch

    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, struct.error) as error:
        raise UnreadableError(f"{path}: {error}") from error


def write_checkpoint(path: Path, values: Any) -> None:
    """Write tensors and plain values, and last the digest of all before it, as the comment of torch's ZIP archive."""
    import torch

    with written_beside(path) as beside:
        torch.save(values, beside)
        with beside.open("r+b") as file:
            file.seek(-2, 2)  # the comment's length, which ends an archive without one
            file.write(DIGITS.to_bytes(2, "little"))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.write(digest.encode())


def take_up(path: Path) -> Any | None:
    """Read the checkpoint that a killed training left at `path`; None if there is none.

    If it is damaged, a line says so and None is returned too.
    """
    if not path.exists():
        return None
    content = path.read_bytes()
    if hashlib.sha256(content[:-DIGITS]).hexdigest().encode() == content[-DIGITS:]:
        try:
            return read_checkpoint(path)
        except UnreadableError:  # written by another version of torch
            pass
    print(f"{path}: damaged, or not a checkpoint of a training. The run starts anew.", flush=True)
    return None
