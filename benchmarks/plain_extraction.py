"""The ways a competent user would take without this project, to compare with: short, by the book, nothing held back.

Each second alone through EnCodec's encoder with torch's defaults; librosa a window; SoundStream's interpreter a window.
All read the same stored clips as ours, need no gradients to encode, and write the
same kind of file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soundfile

if TYPE_CHECKING:
    from collections.abc import Callable

    from beyond_spectrograms.params import Mel

Window = npt.NDArray[np.float32]


def extract_each_window(clips: Sequence[Path], encode: Callable[[Window], Window], place: Path) -> None:
    """Read clip after clip, cut it into whole seconds, encode each alone and save all as [windows, bands, frames]."""
    windows = []
    for path in clips:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
        for first in range(0, len(sound) - rate + 1, rate):
            windows.append(encode(np.ascontiguousarray(sound[first : first + rate].T)))
    np.save(place, np.stack(windows))


def encodec_encoder(model: str) -> Callable[[Window], Window]:
    """Load the package's model `24khz` or `48khz`, untrained, and encode one window [channels, samples]."""
    import torch

    from beyond_spectrograms.representations.encodec import untrained_model

    encoder = untrained_model(model, seed=0).encoder.eval()

    def encode(window: Window) -> Window:
        with torch.no_grad():
            return np.asarray(encoder(torch.from_numpy(window[None]))[0].numpy())

    return encode


def mel_encoder(record: Mel) -> Callable[[Window], Window]:
    """Let librosa compute one window's mel power, as the paper's code does."""
    import librosa

    def encode(window: Window) -> Window:
        power = librosa.feature.melspectrogram(
            y=window[0], sr=record.sample_rate, n_fft=record.n_fft, hop_length=record.hop_length,
            n_mels=record.n_mels, window=record.window,
        )  # fmt: skip
        return np.asarray(power, dtype=np.float32)

    return encode


def soundstream_encoder(weights: Path) -> Callable[[Window], Window]:
    """Run Lyra's encoder with a fresh interpreter a window, since its state cannot be reset: 320 samples a call."""
    from ai_edge_litert.interpreter import Interpreter

    def encode(window: Window) -> Window:
        interpreter = Interpreter(str(weights))
        interpreter.allocate_tensors()
        source, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
        frames = []
        for first in range(0, window.shape[1] - 319, 320):
            interpreter.set_tensor(source, window[:, first : first + 320])
            interpreter.invoke()
            frames.append(interpreter.get_tensor(result)[0, 0].copy())
        return np.stack(frames, axis=1)

    return encode
