"""The contract of a representation, checked loudly at every call, and that of an engine."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from joblib import cpu_count

from beyond_spectrograms.data.audio import Format, Waveform, cut_windows, reflect_to
from beyond_spectrograms.params.base import Record
from beyond_spectrograms.util.errors import ProjectError

Features = npt.NDArray[np.float32]


# Frames that a clip may lack for its last window: convolutions have none for their last samples. Of more it would be
# made up of repetitions, and all frames be at other times than they are taken for.
ENDING = 2


class RepresentationError(ProjectError):
    """A representation was given, or returned, what its contract does not allow."""


class CheckpointError(ProjectError):
    """Weights are missing, or are not what their record says; the message names the file and what to do."""


def enter_torch_thread() -> None:
    """Let torch use one core in this thread: the last bits of a sum depend on how many share it."""
    import torch

    torch.set_num_threads(1)


def check_hears_windows(name: str, record: Record) -> None:
    """Refuse a representation that hears whole clips, where windows are all there is.

    Raises:
        RepresentationError: it does.
    """
    if record.hears_clips:
        raise RepresentationError(
            f"{name}: hears whole clips (context: clip), and here each window is heard on its own. "
            "Choose a representation with context: window."
        )


class Coded(NamedTuple):
    """A codec by its codes."""

    encoder: "Representation"  # gives the codes [windows, codebooks, frames], of the same windows and frames
    entries: int  # of a codebook
    # [codebooks, entries, bands], whose entries add up to the features (feature_shards.dequantize); None: codes are
    codebooks: Features | None


class Representation(ABC):
    """Turns windows of sound into arrays [bands, frames].

    A new representation is one file: set `form`, `bands` and `hop_length`, write `_encode`, and `frames` where they are
    counted otherwise, and give it a record in params.yaml. One that `hears_clips` takes windows of any length. `encode`
    checks input and output, so `_encode` does not have to.
    """

    name: str  # its key in params.yaml
    form: Format  # sample rate (Hz) and channels it takes
    bands: int  # height of a window: mel bands or latent channels
    hop_length: int  # samples from one frame to the next; rounded where a kind has a frame_rate of its own
    packages: tuple[str, ...] = ("numpy",)  # distributions whose version can change the result
    hears_clips: bool = False  # whether featurize gives it whole clips and cuts their frames, or windows
    engine: str = "numpy"  # the library that computes; all features of one array come from one engine
    # Windows a thread encodes at a time, if threads may run `_encode` side by side, each on one core; else None.
    chunk: ClassVar[int | None] = None
    spare_threads: int = 0  # beyond one a core, for engines in which a thread that calls `_encode` also waits
    files: tuple[Path, ...] = ()  # of other people's code that decide the result; ours has numbers in versions.yaml
    _proven = False

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.form.sample_rate / self.hop_length

    def frames(self, samples: int) -> int:
        """Return how many frames a window of `samples` samples has: hops, the last of which may be partial."""
        return -(-samples // self.hop_length)

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

    def encode_clip(self, clip: Waveform, starts: Sequence[float], length_s: float) -> Features:
        """Encode the windows of a clip [channels, samples] that start at these seconds: [windows, bands, frames].

        Past the clip's end it is reflected. One that hears clips is given the whole clip, whose frames are then cut:
        a window's first is the one nearest to its start, and it has as many as a window would have by itself. Where
        the clip's frames end before (a convolution has no frame for its last samples), the last one is repeated.

        Raises:
            RepresentationError: as `encode`.
        """
        rate = self.form.sample_rate
        if not self.hears_clips:
            return self.encode(cut_windows(clip, list(starts), length_s, rate), rate)
        length = round(length_s * rate)
        whole = reflect_to(round(max(starts) * rate) + length, clip)
        frames = self.encode(whole[None], rate)[0]
        count = self._count_frames(length)
        places = np.add.outer(np.rint(np.asarray(starts) * self.frame_rate), np.arange(count))
        if (missing := int(places.max()) + 1 - frames.shape[1]) > ENDING:
            raise RepresentationError(
                f"{self.name}: gave {frames.shape[1]} frames for a clip of {whole.shape[1] / rate:g} s, {missing} "
                f"fewer than its windows need at {self.frame_rate:g} a second. Choose context: window."
            )
        cut = frames[:, np.minimum(places, frames.shape[1] - 1).astype(np.int64)]  # [bands, windows, frames]
        return np.ascontiguousarray(cut.transpose(1, 0, 2))

    def begin(self, windows: Waveform, sample_rate: int) -> Callable[[], Features]:
        """Start to encode; call what is returned to wait for the result of `encode`. This keeps all cores busy.

        If windows are not encoded side by side, all the work happens in that call.
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

    def coded(self) -> Coded:
        """Give the codes that its features are made of, and the codebooks that make them, the same to the bit.

        Raises:
            RepresentationError: it has none.
        """
        raise RepresentationError(
            f"{self.name}: features.dtype codes is for what codes alone give: kind encodec or soundstream with a "
            "bitrate, and kind transformers of architecture encodec or xcodec with codebooks. Choose float32 or "
            "float16."
        )

    def embed_text(self, texts: Sequence[str]) -> tuple[Features, float]:
        """Embed texts as [texts, bands], of length 1, to be compared with what sounds give.

        Returns:
            the embeddings, and the scale that turns their cosines into logits.

        Raises:
            RepresentationError: it has no text tower.
        """
        del texts
        raise RepresentationError(
            f"{self.name}: has no text tower, which classifier: zero_shot needs. Choose a CLAP model with layer: "
            "projected."
        )

    def _require(self, weights: Sequence[Path]) -> None:
        """Stop where a weights file is missing."""
        if not weights or not all(path.is_file() for path in weights):
            raise CheckpointError(
                f"{self.name}: its weights file is missing. Run its featurize stage, which fetches it."
            )

    def _submit(self, windows: Waveform) -> Future[Features]:
        return self._pool.submit(self._encode, windows)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(cpu_count() + self.spare_threads, self.name, self._enter_thread)

    # Static: a thread that knew the encoder would keep it, and its hundreds of megabytes, for ever.
    @staticmethod  # noqa: B027
    def _enter_thread() -> None:
        """Prepare a thread that will call `_encode`, so that it uses one core."""

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
        self._count_frames(windows.shape[2])

    def _count_frames(self, samples: int) -> int:
        """Count frames, of which there must be one."""
        if (count := self.frames(samples)) < 1:
            raise RepresentationError(
                f"{self.name}: a window of {samples / self.form.sample_rate:g} s has no frame, which stands for "
                f"{1 / self.frame_rate:g} s. Choose longer windows."
            )
        return count


class EngineError(ProjectError):
    """An engine is not installed, or cannot do here what it is asked for; the message says what to do."""


class Engine(ABC):
    """Runs EnCodec's encoder on one core, from as many threads at once as there are cores.

    A window's latents are the same to the bit whatever windows are beside it and however many cores there are.
    """

    name: ClassVar[str]  # as it is printed and recorded
    packages: ClassVar[tuple[str, ...]]  # distributions whose version can change the result
    spare_threads: ClassVar[int] = 0  # callers beyond one a core that keep it busy, if it has threads of its own

    @abstractmethod
    def encode(self, windows: Waveform) -> Features:
        """Encode windows [windows, channels, samples], at least one, as latents [windows, 128, frames]."""
