"""Sound files as programs really write them, whole ones that look damaged and damaged ones that look whole."""

import io
import struct
from collections.abc import Mapping

import numpy as np
import soundfile

from support.common import sound_file, tone

RATE = 22_050
SAMPLES = 29_767  # odd, so that samples of one or three bytes leave a data chunk of odd length
SOUND = tone(SAMPLES / RATE, 220, RATE)
WHOLE, DAMAGED = True, False


def encode(kind: str, subtype: str, sound: np.ndarray = SOUND) -> bytes:
    return sound_file(sound, RATE, kind, subtype)


def riff(samples: bytes, code: int = 1, bits: int = 16, **wrong: int) -> bytes:
    """Lay out a mono WAV by hand; `wrong` are values of its header: riff, data, bytes_per_s, pad."""
    width = max(bits // 8, 1)
    form = struct.pack("<HHIIHH", code, 1, RATE, wrong.get("bytes_per_s", width * RATE), width, bits)
    if code == 0x55:
        form += struct.pack("<HHIHHH", 12, 1, 2, 417, 1, 1393)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", wrong.get("data", len(samples))) + samples
    chunks += b"\0" * (wrong.get("pad", 1) and len(samples) % 2)
    return b"RIFF" + struct.pack("<I", wrong.get("riff", len(chunks))) + chunks


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def with_bytes_per_s(content: bytes, value: int) -> bytes:
    place = content.index(b"fmt ") + 16
    return content[:place] + struct.pack("<I", value) + content[place + 4 :]


def odd_sounds() -> Mapping[str, tuple[bytes, bool, int | None]]:
    """Give of each file its bytes, whether it is WHOLE, and how many samples it then has (None: near SAMPLES)."""
    pcm = [encode("RAW", f"PCM_{name}") for name in ("U8", "16", "24")]
    eight, sixteen, plain = pcm[0], pcm[1], riff(pcm[1])
    info = b"LIST" + struct.pack("<I", 16) + b"INFOISFT" + struct.pack("<I", 4) + b"abc\0"
    adpcm = {name: encode("WAV", f"{name}_ADPCM") for name in ("IMA", "MS")}
    made: dict[str, tuple[bytes, bool, int | None]] = {
        "riff_too_large.wav": (riff(sixteen, riff=len(plain) - 7), WHOLE, SAMPLES),
        "riff_zero.wav": (riff(sixteen, riff=0), WHOLE, SAMPLES),
        "eight_bits.wav": (riff(eight, bits=8), WHOLE, SAMPLES),
        "eight_bits_unpadded.wav": (riff(eight, bits=8, pad=0), WHOLE, SAMPLES),
        "24_bits.wav": (riff(pcm[2], bits=24), WHOLE, SAMPLES),
        "bytes_per_s_wrong.wav": (riff(sixteen, bytes_per_s=8_000), WHOLE, SAMPLES),
        "sizes_left_open.wav": (riff(sixteen, riff=2**32 - 1, data=2**32 - 1), WHOLE, SAMPLES),
        "chunk_behind.wav": (plain + info, WHOLE, SAMPLES),
        "zeros_behind.wav": (plain + bytes(41), WHOLE, SAMPLES),
        "half.wav": (half(plain), DAMAGED, None),
        "half_of_eight_bits.wav": (half(riff(eight, bits=8)), DAMAGED, None),
        "one_byte_short.wav": (plain[:-1], DAMAGED, None),
        "mp3_inside.wav": (riff(encode("MP3", "MPEG_LAYER_III"), 0x55, 0, bytes_per_s=8_000), WHOLE, None),
        "whole_numbers_as_floats.wav": (encode("WAV", "FLOAT", np.round(32_767 * SOUND)), DAMAGED, None),
        "a_little_loud.wav": (encode("WAV", "FLOAT", 2.5 * SOUND), WHOLE, SAMPLES),
        "half.flac": (half(encode("FLAC", "PCM_16")), DAMAGED, None),
        "half.ogg": (half(encode("OGG", "VORBIS")), DAMAGED, None),
        "half.mp3": (half(encode("MP3", "MPEG_LAYER_III")), DAMAGED, None),
    }
    for name, content in adpcm.items():
        frames = soundfile.info(io.BytesIO(content)).frames
        made[f"{name.lower()}_adpcm.wav"] = (with_bytes_per_s(content, 12_345), WHOLE, frames)
    for name in ("ULAW", "ALAW"):
        made[f"{name.lower()}.wav"] = (encode("WAV", name), WHOLE, SAMPLES)
    kinds = {"WAVEX": "wav", "RF64": "wav", "W64": "w64", "CAF": "caf", "AIFF": "aiff", "AU": "au"}
    for kind, suffix in kinds.items():
        content = encode(kind, "PCM_24")
        made[f"{kind.lower()}.{suffix}"] = (content, WHOLE, SAMPLES)
        made[f"{kind.lower()}_half.{suffix}"] = (half(content), DAMAGED, None)
    return made


def of_open_length(flac: bytes) -> bytes:
    """Clear the 36 bits of a FLAC file's STREAMINFO that count its samples (RFC 9639, section 8.2)."""
    return flac[:21] + bytes([flac[21] & 0xF0, *bytes(4)]) + flac[26:]
