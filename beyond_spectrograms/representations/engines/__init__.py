"""What runs EnCodec's encoder: engines behind one contract, and the choice among them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from beyond_spectrograms.representations.engines.base import Engine, EngineError, TorchEngine

if TYPE_CHECKING:
    from encodec.modules.seanet import SEANetEncoder

Name = Literal["auto", "openvino", "torch"]
Precision = Literal["fp32", "bf16"]


def create_engine(name: str, encoder: SEANetEncoder, wanted: Name, precision: Precision) -> Engine:
    """Make the engine that runs `encoder` (weight norm folded) for the representation `name`.

    `auto` is openvino where it is installed, and plain PyTorch elsewhere; the features record which.

    Raises:
        EngineError: the wanted engine is not installed, or cannot compute in `precision` here.
    """
    installed = find_spec("openvino") is not None
    if wanted == "openvino" and not installed:
        raise EngineError(
            f"{name}: engine openvino is wanted and not installed. Install the extra 'openvino', or choose "
            f"representations.{name}.engine torch."
        )
    if installed and wanted != "torch":
        from beyond_spectrograms.representations.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(name, encoder, precision)
    if precision != "fp32":
        raise EngineError(
            f"{name}: precision {precision} needs the engine openvino, which is not installed. Install "
            f"the extra 'openvino', or choose representations.{name}.precision fp32."
        )
    return TorchEngine(encoder)
