"""Clips -> features, clip by clip, with every core busy.

A thread decodes two clips ahead, and a clip's windows begin to be encoded before those of the clip before it are all
done: a clip of five windows would otherwise leave cores idle. Windows of a block that are equal to the bit are encoded
once, and windows of nothing but zeros once for all clips.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import cpu_count

from beyond_spectrograms.data.audio import Waveform, cut_windows, read_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.representations.base import Features, Representation

BLOCK = 64  # windows handed over at a time: bounds the memory a long clip takes
DECODED = 2  # clips beside the one that is cut
AHEAD = 4  # windows for each core that have begun beside a block, so that none waits for its last window


class ClipWindows(NamedTuple):
    """A clip, and the seconds at which its windows start."""

    clip: str
    starts: Sequence[float]


class WindowEncoder:
    """Encodes clips of the folder `clips` in order; `encoded` counts the windows that went through the encoder."""

    def __init__(self, representation: Representation, clips: Path, length_s: float) -> None:
        self._representation, self._clips, self._length_s = representation, clips, length_s
        self._form, self._ahead = representation.form, AHEAD * cpu_count()
        self.encoded = 0

    def encode_clips(self, parts: Sequence[ClipWindows]) -> Iterator[Features]:
        """Give the features [windows, bands, frames] of one clip after the other."""
        if self._representation.hears_clips:
            for part, clip in self._read_clips(parts):
                self.encoded += len(part.starts)
                yield self._representation.encode_clip(clip, part.starts, self._length_s)
            return
        blocks = self._encode_blocks(parts)
        for part in parts:
            features = [next(blocks) for _ in range(0, len(part.starts), BLOCK)]
            yield features[0] if len(features) == 1 else np.concatenate(features)

    def _encode_blocks(self, parts: Sequence[ClipWindows]) -> Iterator[Features]:
        """Encode the blocks of all clips in order; beside the oldest, enough windows have begun for every core."""
        begun: deque[tuple[int, Callable[[], Features]]] = deque()
        for windows in self._read_blocks(parts):
            begun.append((len(windows), self._begin(windows)))
            while sum(count for count, _ in begun) - begun[0][0] >= self._ahead:
                yield begun.popleft()[1]()
        while begun:
            yield begun.popleft()[1]()

    def _read_blocks(self, parts: Sequence[ClipWindows]) -> Iterator[Waveform]:
        """Cut the clips into blocks [windows, channels, samples]."""
        for part, clip in self._read_clips(parts):
            for first in range(0, len(part.starts), BLOCK):
                starts = list(part.starts[first : first + BLOCK])
                yield cut_windows(clip, starts, self._length_s, self._form.sample_rate)

    def _read_clips(self, parts: Sequence[ClipWindows]) -> Iterator[tuple[ClipWindows, Waveform]]:
        """Give every clip [channels, samples], while a thread decodes the next ones."""
        with ThreadPoolExecutor(1) as reader:
            clips = deque(reader.submit(self._read, part.clip) for part in parts[:DECODED])
            for number, part in enumerate(parts):
                clip = clips.popleft().result()
                clips.extend(reader.submit(self._read, part.clip) for part in parts[number + DECODED :][:1])
                yield part, clip

    def _read(self, clip: str) -> Waveform:
        return read_clip(clip_path(self._clips, self._form, clip), self._form)

    def _begin(self, windows: Waveform) -> Callable[[], Features]:
        """Start to encode the distinct windows of a block; call what is returned for the features of every window."""
        keys = [key if window.any() else None for window, key in zip(windows, _digest(windows), strict=True)]
        first = {key: row for row, key in reversed(list(enumerate(keys))) if key is not None}
        distinct = sorted(first.values())
        place = {keys[row]: number for number, row in enumerate(distinct)}
        self.encoded += len(distinct)
        if len(distinct) == len(keys):
            return self._representation.begin(windows, self._form.sample_rate)
        encode = self._representation.begin(windows[distinct], self._form.sample_rate)

        def finish() -> Features:
            features = encode() if distinct else ()
            return np.stack([self._silence if key is None else features[place[key]] for key in keys])

        return finish

    @cached_property
    def _silence(self) -> Features:
        """Features of a window of zeros, [bands, frames]."""
        self.encoded += 1
        windows = np.zeros((1, self._form.channels, round(self._length_s * self._form.sample_rate)), np.float32)
        features: Features = self._representation.encode(windows, self._form.sample_rate)[0]
        return features


def _digest(windows: Waveform) -> list[bytes]:
    """Give equal windows [windows, channels, samples] equal keys and others other keys."""
    few = [window[:, ::101].tobytes() for window in windows]  # enough to tell windows apart, nearly always
    return few if len(set(few)) == len(few) else [hashlib.sha256(window).digest() for window in windows]
