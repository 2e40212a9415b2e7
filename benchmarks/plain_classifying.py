"""Classifying files as a competent user of librosa and torch would write it: the yardstick for `classify`.

It reads the same model folder, and imports no more than it needs: `python -m ...plain_classifying MODEL FILE` is timed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import librosa
import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks import plain_extraction
from benchmarks.plain_training import plain_network
from beyond_spectrograms.util.errors import ProjectError

if TYPE_CHECKING:
    from beyond_spectrograms.representations.base import Features


class PlainClassifier:
    """A model folder read by hand.

    Raises:
        ProjectError: it is of a kind of which no plain way is written here.
    """

    def __init__(self, folder: Path) -> None:
        card: dict[str, Any] = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        encoder, recipe = card["representation"], card["protocol"]["record"]
        self._record = SimpleNamespace(**encoder["record"])
        quantised = getattr(self._record, "bitrate", None) is not None
        unknown = self._record.kind == "encodec" and self._record.weights != "untrained"
        if recipe["classifier"] != "conv1d" or quantised or unknown:
            raise ProjectError(
                f"{folder}: the plain way is written for conv1d on mel spectrograms, SoundStream's latents before the "
                "quantiser and EnCodec's untrained encoder. Choose such a model."
            )
        self._rate, self._channels = encoder["sample_rate"], encoder["channels"]
        self._length = round(card["windows"]["length_s"] * self._rate)
        if self._record.kind == "soundstream":
            self._encode = plain_extraction.soundstream_encoder(folder / card["encoder_files"][0]["file"])
        elif self._record.kind == "encodec":
            self._encode = plain_extraction.encodec_encoder(self._record.model)
        tensors = {key: value for key, value in load_file(folder / "classifier.safetensors").items() if key[0] != "l"}
        self._mean, self._deviation = tensors.pop("0.mean", None), tensors.pop("0.deviation", None)
        self._network = plain_network(encoder["bands"], encoder["frames"], len(card["classes"])).eval()
        own, stored = sorted(self._network.state_dict()), sorted(tensors)  # layers in order, by other numbers
        self._network.load_state_dict({name: tensors[key] for name, key in zip(own, stored, strict=True)})

    def classify(self, path: Path) -> Features:
        """Give the mean over a file's whole windows of the probabilities of each class [classes]."""
        sound, _ = librosa.load(path, sr=self._rate, mono=True, res_type="soxr_hq")
        windows = librosa.util.frame(sound, frame_length=self._length, hop_length=self._length, axis=0)
        with torch.inference_mode():
            features = torch.from_numpy(self._features(windows))
            if self._mean is not None and self._deviation is not None:
                features = (features - self._mean[:, None]) / self._deviation[:, None]
            return np.asarray(self._network(features).softmax(1).mean(0).numpy())

    def _features(self, windows: Features) -> Features:
        """Encode windows [windows, samples] as [windows, bands, frames]."""
        record = self._record
        if record.kind != "mel":
            return np.stack([self._encode(np.repeat(window[None], self._channels, axis=0)) for window in windows])
        mel = librosa.feature.melspectrogram(
            y=windows, sr=record.sample_rate, n_fft=record.n_fft, hop_length=record.hop_length, n_mels=record.n_mels,
            window=record.window,
        )  # fmt: skip
        if record.scale == "db":
            mel = librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None)
        if record.pooled_frame_rate is not None:
            frames = windows.shape[1] * record.pooled_frame_rate // record.sample_rate
            mel = torch.nn.functional.adaptive_avg_pool1d(torch.from_numpy(mel), frames).numpy()
        return np.asarray(mel, dtype=np.float32)


if __name__ == "__main__":
    print(PlainClassifier(Path(sys.argv[1])).classify(Path(sys.argv[2])))
