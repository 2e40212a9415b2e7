"""Where networks compute."""

from __future__ import annotations

from beyond_spectrograms.util.errors import ProjectError


class DeviceError(ProjectError):
    """The device asked for is not there."""


def choose_device(device: str) -> str:
    """Resolve `auto` to cuda where there is one, else cpu.

    Raises:
        DeviceError: cuda was asked for and is not there.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("device is cuda in params.yaml, and torch finds no CUDA device. Choose auto or cpu.")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
