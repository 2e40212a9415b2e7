"""The representations behind the HEAR API: load_model, get_timestamp_embeddings, get_scene_embeddings.

Source: "HEAR: Holistic Evaluation of Audio Representations" (Turian et al. 2022), common API, https://hearbenchmark.com,
and the rules of its validator, https://github.com/hearbenchmark/hear-validator.

    hear-validator beyond_spectrograms.hear --model soundstream
"""

from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor, nn

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.inference import folder
from beyond_spectrograms.params import load_all_params
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import Features, Representation
from beyond_spectrograms.util.errors import ProjectError

SAMPLE_RATES = (16_000, 22_050, 44_100, 48_000)  # Hz: what the API allows
SHORTEST_S = 0.1  # of less EnCodec's encoder makes no frames, and SoundStream's half a frame


class HearError(ProjectError):
    """A representation that the HEAR API cannot serve, or sound that is not as it says."""


class HearModel(nn.Module):
    """A representation as the HEAR API wants it.

    Attributes:
        sample_rate: Hz of the sound it takes; one the API does not allow (24 kHz) becomes 48 kHz, and is resampled.
        timestamp_embedding_size: bands of a frame.
        scene_embedding_size: the same, for a scene is the mean of its frames.
    """

    def __init__(self, representation: Representation) -> None:
        super().__init__()
        self.representation = representation
        own = representation.form.sample_rate
        self.sample_rate = own if own in SAMPLE_RATES else 48_000
        self.timestamp_embedding_size = self.scene_embedding_size = representation.bands

    def frames(self, audio: Tensor) -> tuple[Features, list[float]]:
        """Encode sounds [sounds, samples] at `sample_rate` as [sounds, bands, frames], and say where frames are, in s.

        Raises:
            HearError: the tensor is not that.
        """
        if audio.ndim != 2 or audio.dtype != torch.float32:
            raise HearError(f"audio is float32 [sounds, samples] in [-1, 1], got {audio.dtype} {list(audio.shape)}")
        form = self.representation.form
        mono: Waveform = audio.detach().cpu().numpy()
        seconds = mono.shape[1] / self.sample_rate
        if not len(mono) or seconds < SHORTEST_S:
            raise HearError(f"audio is {list(audio.shape)}; give one sound at least, of {SHORTEST_S} s or more")
        if form.sample_rate != self.sample_rate:
            mono = np.stack([soxr.resample(sound, self.sample_rate, form.sample_rate, quality="HQ") for sound in mono])
        features = self.representation.encode(np.repeat(mono[:, None], form.channels, axis=1), form.sample_rate)
        # Frames of a spectrogram are centred on a multiple of the hop, those of a codec fill a hop each. The last of
        # these may be little but padding: where its centre lies behind the sound's end it is left out.
        hop_s = 1 / self.representation.frame_rate
        centred = self.representation.frames(self.representation.hop_length) > 1
        times = [(frame + (0 if centred else 0.5)) * hop_s for frame in range(features.shape[2])]
        times = [time for time in times if time <= seconds]
        return features[:, :, : len(times)], times


def load_model(model_file_path: str = "log_mel_2048") -> HearModel:
    """Load a representation by its name in params.yaml, or that of a model's folder, whose classifier is not used.

    Weights that are not here are fetched.

    Raises:
        HearError: there is no such representation, or it gives codes, whose numbers mean nothing.
        DownloadError: its weights cannot be had.
    """
    name, model = model_file_path, None
    if Path(name).is_dir():
        model = folder.load_model(name, device="cpu")
        record = model.card.representation.record
    elif name in (params := load_all_params()).representations:
        record = params.representations[name]
    else:
        raise HearError(
            f"{name!r} is neither a model's folder nor a representation of params.yaml. Choose from "
            f"{', '.join(params.representations)}."
        )
    if record.codebook_size is not None:
        raise HearError(f"{name}: gives the numbers of codes, which are no embedding. Choose its latents instead.")
    if model is not None:
        return HearModel(model.representation)
    return HearModel(create_representation(name, record, fetch_encoder(params, name, folder.data_folder())))


def get_timestamp_embeddings(audio: Tensor, model: HearModel) -> tuple[Tensor, Tensor]:
    """Embed sounds [sounds, samples] frame by frame.

    Returns:
        embeddings [sounds, frames, timestamp_embedding_size], and the centres of the frames in milliseconds [sounds,
        frames]; float32, on the device of `audio`.
    """
    features, times = model.frames(audio)
    embeddings = torch.from_numpy(np.ascontiguousarray(features.transpose(0, 2, 1))).to(audio.device)
    milliseconds = 1000 * torch.tensor(times, dtype=torch.float32, device=audio.device)
    return embeddings, milliseconds.expand(len(audio), -1)


def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """Embed each of the sounds [sounds, samples] as the mean of its frames: [sounds, scene_embedding_size], float32."""
    features, _ = model.frames(audio)
    return torch.from_numpy(features.mean(axis=2, dtype=np.float32)).to(audio.device)
