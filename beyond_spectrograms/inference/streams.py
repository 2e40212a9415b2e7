"""Files and streams of sound, read in blocks: an hour takes no more memory than a second."""

import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import soundfile

from beyond_spectrograms.data.audio import BadAudioError, Waveform, ends_ogg_stream

STDIN = Path("-")
FRAMES = 1 << 16  # read at a time
PIPED_FORMATS = (b"RIFF", b".snd")  # WAV and AU can be read from a pipe; others are spooled to disk first
ID3 = b"ID3"  # an MP3 may begin with pictures of any size
UNKNOWN_BYTES = 0x7FFF_EC00  # a size of about 2^31 or 2^32 in a header is what writers to a pipe put for "not known"
UNKNOWN_FRAMES = 1 << 62  # what libsndfile says of a FLAC stream whose header leaves the length open
KNOWN_BY = 1 << 20  # bytes of a stream by which its format shows: an endless one of no format must not fill the disk
WIDTHS = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}  # bytes of a sample
OGG_PAGE = 65_307  # bytes at most: RFC 3533, section 6


class OpenSound:
    """A sound whose header was read: `sample_rate` (Hz), and `blocks` to go through once.

    `promised` is how many samples the header says there are; None where it leaves that open.
    """

    def __init__(self, file: soundfile.SoundFile, regular: IO[bytes] | None) -> None:
        self._file, self._regular = file, regular
        self.sample_rate: int = file.samplerate
        size = file.frames * file.channels * WIDTHS.get(file.subtype, 1)
        unknown = file.frames >= UNKNOWN_FRAMES or (regular is None and size >= UNKNOWN_BYTES)
        self.promised = None if unknown else int(file.frames)

    def blocks(self) -> Iterator[Waveform]:
        """Yield the samples [samples, channels], float32.

        Raises:
            BadAudioError: at the end, where the file broke off before; on the way, where it cannot be decoded.
        """
        decoded = 0
        while True:
            try:
                block: Waveform = self._file.read(FRAMES, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise BadAudioError(f"not decodable as audio after {decoded} samples: {_reason(error)}") from error
            if not len(block):
                break
            decoded += len(block)
            yield block
        self._check_whole(decoded)

    def _check_whole(self, decoded: int) -> None:
        """Find truncation as audio.read_recording does; a header may leave the length open."""
        header = self._file
        if header.format == "OGG":
            if (file := self._regular) is not None:
                file.seek(max(file.seek(0, os.SEEK_END) - OGG_PAGE, 0))  # the last page lies within these bytes
                if not ends_ogg_stream(file.read()):
                    raise BadAudioError(f"truncated: the Ogg stream has no end mark after {decoded} samples")
            return
        sizes = [int(size) for size in re.findall(r": (\d+) \(should be", header.extra_info)]
        if self._regular is not None and any(size < UNKNOWN_BYTES for size in sizes):
            raise BadAudioError(f"truncated: the header promises more than the {decoded} samples found")
        if self.promised is not None and decoded < self.promised:
            raise BadAudioError(f"truncated: the header promises {self.promised} samples, {decoded} could be decoded")


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
            yield stack.enter_context(decode_sound(raw))
            return
        start = b""
        while len(start) < len(PIPED_FORMATS[0]) and (more := raw.read(len(PIPED_FORMATS[0]) - len(start))):
            start += more
        if not start:
            raise BadAudioError("empty stream (0 bytes)")
        if start in PIPED_FORMATS:
            yield OpenSound(stack.enter_context(_decode(stack.enter_context(_piped(start, raw)))), None)
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
    with _decode(file) as decoded:
        yield OpenSound(decoded, file)


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
def _piped(start: bytes, rest: IO[bytes]) -> Iterator[int]:
    """Put the bytes that were read to know the format before the rest of the stream again; give what to read from."""
    reading, writing = os.pipe()
    # The thread may still wait for the writer when the caller is done and closes its own: it has one of its own.
    source = os.fdopen(os.dup(rest.fileno()), "rb", buffering=0)

    def pump() -> None:
        with suppress(BrokenPipeError), source, os.fdopen(writing, "wb") as sink:  # broken: nobody wants the rest
            sink.write(start)
            shutil.copyfileobj(source, sink)

    threading.Thread(target=pump, daemon=True).start()
    try:
        yield reading
    finally:
        os.close(reading)
