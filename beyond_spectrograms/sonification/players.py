"""What makes features audible, all equally loud: mel bands -> linear bins -> waveform; latents by a codec's decoder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.data.audio import Format, Waveform
from beyond_spectrograms.params import Encodec, Mel, Representation
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.representations.encodec import load_checkpoint, untrained_model
from beyond_spectrograms.representations.mel import MelSpectrogram
from beyond_spectrograms.representations.soundstream import run_model
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.machine import one_thread

FINDING = 50  # updates of the linear bins: their mel bands are then right to 0.001 dB in the median
ROUNDS = 32  # of Griffin and Lim, librosa's default
RAISED = 1e10  # brings the floor of -100 dB to 1: scikit-learn treats what is under 1e-7 as 0
LOUDNESS = 0.05  # A-weighted root mean square of every sound
PEAK = 0.98  # a sound that would go beyond is turned down, and is less loud than the others


class PrototypesError(ProjectError):
    """Prototypes cannot be played; the message says which, and why."""


class Synthesizer:
    """Plays log-mel spectra of a representation.

    The linear power under each frame's bands is found by non-negative factorisation with the mel triangles as the fixed
    factor (scikit-learn; Lee and Seung 2001), by Kullback-Leibler divergence and not by least squares: it weighs a
    quiet band by its own level, and so is exact in all. Phases are Griffin and Lim's (librosa), started from `seed`.
    """

    seconds_each = 0.1

    def __init__(self, record: Mel, seed: int) -> None:
        """Take the record of a representation of scale db."""
        self._mel, self._record, self._seed = MelSpectrogram("", record), record, seed
        self.form = self._mel.form

    @property
    def frequencies(self) -> npt.NDArray[np.float64]:
        """Centre of each mel band [bands], in Hz."""
        from librosa import mel_frequencies

        edges = mel_frequencies(self._record.n_mels + 2, fmin=0.0, fmax=self.form.sample_rate / 2)
        return np.asarray(edges[1:-1], dtype=np.float64)

    def magnitudes(self, decibels: Features) -> npt.NDArray[np.float64]:
        """Find linear magnitudes [bins, frames] under decibels of mel power [bands, frames]."""
        from sklearn.decomposition import non_negative_factorization
        from threadpoolctl import threadpool_limits

        power = RAISED * 10 ** (decibels.astype(np.float64).T / 10)
        triangles = self._mel.triangles.astype(np.float64)
        with threadpool_limits(1):  # the last bits of a sum depend on how many threads share it
            bins, _, _ = non_negative_factorization(
                power,
                H=triangles.T.copy(),
                n_components=triangles.shape[1],
                update_H=False,
                solver="mu",
                beta_loss="kullback-leibler",
                max_iter=FINDING,
                tol=0,
            )
        return np.sqrt(np.asarray(bins, dtype=np.float64).T / RAISED)

    def play(self, features: Features) -> Waveform:
        """Play decibels [bands, frames] as samples [samples] of LOUDNESS."""
        from librosa import griffinlim

        samples = griffinlim(
            self.magnitudes(features),
            n_iter=ROUNDS,
            hop_length=self._mel.hop_length,
            n_fft=self._record.n_fft,
            window=self._record.window,
            random_state=self._seed,
        )
        return match_level(np.asarray(samples, dtype=np.float32), self.form.sample_rate)


class SoundStreamDecoder:
    """Plays latents [64, frames] of Lyra v2's SoundStream, 320 samples a frame.

    lyragan.tflite carries its state from frame to frame, as the encoder does. It adds no delay (a test correlates input
    and output).
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
        latents = np.ascontiguousarray(features.T, dtype=np.float32)
        try:
            played = run_model(self._model, latents[:, None, None])
        except ValueError as error:  # all that the runtime raises, for a broken file as for another model's
            raise PrototypesError(f"{self._weights}: not Lyra's SoundStream decoder. {error}") from error
        return match_level(np.concatenate([samples[0] for samples in played]), self.form.sample_rate)


class EncodecDecoder:
    """Plays latents [128, frames] of EnCodec by the decoder of the same checkpoint, 320 samples a frame.

    At 48 kHz it decodes whole windows, as the encoder was given them, not segments divided by their level. Its two
    channels are averaged.
    """

    frequencies = None
    seconds_each = 0.5

    def __init__(self, record: Encodec, weights: Path) -> None:
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


# What makes features of a representation audible. `form` is the format of the clips behind the features; sounds have
# its sample rate and one channel. `frequencies` are the centres of the bands [bands] in Hz, None where bands are
# latents. `seconds_each` is roughly how long 1 s of sound takes to make. `play` plays [bands, frames] as [samples].
Player = Synthesizer | SoundStreamDecoder | EncodecDecoder
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
    if record.kind == "mel" and record.in_decibels:
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


def match_level(samples: Waveform, sample_rate: int) -> Waveform:
    """Bring samples [samples] to LOUDNESS, or as near to it as PEAK allows; silence stays silence.

    A-weighting (IEC 61672, librosa's) lets a rumble and a hiss of the same level sound about equally loud.
    """
    from librosa import A_weighting

    spectrum = np.fft.rfft(samples)
    with np.errstate(divide="ignore"):  # 0 Hz has no weight at all
        weights = 10 ** (A_weighting(np.fft.rfftfreq(len(samples), 1 / sample_rate), min_db=None) / 20)
    loudness = float(np.sqrt(np.mean(np.fft.irfft(spectrum * weights, len(samples)) ** 2)))
    peak = float(np.abs(samples).max(initial=0))
    if not loudness or not peak:
        return samples
    return np.asarray(samples * min(LOUDNESS / loudness, PEAK / peak), dtype=np.float32)
