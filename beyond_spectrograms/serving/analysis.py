"""What the page is told of a sound: labels, segments, probabilities and pictures; nothing goes to disk."""

import base64
import io
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from beyond_spectrograms.data.audio import BadAudioError, Waveform
from beyond_spectrograms.data.sound_files import OpenSound, decode_sound
from beyond_spectrograms.inference import Model
from beyond_spectrograms.inference.formats import describe_labels, describe_segmentation
from beyond_spectrograms.inference.results import Probabilities
from beyond_spectrograms.inference.stream_windows import Batch
from beyond_spectrograms.inference.timeline import LOWEST_HZ, Spectrogram
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.representations.mel import pool

MAX_SECONDS = 600
COLUMNS = 2000  # of a picture, at most: more than a screen has
SMOOTHING = "viterbi"


class StoppedError(Exception):
    """The server ends, and the analysis with it."""


def analyse(model: Model, content: bytes, stop: threading.Event) -> dict[str, Any]:
    """Classify and segment a sound file in memory, as the commands do, and draw it, or `stop` before it is done.

    Returns:
        what `segment --format json` writes but for the file's name, `labels` as of `classify --format json`, and the
        pictures `spectrogram` and `features`.

    Raises:
        BadAudioError: as in `classify` and `segment`, or longer than MAX_SECONDS.
        StoppedError: `stop` is set.
    """
    with decode_sound(io.BytesIO(content)) as file:
        whole = model.classify(_limited(file, stop), file.sample_rate)
    hop_s = model.check_segmenting(None, SMOOTHING)
    spectrogram = Spectrogram(model.representation.form.sample_rate, hop_s)
    features = FeaturePicture()
    with decode_sound(io.BytesIO(content)) as file:
        sound = model.cut(_limited(file, stop), file.sample_rate, hop_s)
        sound.of_8_bit = file.of_8_bit
        found = model.conclude(sound, features.watch(model, spectrogram.watch(sound)), SMOOTHING)
    level = spectrogram.decibels(found.seconds)
    return {
        **describe_segmentation(found),
        "labels": describe_labels(whole, len(model.classes)),
        "spectrogram": {
            **_picture(level, level.min(), level.max()),
            "column_s": spectrogram.column_s,
            "lowest_hz": LOWEST_HZ,
            "highest_hz": spectrogram.highest_hz,
        },
        "features": features.describe(hop_s, found.seconds),
    }


def _limited(file: OpenSound, stop: threading.Event) -> Iterator[Waveform]:
    """Pass blocks on up to MAX_SECONDS: what a header says of the length is looked at first, and not relied on."""
    _check_length((file.promised or 0) / file.sample_rate)
    samples = 0
    for block in file.blocks():
        samples += len(block)
        _check_length(samples / file.sample_rate)
        if stop.is_set():
            raise StoppedError
        yield block


def _check_length(seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise BadAudioError(
            f"longer than {MAX_SECONDS // 60} minutes, the longest this page takes. Use `beyond-spectrograms segment`, "
            "which takes any length."
        )


class FeaturePicture:
    """What the classifier is given of a sound, gathered window by window: of each the frames before the next one."""

    def __init__(self) -> None:
        self._parts: list[Features] = []  # a batch each, [bands, frames]
        self._last: Features = np.empty((0, 0), np.float32)
        self._half = 1  # frames from one window to the next: the hop is half a window

    def watch(self, model: Model, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Probabilities]]:
        """Let the model judge the batches, and keep what it saw."""
        for batch in batches:
            features, probabilities = model.look(batch)
            self._half = max(features.shape[2] // 2, 1)
            self._parts.append(np.concatenate(features[:, :, : self._half], axis=1))
            self._last = features[-1, :, self._half :]
            yield batch, probabilities

    def describe(self, hop_s: float, seconds: float) -> dict[str, Any]:
        """Draw the first `seconds`: what differs from each band's median, between the 1st and the 99th percentile."""
        whole = np.concatenate([*self._parts, self._last], axis=1)
        column_s = hop_s / self._half
        whole = whole[:, : max(round(seconds / column_s), 1)]
        whole = whole - np.median(whole, axis=1, keepdims=True)  # a latent's own level would hide what changes in it
        if whole.shape[1] > COLUMNS:
            column_s *= whole.shape[1] / COLUMNS
            whole = pool(whole[None], COLUMNS)[0]
        return {**_picture(whole, *np.percentile(whole, [1, 99])), "column_s": column_s}


def _picture(values: Features, low: float, high: float) -> dict[str, Any]:
    """Give values [bands, columns] as bytes 0 (low) to 255 (high), band after band, in base64."""
    scaled = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    levels = np.rint(255 * scaled).astype(np.uint8)
    return {
        "bands": levels.shape[0],
        "columns": levels.shape[1],
        "levels": base64.b64encode(levels.tobytes()).decode("ascii"),
    }
