"""Sound that EnCodec has coded, cut into windows of latents or codes, which a model takes without decoding.

Models that can: representation of kind encodec, model 24khz, with a bitrate (latents through the quantiser and back, or
the codes themselves). A file may have a higher bitrate than the model: the first codebooks of a residual quantiser are
those of the lower bitrate.

Differences from classifying the sound: the model was trained on windows that were each encoded alone, but the coder
went through the sound from its start. The first window's codes are the same; later windows differ most in their first
frames, where the coder knew what came before. A window starts at a whole frame of 1/75 s, up to 6.7 ms from where it
would in sound, and past the end frames are reflected, not samples.

Models that cannot: those of 48 kHz, where EnCodec divides each second by its level before it encodes. Latents then
differ by 45 to 75 % (relative norm, six clips of ESC-10, untrained encoder) from those the model was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from beyond_spectrograms.data.audio import BadAudioError, window_starts
from beyond_spectrograms.inference.ecdc_file import DECODE, FRAME_RATE, Coded, Codes, load_lm, read_ecdc
from beyond_spectrograms.inference.stream_windows import BATCH, Batch, check_length, remark_on_length
from beyond_spectrograms.params import Encodec

if TYPE_CHECKING:
    from encodec.model import LMModel

    from beyond_spectrograms.inference.card import Card
    from beyond_spectrograms.representations.base import Features, Representation


@dataclass(frozen=True)
class CutCodes:
    """The windows of a coded sound, as stream_windows.CutSound gives those of a sound.

    None of them is `silent`: the level of a sound cannot be read from its codes without decoding.
    """

    coded: Coded
    reader: EcdcReader
    length_s: float
    hop_s: float
    silence = ""

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.coded.seconds

    promised_s = seconds

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is unusual about the sound but no reason to refuse it."""
        return remark_on_length(self.seconds, self.length_s)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the windows in order."""
        starts_s = np.array(window_starts(self.seconds, self.length_s, self.hop_s, "reflect"))
        firsts = np.rint(starts_s * FRAME_RATE).astype(np.int64)
        length, frames = self.reader.frames, self.coded.codes.shape[1]
        order = np.pad(np.arange(frames), (0, max(0, int(firsts[-1]) + length - frames)), mode="reflect")
        for number in range(0, len(firsts), BATCH):
            mine = firsts[number : number + BATCH]
            values = self.reader.dequantise(self.coded.codes[:, order[mine[0] : mine[-1] + length]])  # each frame once
            windows = np.stack([values[:, first : first + length] for first in mine - mine[0]])
            yield Batch(starts_s[number : number + BATCH], windows, np.zeros(len(mine), np.bool_), encoded=True)


class EcdcReader:
    """Opens .ecdc files of at least `bitrate` bits per second for one model, which takes `frames` frames a window.

    The language model, where a file needs it, is looked for in `lm_folder`, which is where the model's encoder weights
    are, and loaded once.

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
        return self.cut_codes(read_ecdc(path, self.bitrate, lambda: self.lm), hop_s)

    def cut_codes(self, coded: Coded, hop_s: float | None = None) -> CutCodes:
        """Cut what a file held, as `cut` does."""
        length_s = self._windows.length_s
        check_length(coded.seconds, length_s)
        return CutCodes(coded, self, length_s, hop_s or min(self._windows.hop_s, length_s))

    def dequantise(self, codes: Codes) -> Features:
        """Turn codes [codebooks, frames] into latents [128, frames]; a model on codes gets the codes."""
        import torch

        if self._codes:
            return codes.astype(np.float32)
        with torch.inference_mode():
            latents: Features = self._quantizer.decode(torch.from_numpy(codes.astype(np.int64))[:, None])[0].numpy()
        return latents

    @cached_property
    def lm(self) -> LMModel:
        """EnCodec's language model.

        Raises:
            ModelError: it is not there, or not what its name says.
        """
        return load_lm(self._lm_folder)
