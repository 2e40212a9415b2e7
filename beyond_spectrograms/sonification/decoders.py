"""Codec latents played by the codec's own decoder, and what plays each kind of representation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.audio import Format, Waveform
from beyond_spectrograms.sonification.griffin_lim import PrototypesError, Synthesizer, match_level
from beyond_spectrograms.util.machine import one_thread

if TYPE_CHECKING:
    from beyond_spectrograms.params import Encodec, Representation
    from beyond_spectrograms.representations.base import Features


class Player(Protocol):
    """What makes features of a representation audible.

    `form` is the format of the clips behind the features; sounds have its sample rate and one channel. `frequencies`
    are the centres of the bands [bands] in Hz, None where bands are latents. `seconds_each` is roughly how long 1 s of
    sound takes to make.
    """

    form: Format
    seconds_each: float

    @property
    def frequencies(self) -> npt.NDArray[np.float64] | None: ...  # noqa: D102
    def play(self, features: Features) -> Waveform:
        """Play [bands, frames] as samples [samples], all equally loud (match_level)."""


class SoundStreamDecoder:
    """Plays latents [64, frames] of Lyra v2's SoundStream, 320 samples a frame.

    lyragan.tflite carries its state from frame to frame, so each sound gets an interpreter of its own; resolver and
    thread are pinned as the encoder's are. It adds no delay (a test correlates input and output).
    """

    form = Format(16_000, 1)
    seconds_each = 0.01
    frequencies = None

    def __init__(self, weights: Path) -> None:
        self._weights = weights
        self._model = weights.read_bytes()

    def play(self, features: Features) -> Waveform:
        """Play latents [64, frames] as samples [320 frames].

        Raises:
            PrototypesError: the weights are no decoder of such latents.
        """
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver, played = OpResolverType.BUILTIN, []
        try:
            interpreter = Interpreter(model_content=self._model, num_threads=1, experimental_op_resolver_type=resolver)
            interpreter.allocate_tensors()
            source = interpreter.get_input_details()[0]["index"]
            result = interpreter.get_output_details()[0]["index"]
            for latent in np.ascontiguousarray(features.T, dtype=np.float32):
                interpreter.set_tensor(source, latent[None, None])
                interpreter.invoke()
                played.append(interpreter.get_tensor(result)[0])
        except ValueError as error:  # all that the runtime raises, for a broken file as for another model's
            raise PrototypesError(f"{self._weights}: not Lyra's SoundStream decoder. {error}") from error
        return match_level(np.concatenate(played), self.form.sample_rate)


class EncodecDecoder:
    """Plays latents [128, frames] of EnCodec by the decoder of the same checkpoint, 320 samples a frame.

    At 48 kHz it decodes whole windows, as the encoder was given them, not segments divided by their level. Its two
    channels are averaged.
    """

    frequencies = None
    seconds_each = 0.5

    def __init__(self, record: Encodec, weights: Path) -> None:
        from beyond_spectrograms.representations.encodec import load_checkpoint, untrained_model

        model = untrained_model(record.model, 0)
        load_checkpoint(model, weights)
        self.form = Format(model.sample_rate, model.channels)
        self._decoder = model.decoder.eval()

    def play(self, features: Features) -> Waveform:
        """Play latents [128, frames] as samples [320 frames]."""
        import torch

        with one_thread(), torch.inference_mode():
            samples = self._decoder(torch.from_numpy(np.ascontiguousarray(features)[None]))[0].mean(0)
        return match_level(np.asarray(samples.numpy(), dtype=np.float32), self.form.sample_rate)


# Which class plays the latents of which kind of codec: a kind that is not here cannot be heard.
PLAYERS: dict[str, Callable[[Any, Path], Player]] = {
    "soundstream": lambda _, weights: SoundStreamDecoder(weights),
    "encodec": EncodecDecoder,
}


def create_player(name: str, record: Representation, decoder: Path | None, seed: int) -> Player:
    """Make what plays features: spectra with phases from `seed`, latents by the weights in the file `decoder`.

    Raises:
        PrototypesError: features of this kind cannot be heard, or the decoder's weights are not there.
        CheckpointError: they are not EnCodec's.
    """
    if record.kind == "mel" and record.scale == "db":
        return Synthesizer(record, seed)
    play = PLAYERS.get(record.kind)
    if play is None or record.decoder is None:
        raise PrototypesError(
            f"{name}: its prototypes cannot be heard. Choose a representation of kind mel and scale db, or the latents "
            "of a trained codec, not its codes."
        )
    if decoder is None or not decoder.is_file():
        raise PrototypesError(f"{name}: its decoder's weights are missing. Run its listen stage, which fetches them.")
    return play(record, decoder)
