"""A trained model in use: what is in this sound, and what is where in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from beyond_spectrograms.data.audio import BadAudioError, Waveform
from beyond_spectrograms.inference.card import Card, ModelError
from beyond_spectrograms.inference.ecdc import CutCodes, EcdcReader
from beyond_spectrograms.inference.networks import NumpyNetwork, TorchNetwork
from beyond_spectrograms.inference.results import (
    SMOOTHINGS,
    Classification,
    Probabilities,
    Segmentation,
    are_none,
    find_segments,
    find_tracks,
)
from beyond_spectrograms.inference.stream_windows import Batch, CutSound
from beyond_spectrograms.representations.base import Features, Representation

NO_NUMBERS = (
    "the classifier's answers are not finite numbers: its weights or its temperature are too large or too small. Train "
    "or export the model again."
)


@dataclass
class Model:
    """A representation and a classifier trained on it, made by `load_model`.

    Attributes:
        card: what it is, what it learned from and how good it is.
        representation: turns windows of sound into [bands, frames].
        network: turns these into a number a class.
        classifier: the file it was read from.
        encoder_files: the representation's weights, beside which EnCodec's language model is looked for.
    """

    card: Card
    representation: Representation
    network: NumpyNetwork | TorchNetwork
    classifier: Path
    encoder_files: tuple[Path, ...] = ()
    _of_silence: tuple[Features, Probabilities] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Every label the model knows."""
        return tuple(self.card.classes)

    def cut(self, blocks: Iterable[Waveform], sample_rate: int, hop_s: float | None = None) -> CutSound:
        """Cut a sound that comes in blocks into the windows the model takes, the card's hop apart or another."""
        length_s = self.card.windows.length_s
        hop_s = hop_s or min(self.card.windows.hop_s, length_s)
        return CutSound(blocks, sample_rate, self.representation.form, length_s=length_s, hop_s=hop_s)

    @cached_property
    def ecdc(self) -> EcdcReader:
        """Opens EnCodec's compressed files for this model.

        Raises:
            BadAudioError: the model takes no codes.
        """
        folder = self.encoder_files[0].parent if self.encoder_files else Path()
        return EcdcReader(self.card, self.representation, folder)

    def judge(self, batch: Batch) -> Probabilities:
        """Give each window's probabilities [windows, classes]."""
        return self.judge_features(batch.windows) if batch.encoded else self.look(batch)[1]

    def look(self, batch: Batch) -> tuple[Features, Probabilities]:
        """Give each window's features [windows, bands, frames] and probabilities [windows, classes]."""
        # Hours of digital silence are common in recordings and pipes; all its windows are the same one.
        heard = np.asarray(batch.windows.any(axis=(1, 2)))
        if heard.all():
            return self._look(batch.windows)
        if self._of_silence is None:
            self._of_silence = self._look(np.zeros_like(batch.windows[:1]))
        features, probabilities = (of_one.repeat(len(heard), axis=0) for of_one in self._of_silence)
        if heard.any():
            features[heard], probabilities[heard] = self._look(batch.windows[heard])
        return features, probabilities

    def _look(self, windows: Waveform) -> tuple[Features, Probabilities]:
        features = self.representation.encode(windows, self.representation.form.sample_rate)
        return features, self.judge_features(features)

    def judge_features(self, features: Features) -> Probabilities:
        """Give the probabilities [windows, classes] of windows that the representation has encoded.

        Raises:
            ModelError: what the classifier gives of them is not finite.
        """
        with np.errstate(all="ignore"):  # what comes of it is looked at
            logits = self.network.logits(features) / self.card.temperature
        if not np.isfinite(logits).all():
            raise ModelError(NO_NUMBERS)
        if (
            self.card.protocol.record.loss is not None
        ):  # each class by itself; exp of what is never above 0 does not overflow
            return np.asarray(np.exp(-np.logaddexp(0, -logits)))
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def classify(self, waveform: Any, sample_rate: int) -> Classification:
        """Classify a sound by the mean of its windows' probabilities, as in the scores of recordings.

        Args:
            waveform: samples [samples], [samples, channels] or [channels, samples], an array or a tensor of real
                numbers in [-1, 1], or of int16 or int32; or an iterator over blocks [samples] or [samples, channels],
                for a sound that does not fit in memory. The result is the same to the bit.
            sample_rate: Hz, any.

        Raises:
            BadAudioError: the sound is empty, silent, shorter than a tenth of a window or not finite.

        >>> import numpy as np
        >>> from beyond_spectrograms import load_model
        >>> model = load_model(example_model)
        >>> time = np.arange(44_100) / 44_100
        >>> found = model.classify(0.5 * np.sin(2 * np.pi * 4000 * time), 44_100)
        >>> found.label, found.windows, found.seconds
        ('high', 1, 1.0)
        >>> [label for label, probability in found.top(2)]
        ['high', 'low']
        """
        sound = self.cut(as_blocks(waveform), sample_rate)
        return self.average(sound, map(self.judge, sound))

    def classify_file(self, path: str | Path) -> Classification:
        """Classify a file as the command `classify` does, block by block: hours take no more memory than seconds.

        EnCodec's compressed files, .ecdc, are not decoded; ecdc.py says how that differs.

        Raises:
            BadAudioError: it is not there, cannot be read, or is no sound that `classify` takes.
        """
        from beyond_spectrograms.inference.batch import cut_file

        with cut_file(self, Path(path)) as sound:
            return self.average(sound, map(self.judge, sound))

    def segment_file(self, path: str | Path, *, hop_s: float | None = None, smoothing: str = "viterbi") -> Segmentation:
        """Find which class is where in a file, block by block; see `segment`.

        Raises:
            BadAudioError: it is not there, cannot be read, or is no sound that `segment` takes.
            ValueError: the hop or the smoothing is not one that `segment` takes.
        """
        from beyond_spectrograms.inference.batch import cut_file

        with cut_file(self, Path(path), self.check_segmenting(hop_s, smoothing)) as sound:
            return self.conclude(sound, ((batch, self.judge(batch)) for batch in sound), smoothing)

    def embed(self, waveform: Any, sample_rate: int) -> Features:
        """Give what the classifier is given: every window's features [windows, bands, frames].

        Args:
            waveform: as in `classify`.
            sample_rate: Hz, any.

        Raises:
            BadAudioError: as `classify`, but for silence.
        """
        sound = self.cut(as_blocks(waveform), sample_rate)
        return np.concatenate([self.look(batch)[0] for batch in sound])

    def average(self, sound: CutSound | CutCodes, judged: Iterable[Probabilities]) -> Classification:
        """Classify a sound by the mean of its windows' probabilities, which come batch by batch.

        Raises:
            BadAudioError: the sound is silent.
        """
        sums = [(len(batch), batch.sum(axis=0, dtype=np.float64)) for batch in judged]
        if sound.silence:
            raise BadAudioError(sound.silence)
        windows = sum(count for count, _ in sums)
        mean = sum((of_batch for _, of_batch in sums), np.zeros(len(self.classes))) / windows
        probabilities, thresholds = mean.astype(np.float32), self.card.thresholds
        told = (self.classes, probabilities, windows, sound.seconds, sound.remarks)
        if self.card.multi_label is not None:
            return Classification(*told, thresholds=thresholds)
        return Classification(*told, is_none=thresholds is not None and bool(are_none(probabilities, thresholds)))

    def segment(
        self, waveform: Any, sample_rate: int, *, hop_s: float | None = None, smoothing: str = "viterbi"
    ) -> Segmentation:
        """Find which class is where in a sound.

        Args:
            waveform: as in `classify`.
            sample_rate: Hz, any.
            hop_s: seconds from one window to the next, half a window where not given.
            smoothing: viterbi, median or none (`results.smooth` says what they assume).

        Raises:
            BadAudioError: the sound is empty, shorter than a tenth of a window or not finite.

        >>> import numpy as np
        >>> from beyond_spectrograms import load_model
        >>> model = load_model(example_model)
        >>> time = np.arange(4 * 44_100) / 44_100
        >>> sound = 0.5 * np.sin(2 * np.pi * np.where(time < 2.25, 300, 4000) * time)
        >>> for part in model.segment(sound, 44_100).segments:
        ...     print(part.start_s, part.end_s, part.label)
        0.0 2.25 low
        2.25 4.0 high
        """
        sound = self.cut(as_blocks(waveform), sample_rate, self.check_segmenting(hop_s, smoothing))
        return self.conclude(sound, ((batch, self.judge(batch)) for batch in sound), smoothing)

    def check_segmenting(self, hop_s: float | None, smoothing: str) -> float:
        """Choose the hop, half a window where none is given.

        Raises:
            ValueError: smoothing is unknown, or the hop is not above 0 and at most a window.
        """
        if smoothing not in SMOOTHINGS:
            raise ValueError(f"smoothing is {smoothing!r}. Choose from {', '.join(SMOOTHINGS)}.")
        length_s = self.card.windows.length_s
        if hop_s is not None and not 0.01 * length_s <= hop_s <= length_s:
            raise ValueError(f"hop_s is {hop_s:g}; it must be {0.01 * length_s:g} to {length_s:g}, a window's length")
        return hop_s or length_s / 2

    def conclude(
        self, sound: CutSound | CutCodes, judged: Iterable[tuple[Batch, Probabilities]], smoothing: str
    ) -> Segmentation:
        """Find the segments of a sound from all of its batches and their probabilities."""
        # Not the batches themselves: hours of sound would not fit.
        kept = ((batch.starts_s, batch.silent, given) for batch, given in judged)
        starts_s, silent, probabilities = map(np.concatenate, zip(*kept, strict=True))
        told: dict[str, Any] = {"starts_s": starts_s, "silent": silent, "probabilities": probabilities}
        told |= {"classes": self.classes, "length_s": sound.length_s, "seconds": sound.seconds, "smoothing": smoothing}
        thresholds, remarks = self.card.thresholds, sound.remarks
        if thresholds is not None and self.card.multi_label is not None:
            tracks = find_tracks(hop_s=sound.hop_s, thresholds=thresholds, **told)
            return Segmentation(segments=tracks, remarks=remarks, may_overlap=True, **told)
        segments = find_segments(hop_s=sound.hop_s, thresholds=thresholds, **told)
        return Segmentation(segments=segments, remarks=remarks, **told)


def as_blocks(waveform: Any) -> Iterable[Waveform]:
    """Check a whole waveform, which becomes one block, or each of an iterator's blocks as it comes.

    A whole waveform may also be [channels, samples], as torchaudio has it; of a block that cannot be known.

    Raises:
        ValueError: as `as_waveform`; or it is a list of arrays, which may be blocks or channels.
    """
    if isinstance(waveform, Iterator):
        return map(as_waveform, waveform)
    if isinstance(waveform, list | tuple) and any(hasattr(item, "__array__") and np.ndim(item) for item in waveform):
        raise ValueError("several arrays may be blocks or channels; give iter(...) of blocks, one array of channels")
    samples = as_waveform(waveform)
    return [samples.T if samples.ndim == 2 and 0 < samples.shape[0] < samples.shape[1] else samples]


def as_waveform(waveform: Any) -> Waveform:
    """Check samples [samples] or [samples, channels] and make them float32; whole numbers are scaled to [-1, 1].

    Raises:
        ValueError: they are a path, no numbers, or of another shape.
    """
    if isinstance(waveform, str | Path):
        raise ValueError(f"{str(waveform)!r} is a path; for a file there are classify_file and segment_file")
    samples = np.asarray(waveform)
    if samples.ndim not in (1, 2):
        raise ValueError(f"a waveform is [samples] or [samples, channels], not {list(samples.shape)}")
    if samples.dtype in (np.int16, np.int32):
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    if not np.issubdtype(samples.dtype, np.floating):
        raise ValueError(f"samples are {samples.dtype}; give real numbers in [-1, 1], or whole ones of int16 or int32")
    return samples.astype(np.float32, copy=False)
