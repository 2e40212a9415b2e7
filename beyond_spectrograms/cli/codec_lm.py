"""`codec train-lm FOLDER`: a language model of a codec's codes, with which files are smaller."""

from __future__ import annotations

import argparse
from pathlib import Path

from beyond_spectrograms.cli.common import (
    check_apart,
    check_free,
    check_name,
    check_writable,
    count,
    going_on,
    open_codec,
    tell_unused,
    working_in,
)
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.text import printable

CHECKPOINT = "checkpoint.pt"
HELP = "a language model of a codec's codes, for smaller files"
DESCRIPTION = """
Train a small language model on the codes that a codec of ours gives for the sounds of a folder, for `encode --lm` and
`decode --lm`. A tenth of the sounds is held out, and tells how many bits are left. A run that was stopped goes on where
it was when you start it again, and ends with the same bytes on the same processor.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="sounds, also in folders below it")
    parser.add_argument("--codec", metavar="CODEC", help="a codec's file or folder (default: that of this package)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="must not exist")
    parser.add_argument("--steps", type=count, default=500, metavar="N", help="default: 500")
    parser.add_argument("--seed", type=count, default=1, help="what is drawn follows from it (default: 1)")


def run(options: argparse.Namespace) -> int:
    """Train; give the exit status."""
    out: Path = options.out
    check_name(out)
    check_free(out)
    work = out.with_name(f"{out.name}.partial-training")
    check_apart(out, options.folder, work)
    check_writable(out)
    from beyond_spectrograms.codec.language_model import (
        LmTrainer,
        bits_left,
        save_lm,
        take_up_lm,
        time_lm_step,
        train_lm,
    )
    from beyond_spectrograms.codec.own_sounds import prepare_sounds
    from beyond_spectrograms.codec.streaming import Streamer
    from beyond_spectrograms.estimates.timing import roughly
    from beyond_spectrograms.util.machine import one_thread
    from beyond_spectrograms.util.progress import track

    by = open_codec(options.codec)
    if not by.layout.digest:
        raise ProjectError(f"--codec is {options.codec}, whose language model its authors have; train one of ours")
    if by.layout.by_level:
        raise ProjectError(f"{by.layout.name}: divides by level, in segments of a second: too short to foretell much")
    network = by.codec.network
    with working_in(work, CHECKPOINT), going_on(work):
        sounds = prepare_sounds(options.folder, work, network, 0.0)
        tell_unused(sounds.left_out, sounds.set_aside)
        streamer, most = Streamer(*by), max(network.bitrates)
        waveforms = [*sounds.corpus.waveforms, *sounds.judged]
        codes = [streamer.encode([sound], most).codes[0] for sound in track(waveforms, "encode", len(waveforms))]
        heard, judged = codes[: len(sounds.corpus.waveforms)], codes[len(sounds.corpus.waveforms) :]
        print(f"trains on {sounds.sounds} sounds of {sounds.seconds:.1f} s together", flush=True)
        with one_thread():
            trainer = LmTrainer(heard, network, codec=by.layout.digest, steps=options.steps, seed=options.seed)
            if take_up_lm(trainer, work / CHECKPOINT):
                print(printable(f"goes on after step {trainer.step}, by the checkpoint in {work}"), flush=True)
            step_s, left = time_lm_step(heard, network), options.steps - trainer.step
            print(f"{left} steps of about {step_s:.2g} s: {roughly(step_s * left)}", flush=True)
            train_lm(trainer, work / CHECKPOINT)
            bits_by_rate = bits_left(trainer.lm, judged, network)
        save_lm(out, trainer.lm, trainer.size)
        held = f"{sounds.held_out} sound{'s' * (sounds.held_out > 1)} held out"
        for bitrate, bits in bits_by_rate.items():
            print(f"of {bitrate} bits per second {bits:.0f} are left, by {held}")
        print(printable(f"{out}: {out.stat().st_size} bytes, for {by.layout.name}"))
    return 0
