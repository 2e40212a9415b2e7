"""The codec's network: the encodec package's encoder and decoder, and our quantiser between them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from beyond_spectrograms.codec.ecdc import SEGMENT_S
from beyond_spectrograms.codec.quantizer import Quantized, ResidualQuantizer
from beyond_spectrograms.params.codecs import CODEC_NAME, CodecNetwork
from beyond_spectrograms.util.errors import ProjectError, one_line, require
from beyond_spectrograms.util.files import write_tensors
from beyond_spectrograms.util.text import printable, shorten_value

if TYPE_CHECKING:
    from encodec.model import EncodecModel

SILENT = 1e-8  # added to levels that sounds are divided by
CODEBOOKS = "quantizer.codebooks"
NOTES = "codec"  # the key of a file's metadata


class CodecFileError(ProjectError):
    """A file is no codec of ours; the message names it and what is wrong."""


def _check_plain(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has signs that cannot be printed")
    return text


class _Notes(BaseModel):
    """What a codec's file tells, as far as it is relied on: the file may be a stranger's."""

    model_config = ConfigDict(strict=True)

    network: CodecNetwork
    name: Annotated[str, Field(pattern=CODEC_NAME)] = "codec"
    licence: Annotated[str, Field(max_length=200), AfterValidator(_check_plain)] | None = None


class Coded(NamedTuple):
    """What a training step sees: sound decoded from what the quantiser made of latents.

    `sound` is [batch, channels, samples], `latents` before the quantiser are [batch, dimension, frames].
    """

    sound: torch.Tensor
    quantized: Quantized
    latents: torch.Tensor


class Codec(nn.Module):
    """Encoder, quantiser and decoder of a `network`, weights drawn by torch's generator.

    With the weights of the package's 24 kHz or 48 kHz model (`state_of_package`) it gives that model's values.
    """

    def __init__(
        self, network: CodecNetwork, *, decay: float = 0.99, dead_below: float = 2.0, start_iterations: int = 50
    ) -> None:
        require("encodec")
        from encodec.modules.seanet import SEANetDecoder, SEANetEncoder

        super().__init__()
        self.network = network
        settings: dict[str, Any] = {
            "channels": network.channels,
            "dimension": network.dimension,
            "n_filters": network.filters,
            "ratios": network.strides,
            "norm": network.norm,
            "causal": network.causal,
            "lstm": network.lstm,
        }
        with warnings.catch_warnings():
            # encodec 0.1.1 uses the older of torch's two weight_norm functions.
            warnings.filterwarnings("ignore", message=".*weight_norm.* is deprecated", category=FutureWarning)
            self.encoder, self.decoder = SEANetEncoder(**settings), SEANetDecoder(**settings)
        self.quantizer = ResidualQuantizer(
            network.codebooks,
            network.entries,
            network.dimension,
            decay=decay,
            dead_below=dead_below,
            start_iterations=start_iterations,
        )

    def level_of(self, sound: torch.Tensor) -> torch.Tensor | None:
        """Measure the level [batch, 1, 1] by which sounds [batch, channels, samples] are divided; None: by none."""
        return measure_level(sound) if self.network.by_level else None

    def latents(self, sound: torch.Tensor) -> torch.Tensor:
        """Encode sounds [batch, channels, samples] as [batch, dimension, frames], the last frame partial."""
        level = self.level_of(sound)
        return self.encoder(sound if level is None else sound / level)  # type: ignore[no-any-return]

    def forward(
        self, sound: torch.Tensor, stages: int | None = None, generator: torch.Generator | None = None
    ) -> Coded:
        """Encode and decode sounds [batch, channels, samples] by the first `stages` of the quantiser."""
        level = self.level_of(sound)
        latents = self.latents(sound).float()
        quantized = self.quantizer(latents, stages, generator)
        decoded = self.decoder(quantized.latents)[..., : sound.shape[2]]
        return Coded(decoded if level is None else decoded * level, quantized, latents)

    @torch.no_grad()
    def scale_layers(self, sound: torch.Tensor) -> None:
        """Scale the weights of each convolution, biases 0, so that it gives variance 1 for `sound`; the last its level.

        As torch draws them, each layer of a small network gives less than it gets: at 4 filters a latent differs from
        frame to frame by a hundredth of its bias, and thousands of steps pass before anything is coded. Mishkin and
        Matas, "All you need is a good init", 2016. `sound` is [batch, channels, samples]; silence changes nothing.
        """
        given, loudness = sound, sound.std()
        if loudness < SILENT:
            return
        for part in (self.encoder, self.decoder):
            layers = [layer for layer in part.modules() if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d)]
            for layer in layers:
                if layer.bias is not None:
                    layer.bias.zero_()
            for layer in layers:
                seen: list[torch.Tensor] = []
                handle = layer.register_forward_hook(lambda _, __, output, seen=seen: seen.append(output))
                part(given)
                handle.remove()
                wanted = loudness if layer is layers[-1] and part is self.decoder else torch.ones_like(loudness)
                weights: Any = layer
                weights.weight_g.mul_(wanted / seen[0].std().clamp(min=SILENT))
            given = part(given)

    def as_package(self) -> EncodecModel:
        """Build the encodec package's model with these weights; it codes sounds of any length, and its files.

        The copy shares encoder and decoder; its codebooks are those of now.
        """
        from encodec.model import EncodecModel
        from encodec.quantization.vq import ResidualVectorQuantizer

        network = self.network
        quantizer = ResidualVectorQuantizer(network.dimension, network.codebooks, network.entries)
        for layer, entries in zip(quantizer.vq.layers, self.quantizer.codebooks, strict=True):
            book: Any = layer._codebook
            book.embed.copy_(entries)
            book.inited.fill_(True)
        model = EncodecModel(
            self.encoder,
            self.decoder,
            quantizer,
            [bitrate / 1000 for bitrate in network.bitrates],
            network.sample_rate,
            network.channels,
            normalize=network.by_level,
            segment=SEGMENT_S if network.by_level else None,
            name="unset",
        )
        return model.to(self.quantizer.codebooks.device).eval()


def measure_level(sound: torch.Tensor) -> torch.Tensor:
    """Measure the level [batch, 1, 1] of sounds [batch, channels, samples], as EncodecModel._encode_frame does."""
    return sound.mean(dim=1, keepdim=True).square().mean(dim=2, keepdim=True).sqrt() + SILENT


def state_of_package(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give the state of the package's model as that of a Codec of its size."""
    ours = {key: value for key, value in state.items() if not key.startswith("quantizer.")}
    kinds = {"codebooks": "embed", "sums": "embed_avg", "counts": "cluster_size"}
    for name, theirs in kinds.items():
        layers = [value for key, value in state.items() if key.endswith(f"._codebook.{theirs}")]
        ours[f"quantizer.{name}"] = torch.stack(layers)
    ours["quantizer.started"] = torch.tensor(True)
    return ours


def save_codec(
    path: Path, codec: Codec, state: Mapping[str, torch.Tensor], told: Mapping[str, Any], *, half: bool = False
) -> None:
    """Write what decoding needs of a codec's `state`, and its network beside what is `told` of it, as safetensors.

    With `half` as float16, which is half as large. The same state gives the same bytes.
    """
    kept = {key: value.detach().cpu().contiguous() for key, value in state.items() if _is_kept(key)}
    if half:
        kept = {key: value.half() for key, value in kept.items()}
    write_tensors(path, kept, NOTES, {"network": codec.network.model_dump(), **told})


def bandwidth_of(bitrate: int) -> float:
    """Give a bitrate (bits/s) as the package takes it, kbit/s: half a bit more, since it rounds 1.2 / 0.4 down to 2."""
    return (bitrate + 0.5) / 1000


def load_codec(path: Path) -> tuple[Codec, dict[str, Any]]:
    """Read a codec that `save_codec` wrote, and what was told of it, its network among that.

    Raises:
        CodecFileError: the file is none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            notes = json.loads((stored.metadata() or {})[NOTES])
            state = {key: stored.get_tensor(key).float() for key in stored.keys()}  # noqa: SIM118
        network = _Notes.model_validate(notes).network
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or NOTES
        problem = first["msg"].removeprefix("Value error, ")
        raise CodecFileError(f"{path}: no codec of ours. {printable(shorten_value(place))}: {problem}") from None
    except (SafetensorError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CodecFileError(f"{path}: no codec of ours. {one_line(error)}") from None
    with torch.device("meta"):  # of no memory: a file may tell of a network of any size
        wanted = {key: value.shape for key, value in Codec(network).state_dict().items() if _is_kept(key)}
    for key, value in state.items():
        if key not in wanted or value.shape != wanted[key]:
            expected = f"expected {tuple(wanted[key])}" if key in wanted else "which it does not have"
            raise CodecFileError(f"{path}: not the weights of its network: {key} is {tuple(value.shape)}, {expected}")
    if missing := [key for key in wanted if key not in state]:
        raise CodecFileError(f"{path}: lacks {missing[0]}. Train it again.")
    for key, value in state.items():
        if not value.isfinite().all():
            raise CodecFileError(f"{path}: {key} has values that are not finite. Train it again.")
    with torch.random.fork_rng(devices=[]):
        codec = Codec(network)
    codec.load_state_dict(state, strict=False)
    codec.quantizer.started.fill_(True)
    return codec.eval(), notes


def _is_kept(key: str) -> bool:
    """Say whether a tensor is needed to code sound: what codebooks are averaged from is not."""
    return key == CODEBOOKS or not key.startswith("quantizer.")
