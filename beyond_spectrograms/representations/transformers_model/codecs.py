"""Codecs of transformers: latents before the quantiser, dequantised latents, and codes.

The encoder is called on a window as it is, as EncodecLatents does: no padding to whole hops, no level taken out, no
segments. All quantisers are residual: the first n codebooks are the same whatever comes after them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.representations.base import CheckpointError
from beyond_spectrograms.representations.transformers_model.hearing import Hearing, HearingError, conv_length
from beyond_spectrograms.representations.transformers_model.loading import EXTRACTOR, HubFolder

if TYPE_CHECKING:
    from torch import Tensor

    from beyond_spectrograms.params import Transformers


class Codec(Hearing):
    """A codec; `codebooks` and `codes` of the record say what of it.

    As it is here: an encoder of samples, and a quantiser that takes latents and gives [codebooks, 1, frames].
    """

    codebooks_key: ClassVar[str] = "num_quantizers"  # of config.json
    rate_key: ClassVar[str] = "sampling_rate"
    fewest_key: ClassVar[str | None] = None  # of config.json: the fewest codebooks; None: 1

    def __init__(self, record: Transformers, folder: HubFolder | None, config: dict[str, Any]) -> None:
        if record.layer is not None or record.layers is not None:
            raise HearingError("layer and layers are not there: it is a codec, which has codebooks")
        assert folder is not None  # params.Transformers sees to it
        self.model = folder.model(config)
        known = self.model.config
        self.rate, self.channels = getattr(known, self.rate_key), getattr(known, "audio_channels", 1)
        told = folder.read(EXTRACTOR).get("sampling_rate", self.rate)
        if told != self.rate:
            raise CheckpointError(f"{folder.path}: config.json says {self.rate} Hz, {EXTRACTOR} {told} Hz")
        self._codebooks, self._codes = record.codebooks, record.codes
        fewest = 1 if self.fewest_key is None else getattr(known, self.fewest_key)
        most = getattr(known, self.codebooks_key)
        if self._codebooks is not None and not fewest <= self._codebooks <= most:
            raise HearingError(f"{self._codebooks} codebooks are not there. It has {fewest} to {most}.")
        if record.codes and record.entries != known.codebook_size:
            raise HearingError(f"entries is {record.entries}, and a codebook has {known.codebook_size}")
        self.bands = self._codebooks if self._codes and self._codebooks else known.hidden_size
        self.hop = self._hop()

    def coded(self) -> tuple[Codec, int, list[Tensor] | None] | None:
        """Give what hears the codes, a codebook's entries, and the codebooks, each [entries, bands].

        There are no codebooks where codes are what it gives itself, and None is given where that is no sum of entries.
        """
        if self._codebooks is None:
            return None
        entries = int(self.model.config.codebook_size)
        if self._codes:
            return self, entries, None
        if (codebooks := self._tables()) is None:
            return None
        hearing = copy(self)
        hearing.bands, hearing._codes = self._codebooks, True
        return hearing, entries, codebooks[: self._codebooks]

    def _tables(self) -> list[Tensor] | None:
        """List the codebooks [entries, bands] of which the quantiser adds up an entry each; None: it does otherwise."""
        return None

    def _hop(self) -> int:
        return int(self.model.config.hop_length)

    def _latents(self, sound: Tensor) -> Tensor:
        """Encode a sound [1, channels, samples] as [1, bands, frames]."""
        latents: Tensor = self.model.encoder(sound)
        return latents

    def _quantize(self, latents: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        """Give what is left of latents [1, bands, frames], and the codes [1, codebooks, frames]."""
        codes = self.model.quantizer.encode(latents)[:codebooks]
        return self.model.quantizer.decode(codes), codes.transpose(0, 1)

    def frames(self, samples: int) -> int:
        """Count hops; the last may be partial."""
        return -(-samples // self.hop)

    def hear(self, sound: Waveform) -> Tensor:
        """Give [bands, frames], or codes [codebooks, frames], of a sound [channels, samples]."""
        import torch

        latents = self._latents(torch.from_numpy(sound[None]))
        if self._codebooks is None:
            return latents[0]
        dequantized, codes = self._quantize(latents, self._codebooks)
        return codes[0].float() if self._codes else dequantized[0]


class Encodec(Codec):
    """EnCodec (Defossez et al. 2022): the same to the bit as EncodecLatents with engine torch."""

    def _tables(self) -> list[Tensor]:
        return [layer.codebook.embed for layer in self.model.quantizer.layers]


class Dac(Codec):
    """DAC (Kumar et al. 2023). A sound's frames are those that its strided convolutions give."""

    codebooks_key = "n_codebooks"

    def frames(self, samples: int) -> int:
        """Count what the convolutions give."""
        return conv_length(self.model.encoder, samples)

    def _quantize(self, latents: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        dequantized, codes, *_ = self.model.quantizer(latents, codebooks)
        return dequantized, codes


class Mimi(Codec):
    """Mimi (Defossez et al. 2024): its first codebook is taught by WavLM; the others are of the same latents."""

    fewest_key = "num_semantic_quantizers"

    def _hop(self) -> int:
        return int(math.prod(self.model.config.upsampling_ratios) * self.model.config.latent_stride)

    def _latents(self, sound: Tensor) -> Tensor:
        latents: Tensor = self.model.encoder(sound).latents
        return latents

    def _quantize(self, latents: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        codes = self.model.quantizer.encode(latents, codebooks).transpose(0, 1)
        return self.model.quantizer.decode(codes), codes


class XCodec(Codec):
    """X-Codec (Ye et al. 2024): acoustic latents of a DAC and semantic ones of a HuBERT, joined by a linear layer."""

    rate_key = "sample_rate"

    def frames(self, samples: int) -> int:
        """Count what the semantic model's convolutions give of the padded sound."""
        return conv_length(self.model.semantic_model.feature_extractor, samples + 2 * self.model.pad)

    def _latents(self, sound: Tensor) -> Tensor:
        import torch

        model, pad = self.model, self.model.pad
        semantic = model.encoder_semantic(model._extract_semantic_features(sound).transpose(1, 2))
        if conv_length(model.acoustic_encoder, sound.shape[2]) != semantic.shape[2]:
            sound = torch.nn.functional.pad(sound, (pad, pad))
        joined = torch.cat([model.acoustic_encoder(sound), semantic], dim=1)
        latents: Tensor = model.fc(joined.transpose(1, 2)).transpose(1, 2)
        return latents

    def _tables(self) -> list[Tensor]:
        return [layer.codebook.embed for layer in self.model.quantizer.quantizers]


CODECS: dict[str, Callable[..., Codec]] = {"dac": Dac, "encodec": Encodec, "mimi": Mimi, "xcodec": XCodec}
