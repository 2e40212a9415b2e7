"""`codec train FOLDER`: a codec from sounds of one's own, or one trained further by them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from beyond_spectrograms.cli.common import (
    CODECS,
    TAKEN,
    check_apart,
    count,
    going_on,
    open_codec,
    tell_unused,
    working_in,
)
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.text import printable

if TYPE_CHECKING:
    from beyond_spectrograms.codec.own_sounds import OwnCodecSounds
    from beyond_spectrograms.codec.own_training import Begin

HELP = "a codec from your own sounds"
DESCRIPTION = """
Train a codec on a folder of sounds of any length, or with --from train one further. A tenth of the sounds is held out,
to judge the codec by before and after. Writes codec.safetensors and card.json. A run that was stopped goes on where it
was when you start it again, and ends with the same bytes. Recipes are those of studies/codec/params.yaml in a checkout,
elsewhere those the installed package carries.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="sounds, also in folders below it")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the codec; must not exist")
    of_begin = f"a codec to begin with: its file or folder, or {' or '.join(CODECS)} (default: weights that are drawn)"
    parser.add_argument("--from", dest="begin", metavar="CODEC", help=of_begin)
    of_recipe = "how, and where nothing is begun with, which network (default: shipped)"
    parser.add_argument("--recipe", default="shipped", metavar="NAME", help=of_recipe)
    parser.add_argument("--steps", type=count, metavar="N", help="default: the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="what is drawn follows from it (default: 0)")
    parser.add_argument("--learning-rate", type=float, metavar="RATE", help="default: the recipe's")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")


def run(options: argparse.Namespace) -> int:
    """Train; give the exit status."""
    work = _work(options)
    if options.learning_rate is not None and not 0 < options.learning_rate <= 1:
        raise ProjectError(f"--learning-rate is {options.learning_rate:g}; it must be above 0 and at most 1")
    if not 0 <= options.seed < 2**32:
        raise ProjectError(f"--seed is {options.seed}; it must be 0 to {2**32 - 1}")

    # Behind the checks that need none of it: torch takes seconds to import.
    from beyond_spectrograms.codec import own_training
    from beyond_spectrograms.codec.own_sounds import prepare_sounds
    from beyond_spectrograms.codec.training import check_precision
    from beyond_spectrograms.estimates.timing import roughly
    from beyond_spectrograms.util.machine import choose_device

    params = own_training.load_recipes()
    if options.recipe not in params.codecs:
        raise ProjectError(f"--recipe is {options.recipe}; choose from {', '.join(params.codecs)}")
    recipe, begin = params.codecs[options.recipe], _begin(options.begin)
    recipe = own_training.adapt_recipe(
        recipe,
        options.steps or recipe.steps[-1],
        options.seed,
        options.learning_rate,
        None if begin is None else begin.codec.network,
    )
    with working_in(work, own_training.TRAINING), going_on(work):
        sounds = prepare_sounds(options.folder, work, recipe.network, recipe.level_db)
        run = own_training.plan_run(
            recipe, sounds, begin, params=params, device=choose_device(options.device), work=work
        )
        if options.out.exists():
            if not own_training.is_done(work, options.out, run):
                raise ProjectError(TAKEN.format(options.out))
            print(f"{options.out}: was written by the run before")
        else:
            _tell_sounds(sounds)
            check_precision(run)
            if own_training.has_begun(run):
                print(printable(f"{work}: goes on from the checkpoint there, if that is of the same work"), flush=True)
            else:
                step_s = own_training.time_step(run, sounds)
                told = f"{recipe.steps[-1]} steps of about {step_s:.2g} s: {roughly(step_s * recipe.steps[-1])}"
                print(told, flush=True)
            card = own_training.train_own(run, sounds, begin, options.out, lambda line: print(line, flush=True))
            print(f"{options.out}: codec.safetensors of {card['bytes']} bytes, and card.json")
    return 0


def _work(options: argparse.Namespace) -> Path:
    """Name the folder to work in.

    Raises:
        ProjectError: the codec's place is taken, is no name of a codec, or lies among the sounds, or these in it.
    """
    from beyond_spectrograms.params.codecs import CODEC_NAME

    out: Path = options.out
    taken = TAKEN.format(out)
    if not out.name:  # . and /
        raise ProjectError(taken)
    if not re.fullmatch(CODEC_NAME, out.name):
        named = f"--out is {out}, by whose last part the codec is named"
        raise ProjectError(f"{named}; a name has 1 to 64 letters of a to z, digits, dots, dashes and underscores")
    work = out.with_name(f"{out.name}.partial-training")
    if out.is_symlink() or (out.exists() and not work.exists()):
        raise ProjectError(taken)
    if out.exists():
        from beyond_spectrograms.codec.own_training import is_done

        if not is_done(work, out):
            raise ProjectError(taken)
    check_apart(out, options.folder, work)
    return work


def _begin(named: str | None) -> Begin | None:
    """Open the codec to begin with, and find its weights' licence."""
    from beyond_spectrograms.codec.files import codec_file
    from beyond_spectrograms.codec.network import load_codec
    from beyond_spectrograms.codec.own_training import Begin

    if named is None:
        return None
    by = open_codec(named)
    if named in CODECS:
        from beyond_spectrograms.params import load_all_params

        licence: str | None = load_all_params().weights[named].licence
    else:
        licence = load_codec(codec_file(Path(named)))[1].get("licence")
    return Begin(by.codec, by.layout.name, by.layout.digest, licence)


def _tell_sounds(sounds: OwnCodecSounds) -> None:
    """Tell what was found, and what cannot be used."""
    tell_unused(sounds.left_out, sounds.set_aside)
    aside = f"; {len(sounds.set_aside)} set aside" if sounds.set_aside else ""
    held = f"{sounds.held_out} {'are' if sounds.held_out > 1 else 'is'} held out{aside}"
    print(f"trains on {sounds.sounds} sounds of {sounds.seconds:.1f} s together; {held}", flush=True)
