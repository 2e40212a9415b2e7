"""Sounds of any length coded and decoded by the encodec package's model of a codec, in memory that has a bound.

A codec that divides sound by its level has segments, which are coded one by one. One that is causal is called on
PIECE_S seconds at a time, with as much of what came before as its convolutions see; its LSTM goes on where it was. A
sound that is no longer than that is coded by one call, and gives the package's own codes. Others hear all of a sound at
once, and take no more than WHOLE_S seconds.

All is computed on one thread: the last bits of a sum depend on how many share it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from beyond_spectrograms.codec.ecdc import Coded, Codes, Layout
from beyond_spectrograms.codec.network import Codec, bandwidth_of, measure_level
from beyond_spectrograms.data.audio import BadAudioError, Waveform
from beyond_spectrograms.util.machine import one_thread

if TYPE_CHECKING:
    from encodec.model import EncodecModel

PIECE_S = 20.0
WHOLE_S = 60.0


class Streamer:
    """Codes and decodes by one codec, whose files have the `layout`."""

    def __init__(self, codec: Codec, layout: Layout) -> None:
        self.network, self.layout = codec.network, layout
        self._model: EncodecModel = codec.as_package()
        frames = max(1, round(PIECE_S * layout.sample_rate / layout.hop_length))
        self._piece = frames if self.network.causal else layout.frames(round(WHOLE_S * layout.sample_rate))

    def encode(self, blocks: Iterable[Waveform], bitrate: int) -> Coded:
        """Code a sound that comes in blocks [channels, samples] at the codec's rate, at `bitrate` bits/s.

        Raises:
            BadAudioError: it is empty, longer than a day, or longer than a codec takes that hears it at once.
        """
        sound, codes, levels = _Sound(blocks, self.layout), list[Codes](), list[float]()
        bandwidth = bandwidth_of(bitrate)
        with one_thread(), torch.inference_mode():
            if self.layout.by_level:
                for segment in sound.cut(self.layout.segment_length, self.layout.segment_stride):
                    level = measure_level(segment)
                    levels.append(float(level))
                    codes.append(self._codes(self._model.encoder(segment / level), bandwidth))
            else:
                encoder = _Stream(self._model.encoder.model)
                found = list[Codes]()
                for piece in sound.cut(*[self._piece * self.layout.hop_length] * 2):
                    if found and not self.network.causal:
                        told = f"longer than {WHOLE_S:g} s, which is all that a codec takes that is not causal"
                        raise BadAudioError(f"{told} and does not divide by level")
                    found.append(self._codes(encoder.push(piece), bandwidth))
                codes = [np.concatenate(found, axis=1)] if found else []
        if not codes:
            raise BadAudioError("empty: a header but no samples")
        return Coded(sound.samples, codes, levels)

    def decode(self, coded: Coded) -> Iterator[Waveform]:
        """Decode a sound in blocks [channels, samples], as many samples as were coded.

        Raises:
            BadAudioError: it is longer than a codec takes that hears it at once, or the codec's weights are so large
                that what it gives is not finite.
        """
        left = coded.samples
        for block in self._decode_segments(coded) if self.layout.by_level else self._decode_pieces(coded):
            if not np.isfinite(block).all():
                raise BadAudioError(f"{self.layout.name} gives samples that are not finite. Train it again.")
            if left:
                yield block[:, :left]
                left -= min(left, block.shape[1])

    def _codes(self, latents: torch.Tensor, bandwidth: float) -> Codes:
        codes = self._model.quantizer.encode(latents, self._model.frame_rate, bandwidth)
        return np.asarray(codes[:, 0].numpy().astype(np.int16))

    def _latents(self, codes: Codes) -> torch.Tensor:
        latents: torch.Tensor = self._model.quantizer.decode(torch.from_numpy(codes.astype(np.int64))[:, None])
        return latents

    def _decode_pieces(self, coded: Coded) -> Iterator[Waveform]:
        [codes] = coded.codes
        decoder = _Stream(self._model.decoder.model)
        if codes.shape[1] > self._piece and not self.network.causal:
            raise BadAudioError(f"longer than {WHOLE_S:g} s, which is all that its codec takes")
        for first in range(0, codes.shape[1], self._piece):
            with one_thread(), torch.inference_mode():
                made = decoder.push(self._latents(codes[:, first : first + self._piece]))
            yield made[0].numpy()

    def _decode_segments(self, coded: Coded) -> Iterator[Waveform]:
        """Decode segments, and fade each into the next: encodec/utils.py, _linear_overlap_add."""
        stride, weight = self.layout.segment_stride, torch.empty(0)
        total = weights = torch.empty(0)  # of what is not given yet
        for codes, level in zip(coded.codes, coded.levels, strict=True):
            with one_thread(), torch.inference_mode():
                made = self._model.decoder(self._latents(codes))[0] * level
                length = made.shape[1]
                if not len(weight):
                    place = torch.linspace(0, 1, length + 2)[1:-1]
                    weight, total, weights = 0.5 - (place - 0.5).abs(), made[:, :0], torch.empty(0)
                more = max(0, length - total.shape[1])
                total, weights = nn.functional.pad(total, (0, more)), nn.functional.pad(weights, (0, more))
                total[:, :length] += weight[:length] * made
                weights[:length] += weight[:length]
            yield (total[:, :stride] / weights[:stride]).numpy()
            total, weights = total[:, stride:], weights[stride:]
        yield (total / weights).numpy()


class _Sound:
    """Blocks [channels, samples] of any length, and how many `samples` came so far."""

    def __init__(self, blocks: Iterable[Waveform], layout: Layout) -> None:
        self._blocks, self._most, self.samples = blocks, layout.most_samples, 0

    def cut(self, length: int, stride: int) -> Iterator[torch.Tensor]:
        """Cut pieces [1, channels, samples] of a length, the last ones shorter, one every `stride` samples."""
        kept: list[Waveform] = []
        for block in self._blocks:
            kept.append(block)
            self.samples += block.shape[1]
            if self.samples > self._most:
                raise BadAudioError("longer than a day, which is the most that is coded")
            if sum(each.shape[1] for each in kept) >= length:
                joined = np.concatenate(kept, axis=1)
                # One piece stays until it is known that something follows: the end may be in it.
                while joined.shape[1] > length:
                    yield torch.from_numpy(np.ascontiguousarray(joined[:, :length]))[None]
                    joined = joined[:, stride:]
                kept = [joined]
        joined = np.concatenate(kept, axis=1) if kept else np.empty((1, 0), np.float32)
        while joined.shape[1]:
            yield torch.from_numpy(np.ascontiguousarray(joined[:, :length]))[None]
            joined = joined[:, stride:]


class _Stream:
    """A causal network, called on one piece [1, channels, values] after the other.

    It is cut at its LSTM, which keeps its state; the convolutions before and after it are given what they saw.
    """

    def __init__(self, network: nn.Sequential) -> None:
        self._parts: list[_Convolutions | _Recurrent] = []
        layers: list[nn.Module] = []
        for layer in network:
            if hasattr(layer, "lstm"):
                self._parts += [_Convolutions(layers), _Recurrent(layer)]
                layers = []
            else:
                layers.append(layer)
        self._parts.append(_Convolutions(layers))

    def push(self, piece: torch.Tensor) -> torch.Tensor:
        """Give what the network makes of the next piece.

        All but the last fill whole frames. The first has more frames than are reflected before a sound begins, 6, or it
        is all of the sound.
        """
        for part in self._parts:
            piece = part.push(piece)
        return piece


class _Convolutions:
    """Layers that see a bounded time back."""

    def __init__(self, layers: list[nn.Module]) -> None:
        self._layers = nn.Sequential(*layers)
        # Values of the input from one of the output to the next (below 1 where there are more), and how many are seen.
        self._step, seen = 1.0, 0.0
        largest = 1.0
        for module in self._layers.modules():
            if isinstance(module, nn.Conv1d):
                seen += (module.kernel_size[0] - 1) * module.dilation[0] * self._step
                self._step *= module.stride[0]
            elif isinstance(module, nn.ConvTranspose1d):
                self._step /= module.stride[0]
                seen += (module.kernel_size[0] - 1) * self._step
            largest = max(largest, self._step)
        whole = round(largest)
        self._context = math.ceil(seen / whole) * whole
        self._kept: torch.Tensor | None = None

    def push(self, piece: torch.Tensor) -> torch.Tensor:
        before = 0 if self._kept is None else self._kept.shape[2]
        joined = piece if self._kept is None else torch.cat([self._kept, piece], dim=2)
        self._kept = joined[:, :, -self._context :] if self._context else joined[:, :, :0]
        made: torch.Tensor = self._layers(joined)
        return made[:, :, round(before / self._step) :]


class _Recurrent:
    """The package's SLSTM, whose state goes from piece to piece."""

    def __init__(self, layer: Any) -> None:
        self._layer, self._state = layer, None

    def push(self, piece: torch.Tensor) -> torch.Tensor:
        values = piece.permute(2, 0, 1)
        made, self._state = self._layer.lstm(values, self._state)
        if self._layer.skip:
            made = made + values
        return made.permute(1, 2, 0)  # type: ignore[no-any-return]
