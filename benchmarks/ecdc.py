"""Measure what classifying EnCodec's compressed files costs from their codes, and what decoding them first would cost.

The usual way decodes a file to sound, takes its mel spectrogram and classifies that. `python -m benchmarks.ecdc --model
FOLDER --against FOLDER FILE...` prints both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from beyond_spectrograms.cli.common import add_model_options, count, load
from beyond_spectrograms.data.audio import BadAudioError
from beyond_spectrograms.inference import load_model
from beyond_spectrograms.inference.card import ModelError
from beyond_spectrograms.inference.ecdc_file import SAMPLE_RATE, load_lm, read_ecdc, read_header
from beyond_spectrograms.inference.ecdc_windows import CutCodes, Dequantise
from beyond_spectrograms.inference.model import Model
from beyond_spectrograms.representations.encodec import fold_weight_norm, load_checkpoint, untrained_model
from beyond_spectrograms.util.errors import ProjectError, run
from beyond_spectrograms.util.progress import track

Value = TypeVar("Value")
WAYS = {
    "from the codes": ("read", "dequantise", "classify"),
    "from the sound": ("read", "decode", "mel", "classify"),
}


@dataclass(frozen=True)
class Costs:
    """Milliseconds of processor time for a second of sound, [rounds] for each step of each way."""

    files: int
    seconds: float
    milliseconds: dict[str, dict[str, list[float]]]

    def total(self, way: str) -> list[float]:
        """Sum the steps of each round."""
        return [sum(steps) for steps in zip(*self.milliseconds[way].values(), strict=True)]

    def __str__(self) -> str:
        """Tell medians over rounds, and the ratio of the totals with its range."""
        rounds = len(self.total("from the codes"))
        lines = [
            f"{self.files} files, {self.seconds:.1f} s of sound; milliseconds of processor time a second of sound, "
            f"median of {rounds} rounds"
        ]
        for way, steps in self.milliseconds.items():
            told = ", ".join(f"{step} {np.median(values):.2f}" for step, values in steps.items())
            lines.append(f"{way}: {np.median(self.total(way)):.2f} ({told})")
        ratios = np.divide(self.total("from the sound"), self.total("from the codes"))
        lines.append(f"{np.median(ratios):.1f} times less from the codes ({ratios.min():.1f} to {ratios.max():.1f})")
        return "\n".join(lines)


def bench_ecdc(model: Model, mel: Model, files: Sequence[Path], rounds: int) -> Costs:
    """Classify files both ways, in turn; a round before the first is not counted.

    Times are processor time of all threads, so that other work on the machine counts little. The decoder is the
    package's, its weight norm folded; reading is the same program both ways.

    Args:
        model: takes codes; its encoder's checkpoint has the decoder too.
        mel: a model on a mel spectrogram.
        files: .ecdc files.
        rounds: how often each file is classified each way.

    Raises:
        BadAudioError: a file cannot be read, or `model` takes no codes.
        ModelError: `mel` is of another kind.
    """
    import torch

    if mel.card.representation.record.kind != "mel":
        kind = mel.card.representation.record.kind
        raise ModelError(f"--against is a model of kind {kind}; the usual way needs one of kind mel")
    dequantise = Dequantise(model.card, model.representation)
    codec = untrained_model("24khz", 0)
    load_checkpoint(codec, model.encoder_files[0])
    decoder: Any = codec.decoder.eval()
    fold_weight_norm(decoder)
    lm = cache(lambda: load_lm(model.encoder_files[0].parent))
    spent: dict[str, dict[str, list[float]]] = {way: {step: [] for step in steps} for way, steps in WAYS.items()}
    seconds = 0.0

    def clock(way: str, step: str, work: Callable[[], Value]) -> Value:
        began = time.process_time()
        value = work()
        spent[way][step][-1] += time.process_time() - began
        return value

    def from_codes(path: Path) -> float:
        coded = clock("from the codes", "read", lambda: read_ecdc(path, dequantise.bitrate, lm))
        windows = model.card.windows
        sound = CutCodes(coded, dequantise, length_s=windows.length_s, hop_s=windows.hop_s)
        for batch in clock("from the codes", "dequantise", lambda: list(sound)):
            clock("from the codes", "classify", partial(model.judge, batch))
        return coded.seconds

    def from_sound(path: Path) -> None:
        bitrate = read_header(path.read_bytes()).bitrate
        coded = clock("from the sound", "read", lambda: read_ecdc(path, bitrate, lm))

        def decode() -> Any:
            with torch.inference_mode():
                latents = codec.quantizer.decode(torch.from_numpy(coded.codes.astype(np.int64))[:, None])
                return decoder(latents)[0, 0, : round(coded.seconds * SAMPLE_RATE)].numpy()

        waveform = clock("from the sound", "decode", decode)
        rate = mel.representation.form.sample_rate

        def encode() -> list[Any]:
            return [mel.representation.encode(batch.windows, rate) for batch in mel.cut([waveform], SAMPLE_RATE)]

        for features in clock("from the sound", "mel", encode):
            clock("from the sound", "classify", partial(mel.judge_features, features))

    for _ in track(range(rounds + 1), "bench-ecdc, rounds", rounds + 1):
        for steps in spent.values():
            for values in steps.values():
                values.append(0.0)
        seconds = 0.0
        for path in files:
            seconds += from_codes(path)
            from_sound(path)
    counted = {
        way: {step: [1000 * value / seconds for value in values[1:]] for step, values in steps.items()}
        for way, steps in spent.items()
    }
    return Costs(len(files), seconds, counted)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ecdc", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".ecdc files")
    add_model_options(parser)
    parser.add_argument("--against", type=Path, required=True, metavar="FOLDER", help="a model on a mel spectrogram")
    parser.add_argument("--rounds", type=count, default=5, help="each file is classified so often (default: 5)")
    options = parser.parse_args(arguments)
    model, mel = load(options), load_model(options.against, device=options.device)
    for path in options.files:
        try:
            model.ecdc.cut(path)
        except BadAudioError as error:
            raise ProjectError(f"{path}: {error}") from None
    print(bench_ecdc(model, mel, options.files, options.rounds))


if __name__ == "__main__":
    run(main)
