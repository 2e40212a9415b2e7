"""Lyra v2's SoundStream encoder before the quantiser: a TFLite file run by ai-edge-litert."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from beyond_spectrograms.audio import Format, Waveform
from beyond_spectrograms.representations.base import CheckpointError, Features, Representation


class SoundStreamLatents(Representation):
    """Latents [64, samples // 320] of 16 kHz mono, 50 frames a second.

    The encoder is stateful, 320 samples a call, and `reset_all_variables` does not clear its state: each window gets an
    interpreter of its own. The delegate (XNNPACK) and the single thread are pinned because another delegate
    differs by a quantisation step.
    """

    packages: ClassVar[tuple[str, ...]] = ("ai-edge-litert", "numpy")

    def __init__(self, name: str, weights: Path | None) -> None:
        if weights is None or not weights.exists():
            raise CheckpointError(f"{name}: its weights file is missing. Run `dvc repro download_weights@{name}`.")
        self.name = name
        self.form = Format(16_000, 1)
        self.bands = 64
        self.hop_length = 320
        self._model = weights.read_bytes()

    def frames(self, samples: int) -> int:
        """Count whole hops: the encoder takes no partial one."""
        return samples // self.hop_length

    def _encode(self, windows: Waveform) -> Features:
        try:
            return np.stack([self._encode_window(window[0]) for window in windows])
        except ValueError as error:  # all that the runtime raises, for a broken file as for another model's
            raise CheckpointError(
                f"{self.name}: its weights file is not Lyra's SoundStream encoder. {error}"
            ) from error

    def _encode_window(self, samples: Waveform) -> Features:
        """Encode one window [samples] as [64, frames]."""
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        interpreter = Interpreter(
            model_content=self._model,
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN,
        )
        interpreter.allocate_tensors()
        source = interpreter.get_input_details()[0]["index"]
        result = interpreter.get_output_details()[0]["index"]
        latents = np.empty((self.bands, self.frames(len(samples))), dtype=np.float32)
        for frame in range(latents.shape[1]):
            interpreter.set_tensor(source, samples[None, frame * self.hop_length : (frame + 1) * self.hop_length])
            interpreter.invoke()
            latents[:, frame] = interpreter.get_tensor(result)[0, 0]
        return latents
