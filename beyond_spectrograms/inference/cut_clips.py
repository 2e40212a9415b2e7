"""Parts of recordings as WAV files of their own: the recording's rate and samples, read and written block by block."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.data.folders import shorten
from beyond_spectrograms.data.sound_files import OpenSound, open_sound
from beyond_spectrograms.inference.formats import file_name, segment_rows
from beyond_spectrograms.inference.results import Segmentation

EXPORT_COLUMNS = ("file", "source", "start_seconds", "end_seconds", "label", "probability")
TABLE = "segments.csv"
# How samples are stored -> how a WAV file holds the same ones; all others as the floats they are decoded to.
SUBTYPES = {"PCM_S8": "PCM_U8", "PCM_U8": "PCM_U8", "PCM_16": "PCM_16", "PCM_24": "PCM_24"}
LARGEST = 2**32 - 2**16  # bytes that a WAV file can say it has, less its header; of more it is an RF64 file
ADD_PEAK_CHUNK = 0x1050  # SFC_SET_ADD_PEAK_CHUNK of sndfile.h


def write_part(sound: OpenSound, first: int, end: int, place: Path) -> None:
    """Write the samples from `first` to before `end` of an open file as a WAV file.

    Raises:
        BadAudioError: the file is not whole, or cannot be decoded.
    """
    subtype = SUBTYPES.get(sound.subtype, "FLOAT")
    size = (end - first) * sound.channels * {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype]
    form = {"format": "RF64" if size > LARGEST else "WAV", "subtype": subtype}
    with soundfile.SoundFile(place, "w", sound.sample_rate, sound.channels, **form) as file:
        # libsndfile would write the time of day into a file of floats: it must be the same whenever it is written.
        soundfile._snd.sf_command(file._file, ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)
        for block in sound.blocks(first, end):
            file.write(block if subtype == "FLOAT" else _as_integers(block))


def _as_integers(block: Waveform) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Undo what reading did: libsndfile divides by 2^31, and would multiply by 2^31 - 1."""
    return (block.astype(np.float64) * 2.0**31).astype(np.int32)


def write_segments(path: Path, name: str, found: Segmentation, folder: Path) -> list[dict[str, Any]]:
    """Write the segments of a file as <folder>/<name>_<number>_<start>-<end>s_<label>.wav, but for silence and NONE.

    Returns:
        a row of EXPORT_COLUMNS each.

    Raises:
        BadAudioError: the file cannot be read again.
    """
    rows = []
    with open_sound(path) as sound:
        for number, row in enumerate((row for row in segment_rows(found) if row["probability"] is not None), start=1):
            label = re.sub(r"[^\w-]+", "_", row["label"])
            file = shorten(f"{name}_{number:04d}_{row['start_s']:.3f}-{row['end_s']:.3f}s_{label}.wav")
            first, end = (round(row[key] * sound.sample_rate) for key in ("start_s", "end_s"))
            write_part(sound, first, end, folder / file)
            told = (file, file_name(path), row["start_s"], row["end_s"], row["label"], row["probability"])
            rows.append(dict(zip(EXPORT_COLUMNS, told, strict=True)))
    return rows


def names_of(paths: Sequence[Path]) -> list[str]:
    """Give each recording a name of its own to begin its clips' names: its stem, with a digest where some are alike."""
    stems = [re.sub(r"[^\w.-]+", "_", file_name(Path(path.stem))).lstrip(".") or "sound" for path in paths]
    digests = [hashlib.sha256(file_name(path).encode()).hexdigest()[:8] for path in paths]
    times = Counter(stems)
    return [f"{stem}~{digest}" if times[stem] > 1 else stem for stem, digest in zip(stems, digests, strict=True)]
