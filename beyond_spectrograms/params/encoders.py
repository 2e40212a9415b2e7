"""Records of encoders that come as a file in an open format, or as weights of a network that is built here."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from beyond_spectrograms.params.base import Name, Positive, Record, Seed


class Encoder(Record):
    """What these share: `context` says what is heard at once, each window or the whole clip, whose frames are cut."""

    context: Literal["window", "clip"] = "window"

    @property
    def hears_clips(self) -> bool:
        """Whether it hears a clip at once."""
        return self.context == "clip"


class ModelFile(Encoder):
    """A file that takes mono sound and gives vectors. `sample_rate` in Hz, `samples` and `hop_length` in samples.

    It is called on `samples` at a time, every `hop_length`, and each call gives a frame; or, where `samples` is null,
    once on all there is, and gives a frame for every `hop_length`. `output` names what is taken: an output or, of
    TFLite, any tensor inside; null is the first output. `layout` is the order of its axes behind the first.
    """

    kind: str  # of its heirs
    weights: str
    sample_rate: Positive
    samples: Positive | None
    hop_length: Positive
    output: str | None = None
    layout: Literal["bands_frames", "frames_bands"] = "frames_bands"


class TFLite(ModelFile):
    """A TFLite file, run by ai-edge-litert."""

    kind: Literal["tflite"]


class Onnx(ModelFile):
    """An ONNX file, run by onnxruntime."""

    packages: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    kind: Literal["onnx"]


class EfficientAT(Encoder):
    """One of EfficientAT's MobileNets (mn01 to mn40), its width read from the weights.

    `layer` is what is taken: the last feature map, or its scores of AudioSet's 527 classes, of all that it hears at
    once: a clip's cannot be cut into windows.
    """

    kind: Literal["efficientat"]
    weights: str
    layer: Literal["features", "scores"] = "features"

    @model_validator(mode="after")
    def _scores_are_of_windows(self) -> Self:
        if self.layer == "scores" and self.hears_clips:
            raise ValueError("layer: scores gives one vector for all it hears. Choose context: window")
        return self


class Snac(Encoder):
    """SNAC's latents before its quantiser, or dequantised from all its codebooks; `weights` is a record under `hub`."""

    packages: ClassVar[tuple[str, ...]] = ("snac",)
    kind: Literal["snac"]
    weights: str
    quantized: bool = False


class TrainedCodec(Record):
    """The encoder of a codec of the study's own, before its quantiser, after so many steps of one of its trainings."""

    packages: ClassVar[tuple[str, ...]] = ("codec",)  # the noun whose code trains it
    is_codec: ClassVar[bool] = True
    kind: Literal["codec"]
    weights: None
    codec: Name
    seed: Seed
    step: Annotated[int, Field(ge=0)]

    @property
    def is_untrained(self) -> bool:
        """Whether it is kept from before the first step."""
        return self.step == 0

    @property
    def file(self) -> Path:
        """Where data/codecs has its weights."""
        return Path(self.codec) / kept_codec(self.seed, self.step)


def kept_codec(seed: int, step: int) -> Path:
    """Where the folder of a codec has it after so many steps of a training."""
    return Path(f"seed_{seed}", f"step_{step}.safetensors")


class CodecFile(Record):
    """The encoder of a codec of ours in a file, as `export_codec` and `codec train` write it, before its quantiser."""

    packages: ClassVar[tuple[str, ...]] = ("codec",)  # the noun whose code reads it
    is_codec: ClassVar[bool] = True
    kind: Literal["codec_file"]
    weights: str
    untrained: bool = False  # the file is of before the first step

    @property
    def is_untrained(self) -> bool:
        """Whether the file's weights are as they were drawn."""
        return self.untrained


AnyEncoder = TFLite | Onnx | EfficientAT | Snac | TrainedCodec | CodecFile
