"""EnCodec's compressed files, .ecdc, read as codes and cut into a model's windows; nothing is decoded to sound.

Source: encodec 0.1.1, encodec/compress.py and encodec/binary.py. A file is `ECDC`, a version byte (0), the length of a
JSON header (32 bits, big-endian), the header - model `m`, audio length in samples `al`, number of codebooks `nc`,
whether a language model codes the rest `lm` - and the codes, frame by frame and codebook by codebook: as 10 bits each,
the lowest first, or arithmetically coded by what the language model expects. Nothing in it is a checksum: a flipped bit
among the codes is another code, and cannot be found.

Models that can: representation of kind encodec, model 24khz, with a bitrate (latents through the quantiser and back, or
the codes themselves). Those of 48 kHz cannot, where EnCodec divides each second by its level before it encodes: latents
then differ by 45 to 75 % (relative norm, six clips of ESC-10, untrained encoder) from those the model was trained on.

Differences from classifying the sound: the model was trained on windows that were each encoded alone, but the coder
went through the sound from its start. The first window's codes are the same; later windows differ most in their first
frames, where the coder knew what came before. A window starts at a whole frame of 1/75 s, up to 6.7 ms from where it
would in sound, and past the end frames are reflected, not samples.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.audio import BadAudioError, window_starts
from beyond_spectrograms.inference.card import Card, ModelError
from beyond_spectrograms.inference.stream_windows import BATCH, Batch, check_length, remark_on_length
from beyond_spectrograms.params import Encodec
from beyond_spectrograms.representations.base import Features, Representation
from beyond_spectrograms.util.files import UnreadableError, digest_file, read_checkpoint

if TYPE_CHECKING:
    from encodec.model import LMModel

SUFFIX = ".ecdc"
Codes = npt.NDArray[np.int16]
DECODE = "or decode the file with `encodec FILE.ecdc FILE.wav`"
MOST_SAMPLES, MOST_BYTES = 86_400 * 24_000, 260_000_000  # of a day: a header may promise, and a file be, of any length
SAMPLE_RATE, FRAME_RATE, BITS, CODEBOOKS = 24_000, 75, 10, 32  # of encodec_24khz; Hz
LM_FILE = "encodec_lm_24khz-1608e3c0.th"  # encodec/model.py; its digest begins as its name ends
LM_URL = f"https://dl.fbaipublicfiles.com/encodec/v0/{LM_FILE}"


@dataclass(frozen=True)
class Header:
    """What stands before the codes: it ends at byte `end`. `arithmetic`: the language model is needed to read on."""

    samples: int
    codebooks: int
    arithmetic: bool
    end: int

    @property
    def bitrate(self) -> int:
        """Bits per second, before arithmetic coding."""
        return self.codebooks * BITS * FRAME_RATE

    @property
    def frames(self) -> int:
        """Frames of 1/75 s, the last of which may be partial."""
        return math.ceil(self.samples / SAMPLE_RATE * FRAME_RATE)  # as encodec.compress rounds


def read_ecdc(path: Path, bitrate: int, load_lm: Callable[[], LMModel]) -> tuple[Codes, float]:
    """Read the codes [codebooks, frames] that a file of the 24 kHz model has at `bitrate`, and its seconds of sound.

    A file of a higher bitrate has more codebooks, the first of which are those of the lower one: the quantiser is
    residual (encodec/quantization/core_vq.py).

    Args:
        path: the file.
        bitrate: bits per second, before arithmetic coding.
        load_lm: gives EnCodec's language model, where the file is coded by it. Its arithmetic must be that of the
            machine that wrote the file, up to the 1e-8 to which encodec rounds probabilities.

    Raises:
        BadAudioError: it is not there, no .ecdc file, of another model or a lower bitrate, empty, truncated, longer
            than a day, or damaged where that shows.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadAudioError((error.strerror or str(error)).lower()) from None
    if len(content) > MOST_BYTES:
        raise BadAudioError(f"larger than {MOST_BYTES} bytes, more than a day takes at 24 kbps")
    header = read_header(content)
    if header.bitrate < bitrate:
        raise BadAudioError(
            f"coded at {header.bitrate} bits per second; the model takes {bitrate} or more. Use a model trained at "
            f"{header.bitrate}, {DECODE}."
        )
    codes, end = _decode(content, header, load_lm()) if header.arithmetic else _unpack(content, header)
    if len(content) > end:
        raise BadAudioError(f"damaged: the codes end at byte {end}, the file at byte {len(content)}")
    return codes[: bitrate // (BITS * FRAME_RATE)], header.samples / SAMPLE_RATE


def read_header(content: bytes) -> Header:
    """Read the header of a file of the 24 kHz model.

    Raises:
        BadAudioError: it is not one, or not whole.
    """
    if not content:
        raise BadAudioError("empty file (0 bytes)")
    if content[:4] != b"ECDC"[: len(content)]:
        raise BadAudioError(f"not an .ecdc file: it begins with {content[:4]!r}, not b'ECDC'")
    if len(content) < 9 or len(content) < (end := 9 + int.from_bytes(content[5:9])):
        raise BadAudioError(f"truncated: its header is not whole after {len(content)} bytes")
    if content[4] != 0:
        raise BadAudioError(f"version {content[4]} of .ecdc; this program reads 0")
    try:
        told: Any = json.loads(content[9:end])
    except (ValueError, RecursionError):  # broken UTF-8 and nesting without end included
        raise BadAudioError(f"damaged: its header is no JSON: {content[9:end][:60]!r}") from None
    kinds = {"m": str, "al": int, "nc": int, "lm": bool}
    if not isinstance(told, dict) or {key: type(told.get(key)) for key in kinds} != kinds:
        raise BadAudioError(
            f"damaged: its header is {told!r}; expected m (text), al, nc (numbers) and lm (true or false)"
        )
    if told["m"] != "encodec_24khz":
        raise BadAudioError(
            f"coded by {told['m']!r}, whose codes no model here takes (encodec_48khz divides sound by its level before "
            "coding, which is not what models here learn from). Decode the file with `encodec FILE.ecdc FILE.wav`."
        )
    if not 1 <= told["nc"] <= CODEBOOKS:
        raise BadAudioError(f"damaged: its header says {told['nc']} codebooks; encodec_24khz has 1 to {CODEBOOKS}")
    if told["al"] < 1:
        raise BadAudioError(f"empty: its header says {told['al']} samples")
    if told["al"] > MOST_SAMPLES:
        raise BadAudioError(f"damaged: its header says {told['al']} samples, more than the {MOST_SAMPLES} of a day")
    return Header(told["al"], told["nc"], told["lm"], end)


def _unpack(content: bytes, header: Header) -> tuple[Codes, int]:
    count = header.frames * header.codebooks
    end = header.end + math.ceil(count * BITS / 8)
    if len(content) < end:
        raise _truncated(header, (len(content) - header.end) * 8 // BITS // header.codebooks)
    packed = np.zeros((math.ceil(count / 4), 5), np.uint8)  # four codes fill five bytes
    packed.reshape(-1)[: end - header.end] = np.frombuffer(content, np.uint8, end - header.end, header.end)
    values = np.empty((len(packed), 4), np.uint16)
    for place in range(4):
        low, high = packed[:, place], packed[:, place + 1].astype(np.uint16)
        values[:, place] = (low >> 2 * place | high << 8 - 2 * place) % (1 << BITS)
    codes = values.reshape(-1)[:count].reshape(header.frames, header.codebooks)
    return np.ascontiguousarray(codes.T.astype(np.int16)), end


def _decode(content: bytes, header: Header, lm: LMModel) -> tuple[Codes, int]:
    """Decode arithmetically coded codes, as encodec.compress.decompress_from_file does."""
    import torch
    from encodec.quantization.ac import ArithmeticDecoder, build_stable_quantized_cdf

    stream = BytesIO(content)
    stream.seek(header.end)
    decoder: Any = ArithmeticDecoder(stream)
    states, offset = None, 0
    before = torch.zeros(1, header.codebooks, 1, dtype=torch.long)
    codes = array("h")
    for number in range(header.frames):
        with torch.inference_mode():
            expected, states, offset = lm(before, states, offset)
        frame = []
        for codebook in range(header.codebooks):
            ranges = build_stable_quantized_cdf(expected[0, :, codebook, 0], decoder.total_range_bits, check=False)
            try:
                code = decoder.pull(ranges)
            except RuntimeError:  # "Binary search failed"
                raise BadAudioError(f"damaged: no code fits at {number / FRAME_RATE:.3f} s") from None
            if code is None:
                raise _truncated(header, number)
            frame.append(code)
        codes.extend(frame)
        before = 1 + torch.tensor(frame).view(1, -1, 1)  # 0 is for no frame
    return np.array(codes).reshape(header.frames, header.codebooks).T, stream.tell()


def _truncated(header: Header, frames: int) -> BadAudioError:
    return BadAudioError(
        f"truncated: the header promises {header.samples / SAMPLE_RATE:.3f} s, the codes end after "
        f"{frames / FRAME_RATE:.3f} s"
    )


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
            lm = LMModel(CODEBOOKS, 1 << BITS, num_layers=5, dim=200, past_context=int(3.5 * FRAME_RATE))
        try:
            lm.load_state_dict(read_checkpoint(path))
        except (UnreadableError, RuntimeError, TypeError, AttributeError) as error:
            raise ModelError(f"{path}: not EnCodec's language model: {error}. {remedy}") from None
        return lm.eval()
