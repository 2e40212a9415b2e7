"""The one reader of sounds, for all commands: files and streams, in blocks, so that an hour takes no more memory.

libsndfile decodes what it can, ffmpeg the rest where it is installed. What is not whole is refused.
"""

import os
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from beyond_spectrograms.data.audio import (
    BadAudioError,
    Recording,
    Waveform,
    check_peak,
    check_rate,
    describe_silence,
    remarks_of,
    tell_length,
)
from beyond_spectrograms.data.containers import UNKNOWN_BYTES, check_whole

# By what libsndfile and ffmpeg read; what else lies in a folder is left alone. A file named outright is always tried.
SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".au", ".snd", ".aif", ".aiff", ".aifc", ".caf"),
    *(".w64", ".rf64", ".voc", ".sph", ".nist", ".ircam", ".sf", ".svx", ".avr", ".sds", ".mpc2k", ".htk"),
)
FFMPEG_SUFFIXES = {  # and the one demuxer of ffmpeg that opens them: a playlist in disguise opens nothing
    **dict.fromkeys((".m4a", ".mp4", ".3gp"), "mov"),
    **dict.fromkeys((".webm", ".mka"), "matroska"),
    **{".aac": "aac", ".wma": "asf", ".amr": "amr"},
}

STDIN = Path("-")
FRAMES = 1 << 16  # read at a time
PIPED_FORMATS = (b"RIFF", b".snd")  # WAV and AU can be read from a pipe; others are spooled to disk first
ID3 = b"ID3"  # an MP3 may begin with pictures of any size
UNKNOWN_FRAMES = 1 << 62  # what libsndfile says of a FLAC stream whose header leaves the length open
KNOWN_BY = 1 << 20  # bytes of a stream by which its format shows: an endless one of no format must not fill the disk
FRAMES_A_BYTE = 64  # that WAV or AU can hold, MP3 of 8 kbps inside included
WIDTHS = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}  # bytes of a sample


@dataclass
class _Fed:
    """How many bytes a pipe was given so far, and whether these are all."""

    bytes: int
    ended: bool = False


class OpenSound:
    """A sound whose header was read: `sample_rate` (Hz), and `blocks` to go through once, or of a file part by part.

    `promised` is how many samples the header says there are; None where it leaves that open. `subtype` is how samples
    are stored, in libsndfile's words; `of_8_bit`: how coarse.
    """

    def __init__(self, file: soundfile.SoundFile, source: IO[bytes] | _Fed) -> None:
        regular = None if isinstance(source, _Fed) else source
        self._file, self._regular, self._fed = file, regular, source if isinstance(source, _Fed) else None
        self._checked, self._place = regular is None, 0  # the sample that is read next
        self.sample_rate: int = file.samplerate
        self.channels: int = file.channels
        self.subtype: str = file.subtype
        self.of_8_bit = file.subtype in ("PCM_U8", "PCM_S8")
        size = file.frames * file.channels * WIDTHS.get(file.subtype, 1)
        unknown = file.frames >= UNKNOWN_FRAMES or (regular is None and size >= UNKNOWN_BYTES)
        self.promised = None if unknown else int(file.frames)

    def blocks(self, first: int = 0, end: int | None = None) -> Iterator[Waveform]:
        """Yield the samples [samples, channels], float32: all, or those of a file from `first` to before `end`.

        Raises:
            BadAudioError: at once, where the file is not whole; on the way, where it cannot be decoded; at the end,
                where a stream broke off.
        """
        if self._regular is not None and not self._checked:
            place = self._regular.tell()  # where libsndfile is
            check_whole(self._regular)
            self._regular.seek(place)
            self._checked = True
        if first != self._place:
            try:
                self._place = self._file.seek(first)
            except soundfile.LibsndfileError as error:
                raise BadAudioError(f"has no sample {first}: {_reason(error)}") from error
        while end is None or self._place < end:
            wanted = FRAMES if end is None else min(FRAMES, end - self._place)
            try:
                block: Waveform = self._file.read(wanted, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise BadAudioError(f"not decodable as audio after {self._place} samples: {_reason(error)}") from error
            if not len(block):
                break
            self._place += len(block)
            if self._fed is not None and self._fed.ended and self._place > FRAMES_A_BYTE * self._fed.bytes:
                # Where a header leaves the length open, libsndfile repeats the last block of some codecs for ever.
                told = f"{self._fed.bytes} bytes of {self.subtype} decode to no end of samples"
                raise BadAudioError(f"damaged: {told}. Write the stream to a file first")
            yield block
        promised = self.promised if end is None or self.promised is None else min(end, self.promised)
        if promised is not None and self._place < promised and self._file.format != "OGG":  # which may trim its end
            told = f"the header promises {self.promised} samples, {self._place} could be decoded"
            raise BadAudioError(f"truncated: {told}")


def read_recording(path: Path, seconds: tuple[float, float]) -> Recording:
    """Decode a file, check it and mix it to mono.

    `seconds` are the shortest and longest plausible length.

    Raises:
        BadAudioError: the file is empty, not audio, truncated, not finite, silent, or implausible in rate, length or
            peak.
    """
    with open_sound(path) as sound:
        # By rate and length before decoding: an hour-long file need not be read to be refused.
        check_rate(sound.sample_rate)
        if sound.promised is not None:
            _check_length(sound.promised, sound.sample_rate, seconds)
        blocks: list[Waveform] = []
        for block in sound.blocks():
            blocks.append(block)
            if sound.promised is None and sum(map(len, blocks)) > seconds[1] * sound.sample_rate:
                raise BadAudioError(f"longer than {seconds[1]:g} s; plausible is {seconds[0]:g} to {seconds[1]:g} s")
    if not blocks:
        raise BadAudioError("empty: a header but no samples")
    samples = np.concatenate(blocks)
    _check_length(len(samples), sound.sample_rate, seconds)
    if not np.isfinite(samples).all():
        raise BadAudioError(f"{np.count_nonzero(~np.isfinite(samples))} samples are not finite (NaN or infinite)")
    check_peak(float(np.abs(samples).max()))
    mono = samples.mean(axis=1, dtype=np.float32)
    peak = float(np.abs(mono).max())
    if reason := describe_silence(peak, float(np.abs(samples).max())):
        raise BadAudioError(reason)
    return Recording(mono, sound.sample_rate, remarks_of(samples.shape[1], peak, of_8_bit=sound.of_8_bit))


def _check_length(samples: int, sample_rate: int, seconds: tuple[float, float]) -> None:
    if samples == 0:
        raise BadAudioError("empty: a header but no samples")
    length = samples / sample_rate
    if not seconds[0] <= length <= seconds[1]:
        raise BadAudioError(f"{tell_length(length, *seconds)} s long; plausible is {seconds[0]:g} to {seconds[1]:g} s")


@contextmanager
def open_sound(path: Path) -> Iterator[OpenSound]:
    """Open a file, a named pipe, or `-` for standard input.

    Raises:
        BadAudioError: it is not there, empty or not audio.
    """
    with ExitStack() as stack:
        try:
            # Unbuffered: nothing is read ahead that libsndfile would miss, reading from the same descriptor.
            raw = stack.enter_context(open(os.dup(0) if path == STDIN else path, "rb", buffering=0))  # noqa: PTH123
        except IsADirectoryError:
            raise BadAudioError("a folder, not a file") from None
        except OSError as error:
            raise BadAudioError((error.strerror or str(error)).lower()) from None
        if stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            by_ffmpeg = path.suffix.lower() in FFMPEG_SUFFIXES and os.fstat(raw.fileno()).st_size
            whole = stack.enter_context(_converted(path)) if by_ffmpeg else raw
            yield stack.enter_context(decode_sound(whole))
            return
        start = b""
        while len(start) < len(PIPED_FORMATS[0]) and (more := raw.read(len(PIPED_FORMATS[0]) - len(start))):
            start += more
        if not start:
            raise BadAudioError("empty stream (0 bytes)")
        if start in PIPED_FORMATS:
            reading, fed = stack.enter_context(_piped(start, raw))
            yield OpenSound(stack.enter_context(_decode(reading)), fed)
            return
        spooled = stack.enter_context(tempfile.TemporaryFile())
        spooled.write(start)
        while spooled.tell() < KNOWN_BY and (more := raw.read(KNOWN_BY - spooled.tell())):
            spooled.write(more)
        if start[:3] != ID3:
            with decode_sound(spooled):
                pass
            spooled.seek(0, os.SEEK_END)
        shutil.copyfileobj(raw, spooled)
        yield stack.enter_context(decode_sound(spooled))


@contextmanager
def decode_sound(file: IO[bytes]) -> Iterator[OpenSound]:
    """Read the header of a whole sound, in a file or in memory.

    Raises:
        BadAudioError: it is empty or not audio.
    """
    if not file.seek(0, os.SEEK_END):
        raise BadAudioError("empty file (0 bytes)")
    file.seek(0)
    try:
        decoded = _decode(file)
    except BadAudioError:
        check_whole(file)  # the better reason, where it is one
        raise
    with decoded:
        yield OpenSound(decoded, file)


@contextmanager
def _converted(path: Path) -> Iterator[IO[bytes]]:
    """Let ffmpeg turn a file into WAV of 32-bit floats, at its own rate and channels.

    Raises:
        BadAudioError: ffmpeg is not installed, or has any complaint: what it guesses of a damaged file is no sound.
    """
    suffix = path.suffix.lower()
    if (program := shutil.which("ffmpeg")) is None:
        kind = suffix.removeprefix(".")
        raise BadAudioError(f"{kind} files are read by ffmpeg, which is not installed. Install it, or convert to FLAC")
    command = [program, "-nostdin", "-v", "error", "-f", FFMPEG_SUFFIXES[suffix], "-i", f"file:{path}"]
    command += ["-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]
    with tempfile.TemporaryFile() as wav:
        ran = subprocess.run(command, stdout=wav, stderr=subprocess.PIPE, check=False)  # noqa: S603  no shell
        complaint = ran.stderr.decode("utf-8", "replace").strip().splitlines()
        if ran.returncode or complaint:
            raise BadAudioError(f"not decodable as audio: ffmpeg: {complaint[-1] if complaint else ran.returncode}")
        yield wav


def _decode(source: IO[bytes] | int) -> soundfile.SoundFile:
    try:
        file = soundfile.SoundFile(os.dup(source) if isinstance(source, int) else source)
    except soundfile.LibsndfileError as error:
        raise BadAudioError(f"not decodable as audio: {_reason(error)}") from error
    # soundfile seeks after each read of what it can seek in; that fails at the end of FLAC of an open length.
    file.seekable = lambda: False
    return file


def _reason(error: soundfile.LibsndfileError) -> str:
    return error.error_string.strip() or f"error {error.code}"


@contextmanager
def _piped(start: bytes, rest: IO[bytes]) -> Iterator[tuple[int, _Fed]]:
    """Put the bytes that were read to know the format before the rest of the stream again; give what to read from."""
    reading, writing = os.pipe()
    fed = _Fed(len(start))
    # The thread may still wait for the writer when the caller is done and closes its own: it has one of its own.
    source = os.fdopen(os.dup(rest.fileno()), "rb", buffering=0)

    def pump() -> None:
        with suppress(BrokenPipeError), source, os.fdopen(writing, "wb") as sink:  # broken: nobody wants the rest
            sink.write(start)
            while chunk := source.read(FRAMES):
                fed.bytes += len(chunk)
                sink.write(chunk)
            fed.ended = True

    threading.Thread(target=pump, daemon=True).start()
    try:
        yield reading, fed
    finally:
        os.close(reading)
