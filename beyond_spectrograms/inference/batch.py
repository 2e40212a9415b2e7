"""Many sounds classified in turn while the next one is decoded; a bad one does not stop the others."""

import glob
import os
import queue
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from beyond_spectrograms.codec.ecdc import SUFFIX as ECDC
from beyond_spectrograms.data.audio import BadAudioError
from beyond_spectrograms.data.folders import READ, sounds_below
from beyond_spectrograms.data.sound_files import STDIN, open_sound
from beyond_spectrograms.inference.ecdc import CutCodes
from beyond_spectrograms.inference.folder import load_model
from beyond_spectrograms.inference.model import Model
from beyond_spectrograms.inference.results import Classification, Probabilities
from beyond_spectrograms.inference.stream_windows import Batch, CutSound
from beyond_spectrograms.representations.base import RepresentationError
from beyond_spectrograms.util.cluster.pieces import run_in_groups, side_by_side
from beyond_spectrograms.util.errors import ProjectError, explain_refusal
from beyond_spectrograms.util.progress import quiet

Item = TypeVar("Item")
GROUP, GROUPS = 16, 8  # files that are one piece for a cluster; pieces a worker, of those handed out at a time
REFUSALS = (BadAudioError, ProjectError)  # of a file: it is bad, or an encoder or EnCodec's language model refuses it
DEPTH = 2  # batches decoded ahead: 32 windows each, at most 12 MB


@dataclass(frozen=True)
class Named:
    """What became of one sound: its classes, or the reason why it has none."""

    path: Path
    found: Classification | None
    reason: str = ""


@dataclass
class Found:
    """The files that names mean; how many others folders hold, by kind; and what is wrong with names, a line each."""

    paths: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def find_files(names: Iterable[str]) -> Found:
    """List the files that `names` mean: files, folders (all audio in them), glob patterns, `-` for standard input.

    A name that matches nothing is given back as it is; opening it gives the error. Of a folder that cannot be looked
    into, or holds one that cannot, nothing is taken.
    """
    found = Found()
    for name in names:
        path, left_out = Path(name), Counter[str]()
        is_folder = path != STDIN and os.path.isdir(path)  # noqa: PTH112  of any name, also one that is too long
        try:
            taken = sounds_below(path, left_out, (*READ, ECDC)) if is_folder else _match(path)
        except OSError as error:
            found.wrong.append(f"{explain_refusal(error)}; of {name} nothing is read")
            continue
        found.paths += taken
        found.left_out.update(left_out)
        if not taken:
            found.wrong.append(f"{name}: no audio file")
    return found


def _match(path: Path) -> list[Path]:
    if path == STDIN or os.path.exists(path):  # noqa: PTH110
        return [path]
    matches = sorted(glob.glob(str(path), recursive=True)) or [str(path)]  # noqa: PTH207  also absolute
    return [match for match in map(Path, matches) if not os.path.isdir(match)]  # noqa: PTH112


def classify_files(model: Model, paths: Iterable[Path]) -> Iterator[Named]:
    """Classify each file in turn. Its result depends on no other file."""
    judged: list[Probabilities] = []
    refused: RepresentationError | None = None
    for path, part in prefetch(_read(model, paths)):
        if isinstance(part, Batch):
            try:
                if refused is None:  # else the rest of the file passes by
                    judged.append(model.judge(part))
            except RepresentationError as error:
                refused = error
            continue
        try:
            if isinstance(part, Exception):
                raise part
            if refused:
                raise refused
            yield Named(path, model.average(part, judged))
        except REFUSALS as error:
            yield Named(path, None, str(error))
        judged, refused = [], None


@dataclass(frozen=True)
class ModelAt:
    """A model by its place, as load_model takes it: a worker of a cluster loads it for itself."""

    folder: Path
    device: str
    weights: Path | None
    allowed_modules: tuple[str, ...]

    def load(self) -> Model:
        """Load it; of its warning, which is on its card, whoever asked for it tells."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return load_model(
                self.folder, device=self.device, weights=self.weights, allowed_modules=self.allowed_modules
            )


def classify_on_cluster(model: ModelAt, paths: Sequence[Path]) -> Iterator[Named]:
    """Classify files by the workers of a cluster, in the order given; one that kills its workers is a bad file.

    So many are handed out at a time that all workers are at work, and what is done by then is given.
    """
    several = GROUP * GROUPS * side_by_side()
    for first in range(0, len(paths), several):
        with quiet():  # whoever takes the results has a bar
            yield from run_in_groups(
                partial(_classify_at, model), paths[first : first + several], GROUP, called="classify", set_aside=_bad
            )


def _classify_at(model: ModelAt, path: Path) -> Named:
    (named,) = classify_files(_loaded(model), [path])
    return named


def _bad(path: Path, reason: str) -> Named:
    return Named(path, None, reason)


_loaded = lru_cache(1)(ModelAt.load)


@contextmanager
def cut_file(model: Model, path: Path, hop_s: float | None = None) -> Iterator[CutSound | CutCodes]:
    """Open a file, by its suffix a sound or EnCodec's codes, cut into the windows the model takes.

    Raises:
        BadAudioError: it cannot be read.
    """
    if path.suffix.lower() == ECDC:
        yield model.ecdc.cut(path, hop_s)
    else:
        with open_sound(path) as file:
            sound = model.cut(file.blocks(), file.sample_rate, hop_s)
            sound.of_8_bit = file.of_8_bit
            sound.promised_s = None if file.promised is None else file.promised / file.sample_rate
            yield sound


def _read(
    model: Model, paths: Iterable[Path]
) -> Iterator[tuple[Path, Batch | CutSound | CutCodes | BadAudioError | ProjectError]]:
    """Yield the batches of every file, and after them the sound itself, or why it cannot be read."""
    for path in paths:
        try:
            with cut_file(model, path) as sound:
                yield from ((path, batch) for batch in sound)
                yield path, sound
        except REFUSALS as error:
            yield path, error


def prefetch(items: Iterable[Item]) -> Iterator[Item]:
    """Yield `items`, which a thread makes up to DEPTH ahead; what it raises is raised here, in its place."""
    # A daemon, not a pool's thread: one of those that waits for standard input would keep Ctrl+C waiting.
    made: queue.Queue[tuple[list[Item], BaseException | None]] = queue.Queue(DEPTH)
    stopped = threading.Event()

    def put(item: list[Item], error: BaseException | None = None) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                made.put((item, error), timeout=0.1)
                return

    def make() -> None:
        try:
            for item in items:
                put([item])
                if stopped.is_set():
                    return
            put([])
        except BaseException as error:
            put([], error)

    threading.Thread(target=make, daemon=True).start()
    try:
        while True:
            item, error = made.get()
            if error:
                raise error
            if not item:
                return
            yield item[0]
    finally:
        stopped.set()
