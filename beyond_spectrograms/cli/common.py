"""What the commands share."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import claim_work, locked, partial_beside, real
from beyond_spectrograms.util.text import printable

if TYPE_CHECKING:
    from beyond_spectrograms.codec.files import OpenCodec
    from beyond_spectrograms.inference import Model
    from beyond_spectrograms.inference.batch import ModelAt

CODECS = ("encodec_24khz", "encodec_48khz")  # EnCodec's: the keys of codec.files.ENCODEC, behind whose import torch is
TAKEN = "{}: exists already. Choose another name, or remove it."


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add --model, --weights, --device and --allow-module."""
    parser.add_argument(
        "--model", type=Path, required=True, metavar="FOLDER", help="a model, as `train` and `export` write it"
    )
    of_weights = "where the encoder's weights are, if not in the model"
    parser.add_argument("--weights", type=Path, metavar="FOLDER", help=of_weights)
    of_device = "where the classifier computes (default: auto, CUDA for what NumPy does not compute)"
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help=of_device)
    add_module_option(parser)


def add_module_option(parser: argparse.ArgumentParser) -> None:
    """Add --allow-module."""
    of_module = "a module with the HEAR API whose code the model may run; may be given several times"
    parser.add_argument("--allow-module", action="append", default=[], metavar="NAME", help=of_module)


def told_name(path: Path) -> str:
    """Name a sound in a message."""
    return "standard input" if str(path) == "-" else printable(path)


def tell_unused(left_out: Mapping[str, int], set_aside: Mapping[str, str]) -> None:
    """Tell which files of a folder of sounds are not used: how many of a kind, and others by name with the reason."""
    if left_out:
        kinds = (f"{count} {printable(kind)}" for kind, count in left_out.items())
        print("left out:", ", ".join(kinds), file=sys.stderr)
    for name, reason in set_aside.items():
        print(printable(f"set aside {name}: {reason}"), file=sys.stderr)


def list_files(names: Iterable[str]) -> tuple[list[Path], bool]:
    """List the files that names mean, and say whether any of them was wrong; tell what is, and what is left out."""
    from beyond_spectrograms.inference.batch import find_files

    found = find_files(names)
    tell_unused(dict(sorted(found.left_out.items())), {})
    for line in found.wrong:
        print(printable(line), file=sys.stderr)
    return found.paths, bool(found.wrong)


def check_free(place: Path) -> None:
    """Check that nothing stands in a place, not even a link that leads nowhere.

    Raises:
        ProjectError: something does.
    """
    if place.exists() or place.is_symlink():
        raise ProjectError(TAKEN.format(place))


def check_writable(path: Path) -> None:
    """Check before the work that its result can be written.

    Raises:
        ProjectError: it is a folder, a pipe or a device, or its folder cannot be made or written to.
    """
    beside = partial_beside(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if path.exists() and not path.is_file():  # a file renamed to its place would replace it
            raise ProjectError(f"{path}: cannot be written: is no plain file")
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.touch()
        beside.unlink()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ProjectError(f"{path}: cannot be written: {reason}: {error.filename}") from None


def check_apart(out: Path, folder: Path, work: Path) -> None:
    """Check that neither the result nor the folder of work lies among the sounds of a folder, nor these in that.

    Raises:
        ProjectError: one does.
    """
    _check_zero(out)
    _check_zero(folder)
    if real(out).is_relative_to(real(folder)):
        raise ProjectError(f"{out}: lies in the folder of sounds, {folder}. Choose a place outside of it.")
    if real(folder).is_relative_to(real(work)):
        where = f"{folder}: lies in {work}, where {out} would be worked on and which is then removed"
        raise ProjectError(f"{where}. Choose another --out.")


@contextmanager
def working_in(work: Path, kept: str | None = None) -> Iterator[None]:
    """Keep a folder of work for what is done in the block, and remove it in the end.

    Where that is refused it is removed too, unless there is something of the name `kept` in it, to go on from.

    Raises:
        ProjectError: another run works there, or it is no folder of work.
    """
    with locked(work):
        claim_work(work)
        try:
            yield
        except ProjectError:
            if kept is None or not (work / kept).exists():
                _remove_work(work)
            raise
        _remove_work(work)


@contextmanager
def going_on(work: Path) -> Iterator[None]:
    """Say how to go on when the user stops what was begun in the folder `work`."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note(f"the same command goes on where it was, by what is in {work}")
        raise


def _remove_work(work: Path) -> None:
    """Remove it, and never half: a run that is killed before goes on by it, one that is killed after it has ended."""
    work.replace(removed := partial_beside(work))
    shutil.rmtree(removed)


def check_name(path: Path) -> None:
    """Check that a path has a name that a file can have.

    Raises:
        ProjectError: it has none, as `.`, or a zero byte in it.
    """
    _check_zero(path)
    if not path.name:
        raise ProjectError(f"{path}: is no name of a file")


def _check_zero(path: Path) -> None:
    if "\0" in str(path):
        raise ProjectError(f"{path}: has a zero byte, which no file's name can have")


def check_known(what: str, name: str, known: Collection[str]) -> None:
    """Check that params.yaml has an entry of that name.

    Raises:
        ProjectError: it has none.
    """
    if name not in known:
        like = [f"Did you mean {each}? " for each in get_close_matches(name, known, n=1)]
        raise ProjectError(f"{name!r} is no {what} in params.yaml. {''.join(like)}Choose from {', '.join(known)}.")


def count(text: str) -> int:
    """Read a number of things above 0."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def model_at(options: argparse.Namespace) -> ModelAt:
    """Give the place of the model that the options name."""
    from beyond_spectrograms.inference.batch import ModelAt

    return ModelAt(options.model, options.device, options.weights, tuple(options.allow_module))


def load(options: argparse.Namespace) -> Model:
    """Load the model that the options name; its warning, if it has one, goes to stderr in one line."""
    model = model_at(options).load()
    if model.card.warning:
        print(f"{options.model}: {model.card.warning}", file=sys.stderr)
    return model


def open_codec(named: str | None) -> OpenCodec:
    """Open the codec of a name in CODECS or at a place; without a name that of this package.

    Raises:
        ProjectError: there is none, or its weights cannot be had.
    """
    from beyond_spectrograms.codec import files

    if named not in CODECS:
        return files.open_codec(files.SHIPPED if named is None else Path(named))
    from beyond_spectrograms.data.weights import fetch_encoder
    from beyond_spectrograms.inference.folder import data_folder
    from beyond_spectrograms.params import load_all_params

    [weights] = fetch_encoder(load_all_params(), named, data_folder())
    return files.open_encodec(named, weights)
