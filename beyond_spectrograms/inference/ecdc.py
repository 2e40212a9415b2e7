"""EnCodec's compressed files, .ecdc, read as codes and cut into a model's windows; nothing is decoded to sound.

What lies where in a file: codec/ecdc.py.

Models that can: representation of kind encodec, model 24khz, with a bitrate (latents through the quantiser and back, or
the codes themselves). Those of 48 kHz cannot, where EnCodec divides each second by its level before it encodes: latents
then differ by 45 to 75 % (relative norm, six clips of ESC-10, untrained encoder) from those the model was trained on.

Differences from classifying the sound: the model was trained on windows that were each encoded alone, but the coder
went through the sound from its start. The first window's codes are the same; later windows differ most in their first
frames, where the coder knew what came before. A window starts at a whole frame of 1/75 s, up to 6.7 ms from where it
would in sound, and past the end frames are reflected, not samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from beyond_spectrograms.codec.ecdc import (
    Codes,
    Header,
    Layout,
    check_lengths,
    read_beginning,
    read_codes,
    read_content,
    read_header,
)
from beyond_spectrograms.data.audio import BadAudioError, window_starts
from beyond_spectrograms.inference.card import Card, ModelError
from beyond_spectrograms.inference.stream_windows import BATCH, Batch, check_length, remark_on_length
from beyond_spectrograms.params import Encodec
from beyond_spectrograms.representations.base import Features, Representation
from beyond_spectrograms.util.files import UnreadableError, digest_file, read_checkpoint
from beyond_spectrograms.util.text import quoted

if TYPE_CHECKING:
    from encodec.model import LMModel

DECODE = "or decode the file with `encodec FILE.ecdc FILE.wav`"
FRAME_RATE, ENTRIES, CODEBOOKS = 75, 1024, 32  # of encodec_24khz
LAYOUT = Layout("encodec_24khz", "", 24_000, 320, 10, CODEBOOKS, by_level=False)
LM_FILE = "encodec_lm_24khz-1608e3c0.th"  # encodec/model.py; its digest begins as its name ends
LM_URL = f"https://dl.fbaipublicfiles.com/encodec/v0/{LM_FILE}"


def read_ecdc(path: Path, bitrate: int, load_lm: Callable[[], LMModel]) -> tuple[Codes, float]:
    """Read the codes [codebooks, frames] that a file of the 24 kHz model has at `bitrate`, and its seconds of sound.

    A file of a higher bitrate has more codebooks, the first of which are those of the lower one: the quantiser is
    residual (encodec/quantization/core_vq.py).

    Args:
        path: the file.
        bitrate: bits per second, before arithmetic coding.
        load_lm: gives EnCodec's language model, as read_codes takes it.

    Raises:
        BadAudioError: it is not there, no .ecdc file, of another model or a lower bitrate, empty, truncated, longer
            than a day, or damaged where that shows.
    """
    header = read_header_of_24khz(read_beginning(path))
    if bitrate_of(header) < bitrate:
        raise BadAudioError(
            f"coded at {bitrate_of(header)} bits per second; the model takes {bitrate} or more. Use a model trained at "
            f"{bitrate_of(header)}, {DECODE}."
        )
    coded = read_codes(read_content(path, header, LAYOUT), header, LAYOUT, load_lm)
    return coded.codes[0][: bitrate // (LAYOUT.bits * FRAME_RATE)], header.samples / LAYOUT.sample_rate


def read_header_of_24khz(content: bytes) -> Header:
    """Read the header of a file of the 24 kHz model.

    Raises:
        BadAudioError: it is not one, or not whole.
    """
    header = read_header(content)
    if header.model != LAYOUT.name:
        raise BadAudioError(
            f"coded by {quoted(header.model)}, whose codes no model here takes (encodec_48khz divides sound by its "
            "level before coding, which is not what models here learn from). Decode the file with `encodec FILE.ecdc "
            "FILE.wav`."
        )
    check_lengths(header, LAYOUT)
    return header


def bitrate_of(header: Header) -> int:
    """Bits per second, before arithmetic coding."""
    return header.codebooks * LAYOUT.bits * FRAME_RATE


@dataclass(frozen=True)
class CutCodes:
    """The windows of a coded sound, as CutSound gives those of a sound.

    None of them is `silent`: the level of a sound cannot be read from its codes without decoding.
    """

    codes: Codes
    reader: EcdcReader
    seconds: float
    promised_s: float
    length_s: float
    hop_s: float
    remarks: tuple[str, ...]
    silence = ""

    def __iter__(self) -> Iterator[Batch]:
        """Yield the windows in order."""
        starts_s = np.array(window_starts(self.seconds, self.length_s, self.hop_s, "reflect"))
        firsts = np.rint(starts_s * FRAME_RATE).astype(np.int64)
        length, frames = self.reader.frames, self.codes.shape[1]
        order = np.pad(np.arange(frames), (0, max(0, int(firsts[-1]) + length - frames)), mode="reflect")
        for number in range(0, len(firsts), BATCH):
            mine = firsts[number : number + BATCH]
            values = self.reader.dequantise(self.codes[:, order[mine[0] : mine[-1] + length]])  # each frame once
            windows = np.stack([values[:, first : first + length] for first in mine - mine[0]])
            yield Batch(starts_s[number : number + BATCH], windows, np.zeros(len(mine), np.bool_), encoded=True)


class EcdcReader:
    """Opens .ecdc files of at least `bitrate` bits per second for one model, which takes `frames` frames a window.

    EnCodec's language model is looked for in `lm_folder`, where the model's encoder weights are.

    Raises:
        BadAudioError: the model takes no codes.
    """

    def __init__(self, card: Card, representation: Representation, lm_folder: Path) -> None:
        encoder, record = card.representation, card.representation.record
        if not isinstance(record, Encodec) or record.model != "24khz" or record.bitrate is None:
            raise BadAudioError(
                f"EnCodec's codes, which the model's representation {encoder.name} is not made of. Use a model of kind "
                f"encodec, model 24khz, with a bitrate (as encodec_24khz_6000bps), {DECODE}."
            )
        self.bitrate, self.frames, self._codes = record.bitrate, encoder.frames, record.codes
        self._windows, self._lm_folder = card.windows, lm_folder
        self._quantizer: Any = vars(representation)["_quantizer"]

    def cut(self, path: Path, hop_s: float | None = None) -> CutCodes:
        """Cut a file into the windows the model takes, the card's hop apart or another.

        Raises:
            BadAudioError: the file cannot be read or is too short.
            ModelError: the language model is needed and not there.
        """
        return self.cut_codes(*read_ecdc(path, self.bitrate, lambda: self.lm), hop_s)

    def cut_codes(self, codes: Codes, seconds: float, hop_s: float | None = None) -> CutCodes:
        """Cut what a file held, as `cut` does."""
        length_s, own_hop_s = self._windows.length_s, self._windows.hop_s
        check_length(seconds, length_s)
        remarks = remark_on_length(seconds, length_s)
        return CutCodes(codes, self, seconds, seconds, length_s, hop_s or min(own_hop_s, length_s), remarks)

    def dequantise(self, codes: Codes) -> Features:
        """Turn codes [codebooks, frames] into latents [128, frames]; a model on codes gets the codes."""
        import torch

        if self._codes:
            return codes.astype(np.float32)
        with torch.inference_mode():
            latents = self._quantizer.decode(torch.from_numpy(codes.astype(np.int64))[:, None])[0]
            return np.asarray(latents.numpy())

    @cached_property
    def lm(self) -> LMModel:
        """EnCodec's language model, <lm_folder>/encodec_lm_24khz-<first 8 digits of its SHA-256>.th.

        Raises:
            ModelError: it is not there, or not what its name says.
        """
        import torch
        from encodec.model import LMModel

        folder = self._lm_folder
        remedy = f"Download {LM_URL} into {folder}, or write the file without --lm."
        if (path := min(folder.glob("encodec_lm_24khz-*.th"), default=None)) is None:
            path = folder / LM_FILE
            raise ModelError(f"{path}: no such file; it is needed for an .ecdc file coded with --lm. {remedy}")
        if not (digest := digest_file(path)).startswith(path.stem.partition("-")[2]):
            raise ModelError(f"{path}: its sha256 is {digest}, which is not what its name says. {remedy}")
        with torch.random.fork_rng():  # as EncodecModel.get_lm_model builds it
            lm = LMModel(CODEBOOKS, ENTRIES, num_layers=5, dim=200, past_context=int(3.5 * FRAME_RATE))
        try:
            lm.load_state_dict(read_checkpoint(path))
        except (UnreadableError, RuntimeError, TypeError, AttributeError) as error:
            raise ModelError(f"{path}: not EnCodec's language model: {error}. {remedy}") from None
        return lm.eval()
