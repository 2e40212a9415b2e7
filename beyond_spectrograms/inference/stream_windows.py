"""A sound that comes in blocks, cut into windows: the same windows, however it was cut into blocks.

It is mixed, resampled, limited and cut as data/audio.py does it, block by block.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from beyond_spectrograms.data import audio
from beyond_spectrograms.data.audio import SILENCE_PEAK, BadAudioError, Format, Waveform

BATCH = 32  # windows encoded and classified at a time
BLOCK = 1 << 18  # samples resampled at a time: bounds what a long block takes
SHORTEST = 0.1  # of a window: a shorter clip would be little but its own echo


@dataclass(frozen=True)
class Batch:
    """Up to BATCH windows that start at `starts_s` [windows]; `silent` [windows] where no sample exceeds -80 dBFS.

    They are sound [windows, channels, samples], or where they are `encoded` already features [windows, bands, frames].
    """

    starts_s: npt.NDArray[np.float64]
    windows: Waveform
    silent: npt.NDArray[np.bool_]
    encoded: bool = False


class CutSound:
    """The windows of one sound: iterate over it once, in batches; `seconds`, `peak` and `remarks` are known then.

    Windows start every `hop_s` seconds and are `length_s` long; a last one that reaches past the end is filled with
    the sound's own end backwards, and so is a sound shorter than a window.

    Args:
        blocks: samples [samples] or [samples, channels], float32 in [-1, 1], in blocks of any length.
        sample_rate: of the blocks, Hz.
        form: what the windows are to be.
    """

    def __init__(
        self, blocks: Iterable[Waveform], sample_rate: int, form: Format, *, length_s: float, hop_s: float
    ) -> None:
        audio.check_rate(sample_rate)
        self._blocks, self._sample_rate, self._form = blocks, sample_rate, form
        self.length_s, self.hop_s = length_s, hop_s
        self._samples = round(length_s * form.sample_rate)
        self.promised_s: float | None = None  # length by the sound's header, where it says so
        self.of_8_bit = False  # how coarse its samples are, by its header
        self._heard = 0  # samples received
        self._channels = 1
        self._channel_peak = 0.0  # before mixing
        self.peak = 0.0

    @property
    def seconds(self) -> float:
        """Length of what was received so far."""
        return self._heard / self._sample_rate

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is unusual about the sound but no reason to refuse it."""
        unusual = audio.remarks_of(self._channels, self.peak, of_8_bit=self.of_8_bit)
        return (*unusual, *remark_on_length(self.seconds, self.length_s))

    @property
    def silence(self) -> str:
        """Why the sound cannot be classified, where no sample exceeds -80 dBFS; else empty."""
        return audio.describe_silence(self.peak, self._channel_peak)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the windows in order.

        Raises:
            BadAudioError: the sound is empty, shorter than a tenth of a window, or has samples that are not finite or
                far above full scale.
        """
        rate = self._form.sample_rate
        kept: Waveform = np.empty(0, np.float32)  # resampled sound from sample `origin` on
        origin = done = 0  # `done` windows were yielded
        for resampled in self._resampled():
            kept = np.concatenate([kept, resampled])
            while len(starts := self._ready(done, origin + len(kept))) == BATCH:
                yield self._batch(kept, starts, origin)
                done += BATCH
            # A window before the next one: the last window is filled from there, if it reaches past the end.
            passed = min(max(round(done * self.hop_s * rate) - self._samples - origin, 0), len(kept))
            kept, origin = kept[passed:], origin + passed
        if not self._heard:
            raise BadAudioError("empty: a header but no samples")
        check_length(self.seconds, self.length_s)
        all_starts = np.array(audio.window_starts(self.seconds, self.length_s, self.hop_s, "reflect"))
        for first in range(done, len(all_starts), BATCH):
            yield self._batch(kept, all_starts[first : first + BATCH], origin)

    def _resampled(self) -> Iterator[Waveform]:
        """Mix and resample (soxr, HQ; its stream gives the same bits as one call on the whole)."""
        stream = soxr.ResampleStream(self._sample_rate, self._form.sample_rate, 1, dtype="float32", quality="HQ")
        for block in self._blocks:
            for first in range(0, len(block), BLOCK):
                mono = self._mix(block[first : first + BLOCK])
                yield _store(stream.resample_chunk(mono))
        yield _store(stream.resample_chunk(np.empty(0, np.float32), last=True))

    def _mix(self, block: Waveform) -> Waveform:
        peaks = np.abs(block).max(axis=0, initial=0)
        if not np.isfinite(peaks).all():
            first = int(np.flatnonzero(~np.isfinite(block.reshape(len(block), -1)).all(axis=1))[0])
            place = (self._heard + first) / self._sample_rate
            raise BadAudioError(f"a sample that is not finite (NaN or infinite) at {place:.3f} s")
        self._channel_peak = max(self._channel_peak, float(peaks.max(initial=0)))
        audio.check_peak(self._channel_peak)
        self._channels = 1 if block.ndim == 1 else block.shape[1]
        mono: Waveform = block if block.ndim == 1 else block.mean(axis=1, dtype=np.float32)
        self.peak = max(self.peak, float(np.abs(mono).max(initial=0)))
        self._heard += len(mono)
        return np.ascontiguousarray(mono)

    def _ready(self, done: int, samples: int) -> npt.NDArray[np.float64]:
        """List the starts of the next windows, BATCH at most, for which `samples` resampled samples are enough."""
        inside = audio.windows_inside(self.seconds, self.length_s, self.hop_s)
        starts = np.arange(done, min(inside, done + BATCH), dtype=np.float64) * self.hop_s
        ends = np.rint(starts * self._form.sample_rate) + self._samples
        return starts[: int((ends <= samples).sum())]

    def _batch(self, kept: Waveform, starts: npt.NDArray[np.float64], origin: int) -> Batch:
        firsts = [round(start * self._form.sample_rate) - origin for start in starts.tolist()]
        missing = firsts[-1] + self._samples - len(kept)
        if missing > 0:
            kept = np.pad(kept, (0, missing), mode="reflect")
        mono = np.stack([kept[first : first + self._samples] for first in firsts])
        windows = np.repeat(mono[:, None], self._form.channels, axis=1)
        return Batch(starts, windows, np.abs(mono).max(axis=1) <= SILENCE_PEAK)


def check_length(seconds: float, length_s: float) -> None:
    """Refuse a sound that is shorter than a tenth of a window.

    Raises:
        BadAudioError: it is.
    """
    shortest = SHORTEST * length_s
    if seconds < shortest:
        told = f"{audio.tell_length(seconds, shortest)} s long; the shortest that is classified is {shortest:g} s"
        raise BadAudioError(f"{told}, a tenth of a window")


def remark_on_length(seconds: float, length_s: float) -> tuple[str, ...]:
    """Remark on a sound that is shorter than a window; nothing on others."""
    if seconds >= length_s - 1e-9:
        return ()
    return (f"{audio.tell_length(seconds, length_s)} s long, shorter than a window of {length_s:g} s: reflected",)


def _store(samples: Waveform) -> Waveform:
    """Limit and round samples as the pipeline's 24-bit FLAC files do: SoundStream's encoder reacts to the last bit.

    Full scale is 2^23, one more than 24 bits can hold.
    """
    limited = np.clip(samples, -1, 1) * np.float32(1 << 23)
    return np.asarray(np.minimum(np.rint(limited), (1 << 23) - 1) / np.float32(1 << 23))
