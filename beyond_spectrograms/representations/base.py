"""The contract of a representation, checked loudly at every call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from joblib import cpu_count

from beyond_spectrograms.data.audio import Format, Waveform
from beyond_spectrograms.util.errors import ProjectError

Features = npt.NDArray[np.float32]


class RepresentationError(ProjectError):
    """A representation was given, or gave, what its contract excludes."""


class CheckpointError(ProjectError):
    """Weights are missing, or are not what their record says; the message names the file and what to do."""


class Representation(ABC):
    """Turns windows of sound into arrays [bands, frames].

    A new representation is one file: set `form`, `bands` and `hop_length`, write `frames` and `_encode`, and give it a
    record in params.yaml. `encode` checks input and output, so `_encode` need not.

    Attributes:
        name: its key in params.yaml.
        form: sample rate (Hz) and channels it takes.
        bands: height of a window: mel bands or latent channels.
        hop_length: samples from one frame to the next; frame_rate is form.sample_rate / hop_length.
        packages: distributions whose version can change the result.
        engine: what computes; all features of one array come from one engine.
        chunk: windows a thread encodes at a time, where threads may run `_encode` side by side, each on one core;
            None where they may not.
        spare_threads: threads beyond one a core, where one that calls `_encode` also waits.
        files: code of others that decides the result; for ours versions.yaml has a number.
    """

    name: str
    form: Format
    bands: int
    hop_length: int
    packages: tuple[str, ...] = ("numpy",)
    engine: str = "numpy"
    chunk: ClassVar[int | None] = None
    spare_threads: int = 0
    files: tuple[Path, ...] = ()
    _proven = False

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.form.sample_rate / self.hop_length

    @abstractmethod
    def frames(self, samples: int) -> int:
        """Say how many frames a window of `samples` samples has: the frame law."""

    @abstractmethod
    def _encode(self, windows: Waveform) -> Features:
        """Encode windows [windows, channels, samples] as [windows, bands, frames]."""

    def encode(self, windows: Waveform, sample_rate: int) -> Features:
        """Encode windows [windows, channels, samples] at `sample_rate` Hz as float32 [windows, bands, frames].

        The first call encodes its first window twice, to see that the result is the same to the bit.

        Raises:
            RepresentationError: rate, channels, dtype, shape or values are wrong, or the encoding is not repeatable.
        """
        return self.begin(windows, sample_rate)()

    def begin(self, windows: Waveform, sample_rate: int) -> Callable[[], Features]:
        """Begin to encode, and give what waits for the result of `encode`: meanwhile all cores can be kept busy.

        Where windows are not encoded side by side nothing is done until then.
        """
        self._check_input(windows, sample_rate)
        if self.chunk is None or not len(windows):
            return lambda: self._check_output(windows, self._encode(windows), self._encode)
        firsts = range(0, len(windows), self.chunk)
        encoded = [self._submit(windows[first : first + self.chunk]) for first in firsts]

        def finish() -> Features:
            features = [future.result() for future in encoded]
            joined = features[0] if len(features) == 1 else np.concatenate(features)
            return self._check_output(windows, joined, lambda again: self._submit(again).result())

        return finish

    def _submit(self, windows: Waveform) -> Future[Features]:
        return self._pool.submit(self._encode, windows)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(cpu_count() + self.spare_threads, self.name, self._enter_thread)

    def _enter_thread(self) -> None:  # noqa: B027
        """Make a thread that will call `_encode` ready: it shall keep to one core."""

    def _check_output(self, windows: Waveform, features: Features, encode: Callable[[Waveform], Features]) -> Features:
        expected = (len(windows), self.bands, self.frames(windows.shape[2]))
        if features.shape != expected or features.dtype != np.float32:
            raise RepresentationError(
                f"{self.name}: gave {features.dtype} {list(features.shape)}, "
                f"promised float32 {list(expected)} [windows, bands, frames]"
            )
        if not np.isfinite(features).all():
            raise RepresentationError(f"{self.name}: gave values that are not finite")
        if not self._proven and len(windows):
            if encode(windows[:1]).tobytes() != features[:1].tobytes():
                raise RepresentationError(f"{self.name}: gave two results for one window; it must be deterministic")
            self._proven = True
        return features

    def _check_input(self, windows: Waveform, sample_rate: int) -> None:
        if windows.dtype != np.float32 or windows.ndim != 3 or windows.shape[1] != self.form.channels:
            raise RepresentationError(
                f"{self.name}: takes float32 [windows, {self.form.channels} channels, samples], "
                f"got {windows.dtype} {list(windows.shape)}"
            )
        if sample_rate != self.form.sample_rate:
            raise RepresentationError(f"{self.name}: takes {self.form.sample_rate} Hz, got {sample_rate} Hz")
