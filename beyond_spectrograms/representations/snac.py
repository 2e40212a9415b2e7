"""SNAC's latents: the snac package's encoder, and its multi-scale quantiser where asked for.

Sources: Siuzdak et al., "SNAC: Multi-Scale Neural Audio Codec", 2024, and https://github.com/hubertsiuzdak/snac.
"""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from beyond_spectrograms.data.audio import Waveform, mono_at, stored_format
from beyond_spectrograms.params import Snac
from beyond_spectrograms.representations.base import CheckpointError, Features, Representation
from beyond_spectrograms.util.errors import require
from beyond_spectrograms.util.files import UnreadableError, read_checkpoint
from beyond_spectrograms.util.machine import one_thread

CONFIG, TENSORS = "config.json", "pytorch_model.bin"  # the files of its models on the hub


class SnacLatents(Representation):
    """Latents [latent_dim, frames] of mono sound, before the quantiser or, `quantized`, summed from its codebooks.

    Sound is padded with zeros to a whole number of the quantiser's coarsest steps, as the package does; the frames
    that lie in the padding alone are left out.
    """

    packages = ("numpy", "snac", "torch")
    engine = "torch"

    def __init__(self, name: str, record: Snac, weights: Sequence[Path]) -> None:
        self.name = name
        self._require(weights)
        self._model = _load(name, {path.name: path for path in weights})
        self._rate, self._hop = int(self._model.sampling_rate), int(self._model.hop_length)
        self._quantized, self.hears_clips = record.quantized, record.hears_clips
        self.form = stored_format(self._rate)
        self.bands = int(self._model.latent_dim)
        self.hop_length = round(self._hop * self.form.sample_rate / self._rate)

    @property
    def frame_rate(self) -> float:
        """Frames per second, by the model's own rate."""
        return self._rate / self._hop

    def frames(self, samples: int) -> int:
        """Count frames: the last may be partial."""
        return -(-round(samples * self._rate / self.form.sample_rate) // self._hop)

    def _encode(self, windows: Waveform) -> Features:
        import torch

        sound = torch.from_numpy(mono_at(self._rate, windows, self.form))[:, None]
        with one_thread(), torch.inference_mode():
            latents = torch.cat([self._model.encoder(self._model.preprocess(window[None])) for window in sound])
            if self._quantized:
                latents, _ = self._model.quantizer(latents)
        return np.ascontiguousarray(latents[:, :, : self.frames(windows.shape[2])].numpy())


def _load(name: str, files: dict[str, Path]) -> Any:
    require("snac")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated")
        from snac import SNAC

    if missing := {CONFIG, TENSORS} - files.keys():
        raise CheckpointError(f"{name}: its record under `hub` names no {', '.join(sorted(missing))}.")
    try:
        config = json.loads(files[CONFIG].read_text(encoding="utf-8"))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*weight_norm.* is deprecated", FutureWarning)
            model = SNAC(**config)
        model.load_state_dict(read_checkpoint(files[TENSORS]))
    except UnreadableError:
        raise CheckpointError(
            f"{files[TENSORS]}: not a plain checkpoint of tensors, refused without running it. Download it again."
        ) from None
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{files[CONFIG]}: does not describe the tensors of {TENSORS}: {reason}") from None
    return model.eval()
