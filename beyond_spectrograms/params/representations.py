"""Sections of params.yaml about what a window is turned into: spectrograms, codec latents and codes."""

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from beyond_spectrograms.params.base import AboveZero, Name, Positive, Real, Record, Seed, is_unset
from beyond_spectrograms.params.encoders import AnyEncoder, Snac
from beyond_spectrograms.params.transformers import Transformers

# Bits per second at which the quantisers run: encodec's target_bandwidths, and 64, 120 and 184 bits for each of 50
# frames a second (lyra_config.cc of Lyra 1.3.2).
BITRATES = {
    "24khz": (1_500, 3_000, 6_000, 12_000, 24_000),
    "48khz": (3_000, 6_000, 12_000, 24_000),
    "soundstream": (3_200, 6_000, 9_200),
}
# What librosa.pcen takes where it is told nothing (0.11).
PCEN = {"gain": 0.98, "bias": 2.0, "power": 0.5, "time_constant": 0.4, "eps": 1e-6}


class Mel(Record):
    """A mel spectrogram. `sample_rate` and `pooled_frame_rate` in Hz, `n_fft` and `hop_length` in samples.

    With `n_mfcc` it is turned into as many mel-frequency cepstral coefficients. With `deltas` its first derivative over
    time, or its first and second, are further bands. `scale: pcen` is per-channel energy normalisation; `gain`, `bias`,
    `power`, `time_constant` (seconds) and `eps` are its settings, those of librosa where they are left out.
    """

    kind: Literal["mel"]
    weights: None
    sample_rate: Literal[16000, 22050, 24000]
    n_fft: Annotated[int, Field(gt=0, le=1 << 20)]
    hop_length: Annotated[int, Field(gt=0, le=1 << 20)]
    n_mels: Annotated[int, Field(gt=0, le=1 << 12)]
    window: Literal["hamming", "hann"]
    scale: Literal["power", "db", "pcen"]
    pooled_frame_rate: Positive | None = None
    n_mfcc: Positive | None = Field(default=None, exclude_if=is_unset)
    deltas: Literal[1, 2] | None = Field(default=None, exclude_if=is_unset)
    gain: Annotated[Real, Field(ge=0)] | None = Field(default=None, exclude_if=is_unset)
    bias: AboveZero | None = Field(default=None, exclude_if=is_unset)
    power: AboveZero | None = Field(default=None, exclude_if=is_unset)
    time_constant: AboveZero | None = Field(default=None, exclude_if=is_unset)
    eps: AboveZero | None = Field(default=None, exclude_if=is_unset)

    @property
    def bands(self) -> int:
        """Height of a window: mel bands or coefficients, and the derivatives of each."""
        return (self.n_mfcc or self.n_mels) * (1 + (self.deltas or 0))

    @property
    def in_decibels(self) -> bool:
        """Whether a louder sound is a constant added to every value: not so of power, coefficients or derivatives."""
        return self.scale == "db" and self.n_mfcc is None and self.deltas is None

    @property
    def pcen(self) -> dict[str, float]:
        """The settings of per-channel energy normalisation, as librosa.pcen names them."""
        return PCEN | {name: value for name in PCEN if (value := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _pools(self) -> Self:
        if self.n_mfcc is not None and (self.scale != "db" or self.n_mfcc > self.n_mels):
            raise ValueError(f"n_mfcc {self.n_mfcc} needs scale: db, and at least as many n_mels, not {self.n_mels}")
        if self.scale != "pcen" and (given := [name for name in PCEN if getattr(self, name) is not None]):
            raise ValueError(f"{given[0]} is for scale: pcen, not {self.scale}")
        rate = self.pooled_frame_rate
        if rate is not None and (self.sample_rate % rate or self.sample_rate / rate < self.hop_length):
            raise ValueError(
                f"pooled_frame_rate {rate} must divide sample_rate {self.sample_rate} and be at most its "
                f"{self.sample_rate / self.hop_length:g} frames per second"
            )
        return self


class RawWaveform(Record):
    """The samples themselves at `sample_rate` (Hz), one band."""

    kind: Literal["waveform"]
    weights: None
    sample_rate: Literal[16000, 22050, 24000]


class Codec(Record):
    """What a codec's records share: latents before the quantiser, or what it makes of them at `bitrate` (bits/s).

    Then the array holds the dequantised latents or, with `codes`, the numbers of the codebooks' entries.
    """

    is_codec: ClassVar[bool] = True
    entries: ClassVar[int]  # of a codebook
    bitrate: Positive | None = None
    codes: bool = False

    @property
    def codebook_size(self) -> int | None:
        """Entries of a codebook, where the array holds codes."""
        return self.entries if self.codes else None

    @property
    def has_codes(self) -> bool:
        """Whether it is quantised."""
        return self.bitrate is not None

    def _check_bitrate(self, choices: tuple[int, ...]) -> None:
        if self.codes and self.bitrate is None:
            raise ValueError("codes need a bitrate")
        if self.bitrate is not None and self.bitrate not in choices:
            raise ValueError(f"bitrate is {self.bitrate} bits per second. Choose from {', '.join(map(str, choices))}.")


class Encodec(Codec):
    """EnCodec's encoder, and its quantiser where there is a bitrate. `weights: untrained` draws them from `seed`.

    `engine` is what runs the encoder: auto is openvino where it is installed, else torch. `precision` is the encoder's:
    bf16 is nearly twice as fast and about 1 % off.
    """

    entries: ClassVar[int] = 1024  # encodec.model: bins=1024
    kind: Literal["encodec"]
    weights: str
    model: Literal["24khz", "48khz"]
    seed: Seed | None = None
    engine: Literal["auto", "openvino", "torch"] = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"

    @property
    def decoder(self) -> str | None:
        """The checkpoint of the encoder holds the decoder too."""
        return None if self.codes or self.weights == "untrained" else f"encodec_{self.model}"

    @model_validator(mode="after")
    def _seed_of_untrained(self) -> Self:
        if (self.weights == "untrained") != (self.seed is not None):
            raise ValueError("seed belongs to weights: untrained, and only there")
        if self.weights == "untrained" and self.bitrate is not None:
            raise ValueError("an untrained quantiser's codebooks are all zero: leave bitrate out")
        if self.precision == "bf16" and self.engine == "torch":
            raise ValueError("precision bf16 needs engine openvino: with torch it is no faster on a processor")
        self._check_bitrate(BITRATES[self.model])
        return self


class SoundStream(Codec):
    """Lyra v2's SoundStream encoder; with a bitrate `weights` names its file and the quantiser's."""

    entries: ClassVar[int] = 16  # 4 bits: quantizer.tflite's own second output
    kind: Literal["soundstream"]
    weights: str | list[str]

    @property
    def decoder(self) -> str | None:
        """Lyra's decoder plays latents, as they are or dequantised."""
        return None if self.codes else "soundstream_decoder"

    @model_validator(mode="after")
    def _two_files(self) -> Self:
        self._check_bitrate(BITRATES["soundstream"])
        wanted, whose, with_ = 1, "the encoder's", "without"
        if self.bitrate is not None:
            wanted, whose, with_ = 2, "the encoder's and the quantiser's", "with"
        if (found := len(weights_of(self))) != wanted:
            raise ValueError(f"weights name {found} files, and {with_} a bitrate there are {wanted}: {whose}")
        return self


class Hear(Record):
    """Frames of a module with the HEAR API. Its load_model is given the file of `weights`, or else `model`, as it is.

    `module` is imported: its code runs. `trained_on` names corpora for what a module fetches by itself; what `weights`
    were trained on stands in their record.
    """

    kind: Literal["hear"]
    trained_on: Annotated[list[Name] | None, Field(exclude=True)] = None  # decides no feature
    module: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
    weights: str | None
    model: str = ""

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if self.weights is not None and self.model:
            raise ValueError("model is what load_model is given where weights are null: leave one of them out")
        if self.weights is not None and self.trained_on is not None:
            raise ValueError("trained_on stands in the record of the weights: leave it out here")
        return self


AnyRepresentation = Mel | RawWaveform | Encodec | SoundStream | Hear | Transformers | AnyEncoder
Representation = Annotated[AnyRepresentation, Field(discriminator="kind")]
ON_HUB = (Transformers, Snac)  # whose weights are records under `hub`
KINDS = {get_args(record.model_fields["kind"].annotation)[0]: record for record in get_args(AnyRepresentation)}


def weights_folder(name: str, representation: AnyRepresentation) -> str:
    """Name the folder of its weights: its own `name`, or that of a model of the hub, which several share."""
    on_hub = isinstance(representation, ON_HUB) and representation.weights is not None
    return str(representation.weights) if on_hub else name


def weights_of(representation: AnyRepresentation) -> tuple[str, ...]:
    """List the records under `weights` whose files a representation needs."""
    named = representation.weights
    if named is None or named == "untrained":
        return ()
    return (named,) if isinstance(named, str) else tuple(named)
