"""Measure what classifying EnCodec's compressed files costs from their codes, and what decoding them first would cost.

The usual way decodes a file to sound, takes its mel spectrogram and classifies that. Times are processor time of all
threads, so that other work on the machine counts little.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np

from benchmarks.harness import Spent, Way, describe, now, run_rounds, show
from beyond_spectrograms.cli.common import add_model_options, count, load
from beyond_spectrograms.data.audio import BadAudioError
from beyond_spectrograms.inference import Model, load_model
from beyond_spectrograms.inference.card import ModelError
from beyond_spectrograms.inference.ecdc import LAYOUT, bitrate_of, read_ecdc, read_header_of_24khz
from beyond_spectrograms.representations.encodec import fold_weight_norm, load_checkpoint, untrained_model
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.errors import ProjectError

Value = TypeVar("Value")
NAMES: dict[Way, str] = {"ours": "from the codes", "plain": "from the sound"}


class BothWays:
    """Files classified from their codes by `model`, and by way of their sound by `mel`, a model on a mel spectrogram.

    The decoder is the package's, its weight norm folded; reading a file is the same program both ways.

    Raises:
        BadAudioError: a file cannot be read, or `model` takes no codes.
        ModelError: `mel` is of another kind.
    """

    def __init__(self, model: Model, mel: Model, files: Sequence[Path]) -> None:
        if (kind := mel.card.representation.record.kind) != "mel":
            raise ModelError(f"--against is a model of kind {kind}; the usual way needs one of kind mel")
        self.model, self.mel, self.files = model, mel, files
        self.seconds = {path: model.ecdc.cut(path).seconds for path in files}
        self._codec = untrained_model("24khz", 0)
        load_checkpoint(self._codec, model.encoder_files[0])
        self._decoder: Any = self._codec.decoder.eval()
        fold_weight_norm(self._decoder)
        self.steps: dict[Way, dict[str, list[float]]] = {way: defaultdict(list) for way in NAMES}  # seconds, by file

    def run(self, way: Way) -> Spent:
        """Classify all files one way."""
        began = now()
        for path in self.files:
            self._from_codes(path) if way == "ours" else self._from_sound(path)
        return now() - began

    def _clock(self, way: Way, step: str, work: Callable[[], Value]) -> Value:
        began = now()
        value = work()
        self.steps[way][step].append((now() - began).processor)
        return value

    def _from_codes(self, path: Path) -> None:
        ecdc = self.model.ecdc
        coded = self._clock("ours", "read", lambda: read_ecdc(path, ecdc.bitrate, lambda: ecdc.lm))
        batches = self._clock("ours", "dequantise", lambda: list(ecdc.cut_codes(*coded)))
        self._clock("ours", "classify", lambda: list(map(self.model.judge, batches)))

    def _from_sound(self, path: Path) -> None:
        import torch

        bitrate, mel = bitrate_of(read_header_of_24khz(path.read_bytes())), self.mel
        codes, seconds = self._clock("plain", "read", lambda: read_ecdc(path, bitrate, lambda: self.model.ecdc.lm))

        def decode() -> Any:
            with torch.inference_mode():
                latents = self._codec.quantizer.decode(torch.from_numpy(codes.astype(np.int64))[:, None])
                return self._decoder(latents)[0, 0, : round(seconds * LAYOUT.sample_rate)].numpy()

        def encode() -> list[Any]:
            rate = mel.representation.form.sample_rate
            return [mel.representation.encode(batch.windows, rate) for batch in mel.cut([waveform], LAYOUT.sample_rate)]

        waveform = self._clock("plain", "decode", decode)
        features = self._clock("plain", "mel", encode)
        self._clock("plain", "classify", lambda: list(map(mel.judge_features, features)))


def measure(model: Model, mel: Model, files: Sequence[Path], rounds: int) -> str:
    """Classify files both ways in turn; say what each way and its steps took."""
    both = BothWays(model, mel, files)
    described = describe([one for _, one in run_rounds({"ecdc": both.run}, rounds)])
    seconds = sum(both.seconds.values())
    lines = [
        f"{len(files)} files, {seconds:.1f} s of sound; milliseconds of processor time a second of sound, median of "
        f"{rounds} rounds"
    ]
    for way, name in NAMES.items():
        steps = {  # the first round is not counted
            step: median(np.reshape(of, (rounds + 1, len(files))).sum(1)[1:]) for step, of in both.steps[way].items()
        }
        each = ", ".join(f"{step} {1000 * spent / seconds:.2f}" for step, spent in steps.items())
        lines.append(f"{name}: {1000 * median(described['seconds']['processor'][way]) / seconds:.2f} ({each})")
    return "\n".join([*lines, f"times as quick from the codes: {show(described['ratio']['processor'])}"])


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
    print(measure(model, mel, options.files, options.rounds))


if __name__ == "__main__":
    run(main)
