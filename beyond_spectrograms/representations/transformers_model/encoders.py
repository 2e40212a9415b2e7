"""Encoders of transformers: what each takes, and its hidden states as frames.

Sounds are heard one by one: what is beside a window cannot change it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.representations.base import CheckpointError
from beyond_spectrograms.representations.transformers_model.hearing import Hearing, HearingError, conv_length
from beyond_spectrograms.representations.transformers_model.loading import CONFIG, EXTRACTOR, HubFolder
from beyond_spectrograms.util.text import quoted

if TYPE_CHECKING:
    from torch import Tensor

    from beyond_spectrograms.params import Transformers


class Encoder(Hearing):
    """A transformer behind a feature extractor. Layer 0 is what goes into the first, layer n what comes out of the nth.

    Without a `folder` there is only the extractor, with transformers' own settings.
    """

    extractor_class: ClassVar[str]
    sampling_rate: ClassVar[int] = 16_000  # that all models of the architecture hear
    layers_key: ClassVar[str] = "num_hidden_layers"  # of config.json
    bands_key: ClassVar[str] = "feature_size"  # of preprocessor_config.json, where the extractor gives mel bands

    def __init__(self, record: Transformers, folder: HubFolder | None, config: dict[str, Any]) -> None:
        import transformers

        settings = getattr(transformers, self.extractor_class)
        self.extractor = settings() if folder is None else folder.extractor(self.extractor_class)
        self.rate, self._folder = self.sampling_rate, folder
        self._check_rate(folder, config)
        self._wanted: int | str | list[int] | None = record.layers or record.layer
        self._join = record.join
        if record.codebooks is not None:
            raise HearingError("codebooks are not there: it is no codec")
        if self._wanted == "inputs":
            if record.context == "clip":
                raise HearingError("inputs are of windows: choose context: window")
            self.bands, self.hop = self._input_size()
            return
        assert folder is not None  # params.Transformers sees to it
        self.model = folder.model(config)
        self._check_layers()
        size, self.hop = self._size()
        self.bands = size * (len(record.layers) if record.layers and record.join == "stack" else 1)

    def _check_rate(self, folder: HubFolder | None, config: dict[str, Any]) -> None:
        """Refuse files that tell another rate than the architecture's, which neither weights nor sizes would show."""
        for file, told in ((EXTRACTOR, self.extractor.sampling_rate), (CONFIG, config.get("sampling_rate", self.rate))):
            if told != self.rate and folder is not None:
                model_type = config["model_type"]
                raise CheckpointError(f"{folder.path / file}: says {told} Hz, and {model_type} hears {self.rate} Hz")

    def _check_bands(self, taken: int) -> None:
        given = getattr(self.extractor, self.bands_key)
        if given != taken:
            raise HearingError(f"its extractor gives {given} mel bands, the model takes {taken}")

    def _check_layers(self) -> None:
        last = getattr(self.model.config, self.layers_key)
        asked = self._wanted if isinstance(self._wanted, list) else [self._wanted]
        for layer in asked:
            if layer is not None and (isinstance(layer, str) or layer > last):
                raise HearingError(f"layer {layer} is not there. It has 0 to {last}, and inputs.")

    @abstractmethod
    def _input_size(self) -> tuple[int, int]:
        """Give bands and hop of what the extractor gives."""

    @abstractmethod
    def _size(self) -> tuple[int, int]:
        """Give bands of a layer, and its hop."""

    @abstractmethod
    def _input_frames(self, inputs: Any) -> Tensor:
        """Bring what the extractor gives to [bands, frames]."""

    def _layer_frames(self, layer: Tensor) -> Tensor:
        """Bring a hidden state [1, tokens, bands] to [bands, frames]."""
        return layer[0].T

    def _run(self, inputs: Any, *, hidden: bool) -> Any:
        """Run the model: its output, with hidden states where they are asked for."""
        return self.model(inputs[self.extractor.model_input_names[0]], output_hidden_states=hidden)

    def hear(self, sound: Waveform) -> Tensor:
        """Give [bands, frames] of mono sound [1, samples]."""
        import torch

        inputs = self.extractor(sound[0], sampling_rate=self.rate, return_tensors="pt")
        if self._wanted == "inputs":
            return self._input_frames(inputs)
        if self._wanted is None:
            return self._layer_frames(self._run(inputs, hidden=False).last_hidden_state)
        states = self._run(inputs, hidden=True).hidden_states
        if isinstance(self._wanted, int):
            return self._layer_frames(states[self._wanted])
        assert isinstance(self._wanted, list)
        layers = torch.stack([self._layer_frames(states[layer]) for layer in self._wanted])  # [layers, bands, frames]
        return layers.mean(0) if self._join == "mean" else layers.flatten(0, 1)

    def frames(self, samples: int) -> int:
        """Count whole hops: frames of the padding are left out."""
        return samples // self.hop


class Ast(Encoder):
    """AST (Gong et al. 2021, arXiv 2104.01778): 12 x 101 patches of a log-mel of 10.24 s, overlapping.

    A frame is the mean of the patches of one time over frequency, so that its time step is the patches', 100 ms. Of
    the inputs, frames of 10 ms, a sound has as many as whole frames of 25 ms lie in it. Pieces are 101 patches long:
    their ends, too, are where patches begin.
    """

    extractor_class, bands_key = "ASTFeatureExtractor", "num_mel_bins"
    requires = ("torchaudio",)  # without it the extractor computes its log-mel another way

    def _input_size(self) -> tuple[int, int]:
        return self.extractor.num_mel_bins, self.rate // 100  # Kaldi's frame shift, 10 ms

    def _size(self) -> tuple[int, int]:
        config = self.model.config
        self._patches = self.model.embeddings.get_shape(config)  # over frequency, over time
        hop = config.time_stride * self.rate // 100
        self.piece = self._patches[1] * hop
        if self.extractor.max_length != config.max_length:
            raise HearingError(
                f"its extractor gives {self.extractor.max_length} frames, the model takes {config.max_length}"
            )
        self._check_bands(config.num_mel_bins)
        return config.hidden_size, hop

    def _input_frames(self, inputs: Any) -> Tensor:
        frames: Tensor = inputs["input_values"][0].T
        return frames

    def _layer_frames(self, layer: Tensor) -> Tensor:
        patches = layer[0, 2:].reshape(*self._patches, layer.shape[2])  # the first two tokens are of no patch
        return patches.mean(0).T

    def frames(self, samples: int) -> int:
        """Count whole hops; of inputs, whole frames of 25 ms."""
        if self._wanted == "inputs":
            return max(0, 1 + (samples - self.rate // 40) // self.hop)
        return super().frames(samples)


class Wav2Vec2(Encoder):
    """wav2vec 2.0 and its like: convolutions over samples, 49 frames for a second, then layers.

    HuBERT (Hsu et al. 2021), WavLM (Chen et al. 2022) and data2vec for audio (Baevski et al. 2022) are.
    """

    extractor_class = "Wav2Vec2FeatureExtractor"

    def _input_size(self) -> tuple[int, int]:
        return 1, 1

    def _size(self) -> tuple[int, int]:
        hop = 1
        for stride in self.model.config.conv_stride:
            hop *= stride
        return self.model.config.hidden_size, hop

    def _input_frames(self, inputs: Any) -> Tensor:
        samples: Tensor = inputs["input_values"]
        return samples

    def frames(self, samples: int) -> int:
        """Count what the convolutions give."""
        return samples if self._wanted == "inputs" else conv_length(self.model.feature_extractor, samples)


class Whisper(Encoder):
    """Whisper's encoder: always 30 s, padded with silence, 1500 frames, of which the sound's own are kept."""

    extractor_class = "WhisperFeatureExtractor"
    layers_key = "encoder_layers"

    def _input_size(self) -> tuple[int, int]:
        self.piece = self.extractor.n_samples
        return self.extractor.feature_size, self.extractor.hop_length

    def _size(self) -> tuple[int, int]:
        self._input_size()
        config = self.model.config
        given, taken = self.extractor.nb_max_frames, 2 * config.max_source_positions  # the second convolution halves
        if given != taken:
            raise HearingError(f"its extractor gives {given} frames, the model takes {taken}")
        self._check_bands(config.num_mel_bins)
        return config.d_model, 2 * self.extractor.hop_length

    def _run(self, inputs: Any, *, hidden: bool) -> Any:
        return self.model.get_encoder()(inputs["input_features"], output_hidden_states=hidden)

    def _input_frames(self, inputs: Any) -> Tensor:
        frames: Tensor = inputs["input_features"][0]
        return frames


class Clap(Encoder):
    """CLAP's audio tower (HTS-AT): 10 s, shorter sounds repeated by its extractor, 32 frames of 312.5 ms.

    A frame is the mean of the last layer over frequency. `projected` is the embedding that is compared with texts: one
    for each piece of 10 s, of length 1, which all its frames repeat.
    """

    extractor_class, sampling_rate = "ClapFeatureExtractor", 48_000

    def _check_layers(self) -> None:
        if self._wanted not in (None, "projected"):
            layers = self._wanted if isinstance(self._wanted, list) else [self._wanted]
            raise HearingError(
                f"layer {layers[0]} is not there. It has projected, inputs and, where none is named, the last."
            )

    def _input_size(self) -> tuple[int, int]:
        self.piece = self.extractor.nb_max_samples
        return self.extractor.feature_size, self.extractor.hop_length

    def _size(self) -> tuple[int, int]:
        audio = self.model.config.audio_config
        halvings = len(audio.depths) - 1
        times = audio.spec_size // audio.patch_stride[1] // 2**halvings * (audio.spec_size // audio.num_mel_bins)
        self.piece = self.extractor.nb_max_samples
        self._check_bands(audio.num_mel_bins)
        size = self.model.config.projection_dim if self._wanted == "projected" else audio.hidden_size
        return size, self.piece // times

    def _input_frames(self, inputs: Any) -> Tensor:
        frames: Tensor = inputs["input_features"][0, 0].T  # further ones of a model with fusion are the same
        return frames

    def hear(self, sound: Waveform) -> Tensor:
        """Give [bands, frames] of mono sound [1, samples]."""
        if self._wanted == "inputs":
            return super().hear(sound)
        import torch

        inputs = self.extractor(sound[0], sampling_rate=self.rate, return_tensors="pt")
        # No sound is longer than a piece. A model with fusion would be told otherwise by its extractor, which calls one
        # of a batch longer, be it as it may; LAION's own code does not.
        whole = torch.zeros_like(inputs["is_longer"])
        given = {"input_features": inputs["input_features"], "is_longer": whole}
        if self._wanted is None:
            state: Tensor = self.model.audio_model(**given).last_hidden_state  # [1, bands, frequencies, frames]
            return state[0].mean(1)
        embedding: Tensor = self.model.get_audio_features(**given).pooler_output
        assert self.piece is not None
        return embedding[0][:, None].expand(-1, self.piece // self.hop)

    def embed_text(self, text: str) -> Tensor | None:
        """Give the embedding of a text beside `projected`."""
        if self._wanted != "projected":
            return None
        tokens = self._tokenizer([text], return_tensors="pt")
        tower = self.model.config.text_config
        count, most = tokens["input_ids"].shape[1], tower.max_position_embeddings - tower.pad_token_id - 1
        if count > most:
            raise HearingError(f"prompt {quoted(text)} has {count} tokens; the text tower takes {most}. Shorten it.")
        embedding: Tensor = self.model.get_text_features(**tokens).pooler_output
        return embedding[0]

    @cached_property
    def _tokenizer(self) -> Any:
        assert self._folder is not None  # params.Transformers sees to it
        return self._folder.tokenizer()

    @property
    def logit_scale(self) -> float:
        """The model's own, for sounds."""
        return float(self.model.logit_scale_a.detach().exp())


ENCODERS: dict[str, Callable[..., Encoder]] = {
    "audio-spectrogram-transformer": Ast,
    "clap": Clap,
    "data2vec-audio": Wav2Vec2,
    "hubert": Wav2Vec2,
    "wav2vec2": Wav2Vec2,
    "wavlm": Wav2Vec2,
    "whisper": Whisper,
}
