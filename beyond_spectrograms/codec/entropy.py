"""Codes arithmetically coded, by what a language model expects of each.

Source: encodec 0.1.1, encodec/compress.py and encodec/quantization/ac.py.
"""

from __future__ import annotations

from array import array
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from encodec.model import LMModel


class LanguageModel(NamedTuple):
    """What foretells codes, and the first digits of its file's digest; EnCodec's own has none."""

    lm: LMModel
    digest: str


class EndError(Exception):
    """The file ends after so many whole frames."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames


class UnfitError(EndError):
    """What follows so many frames is no code."""


def encode_arithmetically(codes: npt.NDArray[np.int16], file: BinaryIO, lm: LMModel) -> None:
    """Write codes [codebooks, frames] to a file, as encodec.compress.compress_to_file does."""
    import torch
    from encodec.quantization.ac import ArithmeticCoder, build_stable_quantized_cdf

    coder: Any = ArithmeticCoder(file)
    states, offset = None, 0
    before = torch.zeros(1, len(codes), 1, dtype=torch.long)
    for frame in codes.T.astype(np.int64):
        with torch.inference_mode():
            expected, states, offset = lm(before, states, offset)
        for codebook, code in enumerate(frame.tolist()):
            ranges = build_stable_quantized_cdf(expected[0, :, codebook, 0], coder.total_range_bits, check=False)
            coder.push(code, ranges)
        coder._dbg.clear()  # which keep every code ever written
        coder._dbg2.clear()
        before = 1 + torch.from_numpy(frame).view(1, -1, 1)  # 0 is for no frame
    coder.flush()


def decode_arithmetically(
    content: bytes, place: int, shape: tuple[int, int], lm: LMModel
) -> tuple[npt.NDArray[np.int16], int]:
    """Decode codes of a `shape` [codebooks, frames] from byte `place` on; give the byte behind them too.

    Raises:
        EndError: the content ends before.
        UnfitError: what is there was not written by way of this model.
    """
    import torch
    from encodec.quantization.ac import ArithmeticDecoder, build_stable_quantized_cdf

    stream = BytesIO(content)
    stream.seek(place)
    decoder: Any = ArithmeticDecoder(stream)
    states, offset = None, 0
    before = torch.zeros(1, shape[0], 1, dtype=torch.long)
    codes = array("h")
    for number in range(shape[1]):
        with torch.inference_mode():
            expected, states, offset = lm(before, states, offset)
        frame = []
        for codebook in range(shape[0]):
            ranges = build_stable_quantized_cdf(expected[0, :, codebook, 0], decoder.total_range_bits, check=False)
            try:
                code = decoder.pull(ranges)
            except RuntimeError:  # "Binary search failed"
                raise UnfitError(number) from None
            if code is None:
                raise EndError(number)
            frame.append(code)
        decoder._dbg.clear()  # which keep every code ever read
        decoder._dbg2.clear()
        codes.extend(frame)
        before = 1 + torch.tensor(frame).view(1, -1, 1)  # 0 is for no frame
    return np.array(codes).reshape(shape[::-1]).T, stream.tell()
