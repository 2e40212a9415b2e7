"""Record of models of the transformers package: which layer of an encoder, which codebooks of a codec."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from beyond_spectrograms.params.base import Positive, is_unset
from beyond_spectrograms.params.encoders import Encoder

EncoderName = Literal[
    "audio-spectrogram-transformer", "clap", "data2vec-audio", "hubert", "wav2vec2", "wavlm", "whisper"
]  # model_type of config.json, as the codecs'
CodecName = Literal["dac", "encodec", "mimi", "xcodec"]


class Transformers(Encoder):
    """A model of the transformers package; `weights` names its record under `hub`.

    `context` says what it hears at once: each window on its own, or the whole clip, whose frames are then cut.
    `architecture` is the model_type of its config.json, needed where there are no weights.

    Encoders: `layer` is a number, 0 being what goes into the first; unset, it is the model's last output. `projected`
    is an embedding of sound and text, which CLAP has. `inputs` is what the model's feature extractor gives; without
    weights the extractor has transformers' own settings. `layers` are joined by their mean, or stacked as further
    bands, of which a classifier then learns a weight a layer.

    Codecs: latents before the quantiser, or dequantised from so many `codebooks`; with `codes` the numbers of their
    entries, of which a codebook has `entries`.
    """

    packages: ClassVar[tuple[str, ...]] = ("tokenizers", "torchaudio", "transformers")
    kind: Literal["transformers"]
    weights: str | None
    architecture: EncoderName | CodecName | None = Field(default=None, exclude_if=is_unset)
    layer: Annotated[int, Field(ge=0)] | Literal["inputs", "projected"] | None = Field(
        default=None, exclude_if=is_unset
    )
    layers: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2)] | None = Field(
        default=None, exclude_if=is_unset
    )
    join: Literal["mean", "stack"] | None = Field(default=None, exclude_if=is_unset)
    codebooks: Positive | None = Field(default=None, exclude_if=is_unset)
    codes: bool = False
    entries: Positive | None = Field(default=None, exclude_if=is_unset)

    @property
    def codebook_size(self) -> int | None:
        """Entries of a codebook, where the array holds codes."""
        return self.entries

    @property
    def has_codes(self) -> bool:
        """Whether it is a codec that quantises."""
        return self.codebooks is not None

    @property
    def stacked(self) -> int | None:
        """How many layers the bands are of, where they are stacked."""
        return len(self.layers) if self.layers and self.join == "stack" else None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.weights is None and (self.layer != "inputs" or self.architecture is None):
            raise ValueError("weights: null is for layer: inputs of an architecture, which needs none")
        if self.layer is not None and self.layers is not None:
            raise ValueError("layer and layers are two ways to do one thing: choose one")
        if (self.layers is None) != (self.join is None):
            raise ValueError("layers need join: mean or stack, and join needs layers")
        if self.layers and len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers {self.layers} name one twice")
        if self.codebooks is not None and (self.layer is not None or self.layers is not None):
            raise ValueError("codebooks are a codec's, layer and layers an encoder's: choose one")
        if self.codes != (self.entries is not None) or (self.codes and self.codebooks is None):
            raise ValueError("codes need codebooks and entries, a codebook's size; entries are of codes alone")
        return self
