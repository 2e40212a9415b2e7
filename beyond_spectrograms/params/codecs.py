"""Section of a study's params.yaml about codecs that are trained here: their network, their sounds and their recipe."""

import math
import operator
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from beyond_spectrograms.params.base import AboveZero, Name, Pair, Positive, Real, Section, Seed

CODEC_NAME = r"^[A-Za-z0-9_.-]{1,64}$"  # stands in a codec's file, in those it codes, and in what is printed
Share = Annotated[Real, Field(ge=0, le=1)]


class CodecNetwork(Section):
    """EnCodec's network at any size; EnCodec's own are settings of it.

    Attributes:
        sample_rate, channels: of the sound, as clips are stored: 16000, 24000 (1 channel) or 48000 (2) Hz.
        filters: of the first layer; each stride doubles them. Blocks between have half of them.
        strides: of the decoder's layers, in order; the encoder has them backwards. Their product is the hop, samples.
        dimension: of a latent.
        lstm: layers of the recurrent network at the end of the encoder and the beginning of the decoder.
        causal: whether no frame depends on samples after it.
        norm: of the convolutions.
        by_level: whether a window is divided by its level, which is then stored beside its codes.
        codebooks, entries: of the quantiser.
        bitrates: bits per second, those of EnCodec without entropy coding; training draws one for every step.
    """

    sample_rate: Literal[16000, 24000, 48000]
    channels: Literal[1, 2]
    filters: Annotated[int, Field(ge=2, le=256)]
    strides: Annotated[list[Annotated[int, Field(ge=2, le=16)]], Field(min_length=1, max_length=6)]
    dimension: Annotated[int, Field(ge=1, le=1024)]
    lstm: Annotated[int, Field(ge=0, le=4)]
    causal: bool
    norm: Literal["weight_norm", "time_group_norm"]
    by_level: bool
    codebooks: Annotated[int, Field(ge=1, le=64)]
    entries: Annotated[int, Field(ge=2, le=1 << 14)]
    bitrates: Annotated[list[Positive], Field(min_length=1)]

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(self.strides)

    @property
    def frame_rate(self) -> int:
        """Frames of a second of sound, as the encodec package counts them: the last may be partial."""
        return -(-self.sample_rate // self.hop_length)

    @property
    def bits(self) -> int:
        """Bits a second of one codebook."""
        return self.frame_rate * (self.entries.bit_length() - 1)

    def stages_at(self, bitrate: int) -> int:
        """Count the codebooks that `bitrate` (bits/s) takes."""
        return bitrate // self.bits

    @model_validator(mode="after")
    def _bitrates_are_of_codebooks(self) -> Self:
        if self.entries & (self.entries - 1):
            raise ValueError(f"entries {self.entries} is no power of 2, so that a code has no whole number of bits")
        most = self.bits * self.codebooks
        for bitrate in self.bitrates:
            if bitrate % self.bits or bitrate > most:
                raise ValueError(
                    f"bitrates: {bitrate} is no multiple of the {self.bits} bits a second of a codebook, up to {most}"
                )
        if self.channels != (2 if self.sample_rate == 48_000 else 1):
            raise ValueError(
                f"channels {self.channels}: clips are stored with 2 at 48000 Hz, and with 1 at other rates"
            )
        return self

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        if self.causal and self.norm == "time_group_norm":
            raise ValueError("norm: time_group_norm is of all frames, later ones too: it goes with causal: false")
        if self.hop_length > self.sample_rate:  # a code of a few bits would be decoded as any length of sound
            raise ValueError(
                f"strides {self.strides}: a hop of {self.hop_length} samples is longer than a second, "
                f"{self.sample_rate} samples"
            )
        return self


class CodecDiscriminator(Section):
    """The discriminator: `n_ffts` in samples; `share` is that of the steps in which it learns, drawn for each step."""

    filters: Positive
    n_ffts: Annotated[list[Positive], Field(min_length=1)]
    share: Share


class CodecSounds(Section):
    """Clips that a codec is trained on: of the training part of a `fold` of the split `source`; null: all clips.

    `apart_from` names data sets of the same groups (recordings of Freesound by their number): clips of a group that
    stands there are left out, as are those `without` names. `music` names labels whose clips are music. Where `labels`
    names some, clips of these alone are heard.
    """

    dataset: Name
    fold: Positive | None
    apart_from: list[Name]
    without: list[str]
    music: list[str]
    # Not in a dump where it names none: it came later, and what hangs on recipes from before is the same.
    labels: list[str] = Field(default_factory=list, exclude_if=operator.not_)


class CodecJudged(Section):
    """Clips by which a codec is judged, none of which it was trained on: of a data set's test part in a `fold`.

    So many `clips` are drawn by their names, and of each the first `seconds` are taken.
    """

    dataset: Name
    fold: Positive
    clips: Positive
    seconds: AboveZero


class CodecRecipe(Section):
    """How a codec is trained.

    Attributes:
        losses: the weights and forms of the model card, or of the code that EnCodec's authors released.
        weights: of losses, in place of those of the setting; si_snr, which no setting has, is one where it stands here.
        discriminator: none: samples and spectra alone are compared.
        level_db: every clip's level in dB below full scale (root of its mean square) before the gain.
        gain_db: drawn between these for every sound of a window. Windows that clip then are drawn anew.
        mixing: whether windows are single sounds and mixtures of two and three, as the card says, or single ones.
        reverberation: share of the windows with reverberation, but for single music.
        rt60_s: seconds to -60 dB, drawn between these.
        window_s: length of a window, seconds.
        steps: those after which the codec is kept; the last ends the training.
        average_decay: of the average of weights over steps, which is what is kept.
        codebook_decay, dead_below, start_iterations: as ResidualQuantizer has them.
        balancer_decay: of the average of the gradients' norms.
        start: weights as the package draws them, or each layer then scaled so that what it gives is of variance 1, or
            after that, as the first step begins, fitted as a linear codec.
        log_mel_weight: of a further loss, of a linear layer that tells a frame's log-mel by its latent; null: none.
        precision: bf16 is for a GPU alone.
    """

    network: CodecNetwork
    sounds: Annotated[list[CodecSounds], Field(min_length=1)]
    judged: Annotated[list[CodecJudged], Field(min_length=1)]
    losses: Literal["card", "card_48khz", "released"]
    weights: dict[Literal["time", "spectral", "adversarial", "features", "si_snr"], AboveZero]
    discriminator: CodecDiscriminator | None
    level_db: Real
    gain_db: Pair
    mixing: bool
    reverberation: Share
    rt60_s: Pair
    window_s: AboveZero
    batch_size: Positive
    learning_rate: AboveZero
    betas: Pair
    average_decay: Share
    codebook_decay: Share
    dead_below: Annotated[Real, Field(ge=0)]
    start_iterations: Positive
    balancer_decay: Share
    start: Literal["drawn", "scaled", "linear"]
    log_mel_weight: AboveZero | None = None
    precision: Literal["fp32", "bf16"]
    steps: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]

    def named_datasets(self) -> Iterator[tuple[str, list[str]]]:
        """Give the data sets that it names, by place."""
        for number, sounds in enumerate(self.sounds):
            yield f"sounds.{number}.dataset", [sounds.dataset]
            yield f"sounds.{number}.apart_from", sounds.apart_from
        for number, judged in enumerate(self.judged):
            yield f"judged.{number}.dataset", [judged.dataset]

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        if self.steps != sorted(set(self.steps)):
            raise ValueError(f"steps {self.steps} do not rise")
        if self.start != "drawn" and self.network.norm != "weight_norm":
            raise ValueError(f"start: {self.start} is for norm: weight_norm; {self.network.norm} scales by itself")
        if self.start == "linear" and not self.network.causal:
            raise ValueError("start: linear is for causal: true, where a frame hangs on itself and the one before")
        for name in ("gain_db", "rt60_s"):
            lowest, highest = getattr(self, name)
            if lowest > highest:
                raise ValueError(f"{name}: {lowest:g} is more than {highest:g}")
        window = self.window_s * self.network.sample_rate
        if abs(window - round(window)) > 1e-6:
            raise ValueError(f"window_s {self.window_s:g} is not a whole number of samples")
        if self.start == "linear" and window < self.network.hop_length:
            raise ValueError(f"start: linear is for windows of a frame or more; window_s {self.window_s:g} is shorter")
        vectors = self.batch_size * math.ceil(self.window_s * self.network.sample_rate / self.network.hop_length)
        if self.dead_below * self.network.entries > vectors:
            raise ValueError(
                f"dead_below {self.dead_below:g}: a batch has {vectors} latents for {self.network.entries} entries, so "
                "that most would be dead in every step"
            )
        return self
