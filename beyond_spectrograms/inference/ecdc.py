"""EnCodec's compressed files, .ecdc, read as the codes they hold: nothing is decoded to sound.

Source: encodec 0.1.1, encodec/compress.py and encodec/binary.py. A file is `ECDC`, a version byte (0), the length of a
JSON header (32 bits, big-endian), the header - model `m`, audio length in samples `al`, number of codebooks `nc`,
whether a language model codes the rest `lm` - and the codes, frame by frame and codebook by codebook: as 10 bits each,
the lowest first, or arithmetically coded by what the language model expects. Nothing in it is a checksum: a flipped bit
among the codes is another code, and cannot be found.
"""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.audio import BadAudioError
from beyond_spectrograms.inference.card import ModelError
from beyond_spectrograms.util.checkpoints import UnreadableError, read_checkpoint

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
class Coded:
    """What a file holds: codes [codebooks, frames] of `seconds` of sound."""

    codes: Codes
    seconds: float


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


def read_ecdc(path: Path, bitrate: int, load_lm: Callable[[], LMModel]) -> Coded:
    """Read the codes that a file of the 24 kHz model has at `bitrate`.

    A file of a higher bitrate has more codebooks, the first of which are those of the lower one: the quantiser is
    residual (encodec/quantization/core_vq.py).

    Args:
        path: the file.
        bitrate: bits per second, before arithmetic coding.
        load_lm: gives EnCodec's language model; called where the file is coded by it. Its arithmetic must be that of
            the machine that wrote the file, up to the 1e-8 to which encodec rounds probabilities.

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
    if header.arithmetic:
        codes, end = _decode(content, header, load_lm())
    else:
        codes, end = _unpack(content, header)
    if len(content) > end:
        raise BadAudioError(f"damaged: the codes end at byte {end}, the file at byte {len(content)}")
    return Coded(codes[: bitrate // (BITS * FRAME_RATE)], header.samples / SAMPLE_RATE)


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
        whole = (len(content) - header.end) * 8 // BITS // header.codebooks
        raise _truncated(header, whole)
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


def load_lm(folder: Path) -> LMModel:
    """Load EnCodec's language model from `folder`/encodec_lm_24khz-<first 8 digits of its SHA-256>.th.

    Raises:
        ModelError: it is not there, or not what its name says.
    """
    import torch
    from encodec.model import LMModel

    remedy = f"Download {LM_URL} into {folder}, or write the file without --lm."
    found = sorted(folder.glob("encodec_lm_24khz-*.th"))
    if not found:
        raise ModelError(f"{folder / LM_FILE}: no such file; it is needed for an .ecdc file coded with --lm. {remedy}")
    digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
    if not digest.startswith(found[0].stem.partition("-")[2]):
        raise ModelError(f"{found[0]}: its sha256 is {digest}, which is not what its name says. {remedy}")
    with torch.random.fork_rng():
        # As EncodecModel.get_lm_model builds it.
        lm = LMModel(CODEBOOKS, 1 << BITS, num_layers=5, dim=200, past_context=int(3.5 * FRAME_RATE))
    try:
        lm.load_state_dict(read_checkpoint(found[0]))
    except (UnreadableError, RuntimeError, TypeError, AttributeError) as error:
        raise ModelError(f"{found[0]}: not EnCodec's language model: {error}. {remedy}") from None
    return lm.eval()
